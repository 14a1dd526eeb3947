//! What can be asked of the engine, one subject a file.
//!
//! A change of an infrastructure is a value ([`Change`](change::Change)) that [`Engine::make`](engine::Engine::make) makes: for
//! the APIs, and for another daemon that passes it on. A new one is a file, and a line in `changes`.
//!
//! | module | subject |
//! |---|---|
//! | [`engine`] | the engine as the APIs see it |
//! | [`change`] | changes as values, and the one way that all of them are made |
//! | `changes` | the list of them |
//! | `routing`, `answering` | changes of what another daemon keeps |
//! | [`add`], [`alter`], [`change_owners`], [`destroy`], [`give_away`], [`power`], [`reconfigure`], [`refresh`], [`remove`], [`snapshot`], [`tunnel`] | one change each |
//! | `create`, `import` | infrastructures that are new here |
//! | [`document`], `tosca` | a document, until it is known what it asks of an infrastructure |
//! | `list`, `listings`, [`filter`] | which infrastructures a caller has |
//! | `infrastructure`, `log`, `events`, `export`, `outputs` | what is known of one |
//! | `clouds`, `estimate`, [`statistics`] | further answers |
//! | [`records`] | what a store knows of machines found by their marks |
//! | `retention` | deleted infrastructures are not kept for ever |

pub mod add;
pub mod alter;
mod answering;
pub mod change;
pub mod change_owners;
mod changes;
mod clouds;
mod create;
pub mod destroy;
pub mod document;
pub mod engine;
mod estimate;
mod events;
mod export;
pub mod filter;
pub mod give_away;
mod import;
mod infrastructure;
mod list;
mod listings;
mod log;
mod outputs;
pub mod power;
pub mod reconfigure;
pub mod records;
pub mod refresh;
pub mod remove;
mod retention;
mod routing;
pub mod snapshot;
pub mod statistics;
#[cfg(test)]
mod tests;
mod tosca;
pub mod tunnel;
