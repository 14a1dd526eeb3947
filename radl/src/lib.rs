//! The Resource and Application Description Language (RADL): the document a client sends to say which machines it
//! wants and what runs on them.
//!
//! | module | subject |
//! |---|---|
//! | [`model`] | the document as plain data |
//! | [`features`] | feature lists: names, values, constraints |
//!
//! The crate does no I/O: every function goes from values to values, and no input makes it panic.
#![forbid(unsafe_code)]

pub mod features;
pub mod model;

pub use features::{Amount, Constraint, Features, Operator, SoftGroup, Value};
pub use model::{
    AnsibleHost, Configure, Contextualize, ContextualizeItem, Credentials, Deploy, Description, Interface, Network,
    Radl, System,
};
