//! Inventory, variables and host table (docs/spec/contextualization.md 1.12, 1.13).

use super::{
    Sources,
    control::ControlNode,
    decide::{is_windows, system_of},
    names, windows,
};
use crate::{
    access::{ansible_host_address, private_ip, public_ip},
    contract::{Settings, VmFacts},
};
use radl::{
    Value,
    yaml::{self, Node, YamlError},
};
use std::collections::BTreeMap;

/// A machine as Ansible meets it.
#[derive(Clone, PartialEq, Eq)]
pub struct Host {
    /// The machine.
    pub vm: u32,
    /// Inventory name, `<ip>_<number>`.
    pub name: String,
    /// Address that worked.
    pub address: String,
    /// Port that worked.
    pub port: u16,
    /// Login name.
    pub user: String,
    /// Path of Python, none when it must be installed or found.
    pub python: Option<String>,
    /// Name of the proxy host that leads there, none when the master reaches it.
    pub proxy: Option<String>,
    /// Password that sudo asks for, none when it asks for none.
    pub sudo_password: Option<String>,
    /// Whether it is reached by WinRM.
    pub windows: bool,
    /// Password for the login, where that is not by the infrastructure's key.
    pub login_password: Option<String>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("name", &self.name).field("address", &self.address).finish_non_exhaustive()
    }
}

/// Inventory variables of the whole infrastructure.
#[derive(Clone, Default)]
pub struct Common {
    /// Infrastructure id.
    pub infrastructure: String,
    /// Value of IM_INFRASTRUCTURE_AUTH.
    pub auth: Option<String>,
    /// Value of IM_INFRASTRUCTURE_RADL.
    pub radl: serde_json::Value,
}

impl Host {
    /// The name that its host key is kept under: behind a proxy its address says nothing.
    #[must_use]
    pub fn alias(&self) -> String {
        if self.proxy.is_some() {
            format!("vm-{}", self.vm)
        } else if self.port == 22 {
            self.address.clone()
        } else {
            format!("[{}]:{}", self.address, self.port)
        }
    }
}

