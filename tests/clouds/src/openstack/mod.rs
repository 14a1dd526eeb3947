//! A simulator of an OpenStack cloud, strict about bodies, tokens, versions and states: what the real services refuse, it
//! refuses. The suite runs over the real services too (`openstack::real`), which are its judge.
//!
//! | module | subject |
//! |---|---|
//! | `server` | requests in, replies out, faults between |
//! | `state` | what the cloud holds, and lists of it in pages |
//! | `compute`, `network`, `storage` | Nova; Neutron; Cinder and Glance |

mod compute;
mod network;
mod server;
mod state;
mod storage;

pub use server::{PASSWORD, SimulatedCloud};
