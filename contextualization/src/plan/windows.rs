//! Windows machines: how Ansible connects to them, and the built-in playbook (docs/spec/contextualization.md 1.12, 2.3).

use radl::yaml::{self, Node, YamlError};

/// Name of the built-in playbook in the conf dir.
pub const PLAYBOOK: &str = "windows_task_all.yml";

/// Overwrites the hosts file piece by piece: one command line holds about 8000 characters, of which Ansible makes almost
/// three for each of ours. The last piece puts it in its place.
const WRITE_PIECE: &str = "$ErrorActionPreference = 'Stop'
$hosts = \"$env:SystemRoot\\System32\\drivers\\etc\\hosts\"
$piece = [Convert]::FromBase64String('{{ item }}')
$mode = if ({{ im_piece }} -eq 0) { 'Create' } else { 'Append' }
$file = [IO.File]::Open(\"$hosts.im\", $mode)
$file.Write($piece, 0, $piece.Length)
$file.Close()
if ({{ im_piece }} -eq {{ im_pieces | length - 1 }}) { Copy-Item -Force \"$hosts.im\" $hosts }";

/// Variables of a group of Windows machines. Their certificates are self-signed.
#[must_use]
pub fn connection() -> Node {
    Node::map(
        [
            ("ansible_connection", "winrm"),
            ("ansible_winrm_scheme", "https"),
            ("ansible_winrm_server_cert_validation", "ignore"),
        ]
        .map(|(key, value)| (key, Node::text(value))),
    )
}

/// The playbook. Needs `ansible.builtin` only.
///
/// # Errors
/// [`YamlError`] when it cannot be written.
pub fn playbook() -> Result<String, YamlError> {
    let text = "{{ lookup('ansible.builtin.file', 'etc_hosts', rstrip=False) }}";
    // Lines end as Windows wants them; a multiple of four characters can be decoded on its own.
    let pieces = "{{ im_hosts | regex_replace('\\r?\\n', '\\r\\n') | b64encode | regex_findall('.{1,1600}') }}";
    let task = Node::map([
        ("name", Node::text("Name all machines in the hosts file")),
        ("ansible.builtin.raw", Node::text(WRITE_PIECE)),
        ("loop", Node::text("{{ im_pieces }}")),
        ("loop_control", Node::map([("index_var", Node::text("im_piece")), ("label", Node::text("{{ im_piece }}"))])),
    ]);
    let play = Node::map([
        ("name", Node::text("main_windows")),
        ("hosts", Node::text("{{ IM_HOST }}")),
        ("gather_facts", Node::plain("no")),
        ("vars", Node::map([("im_hosts", Node::text(text)), ("im_pieces", Node::text(pieces))])),
        ("tasks", Node::list(vec![task])),
    ]);
    yaml::emit(&Node::list(vec![play]))
}
