//! What errors of the server and of the connection mean to the engine.

use crate::store::StoreError;
use mysql_async::{DriverError, Error};

/// Why a transaction did not come to its end.
pub(super) enum Failure {
    /// The connection is gone, and with it what the server did last: it may have committed or not.
    Lost(StoreError),
    /// Another transaction was in the way; the same one may succeed at once.
    Busy(StoreError),
    /// Another try would meet the same. Nothing was changed.
    Refused(StoreError),
}

impl Failure {
    /// The error for the engine.
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Lost(error) | Self::Busy(error) | Self::Refused(error) => error,
        }
    }

    /// An answer that took too long: nobody knows whether it would have come.
    pub(super) fn silence() -> Self {
        Self::Lost(StoreError::Unavailable("the database server does not answer".to_owned()))
    }

    /// A row that this version does not write.
    pub(super) fn row(error: &dyn std::fmt::Display) -> Self {
        Self::Refused(StoreError::Corrupt(format!("a row is not what this version writes ({error})")))
    }
}

impl From<Error> for Failure {
    /// Codes: <https://mariadb.com/kb/en/mariadb-error-code-reference/>. No message of server or driver holds a password.
    fn from(error: Error) -> Self {
        let unavailable = |text: &str| StoreError::Unavailable(format!("{text} ({error})"));
        let Error::Server(server) = &error else {
            return match &error {
                // The text of the driver would hold the row.
                Error::Driver(DriverError::FromRow { .. } | DriverError::FromValue { .. }) => {
                    Self::row(&"its types differ")
                }
                _ => Self::Lost(unavailable("the connection to the database server is lost or cannot be made")),
            };
        };
        match server.code {
            // Deadlocks, and what a cluster of servers answers when two of them changed the same; a row that was added since;
            // one that is not any more what was read (see the commit's).
            1213 | 1020 | 1062 | 1264 | 1452 => {
                Self::Busy(unavailable("others write to the same rows of the database"))
            }
            1205 => Self::Refused(unavailable("another program keeps rows of the database locked")),
            // Also a server that lost the others of its cluster: then nobody knows what they made of its commit (1180).
            1053 | 1927 | 1317 | 1047 | 1180 => Self::Lost(unavailable(
                "the database server is stopping, not ready or without the others of its cluster",
            )),
            1021 | 1114 => Self::Refused(unavailable("the disk of the database server is full, make room")),
            1290 | 1836 | 1792 => Self::Refused(unavailable("the database server is read-only")),
            1044 | 1045 | 1130 | 1142 | 1143 | 1227 | 1370 | 1698 | 3118 => {
                Self::Refused(unavailable("the database server refuses the user of DATA_DB, check password and rights"))
            }
            1049 => Self::Refused(unavailable("the database that DATA_DB names does not exist, create it")),
            1040 | 1203 | 1226 => Self::Refused(unavailable("the database server has too many connections")),
            1054 | 1146 => Self::Refused(StoreError::Corrupt(format!(
                "its tables are not what this version made, restore it from a backup ({error})"
            ))),
            _ => Self::Refused(unavailable("the database server failed")),
        }
    }
}
