//! The daemon as a whole: opens the store, the clouds, the engine and the APIs, and closes them in order.

use crate::{
    api::{
        SitesError,
        http::{self, Listener, ServerSettings, Tls, TlsError, tls},
        oai::Catalogue,
        peers,
        rest::{RestSettings, RestState},
        sites,
        xmlrpc::{self, XmlRpcSettings, XmlRpcState},
    },
    auth::{Authenticator, KeyedHash},
    config::{self, Config},
    engine::{
        Engine, EngineSettings, Now,
        files::{self, Files},
        settings::{BootMode, ExposedAuth, ToscaSettings, TunnelSettings},
    },
    pages::FilePages,
    store::{
        self, StoreError,
        sealing::{KeyError, Keyring},
    },
    templates::{FetchError, Fetcher, Gathering, Network, Permission, Repository},
};
use connectors::{
    ConnectorError, ConnectorSettings, DockerSettings,
    dummy::DummySettings,
    http::HttpSettings,
    local::{DiskStorage, LocalSettings},
    private_networks::PrivateNetworks,
    registry::Registry,
    settings::OpenNebulaSettings,
};
use contextualization::{Settings, ssh::SshLimits};
use futures::future::BoxFuture;
use keypair::KeyType;
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Time that running requests get after the signal to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// New SSH connections per second and machine; more are refused by sshd's MaxStartups.
const SSH_RATE: u32 = 5;
/// Time between two tries to install a role or collection.
const GALAXY_DELAY: Duration = Duration::from_secs(10);

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
    #[error("ACTIVATE_REST and ACTIVATE_XMLRPC are both False: there is nothing to serve")]
    NothingToServe,
    /// An address to listen on.
    #[error("cannot listen on {address}: {source}; set {api}_ADDRESS and {api}_PORT to a free address of this host")]
    Listen {
        /// Start of the names of the options.
        api: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Key or certificates of an API.
    #[error("{source}; see {api}_SSL_KEYFILE, {api}_SSL_CERTFILE and {api}_SSL_CA_CERTS")]
    Tls {
        /// Start of the names of the options.
        api: &'static str,
        /// What is wrong.
        source: TlsError,
    },
    /// REST and what else is served on its port.
    #[error(transparent)]
    Sites(#[from] SitesError),
    /// The XML-RPC API.
    #[error(transparent)]
    XmlRpc(#[from] xmlrpc::ServeError),
    /// Metrics that cannot be registered.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The repository of templates.
    #[error("OAIPMH_REPO_BASE_IDENTIFIER_URL: {0}")]
    Repository(#[from] FetchError),
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
/// start (contextualizations end with the daemon where CTXT_KILL_ON_STOP says so); everything acknowledged is durable
/// already. With `new_database` the database may be one that the data key does not belong to. `pages` are given back when the
/// start is over, and after work.
///
/// # Errors
/// Whatever keeps it from starting.
pub async fn run(config: Config, new_database: bool, pages: FilePages) -> Result<(), StartError> {
    let signalled = stop_signal()?;
    let rest = listen(Endpoint::rest(&config)).await?;
    let xmlrpc = listen(Endpoint::xmlrpc(&config)).await?;
    if rest.is_none() && xmlrpc.is_none() {
        return Err(StartError::NothingToServe);
    }
    let registry = prometheus::Registry::new();
    let fetcher = fetcher(&config);
    let (engine, authenticator) =
        open(&config, new_database, &registry, Arc::new(SystemTime::now), fetcher.clone()).await?;
    let stop = CancellationToken::new();
    let serve_rest = async {
        let Some(listener) = rest else { return Ok(()) };
        tracing::info!(address = %listener.local_addr()?, encrypted = listener.is_encrypted(), "serving the REST API");
        let (engine, authenticator, registry) = (engine.clone(), authenticator.clone(), registry.clone());
        let state = RestState { engine, authenticator, registry, settings: rest_settings(&config) };
        let sites = sites(state, catalogue(&config, fetcher.clone())?)?;
        http::serve(sites, listener, server_settings(&config), stop.cancelled()).await.map_err(StartError::from)
    };
    let serve_xmlrpc = async {
        let Some(listener) = xmlrpc else { return Ok(()) };
        tracing::info!(address = %listener.local_addr()?, encrypted = listener.is_encrypted(), "serving the XML-RPC API");
        let (engine, authenticator, registry) = (engine.clone(), authenticator.clone(), registry.clone());
        let state = XmlRpcState { engine, authenticator, registry, settings: xmlrpc_settings(&config) };
        xmlrpc::serve(state, listener, stop.cancelled()).await.map_err(StartError::from)
    };
    let signalled = async {
        signalled.await;
        stop.cancel();
        Ok(())
    };
    pages.give_back();
    let served = async { tokio::try_join!(serve_rest, serve_xmlrpc, signalled) };
    let activity = engine.activity();
    tokio::select! {
        served = served => drop(served?),
        never = activity.tidy(&pages) => match never {},
        never = authenticator.tidy() => match never {},
        never = engine.keep_for(config.purge_after_days) => match never {},
    }
    if config.ctxt_kill_on_stop {
        engine.end_contextualizations().await;
    }
    engine.leave().await;
    Ok(())
}

/// Where an API is served, as the configuration says.
struct Endpoint<'a> {
    /// Start of the names of its options.
    api: &'static str,
    active: bool,
    address: (IpAddr, u16),
    encrypted: bool,
    key: &'a Path,
    certificate: &'a Path,
    authorities: Option<&'a Path>,
}

impl<'a> Endpoint<'a> {
    fn rest(config: &'a Config) -> Self {
        Self {
            api: "REST",
            active: config.activate_rest,
            address: (config.rest_address, config.rest_port),
            encrypted: config.rest_ssl,
            key: &config.rest_ssl_keyfile,
            certificate: &config.rest_ssl_certfile,
            authorities: config.rest_ssl_ca_certs.as_deref(),
        }
    }

    fn xmlrpc(config: &'a Config) -> Self {
        Self {
            api: "XMLRCP",
            active: config.activate_xmlrpc,
            address: (config.xmlrcp_address, config.xmlrcp_port),
            encrypted: config.xmlrcp_ssl,
            key: &config.xmlrcp_ssl_keyfile,
            certificate: &config.xmlrcp_ssl_certfile,
            authorities: config.xmlrcp_ssl_ca_certs.as_deref(),
        }
    }
}

/// Listens where an API is served, none if it is not.
async fn listen(endpoint: Endpoint<'_>) -> Result<Option<Listener>, StartError> {
    let api = endpoint.api;
    if !endpoint.active {
        return Ok(None);
    }
    let load = || Tls::load(endpoint.key, endpoint.certificate, endpoint.authorities);
    let tls = endpoint.encrypted.then(load).transpose().map_err(|source| StartError::Tls { api, source })?;
    let address = SocketAddr::from(endpoint.address);
    let listener = Listener::bind(address, tls).await;
    let listener = listener.map_err(|source| StartError::Listen { api, address, source })?;
    Ok(Some(listener))
}

/// The engine and who may use it, as the configuration says. `now` is the clock of the host, `fetcher` what brings files that
/// documents name.
///
/// # Errors
/// Key, database, clouds.
pub async fn open(
    config: &Config,
    new_database: bool,
    metrics: &prometheus::Registry,
    now: Now,
    fetcher: Arc<Fetcher>,
) -> Result<(Engine, Arc<Authenticator>), StartError> {
    let key = config.data_key.as_ref().map(config::Secret::expose);
    let keyring = Keyring::load(&config.data_key_file, key)?;
    let keyring = Arc::new(if new_database { keyring.accepting_new_database() } else { keyring });
    let store = store::open(config.data_db.as_str(), keyring.clone()).await?;
    let registry = Arc::new(Registry::new(connector_settings(config)).with_metrics(metrics)?);
    if config.local.enabled {
        // What is missing on this host is better said now than at the first launch.
        registry.local_cloud()?;
    }
    let (listener, cluster) = match store.leases() {
        Some(_) => {
            let listen = peers::listen(config, keyring.clone()).await;
            let (listener, settings) =
                listen.map_err(|(address, source)| StartError::Listen { api: "CLUSTER", address, source })?;
            (Some(listener), Some(settings))
        }
        None => (None, None),
    };
    let identity_key: KeyedHash = Arc::new(move |user, password| keyring.owner_key(user, password));
    let authenticator = Arc::new(Authenticator::new(config, identity_key.clone(), now.clone()));
    let ssh = SshLimits::new(config.ctxt_max_ssh, SSH_RATE);
    let mut settings = engine_settings(config);
    settings.tosca = tosca_settings(config, fetcher);
    settings.tunnels = tunnel_settings(config)?;
    let engine = Engine::open(settings, store, registry, ssh, identity_key, now, cluster).await?;
    if let Some(listener) = listener {
        tokio::spawn(peers::serve(engine.clone(), listener));
    }
    Ok((engine, authenticator))
}

/// What fetches the files that documents name and `/oai` publishes, as the configuration allows: one for both, with what it
/// remembers.
#[must_use]
pub fn fetcher(config: &Config) -> Arc<Fetcher> {
    let repository = config.oaipmh_repo_base_identifier_url.as_deref();
    let permission = Permission::new(&config.tosca_import_hosts, repository);
    let network = Network::public(config.private_net_masks.clone());
    Arc::new(Fetcher::new(permission, config.tosca_mirror_dir.clone(), network))
}

/// What `/oai` publishes, none unless the configuration says all of it.
///
/// # Errors
/// A repository that cannot be one.
pub fn catalogue(config: &Config, fetcher: Arc<Fetcher>) -> Result<Option<Catalogue>, StartError> {
    let texts = (&config.oaipmh_repo_base_identifier_url, &config.oaipmh_repo_name, &config.oaipmh_repo_description);
    let (Some(base), Some(name), Some(description)) = texts else { return Ok(None) };
    Ok(Some(Catalogue {
        repository: Repository::new(base, fetcher)?,
        name: name.clone(),
        description: description.clone(),
        email: config.oaipmh_repo_admin_email.clone().unwrap_or_default(),
    }))
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

fn server_settings(config: &Config) -> ServerSettings {
    ServerSettings {
        public_url: config.public_url.clone(),
        max_head: config.rest_max_header_size,
        max_connections: config.rest_max_connections,
        max_from_address: config.rest_max_connections_per_address,
        drain: DRAIN,
        ..ServerSettings::default()
    }
}

fn rest_settings(config: &Config) -> RestSettings {
    RestSettings {
        cors_origin: config.enable_cors.then(|| config.cors_origin.clone()),
        max_body: usize::try_from(config.rest_max_body_size).unwrap_or(usize::MAX),
        max_streams: config.rest_max_event_streams,
        max_streams_of_user: config.rest_max_event_streams_per_user,
        ..RestSettings::default()
    }
}

fn xmlrpc_settings(config: &Config) -> XmlRpcSettings {
    XmlRpcSettings {
        vminfo_json: config.vminfo_json,
        max_body: usize::try_from(config.xmlrcp_max_body_size).unwrap_or(usize::MAX),
        max_head: config.xmlrcp_max_header_size,
        max_connections: config.xmlrcp_max_connections,
        max_from_address: config.xmlrcp_max_connections_per_address,
        drain: DRAIN,
        ..XmlRpcSettings::default()
    }
}

fn key_type(config: &Config) -> KeyType {
    match config.ssh_key_type {
        config::SshKeyType::Rsa => KeyType::Rsa,
        config::SshKeyType::Ed25519 => KeyType::Ed25519,
    }
}

pub(crate) fn connector_settings(config: &Config) -> ConnectorSettings {
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
        database: store::name(config.data_db.as_str()),
    };
    ConnectorSettings {
        private_networks: PrivateNetworks::from(config.private_net_masks.clone()),
        http: HttpSettings { verify: config.verifi_ssl, ..HttpSettings::default() },
        dummy: DummySettings { state_dir: config.dummy.state_dir.clone(), socket: config.dummy.socket.clone() },
        local,
        docker: DockerSettings { sockets: config.docker.unix_sockets },
        opennebula: OpenNebulaSettings {
            template_context: config.opennebula.template_context.clone(),
            template_other: config.opennebula.template_other.clone(),
            image_uname: config.opennebula.image_uname.clone(),
        },
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
        max_vms_per_request: u64::from(config.max_vms_per_request),
        max_deployed_size: config.max_deployed_size,
        max_vm_fails: config.max_vm_fails,
        delay_between_retries: config.delay_between_vm_retries,
        inf_cache_time: config.inf_cache_time,
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
        tunnels: None,
        body_memory: usize::try_from(config.max_body_memory).unwrap_or(usize::MAX),
        ssh_key_type: key_type(config),
        tosca: ToscaSettings::default(),
        contextualization: Arc::new(contextualization_settings(config)),
    }
}

/// What documents of TOSCA may name.
fn tosca_settings(config: &Config, fetcher: Arc<Fetcher>) -> ToscaSettings {
    ToscaSettings {
        files: Files::new(move || Box::new(Gathering::new(fetcher.clone()))),
        template_repository: config.oaipmh_repo_base_identifier_url.clone(),
    }
}

impl files::Gathering for Gathering {
    fn fetch(&mut self, wanted: Vec<String>) -> BoxFuture<'_, ()> {
        Box::pin(Gathering::fetch(self, wanted))
    }
}

/// How machines reach the REST API, none if they are not to open tunnels.
fn tunnel_settings(config: &Config) -> Result<Option<TunnelSettings>, StartError> {
    if !config.ssh_reverse_tunnels || !config.activate_rest {
        return Ok(None);
    }
    let pinned = config.rest_ssl.then(|| tls::pinned_key(&config.rest_ssl_certfile)).transpose();
    let pinned_key = pinned.map_err(|source| StartError::Tls { api: "REST", source })?;
    Ok(Some(TunnelSettings { public_url: config.public_url.clone(), pinned_key }))
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
        bundle_dir: config.ctxt_bundle_dir.clone(),
        ansible_version: config.ansible_version.clone(),
        collections: match config.ctxt_collections {
            config::Collections::Slim => "slim",
            config::Collections::Default => "default",
            config::Collections::Full => "full",
        }
        .to_owned(),
        allow_online: config.ctxt_allow_online,
        pip_index: config.ctxt_pip_index.clone(),
        galaxy_server: config.ctxt_galaxy_server.clone(),
        galaxy_dir: config.ctxt_galaxy_dir.clone(),
        galaxy_delay: GALAXY_DELAY,
        check_host_keys: config.ctxt_hostkey == config::HostKeys::Tofu,
        expose_secrets: config.ctxt_expose_auth == config::ExposeAuth::Full,
        inventory_integers: config.ctxt_inventory_types == config::InventoryTypes::R1,
        log_max: config.ctxt_log_max,
        log_ascii: config.ctxt_log_ascii,
    }
}
