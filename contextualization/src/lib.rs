//! From running machines to configured machines, with Ansible over SSH (docs/spec/contextualization.md).
//!
//! User recipes are hostile input: they run on the user's machines, never on the daemon's host.
//!
//! | module | subject |
//! |---|---|
//! | [`contract`] | what the engine gives and what it gets back |
//! | [`access`] | master selection, addresses, waiting, credentials, facts of every machine |
//! | [`ssh`] | sessions, commands, streams, uploads, hops |
//! | [`winrm`] | Windows machines: passwords |
//! | [`plan`] | from a document to files, playbooks and steps |
//! | [`bootstrap`] | bringing Ansible to the master |
//! | [`galaxy`] | roles and collections that the document asks for |
//! | [`driver`] | the state machine; its entry is [`run`] |
//! | [`journal`] | from the runner's events to logs and results |
#![deny(unsafe_code)]

pub mod access;
pub mod bootstrap;
pub mod contract;
mod digest;
pub mod driver;
mod failure;
pub mod galaxy;
pub mod journal;
pub mod plan;
pub mod ssh;
pub mod winrm;

pub use contract::{
    Attempt, Cause, Checkpoint, Checkpoints, CheckpointsClosed, Details, ErrorCode, InstalledCredentials, Job, KeyPair,
    Outcome, Report, Settings, VmError, VmFacts, VmPower,
};
pub use driver::run;
