//! The REST contract, walked over real sockets: one module per resource.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod errors;
mod events;
mod infrastructures;
mod launches;
mod probes;
#[path = "../support/server.rs"]
mod support;
mod transport;
mod vms;
