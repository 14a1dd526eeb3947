//! Sessions and access to machines, against real sshd processes in namespaces of their own (root needed).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod access;
mod session;
mod sshd;
