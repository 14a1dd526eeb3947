//! What must survive. A small trait, and backends chosen by the `DATA_DB` URL.
//!
//! Rows: one for the infrastructure, one per machine, one for the progress of the contextualization, one per event, so
//! that a change of one machine does not rewrite a thousand. Every payload is sealed before it reaches the backend.

mod change;
pub mod leases;
#[cfg(feature = "mongodb")]
mod mongo;
#[cfg(feature = "mysql")]
mod mysql;
mod open;
pub mod purge;
pub mod rotation;
mod rows;
pub mod sealing;
mod sqlite;

pub use leases::{Lease, Leases};
pub use open::{check_url, is_missing_file, name, open, open_beside};
pub use sealing::Keyring;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Number of the commit that wrote the state of an infrastructure, from 1. A commit names the version it was made
/// from, so that a writer that lost its place cannot write.
pub type Version = u64;

/// Machines have numbers below this one. Rows of machines from it on are no machines: they hold what machines share.
pub const FIRST_SHARED: u32 = 1 << 31;

/// A row of the index: what can be asked without opening the sealed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// Infrastructure id.
    pub id: String,
    /// Keyed hashes of its owners.
    pub owners: Vec<String>,
    /// Creation, seconds since the epoch.
    pub created: i64,
    /// Whether it was deleted; such rows stay for statistics until purged.
    pub deleted: bool,
    /// Whether work is pending that a starting daemon must go on with.
    pub pending: bool,
}

/// Everything stored of one infrastructure but its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInfrastructure {
    /// Version to name in the next commit.
    pub version: Version,
    /// The infrastructure's own payload.
    pub infrastructure: Vec<u8>,
    /// Payload of each machine, and of what they share ([`FIRST_SHARED`]), by number, ascending.
    pub vms: Vec<(u32, Vec<u8>)>,
    /// Payload of the contextualization's progress, when there is one.
    pub progress: Option<Vec<u8>>,
}

impl StoredInfrastructure {
    /// Bytes of all payloads.
    #[must_use]
    pub fn size(&self) -> usize {
        let vms = self.vms.iter().map(|(_, payload)| payload.len()).sum::<usize>();
        self.infrastructure.len() + vms + self.progress.as_ref().map_or(0, Vec::len)
    }
}

/// Kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A machine or the infrastructure changed state; the text is the new state.
    State,
    /// Text appended to a log.
    Log,
}

/// An event as the engine appends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Number of the machine; none for the infrastructure.
    pub vm: Option<u32>,
    /// Its kind.
    pub kind: EventKind,
    /// When, microseconds since the epoch.
    pub at: i64,
    /// New state, or log text.
    pub text: String,
}

/// An event as stored: `sequence` increases by one within its infrastructure, from 1, and is never used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Position in the stream of the infrastructure.
    pub sequence: u64,
    /// The event.
    pub event: NewEvent,
}

