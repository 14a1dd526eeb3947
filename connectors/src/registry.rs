//! From a credential line to a connector: which folder serves which type, with the layers around it.

use crate::{
    AccountName, CloudAccount, CloudType, ConnectContext, Connector, ConnectorError, ConnectorSettings, ErrorClass,
    Guests, deployed, dns, docker, dummy, ec2,
    layers::{CallMetrics, Concurrency, Layer, Layered, Metrics, Retry, Timeout, Trace},
    local::{self, LocalCloud},
    opennebula, openstack,
};
use openssl::sha::Sha256;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// The types that this version serves. A new cloud is a folder and a line here.
const CLOUDS: [&CloudType; 8] = [
    &deployed::CLOUD,
    &docker::CLOUD,
    &dummy::CLOUD,
    &ec2::CLOUD,
    &openstack::EGI,
    &local::CLOUD,
    &opennebula::CLOUD,
    &openstack::CLOUD,
];

/// Types of the contract that this version does not serve.
const NOT_YET: [&str; 11] = [
    "Azure",
    "CloudStack",
    "GCE",
    "Kubernetes",
    "KubeVirt",
    "Lambda",
    "LibCloud",
    "Linode",
    "OSCAR",
    "Orange",
    "vSphere",
];

/// Types whose services no longer exist.
const REMOVED: [&str; 2] = ["OCCI", "FogBow"];

/// Types of credentials that are not clouds.
const NOT_CLOUDS: [&str; 5] = ["InfrastructureManager", "VMRC", "AppDBIS", "EGIIS", dns::KIND];

/// Connectors kept while nobody uses them.
const IDLE_CONNECTORS: usize = 1024;

/// What the machines of clouds of this type are; the usual for a type that is not served.
#[must_use]
pub fn guests(kind: &str) -> Guests {
    served(kind).map(|cloud| cloud.guests).unwrap_or_default()
}

/// Whether this version serves clouds of this type.
#[must_use]
pub fn is_served(kind: &str) -> bool {
    served(kind).is_some()
}

fn served(kind: &str) -> Option<&'static CloudType> {
    CLOUDS.into_iter().find(|cloud| cloud.kind == kind)
}

/// What tells this account from the others of its cloud, or of its DNS service; none for a type that is not served.
#[must_use]
pub fn account_name(account: &CloudAccount) -> Option<AccountName> {
    if account.kind == dns::KIND {
        return Some(AccountName(dns::account_name(account)));
    }
    Some(AccountName((served(&account.kind)?.account_name)(account)))
}

/// Whether credentials of this type name a cloud.
#[must_use]
pub fn is_cloud(kind: &str) -> bool {
    !NOT_CLOUDS.contains(&kind)
}

/// A digest of everything in a credential line but its label.
#[derive(PartialEq, Eq, Hash)]
struct LineDigest([u8; 32]);

