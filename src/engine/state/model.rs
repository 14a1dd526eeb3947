//! The state of an infrastructure as plain data. Only its keeper changes it; everybody else reads snapshots.

use crate::{
    auth::{Identity, Item},
    engine::state::{accounts::Accounts, extra_info::ExtraInfo, memo::Memo},
};
use connectors::{
    AccountName, CloudAccount, Endpoint, ImageIntent, InfrastructureMark, Location, PowerState, ProviderId, Resize,
    SharedResources, VmMark, VmUid, account_name, dns::RecordEntry,
};
use contextualization::{Cause, KeyPair, VmError};
use radl::{Features, Radl, System};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// State of a machine or an infrastructure, with the names of the wire (docs/spec/api.md 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum State {
    Pending,
    Running,
    Configured,
    Unconfigured,
    Stopped,
    Off,
    Failed,
    Unknown,
    Deleting,
}

impl State {
    /// The name of the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Configured => "configured",
            Self::Unconfigured => "unconfigured",
            Self::Stopped => "stopped",
            Self::Off => "off",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Deleting => "deleting",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Which cloud a machine lives in; credentials for it come with each request or from the kept ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CloudRef {
    /// Label of the cloud in the caller's credentials.
    pub id: String,
    /// Connector type.
    pub kind: String,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// The account that makes its machines, whatever it is called; none while nobody who may have made an imported one was
    /// seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// The part of the cloud that they are made in.
    #[serde(default, skip_serializing_if = "Location::is_whole_cloud")]
    pub location: Location,
}

impl From<&CloudAccount> for CloudRef {
    fn from(account: &CloudAccount) -> Self {
        Self {
            id: account.id.clone(),
            kind: account.kind.clone(),
            endpoint: account.endpoint.clone(),
            account: account_name(account),
            location: Location::default(),
        }
    }
}

impl CloudRef {
    /// What tells it from every other cloud, account and location of the infrastructure: labels are the caller's, and may be
    /// the same for different accounts.
    #[must_use]
    pub fn key(&self) -> String {
        // No label holds a blank.
        let account = self.account.as_ref().map(|account| format!("{} {account}", self.kind));
        let account = account.unwrap_or_else(|| self.id.clone());
        if self.location.is_whole_cloud() { account } else { format!("{account} {}", self.location) }
    }

    /// What machines of an infrastructure here, and all that they share, are found by.
    #[must_use]
    pub fn mark(&self, infrastructure: &str) -> InfrastructureMark {
        InfrastructureMark { infrastructure: infrastructure.to_owned(), location: self.location.clone() }
    }

    /// Whether something was noted under this key of it. Where the account was not known yet the label stood for it.
    #[must_use]
    pub fn is_keyed(&self, key: &str) -> bool {
        key == self.id || key == self.key()
    }
}

/// Life of a machine; every arrow is a commit, made before the cloud is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// Wanted; nothing was asked of the cloud.
    Planned,
    /// The cloud was or is being asked: look it up by its uid.
    Launching,
    /// The cloud has it.
    Present(ProviderId),
    /// It could not be launched.
    Failed {
        /// Why.
        why: String,
        /// Something of it may be left in the cloud, which did not let us look or delete: its deletion looks again.
        leftover: bool,
    },
    /// It is to be deleted. Without an id it may still be found by its uid.
    Deleting(Option<ProviderId>),
    /// Deleted. Numbers are never used again.
    Gone,
}

/// What the cloud last said of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Its state.
    pub state: PowerState,
    /// Since when the cloud could not be asked, seconds since the epoch; none while it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<i64>,
}

/// What follows the boot of a machine in its cloud (`Connector::reconcile`): how far it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// Nothing is known to be missing.
    #[default]
    Complete,
    /// Something is missing, and is made while the machine runs.
    Due {
        /// Why it could not be made yet, as the log told last.
        told: Option<String>,
        /// Whether the log told that it was given up, for that reason.
        #[serde(default)]
        given_up: bool,
    },
    /// It could not be made; it is tried again when the cloud says again that something is missing.
    GivenUp {
        /// Why, as the log told last.
        told: String,
    },
}

impl Completion {
    /// Whether nothing is to be stored of it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        *self == Self::Complete
    }

    /// What the log of the machine says of it.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let (then, why) = match self {
            Self::Complete | Self::Due { told: None, .. } => return None,
            Self::Due { told: Some(why), given_up: false } => ("tried again", why),
            Self::Due { told: Some(why), given_up: true } | Self::GivenUp { told: why } => ("given up", why),
        };
        Some(format!("What follows the boot is not complete, and {then}: {why}\n"))
    }
}

