//! The rules that move the state of an infrastructure: pure functions from a draft and what happened to the draft.
//! Requests are refused before anything is changed.

mod adding;
pub mod alteration;
pub mod altering;
mod completing;
mod contextualizing;
mod deleting;
mod owners;
mod snapshotting;
#[cfg(test)]
mod tests;
mod updating;

pub use adding::{LaunchFailure, NewLogin, Placement, PlannedVm, add, place};
pub use altering::alter;
pub use completing::CompletionOutcome;
pub use contextualizing::{new_credentials, reconfigure};
pub use deleting::{destroy, remove};
pub use owners::{change_owners, give_away};
pub use snapshotting::{SnapshotFailure, snapshot};
pub use updating::{Update, Updated, update};

use crate::engine::state::{
    accounts::{Accounts, is_unclaimed},
    draft::{Draft, Effect},
    model::{CloudRef, Infrastructure, Lifecycle, Observed, Vm, WorkKind},
    observation,
};
use adding::{launch_ended, launched, placed, prepared, shared_ready};
use altering::altered;
use connectors::{AccountName, Observation, PowerState, ProviderId, SharedResources};
use contextualization::{Checkpoint, Outcome};
use contextualizing::{context, context_ended, context_stopped};
use deleting::{deleted, shared_deleted};
use snapshotting::snapshot_ended;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// What child tasks and clouds report. These are never refused, and applied again if the store was away.
#[derive(Debug, Clone)]
pub enum Event {
    /// Clouds were chosen for a document.
    Placed {
        /// The work.
        work: u64,
        /// The choice.
        result: Result<Placement, String>,
    },
    /// Shared resources of a cloud are there: its machines are about to be created.
    SharedReady {
        /// Key of the cloud.
        cloud: String,
        /// What they are.
        shared: SharedResources,
        /// Machines that are created next.
        vms: Vec<u32>,
    },
    /// The launch of a machine ended.
    Launched {
        /// The machine.
        vm: u32,
        /// The cloud's id, or why not.
        result: Result<ProviderId, LaunchFailure>,
    },
    /// A machine is about to be created: what its cloud must be given is written down before.
    Prepared {
        /// The machine.
        vm: u32,
        /// What was made of its first login.
        login: Option<NewLogin>,
        /// Whether something follows its boot.
        is_completed_after_boot: bool,
    },
    /// All launches of a work ended.
    LaunchEnded(u64),
    /// The cloud says that something of these machines, which run, is missing.
    Incomplete {
        /// The machines.
        vms: Vec<u32>,
        /// Accounts that were shown for the question, where the kept ones were not used.
        accounts: Option<Arc<Accounts>>,
    },
    /// What is missing of a machine could not be made yet; it is tried again.
    CompletionFailed {
        /// The machine.
        vm: u32,
        /// Why.
        why: String,
    },
    /// Nobody makes what is missing of a machine any more.
    CompletionEnded {
        /// The machine.
        vm: u32,
        /// How it ended.
        outcome: CompletionOutcome,
    },
    /// The cloud said something about machines; those it did not mention are gone there, if it was asked with their account.
    Observed {
        /// The machines asked about.
        asked: Vec<u32>,
        /// The answer, or that there was none.
        answer: Result<Vec<Observation>, ()>,
        /// The account that was asked, where it is to be noted for machines of which it is not known yet.
        account: Option<AccountName>,
    },
    /// The change of a machine ended.
    Altered {
        /// The work.
        work: u64,
        /// The machine.
        vm: u32,
        /// It is as it was asked for, or why not.
        result: Result<(), String>,
    },
    /// An image was made, or could not be.
    SnapshotEnded {
        /// The work.
        work: u64,
        /// The machine.
        vm: u32,
        /// URL of the image, or why there is none.
        result: Result<String, SnapshotFailure>,
    },
    /// The deletion of a machine ended.
    Deleted {
        /// The machine.
        vm: u32,
        /// Nothing of it is left, or why it could not be deleted.
        result: Result<(), String>,
    },
    /// The deletion of the shared resources ended.
    SharedDeleted(Result<(), String>),
    /// A step forward of a contextualization.
    Context {
        /// Its generation.
        generation: u64,
        /// The step.
        entry: Checkpoint,
    },
    /// A contextualization ended.
    ContextEnded {
        /// Its generation.
        generation: u64,
        /// How.
        outcome: Outcome,
    },
    /// The daemon stops and takes the contextualization with it.
    ContextStopped,
    /// Machines that came up were looked at; none is left.
    NothingAwaited,
}

/// Applies a report. Whether it was still of use: a contextualization that was superseded is told by `false`.
pub fn apply(draft: &mut Draft, event: Event) -> bool {
    match event {
        Event::Placed { work, result } => placed(draft, work, result),
        Event::SharedReady { cloud, shared, vms } => shared_ready(draft, cloud, shared, &vms),
        Event::Launched { vm, result } => launched(draft, vm, result),
        Event::Prepared { vm, login, is_completed_after_boot } => prepared(draft, vm, login, is_completed_after_boot),
        Event::Incomplete { vms, accounts } => completing::incomplete(draft, &vms, accounts.as_deref()),
        Event::CompletionFailed { vm, why } => completing::failed(draft, vm, why),
        Event::CompletionEnded { vm, outcome } => completing::ended(draft, vm, outcome),
        Event::LaunchEnded(work) => launch_ended(draft, work),
        Event::Observed { asked, answer, account } => observed(draft, &asked, answer, account.as_ref()),
        Event::Altered { work, vm, result } => altered(draft, work, vm, result),
        Event::SnapshotEnded { work, vm, result } => snapshot_ended(draft, work, vm, result),
        Event::Deleted { vm, result } => deleted(draft, vm, result),
        Event::SharedDeleted(result) => shared_deleted(draft, result),
        Event::Context { generation, entry } => return context(draft, generation, entry),
        Event::ContextEnded { generation, outcome } => context_ended(draft, generation, outcome),
        Event::ContextStopped => context_stopped(draft),
        Event::NothingAwaited => {}
    }
    draft.release_accounts();
    true
}

