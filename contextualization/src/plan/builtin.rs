//! The built-in playbook: basic for every machine, then address translation, disks and applications of systems
//! (docs/spec/contextualization.md 2.2, 2.3, 2.8, 6.12). Needs `ansible.builtin` only.

use super::names;
use crate::galaxy;
use radl::{
    System, Value,
    yaml::{self, Node, YamlError},
};
use std::collections::BTreeMap;

/// A disk to prepare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    device: String,
    fstype: String,
    path: String,
}

/// What `main` does for a system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// The system.
    pub system: String,
    /// Packages to install.
    pub applications: Vec<String>,
    /// Disks to prepare on its machines.
    pub disks: Vec<Disk>,
    /// The disks of machines that have others than most of the system, by their names in the inventory.
    pub own_disks: BTreeMap<String, Vec<Disk>>,
    /// Whether private machines reach out through its machines.
    pub nat: bool,
}

/// Names of the applications of a system.
fn applications(system: &System) -> impl Iterator<Item = &str> {
    let groups = match system.features.get("disk.0.applications") {
        Some(Value::Contains(groups)) => Some(&**groups),
        _ => None,
    };
    groups.into_iter().flat_map(|groups| groups.keys()).map(String::as_str).filter(|name| !name.is_empty())
}

/// The disks to prepare of a machine, as its own document has them: what was added to it later, and the devices that its
/// cloud told.
#[must_use]
pub fn disks(machine: &System) -> Vec<Disk> {
    let text = |n: usize, key: &str| machine.features.text(&format!("disk.{n}.{key}")).map(str::to_owned);
    let exists = |n: usize| {
        machine.features.has(&format!("disk.{n}.size")) || machine.features.has(&format!("disk.{n}.image.url"))
    };
    (1..)
        .take_while(|n| exists(*n))
        .filter_map(|n| {
            let fstype = text(n, "fstype")?;
            let path = text(n, "mount_path").or_else(|| (fstype == "swap").then(String::new))?;
            Some(Disk { device: text(n, "device")?, fstype, path })
        })
        .collect()
}

/// What `main` is to do for machines of a system, given the disks of each by its name in the inventory; none when nothing.
#[must_use]
pub fn extras(system: &System, mut own_disks: BTreeMap<String, Vec<Disk>>) -> Option<Extras> {
    let applications: Vec<String> = applications(system)
        .filter(|name| !is_preinstalled(system, name))
        .filter(|name| galaxy::split(name).is_none())
        .map(|name| name.rsplit('.').next().unwrap_or(name).to_owned())
        .collect();
    // Machines of a system are alike, but for a few: what they have in common is said once.
    let disks = own_disks.values().next().cloned().unwrap_or_default();
    own_disks.retain(|_, own| *own != disks);
    let nat = system.features.text("nat_instance").is_some_and(|nat| nat.eq_ignore_ascii_case("yes"));
    let system = system.name.clone();
    let extras = Extras { system, applications, disks, own_disks, nat };
    (nat || !extras.applications.is_empty() || extras.has_disks()).then_some(extras)
}

impl Extras {
    fn has_disks(&self) -> bool {
        !self.disks.is_empty() || !self.own_disks.is_empty()
    }
}

/// Whether the image has the application, as the document says.
fn is_preinstalled(system: &System, application: &str) -> bool {
    let Some(Value::Contains(groups)) = system.features.get("disk.0.applications") else { return false };
    let said = groups.get(application).and_then(|group| group.text("preinstalled"));
    said.is_some_and(|said| said.eq_ignore_ascii_case("yes"))
}

fn script(name: &str, text: &str, environment: Vec<(&str, Node)>, more: Vec<(&str, Node)>) -> Node {
    let mut task = vec![
        ("name", Node::text(name)),
        // Not in the free form, in which Ansible would look for quotes that match.
        ("ansible.builtin.shell", Node::map([("cmd", Node::inert(text))])),
        ("environment", Node::map(environment)),
        ("register", Node::plain("im_done")),
        ("changed_when", Node::text("'changed' in (im_done.stdout | default('', true))")),
    ];
    task.extend(more);
    Node::map(task)
}

