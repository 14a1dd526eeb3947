//! The Resource and Application Description Language (RADL): the document a client sends to say which machines it
//! wants and what runs on them.
//!
//! | module | subject |
//! |---|---|
//! | [`model`] | the document as plain data |
//! | [`features`] | feature lists: names, values, constraints |
//! | [`parser`], [`lexer`] | text to documents |
//! | `syntax` | what is said of a text that does not parse |
//! | [`mod@print`] | documents to text |
//! | [`json`] | the JSON form, both ways |
//! | [`check`], `rules` | semantic rules on a whole document, on one feature |
//! | [`warnings`] | what is no error and probably a slip all the same |
//! | [`recipes`], [`yaml`] | rules on recipes, their syntax, their tree |
//! | [`constraints`] | combining features |
//! | [`units`], [`versions`] | amounts with units, versions: arithmetic and order |
//! | [`difference`] | what one document has otherwise than another one |
//! | [`merge`] | what AddResource and Reconfigure do to the stored document |
//! | [`applications`] | what is installed and what is to be |
//! | [`selection`] | which instances fit the wished amounts |
//! | [`placement`] | which machines go together, and to which provider |
//! | [`interfaces`], [`addresses`] | network interfaces, addresses reported by providers |
//! | [`names`] | names of machines, tags, proxies |
//! | [`outports`], [`cidr`] | port rules and ranges of networks |
//! | [`inventory`] | what recipes see of the document |
//!
//! The crate does no I/O: every function goes from values to values, and no input makes it panic.
#![forbid(unsafe_code)]

pub mod addresses;
pub mod applications;
pub mod check;
pub mod cidr;
pub mod constraints;
pub mod difference;
pub mod entries;
pub mod error;
mod features;
pub mod interfaces;
pub mod inventory;
pub mod json;
pub mod lexer;
pub mod merge;
pub mod model;
pub mod names;
pub mod outports;
pub mod parser;
pub mod placement;
pub mod print;
pub mod recipes;
mod rules;
pub mod selection;
mod syntax;
pub mod units;
pub mod versions;
pub mod warnings;
pub mod yaml;

pub use constraints::Conflict;
pub use difference::Difference;
pub use error::{ErrorKind, Position, RadlError};
pub use features::{Constraint, Features, Operator, SoftGroup, Value, VersionBound};
pub use model::{
    AnsibleHost, Configure, Contextualize, ContextualizeItem, Credentials, Deploy, Description, Interface, Network,
    Radl, System, Tool,
};
pub use outports::Outport;
pub use units::Amount;

impl Radl {
    /// Parses the text form. Empty text and comments alone are an empty document.
    ///
    /// # Errors
    /// The first syntax error, contradiction or duplicate, with line and column.
    pub fn parse(text: &str) -> Result<Self, RadlError> {
        parser::parse(text, &mut rand::rng())
    }
}
