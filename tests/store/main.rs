//! The stores from outside: one behaviour suite for every backend, and what is particular to one of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod behaviour;
mod leases;
#[path = "../support/mariadb.rs"]
mod mariadb;
mod mysql;
mod sealing;
mod sqlite;
mod sqlite_faults;
