//! What follows the boot of machines: wanted, failed for now, ended. What is missing is what the cloud says; nothing of it is
//! remembered here but that somebody is to look, and what the log told.

use crate::engine::state::{
    accounts::Accounts,
    draft::{Draft, Effect},
    model::{Completion, Lifecycle, Vm},
};
use connectors::dns::RecordEntry;
use std::{collections::BTreeSet, sync::Arc};

/// How the attempts to make what is missing of a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionOutcome {
    /// Nothing is missing any more.
    Complete,
    /// It cannot be made, or was tried often enough: why.
    GivenUp(String),
    /// The machine is to be deleted, or does not run.
    Interrupted,
}

pub(super) fn incomplete(draft: &mut Draft, vms: &[u32], accounts: Option<&Accounts>) {
    let mut wanted = BTreeSet::new();
    for &number in vms {
        let is_new = draft
            .model
            .vm(number)
            .is_some_and(|vm| vm.is_live() && vm.is_running() && !matches!(vm.completion, Completion::Due { .. }));
        if is_new && let Some(vm) = draft.vm(number) {
            vm.completion = match std::mem::take(&mut vm.completion) {
                Completion::GivenUp { told } => Completion::Due { told: Some(told), given_up: true },
                Completion::Complete | Completion::Due { .. } => Completion::Due { told: None, given_up: false },
            };
            wanted.insert(number);
        }
    }
    if wanted.is_empty() {
        return;
    }
    // The infrastructure has something to do again, for which its accounts are kept.
    let kept = draft.infrastructure().accounts.get_or_insert_default();
    if let Some(accounts) = accounts {
        Arc::make_mut(kept).keep(accounts);
    }
    draft.effects.push(Effect::Complete(wanted));
}

/// A machine that is to be deleted keeps what it has: its deletion deletes all of that.
pub(super) fn records(draft: &mut Draft, number: u32, records: Vec<RecordEntry>) {
    let changes = |vm: &Arc<Vm>| matches!(vm.lifecycle, Lifecycle::Present(_)) && vm.records != records;
    if draft.model.vm(number).is_some_and(changes)
        && let Some(vm) = draft.vm(number)
    {
        vm.records = records;
    }
}

pub(super) fn failed(draft: &mut Draft, number: u32, why: String) {
    let is_known = |told: &Option<String>| told.as_ref() == Some(&why);
    let is_told = |vm: &Arc<Vm>| matches!(&vm.completion, Completion::Due { told, .. } if is_known(told));
    if !draft.model.vm(number).is_some_and(is_told) {
        become_and_tell(draft, number, Completion::Due { told: Some(why), given_up: false });
    }
}

/// Notes how far the completion of a machine has come, and tells it in the log unless that was the last thing told.
fn become_and_tell(draft: &mut Draft, number: u32, completion: Completion) {
    let Some(vm) = draft.model.vm(number) else { return };
    if !matches!(vm.completion, Completion::Due { .. }) {
        return;
    }
    let last = vm.completion.line();
    if let Some(line) = completion.line().filter(|line| last.as_ref() != Some(line)) {
        draft.log_vm(number, line);
    }
    if let Some(vm) = draft.vm(number) {
        vm.completion = completion;
    }
}

pub(super) fn ended(draft: &mut Draft, number: u32, outcome: CompletionOutcome) {
    let Some(vm) = draft.model.vm(number) else { return };
    if matches!(vm.lifecycle, Lifecycle::Deleting(_)) {
        // It waited for this.
        draft.effects.push(Effect::Delete(BTreeSet::from([number])));
        return;
    }
    match outcome {
        CompletionOutcome::Interrupted => {}
        CompletionOutcome::Complete => become_and_tell(draft, number, Completion::Complete),
        CompletionOutcome::GivenUp(told) => become_and_tell(draft, number, Completion::GivenUp { told }),
    }
}
