//! From a credential line to a connector: which folder serves which type, with the layers around it.

use crate::{
    AccountName, CloudAccount, Connector, ConnectorError, ConnectorSettings, ErrorClass, Guests,
    deployed::{self, DeployedNode},
    dummy::{self, Dummy},
    layers::{CallMetrics, Concurrency, Layer, Layered, Metrics, Retry, Timeout, Trace},
    local::{self, LocalCloud},
};
use openssl::sha::Sha256;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Makes the connector of one type.
type Connect = fn(&Registry, &CloudAccount) -> Result<Arc<dyn Connector>, ConnectorError>;

/// A type of clouds that is served.
struct Served {
    kind: &'static str,
    /// What tells the accounts of its clouds apart, as [`AccountName`] says.
    account_name: fn(&CloudAccount) -> String,
    guests: Guests,
    connect: Connect,
}

/// The types that this version serves. A new cloud is a folder and an entry here.
const CLOUDS: [Served; 3] = [
    Served {
        kind: deployed::KIND,
        account_name: deployed::account_name,
        guests: deployed::GUESTS,
        connect: |_, _| Ok(Arc::new(DeployedNode)),
    },
    Served {
        kind: "Dummy",
        account_name: dummy::account_name,
        guests: dummy::GUESTS,
        connect: |registry, account| Ok(Arc::new(Dummy::new(registry.simulated_site()?, account)?)),
    },
    Served {
        kind: "Local",
        account_name: local::account_name,
        guests: local::GUESTS,
        connect: |registry, account| Ok(registry.local_cloud()?.connector(account)),
    },
];

/// Types of the contract that this version does not serve.
const NOT_YET: [&str; 16] = [
    "Azure",
    "CloudStack",
    "Docker",
    "EC2",
    "EGI",
    "GCE",
    "Kubernetes",
    "KubeVirt",
    "Lambda",
    "LibCloud",
    "Linode",
    "OSCAR",
    "OpenNebula",
    "OpenStack",
    "Orange",
    "vSphere",
];

/// Types whose services no longer exist.
const REMOVED: [&str; 2] = ["OCCI", "FogBow"];

/// Types of credentials that are not clouds.
const NOT_CLOUDS: [&str; 4] = ["InfrastructureManager", "VMRC", "AppDBIS", "EGIIS"];

/// Connectors kept while nobody uses them.
const IDLE_CONNECTORS: usize = 1024;

/// What the machines of clouds of this type are; the usual for a type that is not served.
#[must_use]
pub fn guests(kind: &str) -> Guests {
    served(kind).map(|served| served.guests).unwrap_or_default()
}

/// Whether this version serves clouds of this type.
#[must_use]
pub fn is_served(kind: &str) -> bool {
    served(kind).is_some()
}

fn served(kind: &str) -> Option<&'static Served> {
    CLOUDS.iter().find(|served| served.kind == kind)
}

/// What tells this account from the others of its cloud; none for a type that is not served.
#[must_use]
pub fn account_name(account: &CloudAccount) -> Option<AccountName> {
    Some(AccountName((served(&account.kind)?.account_name)(account)))
}

/// Whether credentials of this type name a cloud.
#[must_use]
pub fn is_cloud(kind: &str) -> bool {
    !NOT_CLOUDS.contains(&kind)
}

/// A digest of everything in a credential line but its label.
#[derive(PartialEq, Eq, Hash)]
struct AccountKey([u8; 32]);

impl AccountKey {
    fn of(account: &CloudAccount) -> Self {
        let endpoint = &account.endpoint;
        let port = endpoint.port.map(|port| port.to_string()).unwrap_or_default();
        let mut fields: Vec<_> = account.fields.iter().collect();
        fields.sort_unstable();
        let place = [&account.kind, &endpoint.protocol, &endpoint.server, &port, &endpoint.path];
        let mut digest = Sha256::new();
        for part in place.into_iter().chain(fields.into_iter().flat_map(|(key, value)| [key, value])) {
            // With its length, so that no two lines are the same text.
            digest.update(&part.len().to_le_bytes());
            digest.update(part.as_bytes());
        }
        Self(digest.finish())
    }
}

