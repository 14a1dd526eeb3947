//! Why an operation was refused or failed. The APIs map these to their wire in one place each.

use crate::store::StoreError;
use connectors::ConnectorError;
use radl::RadlError;
use serde::{Deserialize, Serialize};

/// Why an operation did not do what was asked. The text is for the caller, without any prefix of the API.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Serialize, Deserialize)]
pub enum OperationError {
    /// No such infrastructure, or deleted.
    #[error("Invalid infrastructure ID or access not granted.")]
    UnknownInfrastructure,
    /// It belongs to somebody else.
    #[error("Access to this infrastructure not granted.")]
    NotOwner,
    /// It was deleted a moment ago.
    #[error("Deleted infrastructure.")]
    DeletedInfrastructure,
    /// No machine of that number.
    #[error("Invalid VM ID")]
    UnknownVm,
    /// The machine was deleted.
    #[error("Deleted VM.")]
    DeletedVm,
    /// The boot mode forbids it.
    #[error("Function currently disabled.")]
    Disabled,
    /// Another operation is running that excludes this one; the text names it.
    #[error("Invalid State to perform this operation.{}", if .0.is_empty() { String::new() } else { format!(" ({} is running)", .0) })]
    Conflict(String),
    /// The request cannot be done as it stands.
    #[error("{0}")]
    Invalid(String),
    /// A cloud refused or failed.
    #[error("{0}")]
    Cloud(String),
    /// Too much is asked for at once: nothing was changed, try again later.
    #[error("{0}")]
    Busy(String),
    /// Another daemon keeps the infrastructure now: nothing was changed, try again.
    #[error("The infrastructure moved to another daemon of the service, nothing was done: try again.")]
    Moved,
    /// The daemon that keeps the infrastructure does not know the change of this name: nothing was changed.
    #[error(
        "The daemon that keeps the infrastructure is of another version and does not know what it is asked for ({0}), nothing \
         was done: try again when all daemons of the service are of the same version."
    )]
    OtherVersion(String),
    /// The store is away: nothing was changed, try again later.
    #[error("The service cannot store changes now, nothing was done: {0}")]
    Unavailable(String),
    /// The store is away, and what was asked for is not in memory: try again later.
    #[error("The service cannot read what is stored now: {0}")]
    Unreadable(String),
    /// What is stored of the infrastructure cannot be read, today or tomorrow.
    #[error("What is stored is damaged, an administrator can restore it or delete the infrastructure: {0}")]
    Damaged(String),
    /// The store went away in the middle: look at what is there before it is tried again.
    #[error("The service cannot store changes now. Look at the state before you try this again: {0}")]
    InDoubt(String),
}

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::UnknownInfrastructure,
            StoreError::Fenced => Self::Moved,
            StoreError::AlreadyExists => Self::Invalid(error.to_string()),
            StoreError::InDoubt(_) => Self::InDoubt(error.to_string()),
            StoreError::Corrupt(text) => Self::Damaged(text),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<RadlError> for OperationError {
    /// With all that is known of the place and the cure.
    fn from(error: RadlError) -> Self {
        Self::Invalid(error.explained())
    }
}

impl OperationError {
    /// The error of an operation that was to change nothing.
    #[must_use]
    pub fn of_reading(self) -> Self {
        match self {
            Self::Unavailable(text) => Self::Unreadable(text),
            other => other,
        }
    }
}

impl From<ConnectorError> for OperationError {
    fn from(error: ConnectorError) -> Self {
        Self::Cloud(error.message)
    }
}