impl LineDigest {
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

/// An account of a cloud of a type.
type Account = (&'static str, AccountName);

/// All connectors of a daemon.
///
/// Equal credential lines share a connector, and with it its connections and tokens; what one password earned is used by
/// nobody who does not have it. Lines of one account share the limit of concurrent calls, and the pause that its cloud asked
/// for, so that these outlive a token.
pub struct Registry {
    context: ConnectContext,
    metrics: Option<CallMetrics>,
    connectors: Mutex<HashMap<LineDigest, Arc<dyn Connector>>>,
    limits: Mutex<HashMap<Account, Weak<Concurrency>>>,
}

impl Registry {
    /// No connector yet.
    #[must_use]
    pub fn new(settings: ConnectorSettings) -> Self {
        Self {
            context: ConnectContext::new(settings),
            metrics: None,
            connectors: Mutex::default(),
            limits: Mutex::default(),
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
        let cloud = cloud_type(&account.kind)?;
        let digest = LineDigest::of(account);
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = connectors.get(&digest) {
            return Ok(Arc::clone(connector));
        }
        if connectors.len() >= IDLE_CONNECTORS {
            connectors.retain(|_, connector| Arc::strong_count(connector) > 1);
        }
        let connector: Arc<dyn Connector> = Arc::new(self.layered(cloud, account)?);
        connectors.insert(digest, Arc::clone(&connector));
        Ok(connector)
    }

    /// Who makes the records of machines in the cloud of this connector, for those who show these accounts.
    pub fn record_providers<'a>(
        &self,
        connector: &'a dyn Connector,
        accounts: impl IntoIterator<Item = &'a CloudAccount>,
    ) -> dns::Chain<'a> {
        dns::Chain::new(connector.record_provider(), accounts, self.context.settings.http.clone())
    }

    /// The simulated cloud in this process, which type `Dummy` leads to unless `[Dummy] SOCKET` names another one.
    ///
    /// # Errors
    /// `Invalid` when `[Dummy] STATE_DIR` cannot be used.
    pub fn simulated_cloud(&self) -> Result<Arc<dummy::Cloud>, ConnectorError> {
        dummy::simulated_cloud(&self.context)
    }

    /// The cloud behind the type `Local`: the nodes on this host.
    ///
    /// # Errors
    /// `Unsupported` unless the operator switched it on; what is missing on this host.
    pub fn local_cloud(&self) -> Result<Arc<LocalCloud>, ConnectorError> {
        local::local_cloud(&self.context)
    }

    /// A connector with the layers around it.
    fn layered(&self, cloud: &'static CloudType, account: &CloudAccount) -> Result<Layered, ConnectorError> {
        let connector = (cloud.connect)(&self.context, account)?;
        let settings = &self.context.settings;
        let mut layers: Vec<Arc<dyn Layer>> = vec![
            Arc::new(Trace::new(cloud.kind)),
            Arc::new(Retry::new(settings.retry.clone(), rand::random::<f64>)),
            self.limits_of((cloud.kind, AccountName((cloud.account_name)(account)))),
        ];
        if let Some(metrics) = &self.metrics {
            layers.push(Arc::new(Metrics::new(metrics.clone(), cloud.kind)));
        }
        layers.push(Arc::new(Timeout::new(settings.timeouts.clone())));
        Ok(Layered::new(connector, layers))
    }

    /// The limits of an account. They go with its last connector.
    fn limits_of(&self, account: Account) -> Arc<Concurrency> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = limits.get(&account).and_then(Weak::upgrade) {
            return known;
        }
        limits.retain(|_, limits| limits.strong_count() > 0);
        let made = Arc::new(Concurrency::new(&self.context.settings.concurrency));
        limits.insert(account, Arc::downgrade(&made));
        made
    }
}

fn cloud_type(kind: &str) -> Result<&'static CloudType, ConnectorError> {
    let refuse = |message: String| Err(ConnectorError::new(ErrorClass::Unsupported, message));
    if kind.chars().count() > 15 || kind.contains('.') {
        return Err(ConnectorError::new(ErrorClass::Invalid, "Not valid cloud provider."));
    }
    if let Some(cloud) = served(kind) {
        return Ok(cloud);
    }
    if REMOVED.contains(&kind) {
        return refuse(format!("Cloud provider not supported: {kind} (removed: the service no longer exists)"));
    }
    if NOT_YET.contains(&kind) {
        return refuse(format!("Cloud provider not supported: {kind} (not available in this version)"));
    }
    let clouds: Vec<_> = CLOUDS.iter().map(|cloud| cloud.kind).collect();
    refuse(format!("Cloud provider not supported: {kind} (error: unknown type, use one of {})", clouds.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

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
        assert_eq!(refusal("GCE"), "Cloud provider not supported: GCE (not available in this version)");
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
        assert_eq!(name("GCE", &[]), None);
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

    #[tokio::test(start_paused = true)]
    async fn limits_outlive_a_password_and_are_not_for_others() {
        let registry = Registry::new(ConnectorSettings::default());
        let connect = |user: &str, password: &str| {
            let line = account("Dummy", &[("username", user), ("password", password)]);
            registry.connector(&line).unwrap()
        };
        let (old, new) = (connect("u", "old"), connect("u", "new"));
        assert!(!Arc::ptr_eq(&old, &new), "connections and tokens are those of one password");
        let faults = dummy::Faults {
            failures: vec![(ErrorClass::Throttled, 1.0)],
            retry_after: Some(Duration::from_secs(5000)),
            ..Default::default()
        };
        registry.simulated_cloud().unwrap().impose(Some(faults));
        old.images(&Default::default()).await.unwrap_err();
        registry.simulated_cloud().unwrap().impose(None);
        let start = Instant::now();
        connect("other", "pw").images(&Default::default()).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 0, "another account goes on");
        new.images(&Default::default()).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 60, "the account is held back as long as calls ever are");
    }
}
