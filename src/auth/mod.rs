//! Who is calling: credential items, identities derived from them, ownership of infrastructures.
//!
//! | module | subject |
//! |---|---|
//! | [`header`] | the `Authorization` header as credential items |
//! | `clouds` | the clouds among them: [`Credentials::clouds`] |
//! | [`authenticator`] | whether they are valid, and whose they are |
//! | `failures` | logins that were refused: told, counted and slowed down |
//! | `users` | the file of users (`USER_DB`) |

pub mod authenticator;
mod clouds;
mod failures;
pub mod header;
pub mod scoped;
mod users;

pub use authenticator::{Authenticator, KeyedHash};
pub use header::parse_header;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

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

/// A request whose credentials are valid.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Caller {
    /// Everything the request brought.
    pub credentials: Arc<Credentials>,
    /// Its valid identities; all of them become owners of what it creates.
    pub identities: Vec<Identity>,
    /// Whether one of them is an administrator.
    pub admin: bool,
}

impl Caller {
    /// What tells this user from others.
    #[must_use]
    pub fn user(&self) -> &str {
        self.identities.first().map_or("", |identity| &identity.key)
    }

    /// Whether the caller shows the token of this infrastructure.
    #[must_use]
    pub fn is_infrastructure(&self, id: &str) -> bool {
        self.identities.iter().any(|who| who.username.strip_prefix(scoped::USER_PREFIX) == Some(id))
    }

    /// Whether the caller shows the token of this machine.
    #[must_use]
    pub fn is_machine(&self, infrastructure: &str, vm: u32) -> bool {
        let name = scoped::machine_user(infrastructure, vm);
        self.identities.iter().any(|who| who.username == name)
    }

    /// Those of the identities that are users: they own what the caller makes.
    #[must_use]
    pub fn owners(&self) -> Vec<Identity> {
        self.identities.iter().filter(|who| !who.username.starts_with(scoped::USER_PREFIX)).cloned().collect()
    }

    /// Whether one of the identities is a user, not just the token of an infrastructure.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.identities.iter().any(|who| !who.username.starts_with(scoped::USER_PREFIX))
    }

    /// Whether the caller may use something owned by `owners` (docs/spec/api.md 1.10).
    #[must_use]
    pub fn may_access(&self, owners: &[Identity]) -> bool {
        self.admin
            || self
                .identities
                .iter()
                .any(|caller| owners.iter().any(|owner| owner.key == caller.key && (!owner.token || caller.token)))
    }
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