/// Scripts as one, each ending for itself.
fn one_after_the_other(scripts: &[&str]) -> String {
    scripts.iter().map(|script| format!("(\n{script}\n)\n")).collect()
}

fn play(name: &str, hosts: Node, more: Vec<(&str, Node)>, tasks: Vec<Node>) -> Node {
    let mut play = vec![
        ("name", Node::inert(name)),
        ("hosts", hosts),
        ("gather_facts", Node::plain("no")),
        ("become", Node::plain("yes")),
    ];
    play.extend(more);
    play.push(("tasks", Node::list(tasks)));
    Node::map(play)
}

/// The playbook. `without_python` are the inventory names of machines where Python has to be installed first;
/// `token` says that IM_INFRASTRUCTURE_AUTH is a token, which every machine keeps in `/etc/environment`.
///
/// # Errors
/// [`YamlError`] when it cannot be written.
pub fn playbook(extras: &[Extras], without_python: &[String], token: bool) -> Result<String, YamlError> {
    let plays = python(without_python).into_iter().chain([basic(extras, token)]).chain(main(extras));
    yaml::emit(&Node::list(plays.collect()))
}

/// Python for the machines without it, which all that follows needs.
fn python(without_python: &[String]) -> Option<Node> {
    if without_python.is_empty() {
        return None;
    }
    let install = "command -v python3 >/dev/null || { (command -v apt-get && apt-get update -q && \
                   DEBIAN_FRONTEND=noninteractive apt-get install -qy python3) || (command -v dnf && dnf install -qy \
                   python3) || (command -v yum && yum install -qy python3) || (command -v zypper && zypper -n \
                   install python3) || (command -v apk && apk add python3); }";
    // Where it fails, the next play does: a play that fails on all its machines would end the playbook for all others.
    let task = Node::map([
        ("name", Node::text("Install Python")),
        ("ansible.builtin.raw", Node::text(install)),
        ("ignore_errors", Node::plain("yes")),
        ("ignore_unreachable", Node::plain("yes")),
    ]);
    let hosts = Node::list(without_python.iter().map(|h| Node::text(h)).collect());
    Some(play("python", hosts, vec![], vec![task]))
}

/// Names, the token and the facts of all machines, and the way out for those that need a gate.
fn basic(extras: &[Extras], token: bool) -> Node {
    let mut tasks = names_of_machines();
    if token {
        tasks.extend(access_token());
    }
    // After the host name is set, so that the facts tell it. The cache serves all later runs.
    tasks.push(Node::map([("name", Node::text("Gather the facts")), ("ansible.builtin.setup", Node::map::<&str>([]))]));
    let gates: Vec<Node> = extras.iter().filter(|e| e.nat).map(|e| Node::text(&names::safe(&e.system))).collect();
    let mut vars = Vec::new();
    if !gates.is_empty() {
        // Before the next play, which may need the way out.
        vars.push(("vars", Node::map([("im_gates", Node::list(gates))])));
        let when = Node::text("group_names | intersect(im_gates) | length > 0");
        let nat = include_str!("../../assets/nat.sh");
        tasks.push(script("Let private machines reach out", nat, vec![], vec![("when", when)]));
    }
    play("basic", Node::text("{{ IM_HOST }}"), vars, tasks)
}

/// All machines in the hosts file, and the own name of each. In this order: once a machine has its name, sudo looks it up,
/// and waits for a name server where there is none.
fn names_of_machines() -> Vec<Node> {
    let hosts_file = Node::map([
        ("name", Node::text("Name all machines in the hosts file")),
        (
            "ansible.builtin.blockinfile",
            Node::map([
                ("path", Node::text("/etc/hosts")),
                ("block", Node::text("{{ lookup('ansible.builtin.file', 'etc_hosts') }}")),
                ("marker", Node::text("# {mark} machines of this infrastructure")),
                ("create", Node::plain("yes")),
                // A hosts file that is a mount point cannot be replaced by renaming.
                ("unsafe_writes", Node::plain("yes")),
            ]),
        ),
    ]);
    let scripts = one_after_the_other(&[
        include_str!("../../assets/requiretty.sh"),
        include_str!("../../assets/python_link.sh"),
        include_str!("../../assets/set_hostname.sh"),
    ]);
    let own_name = vec![("IM_FQDN", Node::text("{{ IM_NODE_FQDN }}"))];
    let ignore = vec![("ignore_errors", Node::plain("yes"))];
    vec![hosts_file, script("Prepare the machine", &scripts, own_name, ignore)]
}