/// A virtual machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vm {
    /// Number inside the infrastructure, from 0.
    pub number: u32,
    /// Our own id, the mark in the cloud.
    pub uid: VmUid,
    /// Name of its system.
    pub system: String,
    /// Where it lives.
    pub cloud: Arc<CloudRef>,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// What the cloud last said, none before the first answer.
    pub observed: Option<Observed>,
    /// What is still to be made of it now that it boots, or runs.
    #[serde(default, skip_serializing_if = "Completion::is_complete")]
    pub completion: Completion,
    /// The records of its names, from before each is made until after it is deleted: nothing else tells of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordEntry>,
    /// What it has in common with others: number of one of [`Infrastructure::prototypes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prototype: Option<u32>,
    /// Its networks and its one concrete system, as `GetVMInfo` shows them. Stored as far as they differ from the prototype.
    #[serde(skip)]
    pub info: Arc<Radl>,
    /// Its networks and system as the user asked for them. Stored with the prototype where there is one.
    #[serde(skip)]
    pub requested: Arc<Radl>,
    /// Result of the contextualization: none while undecided.
    pub configured: Option<bool>,
    /// Why it is not configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<VmError>,
    /// Host key seen first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// Host key of its proxy host seen first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_host_key: Option<String>,
    /// Public key of its reverse tunnel, the first one that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_key: Option<String>,
    /// Passwords and private keys that others took the place of: no log shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_secrets: Vec<String>,
    /// Creation, seconds since the epoch.
    pub created: i64,
    /// What a connector of the reference kept of an imported machine (volumes, addresses, keys), as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Arc<serde_json::Map<String, serde_json::Value>>>,
    /// Its document as text, for the state it was made in.
    #[serde(skip)]
    pub text: Memo<State>,
}

/// What machines of one deploy have in common, kept once for all of them. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prototype {
    /// Networks and system as they were planned.
    pub info: Arc<Radl>,
    /// Networks and system as the user asked for them.
    pub requested: Arc<Radl>,
}

/// Why a new contextualization started and what of it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number, increasing within the infrastructure.
    pub number: u64,
    /// Why it was started.
    pub cause: Cause,
    /// VMs whose user steps run; none: all.
    pub selected: Option<BTreeSet<u32>>,
    /// When time is over, seconds since the epoch.
    pub deadline: i64,
    /// Whether it is still to be worked on.
    pub open: bool,
}

/// Work that was accepted and must end, whatever happens to the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Its number, increasing within the infrastructure.
    pub id: u64,
    /// What it is.
    pub kind: WorkKind,
    /// What went wrong so far, for the answer at its end.
    #[serde(default)]
    pub errors: Vec<String>,
}

/// Kinds of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// A document was accepted; the clouds for its machines are being chosen.
    Placing {
        /// The document, parsed and checked.
        document: Arc<Radl>,
        /// Whether the contextualization follows.
        context: bool,
        /// The clouds to choose from, in the order of preference.
        #[serde(default)]
        accounts: Arc<Accounts>,
    },
    /// Machines are being launched.
    Adding {
        /// The new machines.
        vms: Vec<u32>,
        /// Whether the contextualization follows.
        context: bool,
        /// What becomes of the infrastructure if all of them fail.
        if_all_fail: IfAllFail,
        /// What they may be made as instead, should there be no room for them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alternatives: Vec<Alternatives>,
    },
    /// Machines are being deleted.
    Removing {
        /// The machines.
        vms: Vec<u32>,
        /// Whether the contextualization follows.
        context: bool,
    },
    /// Sizes of a machine are being changed, disks added, or its public address added or removed.
    Altering {
        /// The machine.
        vm: u32,
        /// What it gets.
        resize: Resize,
        /// What its document says of its disks and its new interface then.
        #[serde(default)]
        features: Features,
        /// The interface that its document has no more then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dropped_interface: Option<usize>,
    },
    /// An image of a disk is being made.
    Snapshotting {
        /// The machine.
        vm: u32,
        /// The image.
        image: ImageIntent,
        /// Whether it goes with the infrastructure.
        auto_delete: bool,
    },
    /// Everything is being deleted.
    Destroying {
        /// Errors of the cloud do not keep the infrastructure.
        force: bool,
    },
}

/// Another way to make a machine: a concrete system, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// The cloud, and the part of it.
    pub cloud: Arc<CloudRef>,
    /// The concrete system.
    pub system: System,
}

