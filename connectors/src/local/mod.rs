#![doc = include_str!("docs.md")]

mod cloud;
mod connector;
mod disks;
mod first_boot;
mod image;
mod inventory;
mod limits;
mod map;
mod mark;
mod network;
mod node;
mod outports;
mod settings;
mod storage;
mod subnet;
#[cfg(test)]
mod tests;
mod tool;
mod tree;

/// Nodes are machines that somebody logs in to.
pub(crate) const GUESTS: crate::Guests = crate::Guests { kind: crate::GuestKind::Machine, log_in: true };

/// There is one account: whoever may use the host.
pub(crate) fn account_name(_account: &crate::CloudAccount) -> String {
    String::new()
}

pub use cloud::LocalCloud;
pub use inventory::{LocalNetwork, LocalNode};
pub use settings::{DiskStorage, LocalSettings};
