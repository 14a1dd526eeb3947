//! The APIs: they translate between the wire and the engine, and decide nothing.
//!
//! | module | subject |
//! |---|---|
//! | [`document`] | from the body of a request to a document |
//! | [`owners`] | from credential items to new owners |
//! | `parameters` | parameters that both read the same way |
//! | [`http`] | connections, encryption and bodies of both |
//! | [`oai`] | the catalogue of templates, for harvesters |
//! | [`peers`] | what the daemons of a cluster ask each other |
//! | [`sites`](sites()) | the HTTP contracts of port 8800: one line each |
//! | [`rest`] | REST |
//! | [`xmlrpc`] | XML-RPC, port 8899 |

pub mod document;
pub mod http;
pub mod oai;
pub mod owners;
mod parameters;
pub mod peers;
pub mod rest;
mod sites;
pub mod xmlrpc;

pub use sites::{SitesError, sites};

/// The version of the contract that `/version` and `GetVersion` tell, for clients compare it: that of the released Python IM
/// whose answers are ours (docs/spec/api.md 0).
pub const CONTRACT_VERSION: &str = "1.19.1";