/// All connectors of a daemon. Equal credentials share a connector, and with it their limit of concurrent calls.
pub struct Registry {
    settings: ConnectorSettings,
    metrics: Option<CallMetrics>,
    connectors: Mutex<HashMap<AccountKey, Arc<dyn Connector>>>,
    simulated_cloud: OnceLock<Arc<dummy::Cloud>>,
    local_cloud: OnceLock<Arc<LocalCloud>>,
}

impl Registry {
    /// No connector yet.
    #[must_use]
    pub fn new(settings: ConnectorSettings) -> Self {
        Self {
            settings,
            metrics: None,
            connectors: Mutex::new(HashMap::new()),
            simulated_cloud: OnceLock::new(),
            local_cloud: OnceLock::new(),
        }
    }

    /// Counts and times the calls of all connectors in `registry`.
    ///
    /// # Errors
    /// When `registry` already has metrics of these names.
    pub fn with_metrics(mut self, registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        self.metrics = Some(CallMetrics::register(registry)?);
        Ok(self)
    }

    /// The connector of an account, in its layers.
    ///
    /// # Errors
    /// `Unsupported` when no connector serves the type; what the connector says of the line when it cannot be used.
    pub fn connector(&self, account: &CloudAccount) -> Result<Arc<dyn Connector>, ConnectorError> {
        let connect = connect_of(&account.kind)?;
        let key = AccountKey::of(account);
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = connectors.get(&key) {
            return Ok(Arc::clone(connector));
        }
        if connectors.len() >= IDLE_CONNECTORS {
            connectors.retain(|_, connector| Arc::strong_count(connector) > 1);
        }
        let connector: Arc<dyn Connector> = Arc::new(self.layered(connect(self, account)?, &account.kind));
        connectors.insert(key, Arc::clone(&connector));
        Ok(connector)
    }

    /// The simulated cloud in this process, which type `Dummy` leads to unless `[Dummy] SOCKET` names another one.
    ///
    /// # Errors
    /// `Invalid` when `[Dummy] STATE_DIR` cannot be used.
    pub fn simulated_cloud(&self) -> Result<Arc<dummy::Cloud>, ConnectorError> {
        if let Some(cloud) = self.simulated_cloud.get() {
            return Ok(Arc::clone(cloud));
        }
        let cloud = match &self.settings.dummy.state_dir {
            Some(directory) => dummy::Cloud::open(directory, dummy::system_clock)?,
            None => dummy::Cloud::in_memory(dummy::system_clock),
        };
        Ok(Arc::clone(self.simulated_cloud.get_or_init(|| Arc::new(cloud))))
    }

    /// Where the simulated cloud is.
    fn simulated_site(&self) -> Result<dummy::CloudSite, ConnectorError> {
        let settings = &self.settings.dummy;
        match &settings.socket {
            None => Ok(dummy::CloudSite::InProcess(self.simulated_cloud()?)),
            Some(_) if settings.state_dir.is_some() => {
                let text = "[Dummy] SOCKET and STATE_DIR exclude each other: the cloud behind the socket keeps its own";
                Err(ConnectorError::new(ErrorClass::Invalid, text))
            }
            Some(socket) => Ok(dummy::CloudSite::Remote(dummy::Remote::new(socket.clone()))),
        }
    }

    /// The cloud behind the type `Local`: the nodes on this host.
    ///
    /// # Errors
    /// `Unsupported` unless the operator switched it on; what is missing on this host.
    pub fn local_cloud(&self) -> Result<Arc<LocalCloud>, ConnectorError> {
        if !self.settings.local.enabled {
            let text = "Cloud provider not supported: Local (switched off on this server: [Local] ENABLED)";
            return Err(ConnectorError::new(ErrorClass::Unsupported, text));
        }
        if let Some(cloud) = self.local_cloud.get() {
            return Ok(Arc::clone(cloud));
        }
        let cloud = LocalCloud::open(self.settings.local.clone())?;
        Ok(Arc::clone(self.local_cloud.get_or_init(|| cloud)))
    }

