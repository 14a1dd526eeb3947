//! The contract between the daemon and a cloud (docs/spec/connectors.md, 1).

use crate::{
    error::{ConnectorError, ErrorClass},
    user_data::UserData,
};
use async_trait::async_trait;
use radl::{Features, Network, System};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// Our own id of a machine, chosen and made durable before the cloud is called; the mark that finds it again.
/// Text of `[a-z0-9-]`, at most 36 characters, so that every cloud can carry it in a name, tag or label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VmUid(pub String);

impl std::fmt::Display for VmUid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The cloud's id of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderId(pub String);

impl std::fmt::Display for ProviderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Our own id of an image, chosen and made durable before the cloud is called; the mark that finds it again. Text as that
/// of a [`VmUid`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageUid(pub String);

/// What a connector can do; what it cannot fails before any remote call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Stop keeps the disks, start resumes.
    pub stop_start: bool,
    /// Hard reset.
    pub reboot: bool,
    /// Change of cores or memory.
    pub resize: bool,
    /// Further data disks on an existing machine.
    pub attach_disk: bool,
    /// Image of a disk.
    pub snapshot: bool,
    /// List of images.
    pub images: bool,
    /// Account limits.
    pub quotas: bool,
    /// `outports` are enforced.
    pub outports: bool,
    /// Networks are made on request.
    pub networks: bool,
    /// User data reach the machine at its first boot.
    pub user_data: bool,
}

/// The infrastructure that shared resources (networks, security groups, keys) belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct InfrastructureIntent {
    /// Infrastructure id, part of every mark.
    pub infrastructure: String,
    /// Who owns it, as texts that are equal for the same user: whose networks it may use.
    pub owners: Vec<String>,
    /// Networks that machines of this cloud use, in document order.
    ///
    /// `provider_id` names a network that exists. It is used, and never deleted for this infrastructure's sake; where
    /// infrastructures of one owner share a network that was made for one of them, it goes with the last. What
    /// [`SharedResources`] wrote into a document is a wish when that document comes again for another infrastructure: a
    /// `provider_id` of ours that is gone, or somebody else's, is no error but makes another network, and the `cidr`
    /// that was chosen with it gives way to what is free. A `cidr` that a user demands is had or refused for good.
    pub networks: Vec<Network>,
}

/// What the shared resources turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SharedResources {
    /// Features to set on a network of the document (`provider_id`, `cidr`), by network id.
    pub networks: BTreeMap<String, Features>,
}

/// A machine that is to exist. It is durable before [`Connector::create_vm`] is called.
#[derive(Debug, Clone, PartialEq)]
pub struct VmIntent {
    /// Infrastructure id, part of the mark.
    pub infrastructure: String,
    /// Our id of the machine; creating it twice gives the same machine.
    pub uid: VmUid,
    /// Number of the machine inside the infrastructure (`#N#`).
    pub number: u32,
    /// Host name, with its domain.
    pub fqdn: String,
    /// The concrete system: image chosen, defaults filled in.
    pub system: System,
    /// Networks of the document that the system is connected to.
    pub networks: Vec<Network>,
    /// Marks to put on it besides our own.
    pub tags: Vec<(String, String)>,
    /// What cloud-init is to do at its first boot, in clouds that can be told.
    pub user_data: UserData,
}

impl VmIntent {
    /// The mark of everything that is made for it.
    #[must_use]
    pub fn mark(&self) -> VmMark {
        VmMark { infrastructure: self.infrastructure.clone(), uid: self.uid.clone(), id: None }
    }
}

/// What a machine and everything that belongs to it (key pair, volumes, addresses, ...) is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmMark {
    /// Infrastructure id.
    pub infrastructure: String,
    /// Our id of the machine.
    pub uid: VmUid,
    /// The cloud's id of the machine, once it is known.
    pub id: Option<ProviderId>,
}

impl VmMark {
    /// Refuses the machine of this id when it carries the mark of another infrastructure: who knows its id alone has no
    /// right to it.
    ///
    /// # Errors
    /// [`ErrorClass::Denied`].
    pub fn admit(&self, infrastructure: Option<&str>) -> Result<(), ConnectorError> {
        if infrastructure.is_none_or(|owner| owner == self.infrastructure) {
            return Ok(());
        }
        let id = self.id.as_ref().map(ToString::to_string).unwrap_or_default();
        Err(ConnectorError::new(ErrorClass::Denied, format!("The machine {id} belongs to another infrastructure")))
    }

    /// The cloud's id, for what needs a machine that exists.
    ///
    /// # Errors
    /// [`ErrorClass::NotFound`] when it is not known.
    pub fn existing(&self) -> Result<&ProviderId, ConnectorError> {
        let missing = || ConnectorError::new(ErrorClass::NotFound, "The machine has no id of its cloud yet");
        self.id.as_ref().ok_or_else(missing)
    }
}

/// An image of a disk that is to exist. It is durable before [`Connector::snapshot`] is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIntent {
    /// Infrastructure id, part of the mark.
    pub infrastructure: String,
    /// Our id of the image; making it twice gives the same image.
    pub uid: ImageUid,
    /// Number of the disk.
    pub disk: usize,
    /// Its name for users.
    pub name: String,
}

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

