//! Several daemons over one database: any of them answers, one goes on when another dies, and one that slept too long
//! cannot write.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod anywhere;
mod away;
mod balancer;
mod cluster;
mod contextualization;
mod failover;
#[path = "../support/galera.rs"]
mod galera;
#[path = "../support/mariadb.rs"]
mod mariadb;
#[path = "../support/mongo.rs"]
mod mongo_server;
mod partition;
mod peers;
#[path = "../crash/sandbox.rs"]
mod sandbox;
mod servers;
#[path = "../support/process.rs"]
mod support;
