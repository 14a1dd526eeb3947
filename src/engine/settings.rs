//! Options of `im.cfg` that the engine obeys.

use crate::engine::files::Files;
use keypair::KeyType;
use std::{sync::Arc, time::Duration};

/// Options of the engine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// BOOT_MODE
    pub boot_mode: BootMode,
    /// MAX_SIMULTANEOUS_LAUNCHES
    pub max_simultaneous_launches: usize,
    /// MAX_VMS_PER_REQUEST
    pub max_vms_per_request: u64,
    /// MAX_DEPLOYED_SIZE: bytes of the documents of all machines that one request makes.
    pub max_deployed_size: u64,
    /// MAX_VM_FAILS: launch attempts in total.
    pub max_vm_fails: u32,
    /// DELAY_BETWEEN_VM_RETRIES
    pub delay_between_retries: Duration,
    /// INF_CACHE_TIME: how old an answer may be that is given while the store is away; zero for any age.
    pub inf_cache_time: Duration,
    /// VM_INFO_UPDATE_FREQUENCY: shortest time between two questions to a cloud.
    pub vm_info_update_frequency: Duration,
    /// VM_INFO_UPDATE_ERROR_GRACE_PERIOD: then a machine is `unknown`.
    pub vm_info_error_grace: Duration,
    /// MAX_CONTEXTUALIZATION_TIME
    pub max_contextualization: Duration,
    /// DEFAULT_VM_MEMORY with DEFAULT_VM_MEMORY_UNIT
    pub default_memory: (i64, String),
    /// DEFAULT_VM_CPUS
    pub default_cpus: i64,
    /// DEFAULT_VM_CPU_ARCH
    pub default_cpu_arch: String,
    /// VM_TAG_USERNAME
    pub vm_tag_username: Option<String>,
    /// VM_TAG_INF_ID
    pub vm_tag_inf_id: Option<String>,
    /// SSH_REVERSE_TUNNELS: how machines reach this daemon to open one; none: they open none.
    pub tunnels: Option<TunnelSettings>,
    /// MAX_BODY_MEMORY: bytes for the bodies of all requests.
    pub body_memory: usize,
    /// CTXT_EXPOSE_AUTH
    pub exposed_auth: ExposedAuth,
    /// SSH_KEY_TYPE: of the keys of infrastructures.
    pub ssh_key_type: KeyType,
    /// Options of documents of TOSCA.
    pub tosca: ToscaSettings,
    /// Options of the contextualization.
    pub contextualization: Arc<contextualization::Settings>,
}

/// Options of documents of TOSCA.
#[derive(Debug, Clone, Default)]
pub struct ToscaSettings {
    /// Where the files come from that documents name.
    pub files: Files,
    /// OAIPMH_REPO_BASE_IDENTIFIER_URL: the only place that new infrastructures import whole templates from; none: any.
    pub template_repository: Option<String>,
}

/// How machines reach this daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelSettings {
    /// PUBLIC_URL; none: machines get no boot command, but may be told the address that they call.
    pub public_url: Option<String>,
    /// Digest of the public key of this daemon's own certificate in the form of curl's `--pinnedpubkey`; none without TLS.
    pub pinned_key: Option<String>,
}

/// What recipes see as IM_INFRASTRUCTURE_AUTH.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExposedAuth {
    /// A token for their own infrastructure.
    #[default]
    Scoped,
    /// The owner's credentials for this daemon.
    Full,
    /// Nothing.
    None,
}

/// What the daemon may be asked to do (docs/spec/api.md 4.8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BootMode {
    /// Everything.
    #[default]
    Normal,
    /// Reads only.
    ReadOnly,
    /// Reads, and the deletion of infrastructures.
    ReadDelete,
}

/// What an operation does, for the boot mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Changes something.
    Change,
    /// Deletes an infrastructure.
    Destroy,
    /// Keeps going what is there already, in every mode.
    Upkeep,
}

impl BootMode {
    /// Whether the operation is allowed.
    #[must_use]
    pub const fn allows(self, access: Access) -> bool {
        match self {
            Self::Normal => true,
            Self::ReadOnly => matches!(access, Access::Upkeep),
            Self::ReadDelete => matches!(access, Access::Destroy | Access::Upkeep),
        }
    }
}