/// Arguments of ssh for a machine behind a proxy: through the connection that the runner keeps open. Of what a tenant
/// wrote only the digest of the proxy is in them.
fn proxy_args(alias: &str, proxy: &str) -> String {
    let away = "ProxyCommand=echo the proxy host does not answer >&2";
    let carrier = format!(r#"ssh -F /dev/null -S \"$IM_PROXIES/{proxy}\" -o '{away}' -W '[%h]:%p' proxy"#);
    format!(r#"-o HostKeyAlias={alias} -o "ProxyCommand={carrier}""#)
}

/// Public address if any, else the private one.
#[must_use]
pub fn main_ip(vm: &VmFacts) -> Option<&str> {
    public_ip(&vm.info).or_else(|| private_ip(&vm.info))
}

/// `<ip>_<number>`: the machine's name in the inventory. None without an address.
#[must_use]
pub fn host_name(vm: &VmFacts) -> Option<String> {
    Some(format!("{}_{}", main_ip(vm)?, vm.id))
}

fn number(n: usize, settings: &Settings) -> Node {
    if settings.inventory_integers { Node::plain(&n.to_string()) } else { Node::text(&n.to_string()) }
}

fn fqdn_vars(vars: &mut Vec<(String, Node)>, prefix: &str, name: &names::Fqdn) {
    vars.push((format!("{prefix}_HOSTNAME"), Node::inert(&name.host)));
    vars.push((format!("{prefix}_DOMAIN"), Node::inert(&name.domain)));
    vars.push((format!("{prefix}_FQDN"), Node::inert(&name.to_string())));
}

fn host_vars(vm: &VmFacts, host: &Host, is_master: bool, settings: &Settings) -> Vec<(String, Node)> {
    let mut vars = Vec::new();
    let mut set = |key: &str, value: Node| vars.push((key.to_owned(), value));
    for key in ["ansible_host", "ansible_ssh_host"] {
        set(key, Node::inert(&host.address));
    }
    for key in ["ansible_port", "ansible_ssh_port"] {
        set(key, Node::plain(&host.port.to_string()));
    }
    for key in ["ansible_user", "ansible_ssh_user"] {
        set(key, Node::inert(&host.user));
    }
    if let Some(proxy) = &host.proxy {
        // Other machines may have the same address behind other proxies: neither host key nor connection is shared.
        set("ansible_ssh_common_args", Node::text(&proxy_args(&host.alias(), proxy)));
        set("ansible_control_path", Node::text(&format!("%(directory)s/%%r-{}", host.vm)));
    }
    if is_master {
        set("ansible_connection", Node::text("local"));
    }
    if let Some(python) = &host.python {
        set("ansible_python_interpreter", Node::inert(python));
    }
    if let Some(ip) = public_ip(&vm.info) {
        set("IM_NODE_PUBLIC_IP", Node::inert(ip));
    }
    if let Some(ip) = private_ip(&vm.info).or_else(|| public_ip(&vm.info)) {
        set("IM_NODE_PRIVATE_IP", Node::inert(ip));
    }
    set("IM_NODE_NUM", number(vm.id as usize, settings));
    set("IM_NODE_VMID", Node::inert(&vm.provider_id));
    set("IM_NODE_CLOUD_TYPE", Node::inert(&vm.cloud_type));
    if !vm.cloud_server.is_empty() {
        set("IM_NODE_CLOUD_SERVER", Node::inert(&vm.cloud_server));
    }
    fqdn_vars(&mut vars, "IM_NODE", &names::of_vm(vm, settings));
    if let Some(system) = vm.info.systems.first() {
        for interface in system.interfaces() {
            let Some(ip) = interface.ip.filter(|ip| !ip.is_empty()) else { continue };
            let prefix = format!("IM_NODE_NET_{}", interface.index);
            vars.push((format!("{prefix}_IP"), Node::inert(ip)));
            if let Some(name) = names::requested(vm, interface.index, settings) {
                fqdn_vars(&mut vars, &prefix, &name);
            }
        }
        if let Some(Value::Contains(applications)) = system.features.get("disk.0.applications") {
            for (name, features) in applications.iter() {
                for (feature, suffix) in [("path", "PATH"), ("version", "VERSION")] {
                    if let Some(text) = features.text(feature) {
                        vars.push((format!("IM_APP_{}_{suffix}", name.to_uppercase()), Node::inert(text)));
                    }
                }
            }
        }
    }
    vars
}

/// Names of a control node: IM_MASTER_HOSTNAME and the like. An external host has no domain.
fn control_vars(vars: &mut Vec<(String, Node)>, sources: &Sources<'_>) {
    match sources.control {
        ControlNode::Vm(number) => {
            if let Some(vm) = sources.vms.iter().find(|vm| vm.id == *number) {
                fqdn_vars(vars, "IM_MASTER", &names::of_vm(vm, sources.settings));
            }
        }
        ControlNode::Host(id) => {
            let host = sources.radl.ansible_hosts.iter().find(|host| host.id == *id);
            let name = host.map(ansible_host_address).unwrap_or_default();
            for (variable, value) in [("HOSTNAME", name), ("DOMAIN", ""), ("FQDN", name)] {
                vars.push((format!("IM_MASTER_{variable}"), Node::inert(value)));
            }
        }
    }
}

/// The inventory, as the control node is to see it.
///
/// # Errors
/// [`YamlError`] when it cannot be written.
pub fn inventory(sources: &Sources<'_>) -> Result<String, YamlError> {
    let Sources { vms: all, hosts, common, settings, .. } = *sources;
    let by_id: BTreeMap<u32, &VmFacts> = all.iter().map(|vm| (vm.id, vm)).collect();
    let mut groups: BTreeMap<String, Vec<(String, Node)>> = BTreeMap::new();
    let mut group_vars: BTreeMap<String, Node> = BTreeMap::new();
    for group in ["windows", "allnowindows"] {
        groups.entry(group.to_owned()).or_default();
    }
    for host in hosts {
        let Some(vm) = by_id.get(&host.vm) else { continue };
        let is_master = *sources.control == ControlNode::Vm(host.vm);
        let vars = Node::map(host_vars(vm, host, is_master, settings));
        groups.entry(names::safe(system_of(vm))).or_default().push((host.name.clone(), vars));
        if host.windows {
            group_vars.insert(names::safe(system_of(vm)), windows::connection());
        }
        let family = if is_windows(vm) { "windows" } else { "allnowindows" };
        let family = groups.entry(family.to_owned()).or_default();
        if family.iter().all(|(name, _)| *name != host.name) {
            family.push((host.name.clone(), Node::map::<&str>([])));
        }
    }
    let mut vars = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for vm in all {
        *counts.entry(system_of(vm).to_uppercase()).or_default() += 1;
    }
    for (system, count) in counts {
        vars.push((format!("IM_{system}_NUM_VMS"), number(count, settings)));
        // A name that Jinja accepts.
        let alias: String = system.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if alias != system {
            vars.push((format!("IM_{alias}_NUM_VMS"), number(count, settings)));
        }
    }
    control_vars(&mut vars, sources);
    vars.push(("IM_INFRASTRUCTURE_ID".to_owned(), Node::inert(&common.infrastructure)));
    vars.push(("IM_INFRASTRUCTURE_RADL".to_owned(), Node::inert_json(&common.radl)));
    if let Some(auth) = &common.auth {
        vars.push(("IM_INFRASTRUCTURE_AUTH".to_owned(), Node::inert(auth)));
    }
    let children = groups.into_iter().map(|(group, hosts)| {
        let vars = group_vars.remove(&group).map(|vars| ("vars", vars));
        (group, Node::map(std::iter::once(("hosts", Node::map(hosts))).chain(vars)))
    });
    let children: Vec<_> = children.collect();
    yaml::emit(&Node::map([("all", Node::map([("vars", Node::map(vars)), ("children", Node::map(children))]))]))
}

/// The secrets inventory: passwords that sudo asks for and those of logins; none when there are none.
///
/// # Errors
/// [`YamlError`] when it cannot be written.
pub fn secrets(hosts: &[Host]) -> Result<Option<String>, YamlError> {
    let secret: Vec<_> = hosts
        .iter()
        .filter_map(|host| {
            let sudo = host.sudo_password.as_deref().map(|text| ("ansible_become_password", Node::inert(text)));
            let login = host.login_password.as_deref().map(|text| ("ansible_password", Node::inert(text)));
            let vars: Vec<_> = sudo.into_iter().chain(login).collect();
            (!vars.is_empty()).then(|| (host.name.as_str(), Node::map(vars)))
        })
        .collect();
    if secret.is_empty() {
        return Ok(None);
    }
    yaml::emit(&Node::map([("all", Node::map([("hosts", Node::map(secret))]))])).map(Some)
}

/// Variables of `localhost`, which recipes delegate to: the password that sudo asks for where Ansible runs.
///
/// # Errors
/// [`YamlError`] when it cannot be written.
pub fn local_secrets(password: &str) -> Result<String, YamlError> {
    yaml::emit(&Node::map([("ansible_become_password", Node::inert(password))]))
}

/// The host table: `<ip> <fqdn> <hostname>` for each requested name of each machine with an address.
#[must_use]
pub fn etc_hosts(vms: &[&VmFacts], settings: &Settings) -> String {
    let mut lines = String::new();
    for vm in vms {
        let (Some(own), Some(system)) = (main_ip(vm), vm.info.systems.first()) else { continue };
        let mut add = |ip: &str, name: &names::Fqdn| {
            let line = format!("{ip} {name} {}", name.host);
            let line: String = line.chars().filter(|c| !c.is_control()).collect();
            lines.push_str(&line);
            lines.push('\n');
        };
        if names::requested(vm, 0, settings).is_none() {
            add(own, &names::of_vm(vm, settings));
        }
        let first = system.interfaces().find_map(|i| i.ip.filter(|ip| !ip.is_empty())).unwrap_or(own);
        for interface in system.interfaces() {
            if let Some(name) = names::requested(vm, interface.index, settings) {
                add(interface.ip.filter(|ip| !ip.is_empty()).unwrap_or(first), &name);
            }
        }
    }
    lines
}
