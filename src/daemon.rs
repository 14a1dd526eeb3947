//! The daemon as a whole: opens the store, the clouds, the engine and the API, and closes them in order.

use crate::{
    api::rest::{self, RestSettings, RestState},
    auth::{Authenticator, KeyedHash},
    config::{self, Config},
    engine::{
        Engine, EngineSettings,
        settings::{BootMode, ExposedAuth},
    },
    store::{
        self, StoreError,
        sealing::{KeyError, Keyring},
    },
};
use connectors::{
    ConnectorError, ConnectorSettings,
    dummy::DummySettings,
    local::{DiskStorage, LocalSettings},
    private_networks::PrivateNetworks,
    registry::Registry,
};
use contextualization::{Settings, ssh::SshLimits};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Version of the contract that `/version` tells: clients compare it with that of the reference.
const CONTRACT_VERSION: &str = "1.19.1";
/// Time that running requests get after the signal to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// New SSH connections per second and machine; more are refused by sshd's MaxStartups.
const SSH_RATE: u32 = 5;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The sealing key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database.
    #[error("Error connecting with the DB: {0}")]
    Store(#[from] StoreError),
    /// A cloud that was switched on.
    #[error("{0}")]
    Cloud(#[from] ConnectorError),
    /// Nothing to serve.
    #[error("ACTIVATE_REST is False and there is no other API in this version: nothing to do")]
    NothingToServe,
    /// An address to listen on.
    #[error("cannot listen on {address}: {source}; set REST_ADDRESS and REST_PORT to a free address of this host")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The API.
    #[error(transparent)]
    Serve(#[from] rest::ServeError),
    /// Metrics that cannot be registered.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Something of the system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    /// Exit code of the process; 2 for the database, as the reference's.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Store(_) | Self::Key(_) => 2,
            _ => 1,
        }
    }
}

/// Runs the daemon until SIGTERM, SIGINT or SIGHUP. Running work is left as it is, to be gone on with at the next
/// start (contextualizations end with the daemon where CTXT_KILL_ON_STOP says so); everything acknowledged is durable already.
///
/// # Errors
/// Whatever keeps it from starting.
pub async fn run(config: Config) -> Result<(), StartError> {
    if !config.activate_rest {
        return Err(StartError::NothingToServe);
    }
    let stop = stop_signal()?;
    let address = SocketAddr::new(config.rest_address, config.rest_port);
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
    let metrics = prometheus::Registry::new();
    let (engine, authenticator) = open(&config, &metrics).await?;
    let kept = config.ctxt_kill_on_stop.then(|| engine.clone());
    let state = RestState { engine, authenticator, registry: metrics, settings: rest_settings(&config) };
    tracing::info!(%address, "serving the REST API");
    rest::serve(state, listener, stop).await?;
    if let Some(engine) = kept {
        engine.end_contextualizations().await;
    }
    Ok(())
}

/// The engine and who may use it, as the configuration says.
///
/// # Errors
/// Key, database, clouds.
pub async fn open(config: &Config, metrics: &prometheus::Registry) -> Result<(Engine, Arc<Authenticator>), StartError> {
    let key = config.data_key.as_ref().map(config::Secret::expose);
    let keyring = Arc::new(Keyring::load(&config.data_key_file, key)?);
    let store = store::open(config.data_db.as_str(), keyring.clone())?;
    let registry = Arc::new(Registry::new(connector_settings(config)).with_metrics(metrics)?);
    if config.local.enabled {
        // What is missing on this host is better said now than at the first launch.
        registry.local_cloud()?;
    }
    let identity_key: KeyedHash = Arc::new(move |user, password| keyring.owner_key(user, password));
    let authenticator = Arc::new(Authenticator::new(config, identity_key.clone()));
    let ssh = SshLimits::new(config.ctxt_max_ssh, SSH_RATE);
    let engine =
        Engine::open(engine_settings(config), store, registry, ssh, identity_key, Arc::new(SystemTime::now)).await?;
    Ok((engine, authenticator))
}

/// Completes at the first signal to stop. The handlers are in place when this returns.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let number = tokio::select! {
            _ = terminate.recv() => 15,
            _ = interrupt.recv() => 2,
            _ = hangup.recv() => 1,
        };
        tracing::info!("Signal {number} received. Exiting...");
    })
}

