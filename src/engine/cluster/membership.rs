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
            tickets: Default::default(),
            turns: std::array::from_fn(|_| Default::default()),
        };
        cluster.register(None).await?;
        Ok(cluster)
    }

    /// Begins a session; what the former one held and nobody took over passes to it.
    async fn register(&self, former: Option<&str>) -> Result<(), StoreError> {
        let ClusterSettings { url, place, lease_time, .. } = &self.settings;
        let session: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        let member = Member { session: session.clone(), url: url.clone(), place: place.clone() };
        let started = Instant::now();
        self.leases()?.register(&member, *lease_time, former).await?;
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = session;
        self.prolong(started + *lease_time);
        tracing::info!(session = %member.session, url, "a member of the daemons that share the database");
        Ok(())
    }

    /// The session is good until then; one that leaves makes no further calls all the same.
    fn prolong(&self, until: Instant) {
        if !self.leaving.is_cancelled() {
            self.tenure.send_replace(until);
        }
    }

    async fn renew(&self, inner: &Inner) -> Result<(), StoreError> {
        let started = Instant::now();
        let session = self.session();
        match self.leases()?.renew(&session, self.settings.lease_time).await {
            Ok(()) => {
                self.prolong(started + self.settings.lease_time);
                Ok(())
            }
            Err(StoreError::Fenced) => {
                tracing::warn!("the session was not renewed in time: beginning another one");
                // Keepers that are started from now on hold their leases under the new session.
                let kept = inner.directory.loaded();
                self.register(Some(&session)).await?;
                self.let_go(kept).await
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the keepers of infrastructures that were taken over by another daemon.
    async fn let_go(&self, kept: Vec<crate::engine::keeper::Handle>) -> Result<(), StoreError> {
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
    let mut doubted = false;
    loop {
        let beat = async {
            cluster.renew(&inner).await?;
            if doubted {
                cluster.let_go(inner.directory.loaded()).await?;
            }
            take_over(&inner, &cluster).await
        };
        let wait = match tokio::time::timeout(cluster.settings.lease_time, beat).await {
            Ok(Ok(())) => every,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the session cannot be renewed");
                RETRY
            }
            Err(_) => {
                tracing::warn!("the session cannot be renewed: the database does not answer");
                RETRY
            }
        };
        doubted = tokio::select! {
            () = tokio::time::sleep(wait) => false,
            () = cluster.doubt.notified() => {
                // Doubts come in swarms.
                tokio::time::sleep(Duration::from_millis(50)).await;
                true
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
