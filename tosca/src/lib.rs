//! The TOSCA Simple Profile as the service takes it (docs/spec/tosca.md): a document becomes RADL, gives outputs of live
//! machines, and is updated by another one.
//!
//! ```text
//! Template::parse(text, surroundings)           read and check once; all problems at once
//! template.translate(situation)                 RADL with its deploys, machines to remove, why it is so
//! template.updated(text, surroundings)          the template merged with another document
//! template.outputs(machines)                    values of the outputs, from machines handed in
//! template.document()                           what is to be stored with the infrastructure
//! ```
//!
//! The crate does no I/O. Files at addresses are asked of [`Sources`]; one that is not there yet makes the call end with
//! [`Error::Wanted`], which names what to fetch before it is made again, so that a caller may fetch as it likes. Time and
//! randomness are handed in. No document makes it panic, and what a document can cost is bounded.
//!
//! | module | subject |
//! |---|---|
//! | [`mod@yaml`] | YAML 1.1 as values with places |
//! | [`error`] | what is wrong, and where |
//! | [`sources`] | what is handed in |
//! | [`types`] | types, the shipped sets, checks of values |
//! | `parse` | documents to templates |
//! | `template` | what a template is |
//! | `functions` | `get_property`, `concat`, ... |
//! | [`translate`] | templates to RADL |
//! | [`outputs`] | values of live machines |
//! | [`update`] | two documents to one |
//! | [`offline`] | a document with everything that surrounds it, in one go |
//! | [`explain`] | why the RADL is what it is |
//! | [`schema`] | JSON Schema of documents |
#![forbid(unsafe_code)]

pub mod error;
pub mod explain;
mod functions;
pub mod offline;
pub mod outputs;
mod parse;
pub mod schema;
pub mod sources;
mod template;
pub mod translate;
pub mod types;
pub mod update;
pub mod yaml;

pub use error::{Class, Error, Phase, Problem};
pub use outputs::{Cloud, Machine};
pub use sources::{Fetched, NoSources, Sources, Surroundings};
pub use template::Template;
pub use translate::{Situation, Translation};
