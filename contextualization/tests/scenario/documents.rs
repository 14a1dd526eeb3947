//! Documents, options and jobs of the tests, and running them.

use crate::{checkpoints::Memory, lab};
use contextualization::{Cause, Checkpoints, Job, Outcome, Settings, VmFacts, run, ssh::SshLimits};
use radl::{Configure, Contextualize, ContextualizeItem, Radl};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Options as a test wants them: short times.
pub fn settings() -> Settings {
    Settings {
        remote_conf_dir: "/var/tmp/.im".to_owned(),
        default_vm_name: "vnode-#N#".to_owned(),
        default_domain: "localdomain".to_owned(),
        playbook_retries: 1,
        wait_running: Duration::from_secs(60),
        wait_ssh: Duration::from_secs(20),
        wait_public_ip: Duration::from_secs(20),
        ansible_install_timeout: Duration::from_secs(120),
        forks: 10,
        bundle_dir: lab::bundle_dir(),
        ansible_version: "9".to_owned(),
        collections: "default".to_owned(),
        allow_online: false,
        pip_index: None,
        galaxy_server: None,
        galaxy_dir: None,
        galaxy_delay: Duration::from_millis(50),
        check_host_keys: true,
        expose_secrets: false,
        inventory_integers: false,
        log_max: 1 << 20,
        log_ascii: false,
    }
}

/// `configure NAME (recipe)`
pub fn configure(name: &str, recipe: &str) -> Configure {
    Configure { name: name.to_owned(), recipe: Some(recipe.to_owned()), ..Configure::default() }
}

/// `system S configure C step N`
pub fn item(system: &str, configure: &str, step: i64) -> ContextualizeItem {
    ContextualizeItem { system: system.to_owned(), configure: configure.to_owned(), step, ..Default::default() }
}

/// The document of these machines.
pub fn document(vms: &[VmFacts], configures: Vec<Configure>, items: Vec<ContextualizeItem>) -> Radl {
    let mut document = Radl { configures, ..Radl::default() };
    for vm in vms {
        let system = &vm.info.systems[0];
        if document.system(&system.name).is_none() {
            document.systems.push(system.clone());
        }
    }
    document.networks.clone_from(&vms[0].info.networks);
    document.contextualize = (!items.is_empty()).then(|| Contextualize { items, ..Contextualize::default() });
    document
}

/// A fresh job.
pub fn job(
    radl: Radl,
    vms: watch::Receiver<Arc<Vec<VmFacts>>>,
    generation: u64,
    key: &contextualization::KeyPair,
) -> Job {
    Job {
        infrastructure: "8a1cf2f5-0000-4000-8000-000000000001".to_owned(),
        generation,
        cause: Cause::Add,
        radl: Arc::new(radl),
        vms,
        selected: None,
        ansible_key: key.clone(),
        ansible_host_keys: Default::default(),
        exposed_auth: Some("token-of-this-infrastructure".to_owned()),
        notes: Vec::new(),
        deadline: tokio::time::Instant::now() + Duration::from_secs(300),
        progress: serde_json::Value::Null,
        settings: Arc::new(settings()),
    }
}

/// Starts a job; aborting the task is the death of the daemon.
pub fn start(job: Job, memory: &Arc<Memory>, cancel: CancellationToken) -> JoinHandle<Outcome> {
    let checkpoints: Arc<dyn Checkpoints> = Arc::clone(memory) as _;
    tokio::spawn(run(job, checkpoints, SshLimits::new(50, 10), cancel))
}

/// Runs a job to its end.
pub async fn contextualize(job: Job, memory: &Arc<Memory>) -> Outcome {
    start(job, memory, CancellationToken::new()).await.unwrap()
}

/// Processes with this text in their command line, on all nodes.
pub fn processes(text: &str) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
    let has = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text) && !line.contains("IM_LAB")
    };
    pids.filter(has).collect()
}
