//! What the engine gives a contextualization and what it gets back.
//!
//! The engine starts one [`Job`] per generation of an infrastructure and implements [`Checkpoints`]: every step forward is
//! a [`Checkpoint`], stored in one transaction, so that after a crash the job is started again with the last progress and
//! nothing is done or logged twice.

pub use crate::failure::{Attempt, Details, ErrorCode, VmError};
pub use keypair::KeyPair;

use async_trait::async_trait;
use radl::Radl;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Power of a machine, as far as contextualization cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VmPower {
    /// Not up yet: worth waiting for.
    Pending,
    /// Up.
    Running,
    /// Stopped, off, failed or unknown: left out.
    Down,
}

/// What is known of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct VmFacts {
    /// Number inside the infrastructure.
    pub id: u32,
    /// The cloud's id, text as the cloud gave it.
    pub provider_id: String,
    /// Connector type.
    pub cloud_type: String,
    /// Host of the cloud, empty when there is none.
    pub cloud_server: String,
    /// Its power.
    pub power: VmPower,
    /// Its networks and its one system, addresses filled in, as `GetVMInfo` shows them.
    pub info: Arc<Radl>,
    /// Host key seen at the first connection (OpenSSH form), none before.
    pub host_key: Option<String>,
    /// Host key of its proxy host seen first, with the proxy's place; opaque. None before, and without proxy host.
    pub proxy_host_key: Option<String>,
    /// Port 20000 + this number is the VM's reverse tunnel on the master.
    pub creation_id: u32,
    /// Public key of that tunnel, `TYPE BASE64`; none when the machine never asked for one.
    pub tunnel_key: Option<String>,
    /// Passwords and private keys that others took the place of: recipes may still know them, and no log shows them.
    pub former_secrets: Vec<String>,
}

/// Options of `im.cfg` that concern contextualization (docs/spec/contextualization.md 1.18 and 6.13).
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// REMOTE_CONF_DIR
    pub remote_conf_dir: String,
    /// DEFAULT_VM_NAME
    pub default_vm_name: String,
    /// DEFAULT_DOMAIN
    pub default_domain: String,
    /// PLAYBOOK_RETRIES: attempts per task.
    pub playbook_retries: u32,
    /// WAIT_RUNNING_VM_TIMEOUT
    pub wait_running: Duration,
    /// WAIT_SSH_ACCCESS_TIMEOUT
    pub wait_ssh: Duration,
    /// WAIT_PUBLIC_IP_TIMEOUT
    pub wait_public_ip: Duration,
    /// ANSIBLE_INSTALL_TIMEOUT
    pub ansible_install_timeout: Duration,
    /// CTXT_FORKS
    pub forks: u32,
    /// CTXT_BUNDLE_DIR: where the offline Ansible bundles lie on the daemon's host.
    pub bundle_dir: PathBuf,
    /// ANSIBLE_VERSION: what runs recipes when the document does not say.
    pub ansible_version: String,
    /// CTXT_COLLECTIONS: slim, default or full.
    pub collections: String,
    /// CTXT_ALLOW_ONLINE
    pub allow_online: bool,
    /// CTXT_PIP_INDEX: package index of masters, none: what their pip is configured to use.
    pub pip_index: Option<String>,
    /// CTXT_GALAXY_SERVER: none for the public one.
    pub galaxy_server: Option<String>,
    /// CTXT_GALAXY_DIR: archives of roles and collections on the daemon's host.
    pub galaxy_dir: Option<PathBuf>,
    /// Time between two tries to install a role or collection.
    pub galaxy_delay: Duration,
    /// CTXT_HOSTKEY = tofu
    pub check_host_keys: bool,
    /// CTXT_EXPOSE_AUTH = full: secret features stay in IM_INFRASTRUCTURE_RADL.
    pub expose_secrets: bool,
    /// CTXT_INVENTORY_TYPES = r1: integers for IM_NODE_NUM and *_NUM_VMS.
    pub inventory_integers: bool,
    /// CTXT_LOG_MAX: bytes of log kept per VM and run.
    pub log_max: usize,
    /// CTXT_LOG_ASCII
    pub log_ascii: bool,
}

