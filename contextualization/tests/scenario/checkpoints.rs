//! Checkpoints kept in memory, and what the outside would see of them.

use async_trait::async_trait;
use contextualization::{Checkpoint, Checkpoints, CheckpointsClosed, Report, VmError};
use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

/// What the outside has seen.
#[derive(Default)]
pub struct Seen {
    pub progress: serde_json::Value,
    pub infrastructure: Vec<String>,
    pub logs: BTreeMap<u32, String>,
    pub results: BTreeMap<u32, Result<(), VmError>>,
    pub master: Option<u32>,
    pub ansible_host_keys: BTreeMap<String, String>,
    pub host_keys: BTreeMap<u32, String>,
    pub proxy_host_keys: BTreeMap<u32, String>,
}

impl Seen {
    /// Whether a line of the infrastructure's log has this text.
    pub fn said(&self, text: &str) -> bool {
        self.infrastructure.iter().any(|line| line.contains(text))
    }
}

/// Checkpoints in memory.
#[derive(Default)]
pub struct Memory(pub Mutex<Seen>);

#[async_trait]
impl Checkpoints for Memory {
    async fn record(&self, entry: Checkpoint) -> Result<(), CheckpointsClosed> {
        let mut seen = self.0.lock().unwrap();
        if let Some(progress) = entry.progress {
            seen.progress = progress;
        }
        for effect in entry.reports {
            match effect {
                Report::InfrastructureLog(line) | Report::InfrastructureText(line) => seen.infrastructure.push(line),
                Report::VmLog { vm, text } => seen.logs.entry(vm).or_default().push_str(&text),
                Report::VmResult { vm, result } => {
                    assert!(seen.results.insert(vm, result).is_none(), "VM {vm} has two results");
                }
                Report::Master { vm } => seen.master = Some(vm),
                Report::AnsibleHostKey { host, key } => drop(seen.ansible_host_keys.insert(host, key)),
                Report::HostKey { vm, key } => drop(seen.host_keys.insert(vm, key)),
                Report::ProxyHostKey { vm, key } => drop(seen.proxy_host_keys.insert(vm, key)),
                Report::CredentialsChanged { .. } => {}
            }
        }
        Ok(())
    }
}

impl Memory {
    /// Waits until the condition holds.
    pub async fn until(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let start = Instant::now();
        while !condition(&self.0.lock().unwrap()) {
            assert!(start.elapsed() < Duration::from_secs(120), "waiting for {what}:\n{}", self.dump());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything, for messages of asserts.
    pub fn dump(&self) -> String {
        let seen = self.0.lock().unwrap();
        format!("{}\n{:#?}\n{:#?}", seen.infrastructure.join("\n"), seen.logs, seen.results)
    }
}
