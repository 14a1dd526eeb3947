//! The changes that the writers of the SQL stores put into transactions.

use super::{IndexRow, Version, rows::SealedChanges};

/// A change of the database, ready to be applied.
pub(super) enum Change {
    /// Adds an infrastructure.
    Create { row: IndexRow, changes: SealedChanges },
    /// Changes an infrastructure that is still at a version.
    Commit { id: String, expected: Version, changes: SealedChanges },
    /// Removes the oldest ones of what was deleted and made before a time.
    Purge { created_before: i64, limit: usize },
    /// Writes what nobody reads.
    Check,
}
