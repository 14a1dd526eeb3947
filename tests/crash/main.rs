//! The daemon dies, is stopped or loses its database, and is started again: the work goes on by itself, nothing is made
//! twice and nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/cloud.rs"]
mod cloud;
mod completion;
mod contextualization;
mod damaged;
mod database;
mod dummy;
mod elsewhere;
mod journal;
#[allow(dead_code, reason = "shared, and each program of tests uses a part")]
#[path = "../support/lab.rs"]
mod lab;
mod local;
#[path = "../support/mariadb.rs"]
mod mariadb;
mod memory;
#[path = "../support/proxy.rs"]
mod proxy;
mod sandbox;
mod server;
mod stop;
#[path = "../support/process.rs"]
mod support;
mod tosca;
