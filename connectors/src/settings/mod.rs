//! What connectors take from the configuration.

mod docker;
mod dummy;
mod local;
mod opennebula;

pub use docker::DockerSettings;
pub use dummy::DummySettings;
pub use local::{DiskStorage, LocalSettings};
pub use opennebula::OpenNebulaSettings;

use crate::{
    http::HttpSettings,
    layers::{ConcurrencyLimits, RetryPolicy, Timeouts},
    private_networks::PrivateNetworks,
};

/// What connectors take from the configuration; the default is that of an empty `im.cfg`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConnectorSettings {
    /// `PRIVATE_NET_MASKS`.
    pub private_networks: PrivateNetworks,
    /// How often and how long failed calls are repeated.
    pub retry: RetryPolicy,
    /// The longest that one attempt at a cloud may take.
    pub timeouts: Timeouts,
    /// Requests to clouds over HTTP.
    pub http: HttpSettings,
    /// How many calls of one account run at once.
    pub concurrency: ConcurrencyLimits,
    /// Section `[Dummy]`.
    pub dummy: DummySettings,
    /// Section `[Local]`.
    pub local: LocalSettings,
    /// Section `[Docker]`.
    pub docker: DockerSettings,
    /// Section `[OpenNebula]`.
    pub opennebula: OpenNebulaSettings,
}