/// What machines that are alike may be made as, should there be no room for them as they were planned: once for all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternatives {
    /// The machines.
    pub vms: BTreeSet<u32>,
    /// In the order in which they are tried.
    pub candidates: Arc<Vec<Alternative>>,
    /// How the log told of those that were taken, by machine: there are as many texts as candidates that it has tried.
    #[serde(default)]
    pub taken: BTreeMap<u32, Vec<String>>,
}

/// What becomes of the infrastructure when every new machine failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfAllFail {
    /// It goes: nobody was told its id yet.
    Destroy,
    /// It stays without the new machines.
    Keep,
}

/// An infrastructure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Infrastructure {
    /// Its id, a UUID.
    pub id: String,
    /// Creation, seconds since the epoch.
    pub created: i64,
    /// Who may use it.
    pub owners: Vec<Identity>,
    /// The stored document.
    pub radl: Arc<Radl>,
    /// Cloud that each private network is bound to.
    pub private_networks: BTreeMap<String, String>,
    /// Shared resources by the key of their cloud; none while nobody knows whether they were made.
    #[serde(default)]
    pub shared: BTreeMap<String, Option<SharedResources>>,
    /// Clouds that had no room for a machine, which was made elsewhere: what its infrastructure shares there is deleted with
    /// it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub full_clouds: Vec<Arc<CloudRef>>,
    /// Machines by number, deleted ones too. Stored in rows of their own.
    #[serde(skip)]
    pub vms: Vec<Arc<Vm>>,
    /// What machines have in common, by number. Stored in rows of their own.
    #[serde(skip)]
    pub prototypes: Vec<Arc<Prototype>>,
    /// The infrastructure's own result: none while undecided.
    pub configured: Option<bool>,
    /// The last contextualization, none before the first.
    pub generation: Option<Generation>,
    /// The machine that Ansible runs on.
    pub master: Option<u32>,
    /// Work that is not finished, in the order it was accepted.
    pub work: Vec<Work>,
    /// Number of the last work accepted.
    pub last_work: u64,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Accounts of its clouds, kept while work is pending.
    #[serde(default, alias = "credentials")]
    pub accounts: Option<Arc<Accounts>>,
    /// The only owner's credentials for this daemon, kept where recipes see them (CTXT_EXPOSE_AUTH = full).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Item>,
    /// The infrastructure's own key pair, made with the first contextualization.
    pub ansible_key: Option<KeyPair>,
    /// Host keys of external Ansible hosts, by id of their sections.
    #[serde(default)]
    pub ansible_host_keys: BTreeMap<String, String>,
    /// Images to delete with the infrastructure, with the key of their cloud.
    #[serde(default)]
    pub snapshots: Vec<(String, String)>,
    /// Images that could not be made, and of which something may be left, with the key of their cloud: they are looked for and
    /// deleted with the infrastructure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmade_images: Vec<(String, ImageIntent)>,
    /// What came with it besides RADL.
    #[serde(default, skip_serializing_if = "ExtraInfo::is_empty")]
    pub extra_info: ExtraInfo,
    /// The states of all machines as the API tells them.
    #[serde(skip)]
    pub states: Memo<()>,
    /// The list of its machines as the API tells it, for a form and an address of the service.
    #[serde(skip)]
    pub listing: Memo<String>,
}

impl Vm {
    /// A machine that is wanted, as its document has it; nothing was asked of its cloud.
    #[must_use]
    pub fn planned(number: u32, uid: VmUid, cloud: Arc<CloudRef>, documents: Prototype, created: i64) -> Self {
        let Prototype { info, requested } = documents;
        Self {
            number,
            uid,
            system: info.systems.first().map(|system| system.name.clone()).unwrap_or_default(),
            cloud,
            lifecycle: Lifecycle::Planned,
            observed: None,
            completion: Completion::Complete,
            records: Vec::new(),
            prototype: None,
            info,
            requested,
            configured: None,
            failure: None,
            host_key: None,
            proxy_host_key: None,
            tunnel_key: None,
            former_secrets: Vec::new(),
            created,
            foreign: None,
            text: Memo::default(),
        }
    }

