//! Runs with mitogen, and going on without it when mitogen itself fails.

use super::{
    Stop,
    control::Master,
    item::{Ended, Item, Runs},
    progress::{HostRecord, OpenRun, Progress},
};
use crate::{
    contract::{Effect, VmError},
    plan::engine::Engine,
};
use std::collections::{BTreeMap, BTreeSet};

/// What carries a new run of the item over `hosts`.
pub(super) fn of<'h>(
    master: &Master<'_>,
    item: &Item,
    mut hosts: impl Iterator<Item = &'h HostRecord>,
    progress: &Progress,
) -> Engine {
    let fits =
        master.runtime.mitogen && !progress.without_mitogen && hosts.all(|host| host.python.is_some() && !host.windows);
    if fits { item.playbook.engine } else { Engine::Plain }
}

impl Runs<'_> {
    /// The run that repeats an attempt without mitogen for the machines where mitogen itself failed; none when it did
    /// nowhere. Machines whose tasks failed are not in it: their failures are carried to its end.
    pub(super) async fn without_mitogen(
        &self,
        master: &Master<'_>,
        item: &Item,
        open: &OpenRun,
        ended: &Ended,
    ) -> Result<Option<OpenRun>, Stop> {
        if open.engine != Engine::Mitogen || ended.mitogen_failed.is_empty() {
            return Ok(None);
        }
        let (mut effects, mut carried) = (Vec::new(), open.carried.clone());
        let mut vms = BTreeSet::new();
        let mut why = String::new();
        for (vm, result) in &ended.results {
            let text = match result {
                Ok(()) => format!("Task {} finished successfully\n", item.task),
                Err(e) if ended.mitogen_failed.contains(vm) => {
                    why.clone_from(&e.message);
                    vms.insert(*vm);
                    format!("WARNING: mitogen failed ([{}] {}): without it once more.\n", e.code, e.message)
                        + &format!("Launch task: {}\n", item.task)
                }
                Err(e) => {
                    carried.insert(*vm, e.clone());
                    continue;
                }
            };
            effects.push(Effect::VmLog { vm: *vm, text });
        }
        if vms.is_empty() {
            return Ok(None);
        }
        let why: String = why.lines().last().unwrap_or_default().chars().take(300).collect();
        effects.push(Effect::InfrastructureLog(format!(
            "WARNING: mitogen failed in {} ({why}): Ansible goes on without it.",
            item.task
        )));
        tracing::warn!(run = open.run, why, "mitogen failed, Ansible goes on without it");
        let mut progress = self.recorder.progress().await;
        progress.without_mitogen = true;
        let mut plain = self.open(master, item, &vms, (open.attempt, open.strategy), &progress);
        plain.carried = carried;
        let note = |p: &mut Progress| {
            p.without_mitogen = true;
            p.open.insert(item.key.clone(), plain.clone());
        };
        self.recorder.record(effects, note).await?;
        Ok(Some(plain))
    }
}

/// The results of an attempt with the failures of machines that did not take part in its last run.
pub(super) fn with_carried(ended: Ended, open: &OpenRun) -> BTreeMap<u32, Result<(), VmError>> {
    let mut results = ended.results;
    results.extend(open.carried.iter().map(|(vm, e)| (*vm, Err(e.clone()))));
    results
}
