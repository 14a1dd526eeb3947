//! What the APIs can ask for.
//!
//! | module | subject |
//! |---|---|
//! | [`engine`] | the engine as the APIs see it |
//! | [`reading`] | what they can read |
//! | `changes`, `owners`, [`tunnels`], `discard` | what they can change |
//! | `routing`, `answering` | changes of what another daemon keeps |
//! | [`filter`], `listings` | lists of infrastructures |
//! | `clouds`, `estimate`, [`outputs`], [`statistics`] | further answers |
//! | [`records`] | what a store knows of machines found by their marks |
//! | `retention` | deleted infrastructures are not kept for ever |

mod answering;
mod changes;
mod clouds;
mod discard;
pub mod engine;
mod estimate;
pub mod filter;
mod listings;
pub mod outputs;
mod owners;
pub mod reading;
pub mod records;
mod retention;
pub mod routing;
pub mod statistics;
pub mod tunnels;
