//! Real nodes on this host, reached with the system's SSH client. Needs root, as the cloud does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod disks;
mod durability;
mod lab;
mod networks;
mod nodes;
mod settings;