    /// Whether it is neither deleted nor being deleted.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.lifecycle, Lifecycle::Gone | Lifecycle::Deleting(_))
    }

    /// Whether the cloud has it and did not say yet that it is up.
    #[must_use]
    pub fn is_coming_up(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Present(_))
            && matches!(self.observed.map(|observed| observed.state), None | Some(PowerState::Pending))
    }

    /// Lets two machines share what is equal in them, so that it takes its room once. Neither changes by it.
    pub fn share(&mut self, with: &Self) {
        if self.cloud == with.cloud {
            self.cloud = with.cloud.clone();
        }
        if self.requested == with.requested {
            self.requested = with.requested.clone();
        }
        if self.info == with.info {
            self.info = with.info.clone();
        } else {
            Arc::make_mut(&mut self.info).share(&with.info);
        }
    }

    /// The cloud's id, once there is one.
    #[must_use]
    pub fn provider_id(&self) -> Option<&ProviderId> {
        match &self.lifecycle {
            Lifecycle::Present(id) | Lifecycle::Deleting(Some(id)) => Some(id),
            _ => None,
        }
    }

    /// What it and all that belongs to it is found by in its cloud.
    #[must_use]
    pub fn mark(&self, infrastructure: &str) -> VmMark {
        VmMark {
            infrastructure: infrastructure.to_owned(),
            location: self.cloud.location.clone(),
            uid: self.uid.clone(),
            id: self.provider_id().cloned(),
        }
    }

    /// Whether it runs, as far as the cloud said.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Present(_))
            && self.observed.is_some_and(|observed| observed.state == PowerState::Running)
    }

    /// Whether something of it is missing and can be made now.
    #[must_use]
    pub fn is_to_be_completed(&self) -> bool {
        self.is_running() && matches!(self.completion, Completion::Due { .. })
    }
}

impl Infrastructure {
    /// An empty one, just created.
    #[must_use]
    pub fn new(id: String, created: i64, owners: Vec<Identity>) -> Self {
        Self {
            id,
            created,
            owners,
            radl: Arc::default(),
            private_networks: BTreeMap::new(),
            shared: BTreeMap::new(),
            full_clouds: Vec::new(),
            vms: Vec::new(),
            prototypes: Vec::new(),
            configured: None,
            generation: None,
            master: None,
            work: Vec::new(),
            last_work: 0,
            deleted: false,
            accounts: None,
            login: None,
            ansible_key: None,
            ansible_host_keys: BTreeMap::new(),
            snapshots: Vec::new(),
            unmade_images: Vec::new(),
            extra_info: ExtraInfo::default(),
            states: Memo::default(),
            listing: Memo::default(),
        }
    }

    /// All clouds, and parts of clouds, that something was made in, each once.
    #[must_use]
    pub fn clouds(&self) -> Vec<&Arc<CloudRef>> {
        let mut clouds: Vec<&Arc<CloudRef>> = self.vms.iter().map(|vm| &vm.cloud).chain(&self.full_clouds).collect();
        clouds.sort_by_cached_key(|cloud| cloud.key());
        clouds.dedup_by_key(|cloud| cloud.key());
        clouds
    }

    /// Machines that were not deleted, in order.
    pub fn live_vms(&self) -> impl Iterator<Item = &Arc<Vm>> {
        self.vms.iter().filter(|vm| vm.lifecycle != Lifecycle::Gone)
    }

    /// The machine of this number.
    #[must_use]
    pub fn vm(&self, number: u32) -> Option<&Arc<Vm>> {
        self.vms.get(usize::try_from(number).ok()?)
    }

    /// Whether everything is being deleted.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.work.iter().any(|work| matches!(work.kind, WorkKind::Destroying { .. }))
    }

    /// Whether something is still to be done that needs the clouds, and that a starting daemon must go on with. Machines
    /// that all failed to launch are deleted after their work has ended. One that comes up after everything else has
    /// ended is looked at until it is up, unless it was made before `awaited_since` (seconds since the epoch).
    #[must_use]
    pub fn is_pending(&self, awaited_since: i64) -> bool {
        let deleting = |vm: &Arc<Vm>| matches!(vm.lifecycle, Lifecycle::Deleting(_));
        let awaited = |vm: &Arc<Vm>| vm.is_coming_up() && vm.created > awaited_since;
        !self.deleted
            && (!self.work.is_empty()
                || self.generation.as_ref().is_some_and(|generation| generation.open)
                || self.vms.iter().any(deleting)
                || self.vms.iter().any(|vm| vm.is_to_be_completed())
                || self.accounts.is_some() && self.vms.iter().any(awaited))
    }

    /// Whether machines are being launched.
    #[must_use]
    pub fn is_adding(&self) -> bool {
        self.work.iter().any(|work| matches!(work.kind, WorkKind::Placing { .. } | WorkKind::Adding { .. }))
    }
}
