//! The only writer of infrastructures.
//!
//! | module | subject |
//! |---|---|
//! | [`model`] | the state of an infrastructure as plain data |
//! | [`state`] | the states the outside sees, derived from it |
//! | [`transitions`] | the rules that move it: pure |
//! | `accounts` | which account of a cloud is asked about a machine |
//! | [`draft`] | a model under change, and what follows from the change |
//! | `alteration` | what a document asks of a machine that exists: pure |
//! | [`keeper`] | the one task that changes an infrastructure |
//! | `children`, `launch`, `alter`, `removal`, `refresh`, `placement`, `context` | the slow work it starts |
//! | [`apart`] | what takes long, on threads of its own |
//! | [`admission`] | what a request may cost |
//! | `scarcity` | whether the store takes changes, and what in it is damaged |
//! | [`rows`] | the model as rows of the store |
//! | [`misfit`] | why JSON is not what was expected, without its values |
//! | [`records`] | what a store knows of machines found by their marks |
//! | `retention` | deleted infrastructures are not kept for ever |
//! | [`cluster`] | several daemons over one store |
//! | [`operations`], [`filter`], `listings`, `changes`, `owners`, `estimate`, `clouds`, [`statistics`], [`exchange`], [`outputs`], [`tunnels`] | what the APIs can ask for |

mod accounts;
pub mod admission;
mod alter;
mod alteration;
pub mod apart;
mod changes;
mod children;
mod clouds;
pub mod cluster;
mod commit_point;
mod context;
mod directory;
mod doubt;
pub mod draft;
pub mod error;
mod estimate;
pub mod exchange;
pub mod filter;
pub mod keeper;
mod keepers;
mod launch;
mod listings;
pub mod memo;
pub mod misfit;
pub mod model;
mod observation;
pub mod operations;
pub mod outputs;
mod owners;
mod placement;
pub mod records;
mod refresh;
mod removal;
pub mod render;
mod retention;
mod rounds;
pub mod rows;
mod scarcity;
mod secrets;
pub mod settings;
mod snapshot;
pub mod state;
pub mod statistics;
pub mod transitions;
pub mod tunnels;

pub use error::OperationError;
pub use memo::Rendering;
pub use operations::{Engine, Snapshot};
pub use settings::EngineSettings;

use crate::{
    auth::{self, Caller, KeyedHash},
    pages::Activity,
    store::{Store, StoreError},
};
use accounts::{Accounts, Shown};
use cluster::{Cluster, ClusterSettings};
use connectors::{Connector, ConnectorError, registry::Registry};
use directory::Directory;
use listings::Listings;
use model::{CloudRef, Infrastructure, State, Vm};
use settings::ExposedAuth;
use state::Clock;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio_util::task::TaskTracker;

/// The time now; passed in so that tests can set it.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What the engine is made of.
pub struct Inner {
    settings: EngineSettings,
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    ssh: contextualization::ssh::SshLimits,
    identity_key: KeyedHash,
    capacity: apart::Capacity,
    directory: Directory,
    listings: Listings,
    /// The tasks of contextualizations.
    contexts: TaskTracker,
    /// Infrastructures with changes that the store refused and that are tried again, and why.
    unsaved: Mutex<BTreeMap<String, StoreError>>,
    now: Now,
    /// When it started: by a clock that nobody sets, and what the clock of the host said then, microseconds since the epoch.
    started: (tokio::time::Instant, i64),
    health: scarcity::Health,
    activity: Arc<Activity>,
    /// None where the store is this daemon's alone.
    cluster: Option<Arc<Cluster>>,
}

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
    /// Pieces of accepted work that did not end yet.
    pub work: usize,
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
        let directory = Directory::new(index);
        let (contexts, unsaved) = (TaskTracker::new(), Mutex::default());
        let activity = Arc::default();
        let capacity = apart::Capacity::new(settings.body_memory);
        let inner = Arc::new(Inner {
            settings,
            store,
            registry,
            ssh,
            identity_key,
            capacity,
            directory,
            listings: Listings::default(),
            contexts,
            unsaved,
            started: (tokio::time::Instant::now(), micros(now())),
            now,
            health: scarcity::Health::default(),
            activity,
            cluster,
        });
        for id in pending {
            match inner.load(&id).await {
                Ok(_) => tracing::info!(inf = %id, "going on with the work of an earlier daemon"),
                Err(error) => tracing::error!(inf = %id, %error, "cannot go on with the work of an earlier daemon"),
            }
        }
        if let Some(cluster) = inner.cluster.clone() {
            tokio::spawn(cluster::keep(inner.clone(), cluster));
        }
        Ok(Self { inner, forwards: true })
    }

    /// Hands over to the other daemons everything that is kept here, if there are any. For a daemon about to stop.
    pub async fn leave(&self) {
        if let Some(cluster) = &self.inner.cluster {
            cluster.leave(&self.inner).await;
        }
    }

    /// Told of every change that is stored.
    #[must_use]
    pub fn activity(&self) -> Arc<Activity> {
        self.inner.activity.clone()
    }
}

