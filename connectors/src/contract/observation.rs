//! What a cloud says of a machine.

use super::ProviderId;
use radl::Features;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// State of a machine as the cloud sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// Being made or booting.
    Pending,
    /// Up.
    Running,
    /// Stopped, its disks kept.
    Stopped,
    /// Shut down or gone.
    Off,
    /// The cloud gave up on it.
    Failed,
}

/// An address of a machine. The connector alone says which are public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Whether it can be reached from the daemon's host.
    pub public: bool,
    /// RADL network it belongs to, when the connector knows.
    pub network: Option<String>,
}

/// A TCP port of a machine that is reached from outside by another one, which the cloud chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedPort {
    /// Port at the machine's public address.
    pub outside: u16,
    /// Port inside the machine.
    pub inside: u16,
}

/// What the cloud says of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The machine.
    pub id: ProviderId,
    /// Its state.
    pub state: PowerState,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// Ports that are reached by others than the document says (`outports`): SSH among them, where machines share an
    /// address.
    pub ports: Vec<MappedPort>,
    /// Features to set on its system (`instance_id`, `cpu.count`, ...).
    pub features: Features,
    /// Fault text of the cloud, when it failed.
    pub fault: Option<String>,
    /// The infrastructure whose mark it carries; none when it was made elsewhere.
    pub infrastructure: Option<String>,
    /// What the machine is to have by its marks and does not have, in words for users (`a public address of pool`):
    /// [`Connector::reconcile`](super::Connector::reconcile) is called for it.
    pub missing: Vec<String>,
}
