//! The error taxonomy of clouds (docs/spec/connectors.md, 1.5).

use std::time::Duration;

/// What kind of failure a cloud reported; it decides whether and how a call is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Missing, invalid or expired credentials. Not retried.
    Auth,
    /// Valid credentials, the policy refuses. Not retried.
    Denied,
    /// Image, network, size or machine absent; on delete it means success.
    NotFound,
    /// Parameters the cloud refuses, or RADL that cannot be mapped. Not retried.
    Invalid,
    /// In use, already there or locked: re-read, then adopt or retry.
    Conflict,
    /// Limit of the account. Not retried.
    Quota,
    /// The cloud has no room. Retried with back-off.
    Capacity,
    /// Too many requests; retried after the given time without using up an attempt.
    Throttled,
    /// Connection, time-out, 5xx: the outcome may be unknown. Retried with jitter after a look-up.
    Transient,
    /// The cloud or the connector does not offer it. Not retried.
    Unsupported,
    /// The resource went to an error state with a fault text: deleted, retried once.
    ProviderFailed,
    /// Our own wait ended; the outcome is unknown: reconcile before retrying.
    WaitTimeout,
}

impl ErrorClass {
    /// Whether another try, without anything done in between, would end as this one did.
    #[must_use]
    pub const fn is_final(self) -> bool {
        use ErrorClass::{Auth, Denied, Invalid, NotFound, Quota, Unsupported};
        matches!(self, Auth | Denied | Invalid | NotFound | Quota | Unsupported)
    }

    /// Whether the same thing may be had of another size, or elsewhere in this cloud or another one.
    #[must_use]
    pub const fn may_fit_elsewhere(self) -> bool {
        matches!(self, Self::Capacity)
    }

    /// Its name in snake case, as in logs, metric labels and stored events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Quota => "quota",
            Self::Capacity => "capacity",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Unsupported => "unsupported",
            Self::ProviderFailed => "provider_failed",
            Self::WaitTimeout => "wait_timeout",
        }
    }
}

/// A failed call to a cloud. The message is shown to users and never holds a secret.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[error("{message}")]
pub struct ConnectorError {
    /// The kind of failure.
    pub class: ErrorClass,
    /// What happened and what to do about it.
    pub message: String,
    /// How long the cloud asked to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl ConnectorError {
    /// An error of `class` with a message for users.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None }
    }

    /// An operation that this cloud does not offer.
    #[must_use]
    pub fn unsupported() -> Self {
        Self::new(ErrorClass::Unsupported, "Operation not supported")
    }
}
