//! The access phase: the daemon logs in to every machine once, learns what it is, authorizes the infrastructure's key
//! and installs new credentials (docs/spec/contextualization.md 1.7 to 1.9 and 6.3).
//!
//! Workers are reached through the master's one connection, so that their first passwords and keys never touch the
//! master. One machine that fails does not disturb the others.

mod addresses;
mod all;
mod ansible_host;
mod errors;
mod logins;
pub mod master;
mod node;
mod proxy;
mod routes;
mod tunnel;
mod wait;
mod windows;

pub use addresses::{addresses_of, has_ipv6, on_public_network, private_ip, public_ip};
pub use all::{AccessSettings, Accessed, Target, access_all, reach};
pub use ansible_host::{ansible_host, ansible_host_address};
pub use errors::{PHASE, wait_text};
pub use logins::{LoginKind, credential_change, login_order};
pub use node::{AccessError, BlockDevice, NodeFacts, NodeTask, Prepared, Python, Sudo, prepare_node};
pub use proxy::{InvalidProxy, Proxy};
pub use routes::Routes;
pub use tunnel::{admit_tunnels, needs_tunnel, tunnel_command, tunnel_key, tunnel_port};
pub use wait::{WaitLimits, wait_ssh};
pub use windows::{AccessedWindows, access_windows, winrm_addresses};

#[cfg(test)]
mod tests;
