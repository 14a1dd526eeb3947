//! The stores from outside: one behaviour suite for every backend, and what is particular to one of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/authority.rs"]
mod authority;
mod behaviour;
#[path = "../support/galera.rs"]
mod galera;
mod leases;
mod lost;
#[path = "../support/mariadb.rs"]
mod mariadb;
mod mongo;
mod mongo_faults;
#[path = "../support/mongo.rs"]
mod mongo_server;
mod mysql;
mod mysql_faults;
mod mysql_replicated;
#[path = "../support/proxy.rs"]
mod proxy;
mod sealing;
mod sqlite;
mod sqlite_faults;
mod tls;
