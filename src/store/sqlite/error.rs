//! What SQLite's errors mean to the engine.

use crate::store::StoreError;
use rusqlite::{Error, ErrorCode};

/// The store's error for a failure of SQLite. Codes: <https://www.sqlite.org/rescode.html>.
pub(super) fn store_error(error: &Error) -> StoreError {
    let Error::SqliteFailure(failure, _) = error else {
        return StoreError::Corrupt(format!("a row is not what this version writes ({error})"));
    };
    let unavailable = |text: &str| StoreError::Unavailable(format!("{text} ({error})"));
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            unavailable("another program keeps the SQLite file locked")
        }
        ErrorCode::DiskFull => unavailable("the disk that holds the SQLite file is full, make room"),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            unavailable("the SQLite file or its directory may not be written, check rights and mount options")
        }
        ErrorCode::CannotOpen => unavailable("the SQLite file cannot be opened, check path, rights and free space"),
        ErrorCode::DatabaseCorrupt => {
            StoreError::Corrupt(format!("the SQLite file is damaged, restore it from a backup ({error})"))
        }
        ErrorCode::NotADatabase => {
            StoreError::Corrupt(format!("DATA_DB is not an SQLite file, set it to another file ({error})"))
        }
        _ => unavailable("SQLite failed"),
    }
}

/// Whether a connection that met this error is better replaced: the file under it may have gone or come back.
pub(super) fn spoils_connection(error: &Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        None | Some(
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull | ErrorCode::ConstraintViolation
        )
    )
}