/// Which of the requested new credentials a machine has now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstalledCredentials {
    /// `new.password`
    pub password: bool,
    /// `new.public_key` and `new.private_key`
    pub key: bool,
}

impl InstalledCredentials {
    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self.password || self.key
    }
}

/// What the outside is told of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// A line of the infrastructure's log, without time stamp and newline.
    InfrastructureLog(String),
    /// Text appended to the infrastructure's log as it is, newlines included.
    InfrastructureText(String),
    /// Text appended to the log of a VM, newlines included.
    VmLog {
        /// The VM.
        vm: u32,
        /// Text with its newlines.
        text: String,
    },
    /// The VM's final result of this generation.
    VmResult {
        /// The VM.
        vm: u32,
        /// Configured, or why not.
        result: Result<(), VmError>,
    },
    /// New credentials were installed: those `new.*` of the VM move over the current ones.
    CredentialsChanged {
        /// The VM.
        vm: u32,
        /// Which of them.
        installed: InstalledCredentials,
    },
    /// First sight of a host key.
    HostKey {
        /// The VM.
        vm: u32,
        /// OpenSSH form.
        key: String,
    },
    /// First sight of the host key of the VM's proxy host.
    ProxyHostKey {
        /// The VM.
        vm: u32,
        /// Key and place of the proxy, in the form of [`VmFacts::proxy_host_key`].
        key: String,
    },
    /// The VM that Ansible runs on.
    Master {
        /// The VM.
        vm: u32,
    },
    /// First sight of the host key of an external Ansible host.
    AnsibleHostKey {
        /// Id of its `ansible` section.
        host: String,
        /// OpenSSH form.
        key: String,
    },
}

/// One step forward, stored in one transaction: where a later daemon goes on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// Where the job is now: opaque to the engine, given back in [`Job::progress`] after a restart. None: unchanged.
    pub progress: Option<serde_json::Value>,
    /// What the outside sees of it.
    pub reports: Vec<Report>,
}

/// No further checkpoint is taken: the generation was superseded, the infrastructure deleted or the lease lost. The job
/// ends without touching anything further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoints of this contextualization are closed")]
pub struct CheckpointsClosed;

/// Where a job records its steps.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Stores the checkpoint; when it returns it is durable.
    async fn record(&self, checkpoint: Checkpoint) -> Result<(), CheckpointsClosed>;
}

/// Why a generation was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Machines were created or added.
    Add,
    /// Machines were removed.
    Remove,
    /// The user asked for it: roles are installed again.
    Reconfigure,
}

/// One contextualization of an infrastructure.
#[derive(Debug, Clone)]
pub struct Job {
    /// Infrastructure id.
    pub infrastructure: String,
    /// Generation, increasing; part of run ids.
    pub generation: u64,
    /// Why it was started.
    pub cause: Cause,
    /// The stored document.
    pub radl: Arc<Radl>,
    /// The live machines, updated as the cloud reports; deleted ones disappear.
    pub vms: watch::Receiver<Arc<Vec<VmFacts>>>,
    /// VMs whose user steps run (`vm_list`); none means all.
    pub selected: Option<BTreeSet<u32>>,
    /// The infrastructure's own key pair, made by the engine once.
    pub ansible_key: KeyPair,
    /// Host keys of external Ansible hosts seen at earlier connections (OpenSSH form), by id of their sections.
    pub ansible_host_keys: BTreeMap<String, String>,
    /// Value of IM_INFRASTRUCTURE_AUTH; none leaves it out.
    pub exposed_auth: Option<String>,
    /// Sentences for the log of the infrastructure, said at the beginning.
    pub notes: Vec<String>,
    /// When time is over.
    pub deadline: tokio::time::Instant,
    /// Progress of an earlier daemon on this generation; null for a fresh start.
    pub progress: serde_json::Value,
    /// Options.
    pub settings: Arc<Settings>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every VM has its result.
    Done,
    /// The infrastructure as a whole failed (no master, no Ansible, ...); VMs without a result are unconfigured.
    Failed(String),
    /// Time is over; VMs without a result are unconfigured.
    TimedOut,
    /// The checkpoints closed, or the job was cancelled.
    Cancelled,
}