    /// Puts the layers around a connector; `kind` is its type, for traces and metrics.
    fn layered(&self, connector: Arc<dyn Connector>, kind: &str) -> Layered {
        let mut layers: Vec<Arc<dyn Layer>> = vec![
            Arc::new(Trace::new(kind)),
            Arc::new(Retry::new(self.settings.retry.clone(), rand::random::<f64>)),
            Arc::new(Concurrency::new(&self.settings.concurrency)),
        ];
        if let Some(metrics) = &self.metrics {
            layers.push(Arc::new(Metrics::new(metrics.clone(), kind)));
        }
        layers.push(Arc::new(Timeout::new(self.settings.timeouts.clone())));
        Layered::new(connector, layers)
    }
}

fn connect_of(kind: &str) -> Result<Connect, ConnectorError> {
    let refuse = |message: String| Err(ConnectorError::new(ErrorClass::Unsupported, message));
    if kind.chars().count() > 15 || kind.contains('.') {
        return Err(ConnectorError::new(ErrorClass::Invalid, "Not valid cloud provider."));
    }
    if let Some(served) = served(kind) {
        return Ok(served.connect);
    }
    if REMOVED.contains(&kind) {
        return refuse(format!("Cloud provider not supported: {kind} (removed: the service no longer exists)"));
    }
    if NOT_YET.contains(&kind) {
        return refuse(format!("Cloud provider not supported: {kind} (not available in this version)"));
    }
    let clouds: Vec<_> = CLOUDS.iter().map(|served| served.kind).collect();
    refuse(format!("Cloud provider not supported: {kind} (error: unknown type, use one of {})", clouds.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn account(kind: &str, fields: &[(&str, &str)]) -> CloudAccount {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        CloudAccount { id: "cloud".into(), kind: kind.into(), endpoint: crate::Endpoint::default(), fields }
    }

    #[test]
    fn types_without_a_connector_are_refused_with_the_reason() {
        let registry = Registry::new(ConnectorSettings::default());
        let refusal = |kind: &str| registry.connector(&account(kind, &[])).err().unwrap().message;
        assert_eq!(refusal("AVeryLongProvider"), "Not valid cloud provider.");
        assert_eq!(refusal("os.system"), "Not valid cloud provider.");
        assert!(refusal("OCCI").starts_with("Cloud provider not supported: OCCI (removed"));
        assert_eq!(refusal("EC2"), "Cloud provider not supported: EC2 (not available in this version)");
        assert!(refusal("dummy").starts_with("Cloud provider not supported: dummy (error: unknown type"));
        assert!(registry.connector(&account("Dummy", &[])).is_ok());
        assert!(is_cloud("Dummy") && !is_cloud("EGIIS"));
    }

    #[test]
    fn accounts_have_names_that_outlive_their_passwords() {
        let name = |kind: &str, fields: &[(&str, &str)]| account_name(&account(kind, fields));
        let dummy = name("Dummy", &[("username", "u"), ("password", "old"), ("seed", "1")]);
        assert_eq!(dummy, name("Dummy", &[("password", "new"), ("username", "u")]));
        assert_ne!(dummy, name("Dummy", &[("username", "v"), ("password", "old")]));
        assert!(dummy.is_some_and(|name| !name.0.contains("old")));
        assert_eq!(name("Local", &[("any", "key")]), name("Local", &[]), "there is one host");
        assert_eq!(name("EC2", &[]), None);
    }

    #[test]
    fn equal_credentials_share_a_connector() {
        let registry = Registry::new(ConnectorSettings::default());
        let connect = |fields: &[(&str, &str)]| registry.connector(&account("Dummy", fields)).unwrap();
        let first = connect(&[("username", "u"), ("seed", "1")]);
        assert!(Arc::ptr_eq(&first, &connect(&[("seed", "1"), ("username", "u")])));
        assert!(!Arc::ptr_eq(&first, &connect(&[("username", "v"), ("seed", "1")])));
        assert!(!Arc::ptr_eq(&first, &connect(&[("username", "us"), ("eed", "1")])));
    }
}