/// What the cloud says of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The machine.
    pub id: ProviderId,
    /// Its state.
    pub state: PowerState,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// Features to set on its system (`instance_id`, `cpu.count`, `disk.0.os.credentials.*`, ...).
    pub features: Features,
    /// Fault text of the cloud, when it failed.
    pub fault: Option<String>,
    /// The infrastructure whose mark it carries; none when it was made elsewhere.
    pub infrastructure: Option<String>,
}

/// A machine found by our mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Our id, read from the mark.
    pub uid: VmUid,
    /// The cloud's id.
    pub id: ProviderId,
}

impl Found {
    /// The mark it was found by, for a machine of this infrastructure.
    #[must_use]
    pub fn mark(&self, infrastructure: &str) -> VmMark {
        VmMark { infrastructure: infrastructure.to_owned(), uid: self.uid.clone(), id: Some(self.id.clone()) }
    }
}

/// A change of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerOperation {
    /// Boot a stopped machine.
    Start,
    /// Stop, disks kept.
    Stop,
    /// Hard reset.
    Reboot,
}

/// A data disk that a machine is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDisk {
    /// N of `disk.N`, from 1.
    pub index: usize,
    /// Bytes; none for as many as its image has.
    pub size: Option<u64>,
    /// URL of the image that it is a copy of; none for an empty disk.
    #[serde(default)]
    pub image: Option<String>,
}

/// New sizes of a machine; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// Cores.
    pub cpu_count: Option<f64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Accelerators.
    pub gpu_count: Option<f64>,
    /// Provider's size name.
    pub instance_type: Option<String>,
    /// Data disks to add.
    pub disks: Vec<NewDisk>,
}

/// An image of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudImage {
    /// Image URL as used in `disk.0.image.url`.
    pub uri: String,
    /// Display name.
    pub name: String,
}

/// One limit of an account; -1 means unlimited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// In use.
    pub used: f64,
    /// Limit.
    pub limit: f64,
}

/// One cloud account. Methods are safe to repeat; a caller may drop the future at any time, or die, and call again.
///
/// Whatever is made carries the mark of its infrastructure, and of its machine unless all machines share it, from the
/// moment it exists. The daemon stores what it is about to ask for before it asks, so the marks are all that a
/// connector needs to take up what an earlier attempt began: it keeps no state of its own. An operation that takes
/// several requests looks first what is there, and makes, attaches or deletes the rest.
///
/// A machine is found by its id, or by its mark. One that carries the mark of another infrastructure is never touched,
/// whoever names its id ([`VmMark::admit`]); one without any mark was made elsewhere, and may be.
///
/// What is refused changes nothing, and its clean-up succeeds: what deletes looks for marks and finds none, whatever was
/// wrong with the names and sizes that were asked for.
#[async_trait]
pub trait Connector: Send + Sync {
    /// What this connector can do.
    fn capabilities(&self) -> Capabilities;

    /// Concrete systems for an abstract one, one per usable image URL; empty when no image fits. What of the system can
    /// be nothing here, whatever its image, is told as an error of the class [`ErrorClass::Invalid`](crate::ErrorClass).
    /// No side effects.
    async fn candidates(&self, system: &System) -> Result<Vec<System>, ConnectorError>;

    /// Makes or finds the shared resources of an infrastructure (networks, security groups, ...).
    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError>;

    /// Makes the machine with all that belongs to it, or what is missing of it, and returns the one machine of
    /// `intent.uid`. Returns once the cloud knows the machine, which may be long before it is up.
    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError>;

    /// The machines that carry the mark of the infrastructure.
    async fn find(&self, infrastructure: &str) -> Result<Vec<Found>, ConnectorError>;

    /// State of the machines, read only, one remote call where the cloud allows. Ids that the cloud no longer knows
    /// are missing in the answer.
    async fn observe(&self, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError>;

    /// Deletes the machine and everything with its mark, also if it never came to a machine; what is missing is a
    /// success.
    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError>;

    /// Deletes the shared resources of an infrastructure; missing ones are a success.
    async fn delete_shared(&self, infrastructure: &str) -> Result<(), ConnectorError>;

    /// Starts, stops or resets a machine. The mark has the id.
    async fn power(&self, _vm: &VmMark, _operation: PowerOperation) -> Result<(), ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Changes sizes and adds disks: all that is asked for, or nothing of it is begun and the refusal says which
    /// property is to blame. A disk that is there already, of an earlier attempt, is as good as a new one if it is the
    /// one that is asked for. The mark has the id.
    async fn resize(&self, _vm: &VmMark, _resize: &Resize) -> Result<(), ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Makes the image of a disk of the machine, or finds the one that an earlier attempt made; its URL. The mark has the
    /// id.
    async fn snapshot(&self, _vm: &VmMark, _image: &ImageIntent) -> Result<String, ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Deletes what an attempt to make the image left; nothing is a success.
    async fn discard_snapshot(&self, _image: &ImageIntent) -> Result<(), ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Deletes an image made by [`Connector::snapshot`]; a missing one is a success.
    async fn delete_image(&self, _url: &str) -> Result<(), ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Images of the account; `filters` are connector-specific (`distribution`, `version`).
    async fn images(&self, _filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Limits of the account by name (`cores`, `ram` in GB, `instances`, ...).
    async fn quotas(&self) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        Err(ConnectorError::unsupported())
    }
}
