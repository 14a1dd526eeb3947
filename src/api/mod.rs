//! The APIs: they translate between the wire and the engine, and decide nothing.
//!
//! | module | subject |
//! |---|---|
//! | [`document`] | from the body of a request to a document |
//! | [`owners`] | from credential items to new owners |
//! | `parameters` | parameters that both read the same way |
//! | [`http`] | connections, encryption and bodies of both |
//! | [`peers`] | what the daemons of a cluster ask each other |
//! | [`rest`] | REST, port 8800 |
//! | [`xmlrpc`] | XML-RPC, port 8899 |

pub mod document;
pub mod http;
pub mod owners;
mod parameters;
pub mod peers;
pub mod rest;
pub mod xmlrpc;
