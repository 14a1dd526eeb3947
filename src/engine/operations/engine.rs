//! The engine as the APIs see it: opened, closed, and what it tells of itself.

use crate::{
    auth::KeyedHash,
    bounds::Budget,
    engine::{
        cluster::{Cluster, ClusterSettings},
        error::OperationError,
        keeper::{keepers::Keepers, resuming, tenure},
        operations::listings::Listings,
        services::{Now, Services},
        settings::EngineSettings,
        transitions,
        work::{children, context},
    },
    pages::Activity,
    store::{Store, StoreError},
};
use connectors::registry::Registry;
use std::{net::IpAddr, sync::Arc};

/// Numbers for the metrics page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Infrastructures that were not deleted.
    pub infrastructures: usize,
    /// Of these, those in memory.
    pub loaded: usize,
    /// Machines of the loaded ones.
    pub vms: usize,
    /// Contextualizations that are running.
    pub contextualizing: usize,
    /// Pieces of accepted work that did not end yet; those of an infrastructure that waits to go on count as one.
    pub work: usize,
}

/// The engine as the APIs see it: cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(in crate::engine) services: Arc<Services>,
    pub(in crate::engine) keepers: Arc<Keepers>,
    pub(super) listings: Arc<Listings>,
    /// Whether changes of what another daemon keeps are passed on to it.
    pub(super) forwards: bool,
}

impl Engine {
    /// Opens the engine over a store: reads the index, and goes on with everything that was not finished; with `cluster`
    /// as one of several daemons.
    ///
    /// # Errors
    /// The store.
    pub async fn open(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        ssh: contextualization::ssh::SshLimits,
        identity_key: KeyedHash,
        now: Now,
        cluster: Option<ClusterSettings>,
    ) -> Result<Self, StoreError> {
        let cluster = match cluster {
            Some(settings) => Some(Arc::new(Cluster::join(store.clone(), settings).await?)),
            None => None,
        };
        // Among several daemons the directory holds what is kept here, and the session finds what is pending.
        let index = if cluster.is_none() { store.index().await? } else { Vec::new() };
        let pending: Vec<String> =
            index.iter().filter(|row| row.pending && !row.deleted).map(|row| row.id.clone()).collect();
        let services = Arc::new(Services::new(settings, store, registry, ssh, identity_key, now, cluster.clone()));
        let keepers = Arc::new(Keepers::new(services.clone(), index, children::hire));
        resuming::resume(&keepers, pending).await;
        if let Some(cluster) = cluster {
            tokio::spawn(tenure::keep(keepers.clone(), cluster));
        }
        Ok(Self { services, keepers, listings: Arc::default(), forwards: true })
    }

    /// Hands over to the other daemons everything that is kept here, if there are any. For a daemon about to stop.
    pub async fn leave(&self) {
        if let Some(cluster) = &self.services.cluster {
            tenure::leave(&self.keepers, cluster).await;
        }
    }

    /// Told of every change that is stored.
    #[must_use]
    pub fn activity(&self) -> Arc<Activity> {
        self.services.activity.clone()
    }

    /// Ends all contextualizations, with their runs on the masters (CTXT_KILL_ON_STOP); machines without a result are
    /// unconfigured. For a daemon about to stop.
    pub async fn end_contextualizations(&self) {
        let end = async {
            resuming::resume_all(&self.keepers).await;
            for handle in self.keepers.directory.loaded() {
                if handle.snapshot().generation.as_ref().is_some_and(|generation| generation.open) {
                    handle.report_and_wait(transitions::Event::ContextStopped).await;
                }
            }
            self.services.contexts.close();
            self.services.contexts.wait().await;
        };
        if tokio::time::timeout(context::LET_GO, end).await.is_err() {
            tracing::warn!(
                "some contextualizations do not end; the next one of their infrastructures ends what is left"
            );
        }
    }

    /// Whether the daemon can do its work: the store answers.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), OperationError> {
        self.services.ready().await
    }

    /// Numbers for the metrics page: infrastructures by state of loading, machines, open generations.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            infrastructures: self.keepers.directory.len(),
            work: self.keepers.resuming.waiting(),
            ..Figures::default()
        };
        for handle in self.keepers.directory.loaded() {
            let model = handle.snapshot();
            figures.loaded += 1;
            figures.vms += model.live_vms().count();
            figures.contextualizing += usize::from(model.generation.as_ref().is_some_and(|g| g.open));
            // What follows the boot of a machine is nobody's request, and waited for as well.
            let incomplete = model.vms.iter().filter(|vm| vm.is_to_be_completed()).count();
            figures.work += model.work.len() + incomplete;
        }
        figures
    }

    /// Does what may take long for a user. It is brought to its end even if nobody waits for it any more.
    ///
    /// # Errors
    /// [`OperationError::Busy`]: too much of the user waits already.
    ///
    /// # Panics
    /// When `job` does.
    pub async fn apart<T: Send + 'static>(
        &self,
        user: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OperationError> {
        self.services.capacity.apart(user, job).await
    }

    /// Does what [`Engine::apart`] does, for the address of somebody who is not known yet.
    ///
    /// # Errors
    /// [`OperationError::Busy`]: too much from the address waits already.
    ///
    /// # Panics
    /// When `job` does.
    pub async fn apart_for<T: Send + 'static>(
        &self,
        address: IpAddr,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OperationError> {
        self.apart(&address.to_string(), job).await
    }

    /// The memory for the bodies of all requests.
    #[must_use]
    pub fn bodies(&self) -> &Arc<Budget> {
        &self.services.capacity.bodies
    }
}
