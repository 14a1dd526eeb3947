//! Whole databases of the reference (IM 1.15 to 2.0): into our store and back.
//!
//! | module | subject |
//! |---|---|
//! | [`reference`] | the reference's databases: reading them without a trace, and making new ones |
//! | [`import`] | from one of them to our store |
//! | [`export`] | from our store to one of them |
//! | `foreign` | what an import cannot take over, for the operator |

pub mod export;
mod foreign;
pub mod import;
pub mod reference;

use crate::store::StoreError;
use reference::ReferenceError;

/// Why a whole database could not be brought over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// The reference's database.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Our database.
    #[error("Error connecting with the DB: {0}")]
    Store(#[from] StoreError),
}

/// What became of the infrastructures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Brought over, those that were deleted among them.
    pub done: usize,
    /// Of these, deleted ones, which count for the statistics only.
    pub deleted: usize,
    /// Left as they are, because an infrastructure of this id is there already.
    pub present: usize,
    /// Brought over, with something the operator should know: id and what it is.
    pub notes: Vec<(String, String)>,
    /// Not brought over: id and why.
    pub failed: Vec<(String, String)>,
}
