//! A journal that keeps in memory what the outside would see.

use async_trait::async_trait;
use contextualization::{Effect, Entry, Journal, JournalClosed, VmError};
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

/// A journal in memory.
#[derive(Default)]
pub struct Memory(pub Mutex<Seen>);

#[async_trait]
impl Journal for Memory {
    async fn record(&self, entry: Entry) -> Result<(), JournalClosed> {
        let mut seen = self.0.lock().unwrap();
        if let Some(progress) = entry.progress {
            seen.progress = progress;
        }
        for effect in entry.effects {
            match effect {
                Effect::InfrastructureLog(line) | Effect::InfrastructureText(line) => seen.infrastructure.push(line),
                Effect::VmLog { vm, text } => seen.logs.entry(vm).or_default().push_str(&text),
                Effect::VmResult { vm, result } => {
                    assert!(seen.results.insert(vm, result).is_none(), "VM {vm} has two results");
                }
                Effect::Master { vm } => seen.master = Some(vm),
                Effect::AnsibleHostKey { host, key } => drop(seen.ansible_host_keys.insert(host, key)),
                Effect::HostKey { vm, key } => drop(seen.host_keys.insert(vm, key)),
                Effect::ProxyHostKey { vm, key } => drop(seen.proxy_host_keys.insert(vm, key)),
                Effect::CredentialsChanged { .. } => {}
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
