//! The reference's own command-line client against the daemon: every sub-command, over XML-RPC and over REST, as users and
//! scripts run it. `scripts/make-clients` installs it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod commands;
mod harvester;
#[path = "../support/process.rs"]
mod support;
mod switches;
