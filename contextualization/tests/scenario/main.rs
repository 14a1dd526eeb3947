//! Whole contextualizations: the driver, real sshd nodes, the offline bundle, real Ansible. Needs root.
//!
//! Support is in `lab` (nodes), `checkpoints` (what the outside sees) and `documents` (documents, jobs); the other modules are
//! tests by subject, named after the groups of cases of docs/spec/contextualization.md, section 7.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod ansible_hosts;
mod checkpoints;
mod credentials;
mod documents;
mod keeper;
mod lab;
mod web;

mod access;
mod bootstrap;
mod cases;
mod deciding;
mod disks;
mod galaxy;
mod journal_faults;
mod late;
mod lifecycle;
mod main_job;
mod many;
mod recipes;
mod security;
mod strategies;
mod variables;
mod windows;
