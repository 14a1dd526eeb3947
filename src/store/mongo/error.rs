//! What errors of the server and of the driver mean to the engine.

use crate::store::StoreError;
use mongodb::error::{Error, ErrorKind, WriteFailure};

/// A document of that key is there already.
pub(super) const DUPLICATE: i32 = 11000;

/// The code of the server's error. Codes: <https://www.mongodb.com/docs/manual/reference/error-codes/>.
pub(super) fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(failure) => Some(failure.code),
        ErrorKind::Write(WriteFailure::WriteError(failure)) => Some(failure.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(failure)) => Some(failure.code),
        _ => None,
    }
}

/// The store's error. No message of server or driver holds a password.
pub(super) fn store_error(error: &Error) -> StoreError {
    // Not the bytes of the answer, which come with it.
    let said = &error.kind;
    let unavailable = |text: &str| StoreError::Unavailable(format!("{text} ({said})"));
    match (error.kind.as_ref(), code(error)) {
        (ErrorKind::Authentication { .. }, _) | (_, Some(13 | 18)) => {
            unavailable("the database server refuses the user of DATA_DB, check password and rights")
        }
        (ErrorKind::Bson(_) | ErrorKind::InvalidResponse { .. }, _) => {
            StoreError::Corrupt(format!("a document is not what this version writes ({said})"))
        }
        (ErrorKind::InvalidTlsConfig { .. } | ErrorKind::InvalidArgument { .. }, _) => {
            unavailable("the options of DATA_DB cannot be used")
        }
        (_, Some(14031)) => unavailable("the disk of the database server is full, make room"),
        (_, Some(10334 | 17419 | 17420)) => unavailable("a change makes a document larger than MongoDB takes"),
        (_, Some(10107 | 13435 | 11602 | 11600 | 189 | 91 | 64)) => {
            unavailable("the database server is stopping, or is not the one that may be written")
        }
        (_, Some(_)) => unavailable("the database server failed"),
        _ => unavailable("the connection to the database server is lost or cannot be made"),
    }
}

/// Whether a write that ended so may have taken place all the same.
pub(super) fn leaves_in_doubt(error: &Error) -> bool {
    match error.kind.as_ref() {
        // It took place on one server, which does not know of the others.
        ErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
        // A server that fails says nothing of what it has done.
        _ => is_worth_another_try(error) || matches!(code(error), Some(1 | 8)),
    }
}

/// Whether the same may succeed at once, or may have succeeded without an answer.
pub(super) fn is_worth_another_try(error: &Error) -> bool {
    match error.kind.as_ref() {
        // Servers were looked for in vain for a while.
        ErrorKind::ServerSelection { .. } => false,
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => true,
        _ => matches!(code(error), Some(10107 | 13435 | 11602 | 11600 | 189 | 91 | 64 | 112)),
    }
}
