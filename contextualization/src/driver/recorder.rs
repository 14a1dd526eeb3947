//! The one place that writes the journal: progress and effects go together.

use super::progress::Progress;
use crate::contract::{Effect, Entry, Journal, JournalClosed, VmError, VmFacts};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::{Mutex, watch};

/// Records steps; shared by all lanes.
pub struct Recorder {
    journal: Arc<dyn Journal>,
    progress: Mutex<Progress>,
    vms: watch::Receiver<Arc<Vec<VmFacts>>>,
}

impl Recorder {
    /// A recorder that goes on at `progress`.
    pub fn new(journal: Arc<dyn Journal>, progress: Progress, vms: watch::Receiver<Arc<Vec<VmFacts>>>) -> Self {
        Self { journal, progress: Mutex::new(progress), vms }
    }

    /// The live machines.
    pub fn live(&self) -> BTreeSet<u32> {
        self.vms.borrow().iter().map(|vm| vm.id).collect()
    }

    /// A copy of the progress.
    pub async fn progress(&self) -> Progress {
        self.progress.lock().await.clone()
    }

    /// Changes the progress and records it with `effects`; effects on machines that are gone are left out.
    pub async fn record(&self, effects: Vec<Effect>, change: impl FnOnce(&mut Progress)) -> Result<(), JournalClosed> {
        let mut progress = self.progress.lock().await;
        change(&mut progress);
        let live = self.live();
        let wanted = |effect: &Effect| match effect {
            Effect::InfrastructureLog(_) | Effect::InfrastructureText(_) | Effect::AnsibleHostKey { .. } => true,
            Effect::VmLog { vm, .. }
            | Effect::VmResult { vm, .. }
            | Effect::CredentialsChanged { vm, .. }
            | Effect::HostKey { vm, .. }
            | Effect::ProxyHostKey { vm, .. }
            | Effect::Master { vm } => live.contains(vm),
        };
        let effects = effects.into_iter().filter(wanted).collect();
        let value = serde_json::to_value(&*progress).unwrap_or_default();
        self.journal.record(Entry { progress: Some(value), effects }).await
    }

    /// As [`Recorder::record`], without lines that this preparation of a master said before: a daemon that goes on with
    /// it begins it again.
    pub async fn once(&self, effects: Vec<Effect>, change: impl FnOnce(&mut Progress)) -> Result<(), JournalClosed> {
        let mark = |effect: &Effect| match effect {
            Effect::InfrastructureLog(line) => Some(line.clone()),
            Effect::VmLog { vm, text } => Some(format!("{vm} {text}")),
            _ => None,
        };
        let said = self.progress.lock().await.said.clone();
        let is_new = |effect: &Effect| mark(effect).is_none_or(|mark| !said.contains(&mark));
        let effects: Vec<Effect> = effects.into_iter().filter(is_new).collect();
        let marks: Vec<String> = effects.iter().filter_map(mark).collect();
        let change = |p: &mut Progress| {
            p.said.extend(marks);
            change(p);
        };
        self.record(effects, change).await
    }

    /// Lines for the infrastructure's log, once in a preparation.
    pub async fn log_once(&self, lines: impl IntoIterator<Item = String>) -> Result<(), JournalClosed> {
        self.once(lines.into_iter().map(Effect::InfrastructureLog).collect(), |_| {}).await
    }

    /// Lines for the infrastructure's log.
    pub async fn log(&self, lines: impl IntoIterator<Item = String>) -> Result<(), JournalClosed> {
        let effects: Vec<Effect> = lines.into_iter().map(Effect::InfrastructureLog).collect();
        if effects.is_empty() { Ok(()) } else { self.record(effects, |_| {}).await }
    }

    /// Final results of machines that have none yet, with the failure's text in their logs.
    pub async fn results(
        &self,
        results: impl IntoIterator<Item = (u32, Result<(), VmError>)>,
    ) -> Result<(), JournalClosed> {
        let known: BTreeSet<u32> = self.progress.lock().await.results.keys().copied().collect();
        let mut effects = Vec::new();
        let mut new = Vec::new();
        for (vm, result) in results {
            if known.contains(&vm) {
                continue;
            }
            new.push((vm, result.as_ref().err().cloned()));
            effects.push(Effect::VmResult { vm, result });
        }
        if effects.is_empty() { Ok(()) } else { self.record(effects, |p| p.results.extend(new)).await }
    }
}
