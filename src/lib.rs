//! The Infrastructure Manager daemon. Floors, from the bottom: [`store`] and [`auth`], [`engine`], then the APIs.
#![deny(unsafe_code)]

pub mod auth;
pub mod cli;
pub mod config;
pub mod engine;
pub mod store;
pub mod telemetry;
