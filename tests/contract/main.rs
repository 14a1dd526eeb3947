//! The contract of both APIs, walked over real sockets: one module per resource of REST, and those of XML-RPC.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod accounts;
mod authorization;
mod clocks;
mod clouds;
mod command;
mod documents;
mod errors;
mod events;
mod exchange;
mod holes;
mod imports;
mod infrastructures;
mod launches;
mod misuse;
mod owners;
mod probes;
mod sites;
mod statistics;
mod strict;
#[path = "../support/server.rs"]
mod support;
mod tosca;
mod transport;
mod vms;
mod xmlrpc;
mod xmlrpc_methods;
mod xmlrpc_transport;
