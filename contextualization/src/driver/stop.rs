//! Why the work does not simply go on.

use crate::contract::{CheckpointsClosed, ErrorCode};

/// Why the work does not simply go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// No further checkpoint is taken.
    Closed,
    /// The infrastructure cannot be contextualized.
    Failed(String),
    /// The infrastructure cannot be contextualized, for a reason that its machines share.
    Refused(ErrorCode, String),
    /// The master lost its files or its runner: choose and prepare one again.
    Redo(String),
    /// Time is over.
    Late,
    /// The master is gone or does not answer any more: another one takes its place.
    Dead(String),
    /// The connection broke in the middle of something that can be repeated.
    Broken,
}

impl From<CheckpointsClosed> for Stop {
    fn from(_: CheckpointsClosed) -> Self {
        Self::Closed
    }
}
