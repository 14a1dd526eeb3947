//! The one place that makes checkpoints: progress and reports go together.

use super::rules::progress::Progress;
use crate::contract::{Checkpoint, Checkpoints, CheckpointsClosed, Report, VmError, VmFacts};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::{Mutex, watch};

/// Records steps; shared by all lanes.
pub struct Recorder {
    checkpoints: Arc<dyn Checkpoints>,
    progress: Mutex<Progress>,
    vms: watch::Receiver<Arc<Vec<VmFacts>>>,
}

impl Recorder {
    /// A recorder that goes on at `progress`.
    pub fn new(checkpoints: Arc<dyn Checkpoints>, progress: Progress, vms: watch::Receiver<Arc<Vec<VmFacts>>>) -> Self {
        Self { checkpoints, progress: Mutex::new(progress), vms }
    }

    /// The live machines.
    pub fn live(&self) -> BTreeSet<u32> {
        self.vms.borrow().iter().map(|vm| vm.id).collect()
    }

    /// A copy of the progress.
    pub async fn progress(&self) -> Progress {
        self.progress.lock().await.clone()
    }

    /// Changes the progress and records it with `reports`; reports on machines that are gone are left out.
    pub async fn record(
        &self,
        reports: Vec<Report>,
        change: impl FnOnce(&mut Progress),
    ) -> Result<(), CheckpointsClosed> {
        let mut progress = self.progress.lock().await;
        change(&mut progress);
        let live = self.live();
        let wanted = |report: &Report| match report {
            Report::InfrastructureLog(_) | Report::InfrastructureText(_) | Report::AnsibleHostKey { .. } => true,
            Report::VmLog { vm, .. }
            | Report::VmResult { vm, .. }
            | Report::CredentialsChanged { vm, .. }
            | Report::HostKey { vm, .. }
            | Report::ProxyHostKey { vm, .. }
            | Report::Master { vm } => live.contains(vm),
        };
        let reports = reports.into_iter().filter(wanted).collect();
        let value = serde_json::to_value(&*progress).unwrap_or_default();
        self.checkpoints.record(Checkpoint { progress: Some(value), reports }).await
    }

    /// Records as [`Recorder::record`] does, without lines that this preparation of a master said before: a daemon that
    /// goes on with it begins it again.
    pub async fn once(
        &self,
        reports: Vec<Report>,
        change: impl FnOnce(&mut Progress),
    ) -> Result<(), CheckpointsClosed> {
        let mark = |report: &Report| match report {
            Report::InfrastructureLog(line) => Some(line.clone()),
            Report::VmLog { vm, text } => Some(format!("{vm} {text}")),
            _ => None,
        };
        let said = self.progress.lock().await.said.clone();
        let is_new = |report: &Report| mark(report).is_none_or(|mark| !said.contains(&mark));
        let reports: Vec<Report> = reports.into_iter().filter(is_new).collect();
        let marks: Vec<String> = reports.iter().filter_map(mark).collect();
        let change = |p: &mut Progress| {
            p.said.extend(marks);
            change(p);
        };
        self.record(reports, change).await
    }

    /// Lines for the infrastructure's log, once in a preparation.
    pub async fn log_once(&self, lines: impl IntoIterator<Item = String>) -> Result<(), CheckpointsClosed> {
        self.once(lines.into_iter().map(Report::InfrastructureLog).collect(), |_| {}).await
    }

    /// Lines for the infrastructure's log.
    pub async fn log(&self, lines: impl IntoIterator<Item = String>) -> Result<(), CheckpointsClosed> {
        let reports: Vec<Report> = lines.into_iter().map(Report::InfrastructureLog).collect();
        if reports.is_empty() { Ok(()) } else { self.record(reports, |_| {}).await }
    }

    /// Final results of machines that have none yet, with the failure's text in their logs.
    pub async fn results(
        &self,
        results: impl IntoIterator<Item = (u32, Result<(), VmError>)>,
    ) -> Result<(), CheckpointsClosed> {
        let known: BTreeSet<u32> = self.progress.lock().await.results.keys().copied().collect();
        let mut reports = Vec::new();
        let mut new = Vec::new();
        for (vm, result) in results {
            if known.contains(&vm) {
                continue;
            }
            new.push((vm, result.as_ref().err().cloned()));
            reports.push(Report::VmResult { vm, result });
        }
        if reports.is_empty() { Ok(()) } else { self.record(reports, |p| p.results.extend(new)).await }
    }
}