impl Engine {
    /// Ends all contextualizations, with their runs on the masters (CTXT_KILL_ON_STOP); machines without a result are
    /// unconfigured. For a daemon about to stop.
    pub async fn end_contextualizations(&self) {
        let end = async {
            for handle in self.inner.directory.loaded() {
                if handle.snapshot().generation.as_ref().is_some_and(|generation| generation.open) {
                    handle.report_and_wait(transitions::Event::ContextStopped).await;
                }
            }
            self.inner.contexts.close();
            self.inner.contexts.wait().await;
        };
        if tokio::time::timeout(context::LET_GO, end).await.is_err() {
            tracing::warn!(
                "some contextualizations do not end; the next one of their infrastructures ends what is left"
            );
        }
    }
}

/// Microseconds since the epoch.
fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl Inner {
    /// Now, microseconds since the epoch.
    fn now(&self) -> i64 {
        micros((self.now)())
    }

    /// Time since the start, microseconds: for intervals, which the clock of the host must not stretch when it is set.
    fn uptime(&self) -> i64 {
        i64::try_from(self.started.0.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Now by the steady clock, seconds since the epoch: what the clock of the host would say, had nobody set it since the
    /// start. Of intervals that are stored, and go on with the next daemon.
    fn steady(&self) -> i64 {
        self.started.1.saturating_add(self.uptime()) / 1_000_000
    }

    fn clock(&self) -> Clock {
        let grace = i64::try_from(self.settings.vm_info_error_grace.as_secs()).unwrap_or(i64::MAX);
        Clock { now: self.steady(), grace }
    }

    /// How many machines of one infrastructure and cloud are launched or deleted at the same time.
    fn launch_slots(&self) -> usize {
        self.settings.max_simultaneous_launches.max(1)
    }

    /// The connector for a cloud, with the one of these accounts that is its own.
    fn connector(&self, accounts: Option<&Accounts>, cloud: &CloudRef) -> Result<Arc<dyn Connector>, ConnectorError> {
        self.registry.connector(accounts.unwrap_or(&Accounts::default()).of(cloud)?)
    }

    /// What a caller shows with a request.
    fn shown(&self, caller: &Caller) -> Result<Shown, OperationError> {
        let exposed = self.settings.exposed_auth == ExposedAuth::Full;
        Shown::of(caller, exposed).map_err(|error| OperationError::Invalid(error.to_string()))
    }

    /// The name requested for a machine, with its domain.
    fn fqdn(&self, system: &radl::System, number: u32) -> String {
        let options = &self.settings.contextualization;
        let defaults =
            radl::names::Defaults { host: Some(&options.default_vm_name), domain: Some(&options.default_domain) };
        match system.requested_name(0, Some(u64::from(number)), defaults) {
            Some((host, Some(domain))) => format!("{host}.{domain}"),
            Some((host, None)) => host,
            None => format!("vnode-{number}"),
        }
    }

    /// A machine's document as it is shown: the names do not wait for the cloud to tell of the machine.
    fn vm_info(&self, vm: &Vm, state: State) -> radl::Radl {
        let mut info = render::vm_info(vm, state);
        if let Some(system) = info.systems.first_mut() {
            self.name(system, vm);
        }
        info
    }

    /// Fills in the names of a machine in its system.
    fn name(&self, system: &mut radl::System, vm: &Vm) {
        system.fill_in_names(u64::from(vm.number), &self.settings.contextualization.default_vm_name);
    }

    /// Configured tags of machines, for clouds that have tags.
    fn tags(&self, model: &Infrastructure) -> Vec<(String, String)> {
        let owner = model.owners.first().map(|owner| owner.username.clone());
        [(&self.settings.vm_tag_username, owner), (&self.settings.vm_tag_inf_id, Some(model.id.clone()))]
            .into_iter()
            .filter_map(|(key, value)| Some((key.clone()?, value?)))
            .collect()
    }

    /// What recipes see as IM_INFRASTRUCTURE_AUTH. Where the owner's credentials are not known, or several people own the
    /// infrastructure, so that recipes of one would see those of another, it is a token all the same.
    fn exposed_auth(&self, model: &Infrastructure) -> Option<String> {
        let full = || {
            let item = model.login.as_ref()?;
            let pair = || Some(format!("{}:{}", item.get("username")?, item.get("password").unwrap_or_default()));
            item.get("token").map(str::to_owned).or_else(pair)
        };
        let scoped = || auth::scoped::token(&self.identity_key, &model.id);
        match self.settings.exposed_auth {
            ExposedAuth::None => None,
            ExposedAuth::Scoped => Some(scoped()),
            ExposedAuth::Full => Some(full().unwrap_or_else(scoped)),
        }
    }

    fn figures(&self) -> Figures {
        let mut figures = Figures { infrastructures: self.directory.len(), ..Figures::default() };
        for handle in self.directory.loaded() {
            let model = handle.snapshot();
            figures.loaded += 1;
            figures.vms += model.live_vms().count();
            figures.contextualizing += usize::from(model.generation.as_ref().is_some_and(|g| g.open));
            figures.work += model.work.len();
        }
        figures
    }

    async fn ready(&self) -> Result<(), OperationError> {
        self.reachable()?;
        self.probe().await?;
        if self.cluster.as_ref().is_some_and(|cluster| !cluster.is_member()) {
            return Err(OperationError::Unavailable("this daemon is not a member of its cluster".to_owned()));
        }
        // A nearly full disk takes the small change of a check where it refuses greater ones.
        let waiting = self.unsaved().values().next().cloned();
        match waiting.or_else(|| self.refused_lately()) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn unsaved(&self) -> MutexGuard<'_, BTreeMap<String, StoreError>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
