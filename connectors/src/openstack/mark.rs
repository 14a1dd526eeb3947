//! Names and marks: how everything that is made for an infrastructure or a machine is found again.
//!
//! Neutron keeps a description with each thing from the moment it is made, so the mark stands there; servers, volumes and
//! images have metadata.

use super::{neutron, nova::Server, storage::Volume};
use crate::{VmIntent, VmMark, VmUid};

/// Keys of metadata of servers, volumes and images.
pub(super) const INFRASTRUCTURE: &str = "IM_INFRA_ID";
pub(super) const UID: &str = "IM_VM_UID";
pub(super) const SYSTEM: &str = "IM_SYSTEM";
pub(super) const DISK: &str = "IM_DISK";
pub(super) const DISK_BYTES: &str = "IM_DISK_BYTES";
pub(super) const IMAGE_UID: &str = "IM_IMAGE_UID";

/// What the description of every security group of ours begins with. Other versions of the IM know it.
const SECURITY_GROUP: &str = "Security group created by the IM";
/// Longest name of a server: it becomes its host name.
const LONGEST_NAME: usize = 63;

/// Description of what the machines of an infrastructure share.
pub(super) fn of_infrastructure(infrastructure: &str) -> String {
    format!("im:{infrastructure}")
}

/// Description of what belongs to a machine.
pub(super) fn of_vm(vm: &VmMark) -> String {
    format!("im:{}:{}", vm.infrastructure, vm.uid)
}

/// Description of a floating address of a machine, for a network of its document.
pub(super) fn of_address(vm: &VmMark, network: &str) -> String {
    format!("{}:{network}", of_vm(vm))
}

/// The network of the document that a floating address is for; none where it is not of this machine.
pub(super) fn address_network<'a>(description: Option<&'a str>, vm: &VmMark) -> Option<&'a str> {
    description?.strip_prefix(&of_vm(vm))?.strip_prefix(':')
}

pub(super) fn security_group(infrastructure: &str) -> String {
    format!("{SECURITY_GROUP} for Inf: {infrastructure}")
}

/// Name of what is made for a network of the document.
pub(super) fn network_name(infrastructure: &str, network: &str) -> String {
    format!("im-{infrastructure}-{network}")
}

pub(super) fn router_name(infrastructure: &str) -> String {
    format!("im-{infrastructure}")
}

/// Whether something was made for an infrastructure: by its mark, or by the name that other versions of the IM gave it.
pub(super) fn is_of_infrastructure(name: &str, description: Option<&str>, infrastructure: &str) -> bool {
    match description {
        Some(description) if description.starts_with("im:") => description == of_infrastructure(infrastructure),
        _ => name.starts_with(&network_name(infrastructure, "")),
    }
}

/// Whether something was made for whatever infrastructure.
pub(super) fn is_of_some(description: Option<&str>) -> bool {
    description.is_some_and(|description| description.starts_with("im:") || description == "IM created router")
}

pub(super) fn is_our_security_group(group: &neutron::SecurityGroup, infrastructure: &str) -> bool {
    let description = group.description.as_deref().unwrap_or_default();
    description == security_group(infrastructure)
        || description.starts_with(SECURITY_GROUP) && group.name.starts_with(&network_name(infrastructure, ""))
}

/// Name of a server: the one of the document, and our id, which makes it one.
pub(super) fn server_name(intent: &VmIntent) -> String {
    let wanted = intent.system.instance_name().to_lowercase();
    let kept: String = wanted.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let room = LONGEST_NAME.saturating_sub(intent.uid.0.len() + 1);
    let kept: String = kept.trim_matches('-').chars().take(room).collect();
    if kept.is_empty() { intent.uid.0.clone() } else { format!("{kept}-{}", intent.uid) }
}

/// Name of the port of an interface; its network of the document stands behind the colon.
pub(super) fn port_name(uid: &VmUid, interface: usize, network: Option<&str>) -> String {
    format!("im-{uid}-{interface}:{}", network.unwrap_or_default())
}

/// The network of the document that a port is for.
pub(super) fn port_network(port: &neutron::Port) -> Option<&str> {
    port.name.strip_prefix("im-")?.split_once(':').map(|(_, network)| network).filter(|network| !network.is_empty())
}

/// The infrastructure that a server was made for; none when it was made elsewhere.
pub(super) fn infrastructure(server: &Server) -> Option<&str> {
    server.metadata.get(INFRASTRUCTURE).map(String::as_str)
}

pub(super) fn is_server(server: &Server, vm: &VmMark) -> bool {
    infrastructure(server) == Some(&vm.infrastructure) && server.metadata.get(UID) == Some(&vm.uid.0)
}

pub(super) fn is_volume(volume: &Volume, vm: &VmMark) -> bool {
    volume.metadata.get(INFRASTRUCTURE) == Some(&vm.infrastructure) && volume.metadata.get(UID) == Some(&vm.uid.0)
}

/// Tag of the servers of an infrastructure.
pub(super) fn server_tag(infrastructure: &str) -> String {
    format!("im-{infrastructure}")
}