fn rest_settings(config: &Config) -> RestSettings {
    RestSettings {
        version: CONTRACT_VERSION.to_owned(),
        cors_origin: config.enable_cors.then(|| config.cors_origin.clone()),
        public_url: config.public_url.clone(),
        https: false,
        max_body: usize::try_from(config.rest_max_body_size).unwrap_or(usize::MAX),
        max_head: config.rest_max_header_size,
        max_connections: config.rest_max_connections,
        max_streams: config.rest_max_event_streams,
        drain: DRAIN,
        ..RestSettings::default()
    }
}

fn connector_settings(config: &Config) -> ConnectorSettings {
    let local = LocalSettings {
        enabled: config.local.enabled,
        state_dir: config.local.state_dir.clone(),
        public_pool: config.local.public_pool,
        private_pool: config.local.private_pool,
        hide: config.local.hide.clone(),
        limits: config.local.limits,
        max_vms: config.local.max_vms,
        storage: match config.local.storage {
            config::LocalStorage::Auto => DiskStorage::Auto,
            config::LocalStorage::Disk => DiskStorage::Disk,
            config::LocalStorage::Memory(size) => DiskStorage::Memory(size),
        },
    };
    ConnectorSettings {
        private_networks: PrivateNetworks::from(config.private_net_masks.clone()),
        dummy: DummySettings { state_dir: config.dummy.state_dir.clone() },
        local,
        ..ConnectorSettings::default()
    }
}

fn engine_settings(config: &Config) -> EngineSettings {
    EngineSettings {
        boot_mode: match config.boot_mode {
            config::BootMode::Normal => BootMode::Normal,
            config::BootMode::ReadOnly => BootMode::ReadOnly,
            config::BootMode::ReadDelete => BootMode::ReadDelete,
        },
        max_simultaneous_launches: config.max_simultaneous_launches,
        max_vm_fails: config.max_vm_fails,
        delay_between_retries: config.delay_between_vm_retries,
        vm_info_update_frequency: config.vm_info_update_frequency,
        vm_info_error_grace: config.vm_info_update_error_grace_period,
        max_contextualization: config.max_contextualization_time,
        default_memory: (
            i64::try_from(config.default_vm_memory).unwrap_or(i64::MAX),
            config.default_vm_memory_unit.clone(),
        ),
        default_cpus: i64::from(config.default_vm_cpus),
        default_cpu_arch: config.default_vm_cpu_arch.clone(),
        vm_tag_username: config.vm_tag_username.clone(),
        vm_tag_inf_id: config.vm_tag_inf_id.clone(),
        exposed_auth: match config.ctxt_expose_auth {
            config::ExposeAuth::Scoped => ExposedAuth::Scoped,
            config::ExposeAuth::Full => ExposedAuth::Full,
            config::ExposeAuth::None => ExposedAuth::None,
        },
        contextualization: Arc::new(contextualization_settings(config)),
    }
}

fn contextualization_settings(config: &Config) -> Settings {
    Settings {
        remote_conf_dir: config.remote_conf_dir.clone(),
        default_vm_name: config.default_vm_name.clone(),
        default_domain: config.default_domain.clone(),
        playbook_retries: config.playbook_retries,
        wait_running: config.wait_running_vm_timeout,
        wait_ssh: config.wait_ssh_acccess_timeout,
        wait_public_ip: config.wait_public_ip_timeout,
        ansible_install_timeout: config.ansible_install_timeout,
        forks: config.ctxt_forks,
        max_ssh: config.ctxt_max_ssh,
        bundle_dir: config.ctxt_bundle_dir.clone(),
        allow_online: config.ctxt_allow_online,
        check_host_keys: config.ctxt_hostkey == config::HostKeys::Tofu,
        expose_secrets: config.ctxt_expose_auth == config::ExposeAuth::Full,
        inventory_integers: config.ctxt_inventory_types == config::InventoryTypes::R1,
        log_max: config.ctxt_log_max,
        log_ascii: config.ctxt_log_ascii,
    }
}
