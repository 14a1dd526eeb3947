//! `ansible.cfg` and `known_hosts` of a conf dir (docs/spec/contextualization.md 1.10, 5.4 SR8).

use super::inventory::Host;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The Ansible configuration of the conf dir at `conf_dir`; `generation` keeps its SSH connections apart from those of
/// earlier ones, whose machines may have been replaced.
#[must_use]
pub fn ansible_cfg(conf_dir: &str, generation: u64, check_host_keys: bool) -> String {
    let known_hosts = if check_host_keys {
        format!("-o StrictHostKeyChecking=yes -o UserKnownHostsFile={conf_dir}/known_hosts")
    } else {
        "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null".to_owned()
    };
    format!(
        "[defaults]
host_key_checking = {check_host_keys}
nocolor = True
transport = ssh
timeout = 30
private_key_file = {conf_dir}/ansible_key
gathering = smart
fact_caching = jsonfile
fact_caching_connection = {conf_dir}/facts
fact_caching_timeout = 86400
callback_plugins = {conf_dir}/.im/callback
callbacks_enabled = im_journal
stdout_callback = im_quiet
retry_files_enabled = False
jinja2_extensions = jinja2.ext.do
allow_world_readable_tmpfiles = True
interpreter_python = auto_silent
force_valid_group_names = never
localhost_warning = False
deprecation_warnings = False
local_tmp = {conf_dir}/tmp
roles_path = {conf_dir}/roles:/etc/ansible/roles:/var/tmp/ansible/roles
collections_path = {conf_dir}/collections:/etc/ansible:/var/tmp/ansible

[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=auto -o ControlPersist=120s -o GlobalKnownHostsFile=/dev/null {known_hosts}
control_path_dir = {conf_dir}/cp/{generation}
"
    )
}

/// Host keys in the form of OpenSSH's `known_hosts`; `keys` by machine.
#[must_use]
pub fn known_hosts(hosts: &[Host], keys: &BTreeMap<u32, String>) -> String {
    let mut text = String::new();
    for host in hosts {
        if let Some(key) = keys.get(&host.vm) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {}", host.alias(), key.lines().next().unwrap_or_default());
        }
    }
    text
}
