//! The session of this daemon. One statement renews it, and with it everything that the daemon keeps.

use super::{Cluster, ClusterSettings};
use crate::{
    engine::Inner,
    store::{Store, StoreError, leases::Member},
};
use futures::{StreamExt, stream};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, PoisonError, RwLock, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// Wait between attempts to renew the session while the store is away.
const RETRY: Duration = Duration::from_millis(500);
/// Infrastructures that are taken over at the same time.
const SIDE_BY_SIDE: usize = 4;

impl Cluster {
    /// Begins a session.
    ///
    /// # Errors
    /// The store.
    pub async fn join(store: Arc<dyn Store>, settings: ClusterSettings) -> Result<Self, StoreError> {
        let cluster = Self {
            settings,
            store,
            session: RwLock::new("".into()),
            tenure: watch::Sender::new(Instant::now()),
            doubt: Default::default(),
            unattended: Default::default(),
            calls: Default::default(),
            leaving: Default::default(),
            views: Default::default(),
            contact: Default::default(),
            unsure: Default::default(),
            tickets: Default::default(),
            turns: std::array::from_fn(|_| Default::default()),
        };
        let started = Instant::now();
        cluster.register(None).await?;
        cluster.prolong(started);
        Ok(cluster)
    }

    /// Begins a session; what the former one held and nobody took over passes to it.
    async fn register(&self, former: Option<&str>) -> Result<(), StoreError> {
        let ClusterSettings { url, place, lease_time, .. } = &self.settings;
        let session: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        let member = Member { session: session.clone(), url: url.clone(), place: place.clone() };
        self.leases()?.register(&member, *lease_time, former).await?;
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = session;
        tracing::info!(session = %member.session, url, "a member of the daemons that share the database");
        Ok(())
    }

    /// The session, renewed at that time, is good for LEASE_TIME; one that leaves makes no further calls all the same.
    fn prolong(&self, renewed: Instant) {
        if !self.leaving.is_cancelled() {
            self.tenure.send_replace(renewed + self.settings.lease_time);
        }
    }

    /// Renews the session or begins another one. It counts as good once the keepers of what was taken over are gone: what
    /// the others have is the truth.
    async fn renew(&self, inner: &Inner) -> Result<(), StoreError> {
        let started = Instant::now();
        let session = self.session();
        match self.leases()?.renew(&session, self.settings.lease_time).await {
            Ok(()) => {}
            Err(StoreError::Fenced) => {
                tracing::warn!("the session was not renewed in time: beginning another one");
                self.unsure.store(true, Ordering::SeqCst);
                self.register(Some(&session)).await?;
            }
            Err(error) => return Err(error),
        }
        if self.unsure.load(Ordering::SeqCst) {
            self.let_go(inner).await?;
            self.unsure.store(false, Ordering::SeqCst);
        }
        self.prolong(started);
        Ok(())
    }

    /// Ends the keepers of infrastructures that were taken over by another daemon.
    async fn let_go(&self, inner: &Inner) -> Result<(), StoreError> {
        // What is started from now on holds its lease under the present session.
        let kept = inner.directory.loaded();
        let held = self.leases()?.held(&self.session()).await?;
        for handle in kept {
            let id = &handle.snapshot().id;
            if !held.contains(id) {
                tracing::warn!(inf = %id, "another daemon took it over");
                handle.leave();
            }
        }
        Ok(())
    }

    /// Gives back everything that is held, once no call to a cloud is under way. If one does not end in time, the others
    /// take over when the session lapses.
    pub async fn leave(&self, inner: &Inner) {
        self.leaving.cancel();
        // No further calls are made.
        self.tenure.send_replace(Instant::now());
        let leave = async {
            while self.calls.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            for handle in inner.directory.loaded() {
                // Reports are stored before a change that comes after them.
                let _ = handle.change(|_| Ok(())).await;
                handle.leave();
            }
            self.leases()?.unregister(&self.session()).await
        };
        match tokio::time::timeout(self.settings.lease_time / 2, leave).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what this daemon kept is free when its session lapses"),
            Err(_) => {
                tracing::warn!("calls to clouds do not end: what this daemon kept is free when its session lapses")
            }
        }
    }
}

/// Keeps the session of the daemon until it leaves, and takes over what others left.
pub async fn keep(inner: Arc<Inner>, cluster: Arc<Cluster>) {
    let every = cluster.settings.lease_time / 3;
    loop {
        let beat = async {
            cluster.renew(&inner).await?;
            take_over(&inner, &cluster).await
        };
        let wait = match tokio::time::timeout(cluster.settings.lease_time, beat).await {
            Ok(Ok(())) => every,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the session cannot be renewed");
                cluster.look().await;
                RETRY
            }
            Err(_) => {
                tracing::warn!("the session cannot be renewed: the database does not answer");
                cluster.look().await;
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = cluster.doubt.notified() => {
                // Doubts come in swarms.
                tokio::time::sleep(Duration::from_millis(50)).await;
                cluster.unsure.store(true, Ordering::SeqCst);
            }
            () = cluster.leaving.cancelled() => return,
        };
    }
}

/// Goes on with the work of daemons that ended.
async fn take_over(inner: &Arc<Inner>, cluster: &Cluster) -> Result<(), StoreError> {
    let mut ids = cluster.leases()?.orphans().await?;
    ids.extend(std::mem::take(&mut *cluster.unattended.lock().unwrap_or_else(PoisonError::into_inner)));
    // Each daemon begins elsewhere.
    let session = cluster.session();
    ids.sort_by_cached_key(|id| {
        let mut hasher = DefaultHasher::new();
        (&*session, id).hash(&mut hasher);
        hasher.finish()
    });
    stream::iter(ids)
        .for_each_concurrent(SIDE_BY_SIDE, |id| async move {
            match inner.seize(&id).await {
                Ok(crate::engine::keepers::Seized::Here(_)) => {
                    tracing::info!(inf = %id, "going on with the work of another daemon");
                }
                Ok(crate::engine::keepers::Seized::By(_)) => {}
                Err(error) => tracing::error!(inf = %id, %error, "cannot go on with the work of another daemon"),
            }
        })
        .await;
    Ok(())
}
