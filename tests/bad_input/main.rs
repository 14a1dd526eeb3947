//! Bad input over REST: every refusal says what and where, leaves the daemon healthy, what exists untouched and the
//! clouds clean.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod bystander;
mod clouds;
mod credentials;
mod documents;
mod lab;
mod machines;
mod recipes;
mod requests;
#[path = "../support/server.rs"]
mod support;
