//! The Infrastructure Manager daemon. Floors, from the bottom: [`store`] and [`auth`], [`engine`], then the APIs.
#![deny(unsafe_code)]

pub mod api;
pub mod auth;
pub mod config;
pub mod engine;
pub mod store;
