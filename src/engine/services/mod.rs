//! What the engine works with: the store, the clouds, the clock, the settings. Every room above takes it from here.

pub mod apart;
pub mod health;

use crate::{
    auth::{self, Caller, KeyedHash},
    engine::{
        cluster::{CloudCall, Cluster},
        error::OperationError,
        secrets,
        settings::{Access, EngineSettings, ExposedAuth},
        state::{
            accounts::{Accounts, Shown},
            draft::Terms,
            model::{CloudRef, Infrastructure, State, Vm},
            render,
            states::Clock,
        },
    },
    pages::Activity,
    store::{Lease, Store, StoreError},
};
use connectors::{Connector, ConnectorError, registry::Registry};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio_util::task::TaskTracker;

/// The time now; passed in so that tests can set it.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What the engine works with.
pub struct Services {
    pub settings: EngineSettings,
    pub store: Arc<dyn Store>,
    pub registry: Arc<Registry>,
    pub ssh: contextualization::ssh::SshLimits,
    pub identity_key: KeyedHash,
    pub capacity: apart::Capacity,
    /// The tasks of contextualizations.
    pub contexts: TaskTracker,
    /// Infrastructures with changes that the store refused and that are tried again, and why.
    unsaved: Mutex<BTreeMap<String, StoreError>>,
    now: Now,
    /// When it started: by a clock that nobody sets, and what the clock of the host said then, microseconds since the epoch.
    started: (tokio::time::Instant, i64),
    health: health::Health,
    /// Told of every change that is stored.
    pub activity: Arc<Activity>,
    /// None where the store is this daemon's alone.
    pub cluster: Option<Arc<Cluster>>,
}

/// Microseconds since the epoch.
fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl Services {
    pub fn new(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        ssh: contextualization::ssh::SshLimits,
        identity_key: KeyedHash,
        now: Now,
        cluster: Option<Arc<Cluster>>,
    ) -> Self {
        Self {
            capacity: apart::Capacity::new(settings.body_memory),
            settings,
            store,
            registry,
            ssh,
            identity_key,
            contexts: TaskTracker::new(),
            unsaved: Mutex::default(),
            started: (tokio::time::Instant::now(), micros(now())),
            now,
            health: health::Health::default(),
            activity: Arc::default(),
            cluster,
        }
    }

    /// Now, microseconds since the epoch.
    pub fn now(&self) -> i64 {
        micros((self.now)())
    }

    /// Time since the start, microseconds: for intervals, which the clock of the host must not stretch when it is set.
    pub fn uptime(&self) -> i64 {
        i64::try_from(self.started.0.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Now by the steady clock, seconds since the epoch: what the clock of the host would say, had nobody set it since the
    /// start. Of intervals that are stored, and go on with the next daemon.
    pub fn steady(&self) -> i64 {
        self.started.1.saturating_add(self.uptime()) / 1_000_000
    }

    pub fn clock(&self) -> Clock {
        let grace = i64::try_from(self.settings.vm_info_error_grace.as_secs()).unwrap_or(i64::MAX);
        Clock { now: self.steady(), grace }
    }

    /// How many machines of one infrastructure and cloud are launched or deleted at the same time.
    pub fn launch_slots(&self) -> usize {
        self.settings.max_simultaneous_launches.max(1)
    }

    /// The connector for a cloud, with the one of these accounts that is its own.
    pub fn connector(
        &self,
        accounts: Option<&Accounts>,
        cloud: &CloudRef,
    ) -> Result<Arc<dyn Connector>, ConnectorError> {
        self.registry.connector(accounts.unwrap_or(&Accounts::default()).of(cloud)?)
    }

    /// What a caller shows with a request.
    pub fn shown(&self, caller: &Caller) -> Result<Shown, OperationError> {
        let exposed = self.settings.exposed_auth == ExposedAuth::Full;
        Shown::of(caller, exposed).map_err(|error| OperationError::Invalid(error.to_string()))
    }

    /// The name requested for a machine, with its domain.
    pub fn fqdn(&self, system: &radl::System, number: u32) -> String {
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
    pub fn vm_info(&self, vm: &Vm, state: State) -> radl::Radl {
        let mut info = render::vm_info(vm, state);
        if let Some(system) = info.systems.first_mut() {
            self.name(system, vm);
        }
        info
    }

    /// Fills in the names of a machine in its system.
    pub fn name(&self, system: &mut radl::System, vm: &Vm) {
        system.fill_in_names(u64::from(vm.number), &self.settings.contextualization.default_vm_name);
    }

    /// Tags of a machine, for clouds that have tags: those of its system, then the configured ones whose keys are not among
    /// them (docs/spec/connectors.md, 2.11).
    pub fn tags(&self, model: &Infrastructure, system: &radl::System) -> Vec<(String, String)> {
        let owner = model.owners.first().map(|owner| owner.username.clone());
        let mut tags = system.instance_tags();
        let configured =
            [(&self.settings.vm_tag_username, owner), (&self.settings.vm_tag_inf_id, Some(model.id.clone()))];
        for (key, value) in configured.into_iter().filter_map(|(key, value)| Some((key.clone()?, value?))) {
            tags.entry(key).or_insert(value);
        }
        tags.into_iter().collect()
    }

    /// What recipes see as IM_INFRASTRUCTURE_AUTH. Where the owner's credentials are not known, or several people own the
    /// infrastructure, so that recipes of one would see those of another, it is a token all the same.
    pub fn exposed_auth(&self, model: &Infrastructure) -> Option<String> {
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

    /// Refuses what the boot mode switches off.
    pub fn allow(&self, access: Access) -> Result<(), OperationError> {
        if self.settings.boot_mode.allows(access) { Ok(()) } else { Err(OperationError::Disabled) }
    }

    pub fn terms(&self) -> Terms {
        Terms {
            now: self.now(),
            steady: self.steady(),
            max_contextualization: self.settings.max_contextualization,
            wait_running: self.settings.contextualization.wait_running,
            default_vm_name: self.settings.contextualization.default_vm_name.as_str().into(),
            new_password: secrets::random_password,
        }
    }

    /// Refuses at once what needs the database while it is away.
    pub fn reachable(&self) -> Result<(), OperationError> {
        Ok(self.cluster.as_ref().map_or(Ok(()), |cluster| cluster.reachable())?)
    }

    /// The lease that a token stands for.
    pub fn lease(&self, token: Option<u64>) -> Option<Lease> {
        Some(self.cluster.as_ref()?.lease(token?))
    }

    /// Waits until a call that changes something in a cloud may be made; where a daemon is alone, it always may.
    pub async fn cloud_call(&self) -> CloudCall<'_> {
        match self.cluster.as_deref() {
            Some(cluster) => cluster.cloud_call().await,
            None => CloudCall::default(),
        }
    }

    /// Whether the daemon can do its work.
    pub async fn ready(&self) -> Result<(), OperationError> {
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

    pub fn unsaved(&self) -> MutexGuard<'_, BTreeMap<String, StoreError>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