/// The token of the infrastructure in the environment of every login, in the place of a former one.
fn access_token() -> [Node; 2] {
    let environment = |name: &str, pairs: Vec<(&str, Node)>| {
        let path = ("path", Node::text("/etc/environment"));
        let line = Node::map(std::iter::once(path).chain(pairs));
        Node::map([("name", Node::text(name)), ("ansible.builtin.lineinfile", line), ("no_log", Node::plain("yes"))])
    };
    let former = Node::text("^BEARER_TOKEN=(?!{{ IM_INFRASTRUCTURE_AUTH | regex_escape }}$)");
    let forget = vec![("regexp", former), ("state", Node::plain("absent"))];
    let keep = vec![
        ("regexp", Node::text("^BEARER_TOKEN=")),
        ("line", Node::text("BEARER_TOKEN={{ IM_INFRASTRUCTURE_AUTH }}")),
        ("create", Node::plain("yes")),
        ("mode", Node::text("0644")),
    ];
    [environment("Forget former access tokens", forget), environment("Keep the access token in /etc/environment", keep)]
}

/// Disks and applications: one play for all systems that have some, so that one that fails keeps nobody from theirs.
fn main(extras: &[Extras]) -> Option<Node> {
    let own: Vec<&Extras> = extras.iter().filter(|e| e.has_disks() || !e.applications.is_empty()).collect();
    if own.is_empty() {
        return None;
    }
    let disk = |disk: &Disk| {
        let pairs = [("device", &disk.device), ("fstype", &disk.fstype), ("path", &disk.path)];
        Node::map(pairs.map(|(key, value)| (key, Node::inert(value))))
    };
    let list = |disks: &[Disk]| Node::list(disks.iter().map(disk).collect());
    let disks = own.iter().map(|e| (names::safe(&e.system), list(&e.disks)));
    let own_disks = own.iter().flat_map(|e| e.own_disks.iter().map(|(host, disks)| (host.clone(), list(disks))));
    let applications = own.iter().map(|e| {
        let names = e.applications.iter().map(|name| Node::inert(name)).collect();
        (names::safe(&e.system), Node::list(names))
    });
    let vars = vec![
        ("im_disks", Node::map(disks)),
        ("im_own_disks", Node::map(own_disks)),
        ("im_applications", Node::map(applications)),
        ("im_system", Node::text("{{ group_names | intersect(im_disks.keys()) | first }}")),
    ];
    let mut tasks = Vec::new();
    if own.iter().any(|e| e.has_disks()) {
        tasks.push(script(
            "Prepare the data disks",
            concat!(include_str!("../../assets/install_package.sh"), include_str!("../../assets/mount_disk.sh")),
            vec![
                ("IM_DEVICE", Node::text("{{ item.device }}")),
                ("IM_FSTYPE", Node::text("{{ item.fstype }}")),
                ("IM_PATH", Node::text("{{ item.path }}")),
            ],
            vec![("loop", Node::text("{{ im_own_disks[inventory_hostname] | default(im_disks[im_system]) }}"))],
        ));
    }
    if own.iter().any(|e| !e.applications.is_empty()) {
        tasks.push(script(
            INSTALL,
            concat!(
                include_str!("../../assets/install_package.sh"),
                include_str!("../../assets/install_application.sh")
            ),
            vec![("IM_APPLICATION", Node::text("{{ item }}"))],
            vec![("loop", Node::text("{{ im_applications[im_system] }}")), ("ignore_errors", Node::plain("yes"))],
        ));
    }
    // A pattern that is an expression over names of groups.
    let groups: Vec<String> = own.iter().map(|e| names::safe(&e.system).replace('.', "\\.")).collect();
    let hosts = Node::list(vec![Node::text("{{ IM_HOST }}"), Node::text(&format!("&~^({})$", groups.join("|")))]);
    Some(play("main", hosts, vec![("vars", Node::map(vars))], tasks))
}

/// Name of the tasks that install applications; their failures are warnings.
pub const INSTALL: &str = "Install user requested apps";