fn observed(draft: &mut Draft, asked: &[u32], answer: Result<Vec<Observation>, ()>, account: Option<&AccountName>) {
    let now = draft.seconds();
    let Ok(observations) = answer else {
        for &number in asked {
            let failing = |vm: &Arc<Vm>| vm.observed.is_some_and(|observed| observed.failing_since.is_none());
            if draft.model.vm(number).is_some_and(failing)
                && let Some(Vm { observed: Some(observed), .. }) = draft.vm(number)
            {
                observed.failing_since = Some(now);
            }
        }
        return;
    };
    // What carries the mark of another infrastructure is no machine of this one, whatever an import said.
    let is_own = |observation: &&Observation| {
        observation.infrastructure.as_ref().is_none_or(|infrastructure| *infrastructure == draft.model.id)
    };
    let by_id: HashMap<&ProviderId, &Observation> =
        observations.iter().filter(is_own).map(|observation| (&observation.id, observation)).collect();
    let mut last: Option<Arc<radl::Radl>> = None;
    let mut claimed: HashMap<String, Arc<CloudRef>> = HashMap::new();
    let mut to_complete = BTreeSet::new();
    for &number in asked {
        let Some(vm) = draft.model.vm(number).filter(|vm| vm.is_live()) else { continue };
        let Some(id) = vm.provider_id() else { continue };
        let seen = by_id.get(id).copied();
        if is_unclaimed(vm) {
            // Another account may have made it: that this one does not know it says nothing.
            let Some(account) = account.filter(|_| seen.is_some()) else { continue };
            let claim = || Arc::new(CloudRef { account: Some(account.clone()), ..CloudRef::clone(&vm.cloud) });
            let cloud = claimed.entry(vm.cloud.id.clone()).or_insert_with(claim).clone();
            if let Some(vm) = draft.vm(number) {
                vm.cloud = cloud;
            }
        }
        let Some(vm) = draft.model.vm(number) else { continue };
        let state = seen.map_or(PowerState::Off, |observation| observation.state);
        let observed = Some(Observed { state, failing_since: None });
        let name = &draft.terms.default_vm_name;
        let info = seen.and_then(|observation| observation::info_after(vm, observation, name, now));
        if vm.observed == observed && info.is_none() {
            continue;
        }
        let fault = seen.and_then(|observation| observation.fault.clone());
        let failed_now = state == PowerState::Failed && vm.observed != observed;
        let runs_now = state == PowerState::Running && !vm.is_running();
        if let Some(vm) = draft.vm(number) {
            vm.observed = observed;
            if let Some(mut info) = info {
                // Machines that are asked about together are alike.
                if let Some(last) = &last {
                    info.share(last);
                }
                vm.info = Arc::new(info);
                last = Some(vm.info.clone());
            }
        }
        if let Some(fault) = fault.filter(|_| failed_now) {
            draft.log_vm(number, format!("{fault}\n"));
        }
        if runs_now && draft.model.vm(number).is_some_and(|vm| vm.is_to_be_completed()) {
            to_complete.insert(number);
        }
    }
    if !to_complete.is_empty() {
        draft.effects.push(Effect::Complete(to_complete));
    }
}

/// What a daemon that takes over an infrastructure must go on with.
#[must_use]
pub fn resume(model: &Infrastructure) -> Vec<Effect> {
    let mut effects = Vec::new();
    for work in &model.work {
        match &work.kind {
            WorkKind::Placing { .. } => effects.push(Effect::Place(work.id)),
            WorkKind::Adding { .. } => effects.push(Effect::Launch(work.id)),
            WorkKind::Altering { .. } => effects.push(Effect::Alter(work.id)),
            WorkKind::Snapshotting { .. } => effects.push(Effect::Snapshot(work.id)),
            WorkKind::Removing { .. } => {}
            WorkKind::Destroying { .. } => {
                if !model.vms.iter().any(|vm| matches!(vm.lifecycle, Lifecycle::Deleting(_))) {
                    effects.push(Effect::DeleteShared);
                }
            }
        }
    }
    let incomplete = model.vms.iter().filter(|vm| vm.is_to_be_completed());
    let incomplete: BTreeSet<u32> = incomplete.map(|vm| vm.number).collect();
    if !incomplete.is_empty() {
        effects.push(Effect::Complete(incomplete));
    }
    let deleting = |vm: &&Arc<Vm>| matches!(vm.lifecycle, Lifecycle::Deleting(_));
    let numbers: BTreeSet<u32> = model.vms.iter().filter(deleting).map(|vm| vm.number).collect();
    if !numbers.is_empty() {
        effects.push(Effect::Delete(numbers));
    }
    if model.generation.as_ref().is_some_and(|generation| generation.open) {
        effects.push(Effect::Contextualize);
    }
    effects
}
