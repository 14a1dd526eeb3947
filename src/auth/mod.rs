//! Who is calling: credential items, what they prove, ownership of infrastructures.
//!
//! | module | subject |
//! |---|---|
//! | [`header`] | the `Authorization` header as credential items |
//! | `clouds` | the clouds among them: [`Credentials::clouds`] |
//! | [`authenticator`] | whether they are valid, and whose they are |
//! | [`caller`] | who is calling then, and what such a caller may do |
//! | `known_callers` | those found valid a short time ago |
//! | [`scoped`] | tokens of infrastructures and machines |
//! | `failures` | logins that were refused: told, counted and slowed down |
//! | `users` | the file of users (`USER_DB`) |

pub mod authenticator;
pub mod caller;
mod clouds;
mod failures;
pub mod header;
mod known_callers;
pub mod scoped;
mod users;

pub use authenticator::{Authenticator, KeyedHash};
pub use caller::{Caller, Principal};
pub use header::parse_header;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Refused logins that are answered at once.
const FREE_TRIES: u32 = 3;

/// One credential item: `type`, `id` and free keys, in the order given. Values are secrets.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Item(pub IndexMap<String, String>);

impl Item {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The item's `type`; empty when it has none.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.get("type").unwrap_or_default()
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item").field("type", &self.kind()).field("id", &self.get("id")).finish_non_exhaustive()
    }
}

/// The items of a request, in order: the order of clouds is the order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credentials {
    /// All items, whatever their type.
    pub items: Vec<Item>,
}

/// A user as the daemon knows it: the name, and a keyed hash of name and password (or of issuer and subject).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// User name, as shown by the authorization property.
    pub username: String,
    /// Keyed hash of the whole identity; equal hashes are the same user.
    pub key: String,
    /// Whether it was proven by a token; an owner with a token is only matched by a caller with one.
    pub token: bool,
}

/// Why a request is not served. All of them are 401 over REST.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There was no `Authorization` header.
    #[error("No authentication data provided")]
    NoData,
    /// The credentials cannot be read. Names no value.
    #[error("No authentication data provided: {0}")]
    Malformed(String),
    /// A label that cannot be the id of a cloud.
    #[error("Incorrect value in auth item id: {0}")]
    BadId(String),
    /// The credentials are not valid, or name something that cannot be used.
    #[error("{0}")]
    Refused(String),
    /// A name and a password that are not those of a user; `earlier` of the same name were refused a short time ago.
    #[error("Invalid InfrastructureManager credentials")]
    Denied {
        /// How many.
        earlier: u32,
    },
}

impl AuthError {
    /// How long the answer is held back, so that passwords are not guessed as fast as the daemon can answer.
    #[must_use]
    pub fn pause(&self) -> Duration {
        match self {
            Self::Denied { earlier } => Duration::from_millis(100) * earlier.saturating_sub(FREE_TRIES).min(10),
            _ => Duration::ZERO,
        }
    }

    /// Whether the request brought nothing that could be read, which REST answers without the prefix of the operation.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::NoData | Self::Malformed(_))
    }
}
