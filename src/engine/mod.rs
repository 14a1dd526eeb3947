//! The only writer of infrastructures. Its rooms, from the ground up:
//!
//! | room | subject |
//! |---|---|
//! | [`state`] | the state of an infrastructure as plain data |
//! | [`transitions`] | the rules that move it: pure |
//! | [`exchange`] | infrastructures as documents of JSON: pure |
//! | [`cluster`] | several daemons over one store |
//! | `services` | what the engine works with: store, clouds, clock, settings |
//! | `keeper` | the one task that changes an infrastructure, and how it is found |
//! | [`work`] | the slow work that keepers start |
//! | [`operations`] | what the APIs can ask for |

pub mod cluster;
pub mod error;
pub mod exchange;
pub mod files;
mod keeper;
pub mod misfit;
pub mod operations;
mod secrets;
mod services;
pub mod settings;
pub mod state;
pub mod transitions;
pub mod work;

pub use error::OperationError;
pub use operations::engine::{Engine, Figures};
pub use services::{Now, apart};
pub use settings::EngineSettings;
pub use state::memo::Rendering;
