//! Several daemons over one store: each infrastructure is kept by one of them, and all of them answer for it
//! (docs/architecture.md, 6).
//!
//! | module | subject |
//! |---|---|
//! | `membership` | the session of this daemon: begun, renewed, lost, ended |
//! | `contact` | whether the database answers |
//! | `calls` | calls that change something in a cloud wait until this daemon may make them |
//! | [`wire`] | what daemons say to each other, and how it is sealed |
//! | `peer` | asking another daemon |
//! | `tickets` | one for each question of another daemon |

mod calls;
mod contact;
mod membership;
pub(in crate::engine) mod peer;
mod tickets;
pub mod wire;

pub use calls::CloudCall;

use crate::store::{
    Keyring, Lease, Store, StoreError,
    leases::{Acquired, Leases},
};
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::Duration,
};
use tokio::{
    sync::{MutexGuard, Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How a daemon is a member of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Where the other daemons reach this one: `http://host:port`.
    pub url: String,
    /// What only one process can be at a time (see [`Member::place`](crate::store::leases::Member::place)).
    pub place: String,
    /// LEASE_TIME
    pub lease_time: Duration,
    /// The keys that daemons of one database share.
    pub keyring: Arc<Keyring>,
}

/// This daemon as one of several.
pub struct Cluster {
    pub(in crate::engine) settings: ClusterSettings,
    pub(in crate::engine) store: Arc<dyn Store>,
    /// The current session.
    session: RwLock<Arc<str>>,
    /// Until when the session is good, by this host's clock: never later than by that of the database.
    pub(in crate::engine) tenure: watch::Sender<Instant>,
    /// The store refused a lease: something has to be found out at once.
    pub(in crate::engine) refusal: Notify,
    /// Keepers may have lost their leases and not know it.
    pub(in crate::engine) unsure: AtomicBool,
    /// Infrastructures whose lease is ours and that have no keeper: it could not be started.
    pub(in crate::engine) unattended: Mutex<BTreeSet<String>>,
    /// Calls under way that change something in a cloud.
    pub(in crate::engine) calls: AtomicUsize,
    /// This daemon is about to end.
    pub(in crate::engine) leaving: CancellationToken,
    contact: contact::Contact,
    pub(in crate::engine) tickets: tickets::Tickets,
    /// Who starts a keeper waits for a turn, so that an infrastructure has one.
    turns: [tokio::sync::Mutex<()>; 64],
}

impl Cluster {
    /// The leases of the store.
    pub fn leases(&self) -> Result<&dyn Leases, StoreError> {
        self.store.leases().ok_or_else(|| StoreError::Unavailable("this database keeps no leases".to_owned()))
    }

    /// The current session.
    pub fn session(&self) -> Arc<str> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lease with this token, held by the current session.
    pub fn lease(&self, token: u64) -> Lease {
        Lease { session: self.session(), token }
    }

    /// Whether the session is good: what this daemon keeps is as the store has it.
    pub fn is_member(&self) -> bool {
        Instant::now() < *self.tenure.borrow()
    }

    /// The store refused a lease.
    pub fn note_refusal(&self) {
        self.refusal.notify_one();
    }

    /// The lease of this infrastructure is ours and its keeper is gone: it is to be started again.
    pub fn unattended(&self, id: &str) {
        self.unattended.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    }

    /// Takes the lease of an infrastructure unless another daemon has it.
    pub async fn acquire(&self, id: &str) -> Result<Acquired, StoreError> {
        self.leases()?.acquire(id, &self.session()).await.inspect_err(|error| {
            if *error == StoreError::Fenced {
                self.note_refusal();
            }
        })
    }

    /// Waits until nobody else starts the keeper of this infrastructure.
    pub async fn turn(&self, id: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % self.turns.len() as u64).unwrap_or_default();
        self.turns[place].lock().await
    }
}
