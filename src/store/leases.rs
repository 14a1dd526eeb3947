//! What lets several daemons share one store: sessions of daemons, and leases on infrastructures.
//!
//! A daemon has one *session*, a row that ends by the database's clock unless it is renewed. A lease is a mark in the row of
//! an infrastructure: the session that holds it, and the *fencing token*, a number that grows with every change of hands. A
//! lease is as good as its session, so that one statement renews all leases of a daemon, and one gives them all back.

use super::{IndexRow, StoreError, Version};
use async_trait::async_trait;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// The right to write an infrastructure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The session that holds it.
    pub session: Arc<str>,
    /// Its fencing token, from 1.
    pub token: u64,
}

/// A daemon among those that share a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its session: a random text that is never used again.
    pub session: Arc<str>,
    /// Where the other daemons reach it.
    pub url: String,
    /// What only one process can be at a time: whoever registers at a place proves that the former one there has ended.
    pub place: String,
}

/// What became of asking for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// It is the asker's, under this token.
    Held(u64),
    /// It is that of a daemon that lives.
    By(Holder),
}

/// The daemon that holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its session.
    pub session: Arc<str>,
    /// Where it is reached.
    pub url: String,
}

/// What can be said of an infrastructure without reading its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its version.
    pub version: Version,
    /// Its highest event sequence.
    pub sequence: u64,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Who holds it, none while no living daemon does.
    pub holder: Option<Holder>,
}

/// Leases of a store that several daemons share. Times are those of the database's clock.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Begins a session of this length. Sessions of the same place end; what the session `former` holds and nobody took
    /// over passes to the new one, with its tokens.
    async fn register(&self, member: &Member, length: Duration, former: Option<&str>) -> Result<(), StoreError>;

    /// Makes a session last this long from now.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it is over: a session never comes back.
    async fn renew(&self, session: &str, length: Duration) -> Result<(), StoreError>;

    /// Ends a session: nothing is held under it any more.
    async fn unregister(&self, session: &str) -> Result<(), StoreError>;

    /// Takes the lease of an infrastructure that no living daemon but the asker holds, under a new token.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the session is over; [`StoreError::NotFound`].
    async fn acquire(&self, id: &str, session: &str) -> Result<Acquired, StoreError>;

    /// Ids of the infrastructures that a session holds.
    async fn held(&self, session: &str) -> Result<BTreeSet<String>, StoreError>;

    /// Ids of the infrastructures with pending work that no living daemon holds.
    async fn orphans(&self) -> Result<Vec<String>, StoreError>;

    /// The head of an infrastructure, none when unknown.
    async fn head(&self, id: &str) -> Result<Option<Head>, StoreError>;

    /// The index of the infrastructures of these owners (keyed hashes) that were not deleted, newest first; of all owners
    /// without any.
    async fn owned(&self, owners: Option<&[String]>) -> Result<Vec<IndexRow>, StoreError>;
}
