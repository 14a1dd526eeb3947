//! A simulator of an OpenStack cloud, strict about bodies, tokens, versions and states: what the real services refuse, it
//! refuses. The suite runs over the real services too (`openstack::real`), which are its judge.
//!
//! | module | subject |
//! |---|---|
//! | `server` | requests in, replies out, faults between |
//! | `state` | what the cloud holds, and lists of it in pages |
//! | `federation` | the cloud-info API of EGI, and Keystone's part of a federation |
//! | `compute`, `network`, `storage` | Nova; Neutron; Cinder and Glance |

mod compute;
mod federation;
mod network;
mod server;
mod state;
mod storage;

pub use federation::ACCESS_TOKEN;
pub use server::{PASSWORD, SimulatedCloud};
