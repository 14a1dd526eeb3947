//! Where Ansible runs for a machine: on the master, or on a host that the document declares in an `ansible` section
//! (docs/spec/contextualization.md 1.10).

use crate::contract::VmFacts;
use radl::{AnsibleHost, Radl};
use serde::{Deserialize, Serialize};

/// A machine that Ansible runs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlNode {
    /// The master: a machine of the infrastructure, by its number.
    Vm(u32),
    /// An external host, by the id of its section.
    Host(String),
}

impl std::fmt::Display for ControlNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vm(number) => write!(f, "VM {number}"),
            Self::Host(id) => write!(f, "ansible host {id}"),
        }
    }
}

/// A text that names no control node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a control node, such as \"VM 0\"")]
pub struct InvalidControlNode;

impl std::str::FromStr for ControlNode {
    type Err = InvalidControlNode;

    /// Reads what is displayed of it.
    fn from_str(text: &str) -> Result<Self, InvalidControlNode> {
        let number =
            text.strip_prefix("VM ").map(|number| number.parse().map(Self::Vm).map_err(|_| InvalidControlNode));
        let host = text.strip_prefix("ansible host ").map(|id| Ok(Self::Host(id.to_owned())));
        number.or(host).unwrap_or(Err(InvalidControlNode))
    }
}

/// The section of the external host that configures a machine: the one its system names, else the first. None when the
/// document has no such section.
#[must_use]
pub fn host_of<'a>(radl: &'a Radl, vm: &VmFacts) -> Option<&'a AnsibleHost> {
    let wanted = vm.info.systems.first().and_then(|system| system.features.text("ansible_host"));
    let named = wanted.and_then(|id| radl.ansible_hosts.iter().find(|host| host.id == id));
    named.or_else(|| radl.ansible_hosts.first())
}

/// The control node of a machine, where `master` is the one of an infrastructure without external hosts.
#[must_use]
pub fn control_of(radl: &Radl, vm: &VmFacts, master: Option<u32>) -> Option<ControlNode> {
    match host_of(radl, vm) {
        Some(host) => Some(ControlNode::Host(host.id.clone())),
        None => master.map(ControlNode::Vm),
    }
}