/// What one commit changes; what is none or empty stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// New payload of the infrastructure.
    pub infrastructure: Option<Vec<u8>>,
    /// New owners (keyed hashes).
    pub owners: Option<Vec<String>>,
    /// New value of the deleted mark.
    pub deleted: Option<bool>,
    /// New value of the pending mark.
    pub pending: Option<bool>,
    /// New payloads of machines, and of what they share ([`FIRST_SHARED`]), by number.
    pub vms: Vec<(u32, Vec<u8>)>,
    /// New payload of the progress; `Some(None)` removes it.
    pub progress: Option<Option<Vec<u8>>>,
    /// Removes all log events (not the state events) before appending: a new generation starts.
    pub clear_logs: bool,
    /// Events to append, in order; `first_sequence` is the sequence of the first one.
    pub events: Vec<NewEvent>,
    /// Sequence of the first event of `events`; the engine counts, the store keeps them unique.
    pub first_sequence: u64,
    /// The lease it is written under, where daemons share the store: without it, nothing is written. A new infrastructure
    /// is held under it from the start.
    pub lease: Option<Lease>,
}

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The version named is not the current one: somebody else wrote.
    #[error("the infrastructure was changed by another writer (version {current} instead of {expected})")]
    Stale {
        /// Version the writer had.
        expected: Version,
        /// Version in the store.
        current: Version,
    },
    /// No such infrastructure.
    #[error("no such infrastructure in the database")]
    NotFound,
    /// An infrastructure of that id is there already.
    #[error("an infrastructure of this id is in the database already")]
    AlreadyExists,
    /// The lease is another daemon's, or the session that held it is over.
    #[error("this daemon does not hold the infrastructure any more")]
    Fenced,
    /// The database cannot be reached, is locked, read-only or full. Worth another try later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The connection was lost while a commit was under way: it took place as a whole, or not at all. The version in the
    /// database tells, once it can be read again.
    #[error("the database is not available, and whether the change was stored is not known yet: {0}")]
    InDoubt(String),
    /// The stored data cannot be opened: wrong key, damaged row or newer schema.
    #[error("the database cannot be used: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// A database of other tables than ours, perhaps of the reference's. `thing` is what `DATA_DB` names.
    fn foreign(of_reference: bool, thing: &str) -> Self {
        let what = if of_reference {
            "it holds the data of a GRyCAP IM, which `imd import-db` brings to another database"
        } else {
            "it holds the tables of another program"
        };
        Self::Corrupt(format!("{what}; nothing was changed, set DATA_DB to another {thing}"))
    }

    /// A database that a later version wrote. `thing` is what `DATA_DB` names.
    fn newer_schema(found: impl std::fmt::Display, known: impl std::fmt::Display, thing: &str) -> Self {
        Self::Corrupt(format!(
            "it was written by a newer imd (schema {found}, this one knows {known}); start that version, or set DATA_DB \
             to another {thing}"
        ))
    }

    /// A database that the data key does not belong to. `id` is none for an empty one.
    fn not_ours(id: Option<&str>) -> Self {
        let what = match id {
            None => "it is empty, and the data key belongs to another database: has it been lost or moved?".to_owned(),
            Some(id) => format!("it is the database {id}, and the data key belongs to another one"),
        };
        Self::Corrupt(format!(
            "{what} Set DATA_DB to the right one or restore it from a backup; `imd --new-database` accepts this one"
        ))
    }

    /// The error of a commit that may have taken place all the same.
    fn in_doubt(self) -> Self {
        match self {
            Self::Unavailable(text) => Self::InDoubt(text),
            other => other,
        }
    }

    /// Says in front of the text which database it is about.
    fn about(self, database: &str) -> Self {
        match self {
            Self::Unavailable(text) => Self::Unavailable(format!("{database}: {text}")),
            Self::Corrupt(text) => Self::Corrupt(format!("{database}: {text}")),
            other => other,
        }
    }
}

/// A store of infrastructures. Every method is safe to call from many tasks; when a write returns it is durable.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds an infrastructure with its first state (version 1).
    async fn create(&self, row: IndexRow, changes: Changes) -> Result<(), StoreError>;

    /// Applies `changes` if the stored version is still `expected`; returns the new version. All or nothing.
    async fn commit(&self, id: &str, expected: Version, changes: Changes) -> Result<Version, StoreError>;

    /// What tells this database from others, as long as it lives.
    fn id(&self) -> &str;

    /// The version of an infrastructure, whether or not its values can be opened; none when unknown.
    async fn version(&self, id: &str) -> Result<Option<Version>, StoreError>;

    /// Loads an infrastructure, none when unknown.
    async fn load(&self, id: &str) -> Result<Option<StoredInfrastructure>, StoreError>;

    /// The index of all infrastructures, newest first.
    async fn index(&self) -> Result<Vec<IndexRow>, StoreError>;

    /// Events after `after` (0: from the start), at most `limit`, in order.
    async fn events(&self, id: &str, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// Highest event sequence of the infrastructure, 0 when it has none.
    async fn last_sequence(&self, id: &str) -> Result<u64, StoreError>;

    /// Log text in order: of one machine, or of the infrastructure (`vm` none).
    async fn log(&self, id: &str, vm: Option<u32>) -> Result<String, StoreError>;

    /// Log texts of all machines that have one, by number.
    async fn vm_logs(&self, id: &str) -> Result<Vec<(u32, String)>, StoreError>;

    /// Removes deleted infrastructures created before `created_before` (seconds since the epoch), the oldest ones and at
    /// most `limit`; returns how many.
    async fn purge(&self, created_before: i64, limit: usize) -> Result<u64, StoreError>;

    /// Seals values anew that are not sealed with the newest key of the keyring, at most `limit`: those of an
    /// infrastructure, or the key check of the database (`id` none). Returns how many it were, 0 when nothing is left.
    /// What they hold and the version stay, so it goes well with writers at the same time.
    async fn reseal(&self, id: Option<&str>, limit: usize) -> Result<u64, StoreError>;

    /// Proves that the database can be read and written.
    async fn check(&self) -> Result<(), StoreError>;

    /// The leases of a store that other daemons may use as well; none when it is this daemon's alone.
    fn leases(&self) -> Option<&dyn Leases> {
        None
    }
}
