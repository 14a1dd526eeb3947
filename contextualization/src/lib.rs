//! From running machines to configured machines, with Ansible over SSH (spec/contextualization.md).
//!
//! User recipes are hostile input: they run on the user's machines, never on the daemon's host.
//!
//! | module | subject |
//! |---|---|
//! | [`contract`] | what the engine gives and what it gets back |
//! | [`access`] | master selection, addresses, waiting, credentials, facts of every machine |
//! | [`ssh`] | sessions, commands, streams, uploads, hops |
#![deny(unsafe_code)]

pub mod access;
pub mod contract;
pub mod ssh;

pub use contract::{
    Cause, Effect, Entry, ErrorCode, Job, Journal, JournalClosed, KeyPair, Outcome, Settings, VmError, VmFacts, VmPower,
};

/// stub
pub async fn run(
    _job: Job,
    _journal: std::sync::Arc<dyn Journal>,
    _ssh: ssh::SshLimits,
    _cancel: tokio_util::sync::CancellationToken,
) -> Outcome {
    Outcome::Done
}
