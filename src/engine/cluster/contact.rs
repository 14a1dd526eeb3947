//! Whether the database answers. Who finds out that it does not has waited a moment; until a look in the background succeeds,
//! nobody waits for it again: reads are answered from what is in memory, and changes are refused.

use crate::{
    engine::cluster::Cluster,
    store::{IndexRow, StoreError},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long the database may be silent before it is asked whether it is there, and then to say so.
const PATIENCE: Duration = Duration::from_millis(800);
/// Wait between two looks while it is away.
const LOOK: Duration = Duration::from_millis(500);
/// Older looks tell nothing: this daemon stood still itself.
const FRESH: Duration = Duration::from_secs(4);
/// Connections may have broken while nobody used them: as many attempts are worth nothing.
const ATTEMPTS: usize = 5;

/// The last look at a database that was away, and why; none while it answers.
#[derive(Default)]
pub(super) struct Contact(Mutex<Option<(Instant, StoreError)>>);

impl Contact {
    fn set(&self, failed: Option<StoreError>) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failed.map(|error| (Instant::now(), error));
        std::mem::replace(&mut *last, failed).is_some()
    }
}

impl Cluster {
    /// Refuses while the database is away.
    ///
    /// # Errors
    /// Why it is.
    pub fn reachable(&self) -> Result<(), StoreError> {
        match &*self.contact.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, error)) if at.elapsed() < FRESH => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Asks the database. The answer may take its time as long as the database answers others.
    ///
    /// # Errors
    /// Its own; [`StoreError::Unavailable`] soon where it is away.
    pub async fn ask<T, Q>(self: &Arc<Self>, question: impl Fn(Arc<Self>) -> Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.reachable()?;
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            // A question that nobody waits for any more ends by itself, and its connection with it.
            let question = tokio::spawn(question(self.clone()));
            let answer = tokio::select! {
                answer = question => answer.unwrap_or_else(|_| Err(silence())),
                error = self.silent() => return Err(error),
            };
            match answer {
                Err(StoreError::Unavailable(_)) if attempts > 0 => {}
                Err(error @ StoreError::Unavailable(_)) => {
                    self.lost(&error);
                    return Err(error);
                }
                answer => return answer,
            }
        }
    }

    /// Looks whether the database answers.
    pub async fn look(self: &Arc<Self>) {
        // What was found is remembered.
        let _ = self.ask(|cluster| async move { cluster.leases()?.head("").await }).await;
    }

    /// Completes when the database does not answer. Time that passed may be that of a daemon that stood still: the database
    /// has its own from now on.
    async fn silent(self: &Arc<Self>) -> StoreError {
        loop {
            tokio::time::sleep(PATIENCE).await;
            if let Err(error) = self.reachable().and(self.glance().await) {
                self.lost(&error);
                return error;
            }
        }
    }

    async fn glance(self: &Arc<Self>) -> Result<(), StoreError> {
        let cluster = self.clone();
        let glance = tokio::spawn(async move { cluster.leases()?.head("").await });
        match tokio::time::timeout(PATIENCE, glance).await {
            Ok(Ok(Err(error @ StoreError::Unavailable(_)))) => Err(error),
            Ok(_) => Ok(()),
            Err(_) => Err(silence()),
        }
    }

    /// The database is away: looks until it is back.
    fn lost(self: &Arc<Self>, error: &StoreError) {
        if self.contact.set(Some(error.clone())) {
            // Somebody looks already.
            return;
        }
        tracing::warn!(%error, "the database is away: answering from memory, refusing changes");
        let cluster = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = cluster.leaving.cancelled() => return,
                }
                match cluster.glance().await {
                    Ok(()) => break,
                    Err(error) => cluster.contact.set(Some(error)),
                };
            }
            cluster.contact.set(None);
            tracing::info!("the database is back");
        });
    }
}

fn silence() -> StoreError {
    StoreError::Unavailable("the database server does not answer".to_owned())
}

impl Cluster {
    /// The index of the infrastructures of these owners, of all without any.
    pub async fn owned(self: &Arc<Self>, owners: Option<Vec<String>>) -> Result<Vec<IndexRow>, StoreError> {
        self.ask(|cluster| owned(cluster, owners.clone())).await
    }
}

async fn owned(cluster: Arc<Cluster>, owners: Option<Vec<String>>) -> Result<Vec<IndexRow>, StoreError> {
    cluster.leases()?.owned(owners.as_deref()).await
}
