//! The Infrastructure Manager daemon. Floors, from the bottom: [`store`] and [`auth`], [`engine`], then the [`api`].
#![deny(unsafe_code)]

pub mod api;
pub mod auth;
pub mod bounds;
pub mod charset;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod migration;
pub mod pages;
pub mod store;
pub mod telemetry;
pub mod templates;
