//! The session of this daemon. One statement renews it, and with it everything that the daemon keeps.

use crate::{
    engine::cluster::{Cluster, ClusterSettings},
    store::{Store, StoreError, leases::Member},
};
use std::sync::{Arc, PoisonError, RwLock, atomic::Ordering};
use tokio::{sync::watch, time::Instant};

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
            refusal: Default::default(),
            unattended: Default::default(),
            calls: Default::default(),
            leaving: Default::default(),
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
    pub fn prolong(&self, renewed: Instant) {
        if !self.leaving.is_cancelled() {
            self.tenure.send_replace(renewed + self.settings.lease_time);
        }
    }

    /// Renews the session or begins another one; when. It counts as good from [`Cluster::prolong`] on.
    pub async fn renew(&self) -> Result<Instant, StoreError> {
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
        Ok(started)
    }

    /// Ends the session; called once no call to a cloud is under way and nothing is kept any more.
    pub async fn unregister(&self) -> Result<(), StoreError> {
        self.leases()?.unregister(&self.session()).await
    }
}
