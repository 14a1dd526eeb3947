//! What happens next with an item: which run begins, which attempt it is, and what becomes of its machines. The
//! shell (`driver::items`) records, waits and listens as it is told here.

use super::{
    item::{Item, failed},
    key::ItemKey,
    progress::{HostRecord, NextRun, OpenRun, Progress},
};
use crate::{
    contract::{Details, ErrorCode, Report, VmError},
    journal::position::JournalPosition,
    plan::{carrier::Carrier, control::ControlNode, names, recipe::Strategy},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Results of machines.
pub type Results = BTreeMap<u32, Result<(), VmError>>;

/// What the decisions depend on besides item and progress.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Where the item runs.
    pub control: &'a ControlNode,
    /// Whether mitogen is there.
    pub has_mitogen: bool,
    /// The machines that exist.
    pub live: &'a BTreeSet<u32>,
    /// Generation of the job.
    pub generation: u64,
    /// Attempts that an item gets.
    pub retries: u32,
    /// Whether the time of the whole contextualization is over.
    pub time_is_over: bool,
    /// Makes the ids of runs that begin now differ from all others.
    pub salt: u32,
}

impl Circumstances<'_> {
    /// Attempts that an item gets: a fault of the machinery is worth a second one even when recipes get one only.
    fn most(&self, infrastructure: bool) -> u32 {
        self.retries.max(1 + u32::from(infrastructure))
    }

    fn run_id(&self, item: &Item, attempt: u32) -> String {
        let key: String = names::safe(&item.key.to_string()).chars().take(60).collect();
        format!("{}-{key}-{attempt}-{:08x}", self.generation, self.salt)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// The result of each machine.
    pub results: Results,
    /// Machines whose failure, if they failed, would be mitogen's own.
    pub mitogen_failed: BTreeSet<u32>,
    /// Whether the recipe has to run in lock step, which nobody saw beforehand.
    pub needs_lock_step: bool,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Step {
    /// Nothing: the item was finished before.
    Nothing,
    /// Nothing: time is over, and no run of the item is under way.
    Late,
    /// Listen to a run that an earlier daemon began.
    Listen(Box<OpenRun>),
    /// Record, wait for the pause, then start the run and listen to it.
    Run {
        /// What is recorded before.
        record: Record,
        /// The run, which is part of the record.
        run: Box<OpenRun>,
        /// Time before it starts.
        pause: Duration,
    },
    /// Record that the item is finished.
    Finish(Record),
}

/// What one step changes.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// A run that has to be ended on the control node before anything is recorded: nobody will listen to it.
    pub end_run: Option<String>,
    /// What the outside sees.
    pub reports: Vec<Report>,
    /// Machines that the item is done for.
    pub done: BTreeSet<u32>,
    /// Final failures.
    pub failures: BTreeMap<u32, VmError>,
    /// Why mitogen is given up.
    pub mitogen_fault: Option<String>,
    /// The next item's run, which the process of the run that ended went on with.
    pub ahead: Option<(ItemKey, String)>,
}

impl Step {
    /// What is to be recorded, if anything.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Run { record, .. } | Self::Finish(record) => Some(record),
            Self::Nothing | Self::Late | Self::Listen(_) => None,
        }
    }

    /// Brings the progress to where it stands after the step.
    pub fn apply(&self, item: &Item, progress: &mut Progress) {
        let Some(record) = self.record() else { return };
        progress.results.extend(record.failures.iter().map(|(vm, error)| (*vm, Some(error.clone()))));
        progress.without_mitogen |= record.mitogen_fault.is_some();
        progress.ahead.remove(&item.key);
        progress.ahead.extend(record.ahead.clone());
        if let Self::Run { run, .. } = self {
            for (vm, mark) in record.done.iter().filter_map(|vm| Some((*vm, item.marks.get(vm)?.clone()))) {
                progress.done.entry(item.key.clone()).or_default().insert(vm, mark);
            }
            progress.attempts.insert(item.key.clone(), run.attempt);
            progress.open.insert(item.key.clone(), run.as_ref().clone());
        } else {
            progress.open.remove(&item.key);
            progress.attempts.remove(&item.key);
            progress.done.remove(&item.key);
            progress.finished.insert(item.key.clone());
        }
    }
}

/// What to do with an item at this point; `ended` is how its run that is under way came to its end, if it did.
#[must_use]
pub fn next(item: &Item, progress: &Progress, ended: Option<Ended>, now: &Circumstances<'_>) -> Step {
    if progress.finished.contains(&item.key) {
        return Step::Nothing;
    }
    match (progress.open.get(&item.key), ended) {
        (Some(run), None) => Step::Listen(Box::new(run.clone())),
        (Some(run), Some(ended)) => after(item, progress, run, ended, now),
        (None, _) => first(item, progress, now),
    }
}

/// The first run of an item, or the first one that a new master does of it.
fn first(item: &Item, progress: &Progress, now: &Circumstances<'_>) -> Step {
    if now.time_is_over {
        return Step::Late;
    }
    let waiting = progress.waiting(item);
    let former = progress.attempts.get(&item.key).copied().unwrap_or_default();
    if former >= now.most(true) && !waiting.is_empty() {
        return Step::Finish(all_lost(item, waiting, former));
    }
    let ahead = progress.ahead.get(&item.key);
    let mut run = open_run(item, progress, &waiting, (former + 1, item.playbook.strategy), now);
    if run.hosts.is_empty() {
        return Step::Finish(Record { end_run: ahead.cloned(), ..Record::default() });
    }
    match ahead {
        Some(ahead) => run.run.clone_from(ahead),
        None => run.next = next_run(item, progress, &run, now),
    }
    let text = launch(item);
    let reports = run.hosts.values().map(|vm| log(*vm, text.clone())).collect();
    Step::Run { record: Record { reports, ..Record::default() }, run: Box::new(run), pause: Duration::ZERO }
}

/// The end of an item whose every attempt took the master with it.
fn all_lost(item: &Item, vms: BTreeSet<u32>, attempts: u32) -> Record {
    let details = Details { step: item.step, recipe: Some(item.task.clone()), ..Details::default() };
    let error = VmError {
        details: Some(Box::new(details)),
        ..VmError::new(ErrorCode::MasterLost, &item.phase, "the master was lost in every attempt")
    };
    let error = error.in_attempt(attempts, attempts);
    let text = failed(&item.task, attempts, attempts, &error);
    let failures: BTreeMap<u32, VmError> = vms.into_iter().map(|vm| (vm, error.clone())).collect();
    let logs = failures.keys().map(|vm| log(*vm, text.clone()));
    Record { reports: logs.chain(finals(&failures)).collect(), failures, ..Record::default() }
}

/// What follows when a run came to its end.
fn after(item: &Item, progress: &Progress, run: &OpenRun, mut ended: Ended, now: &Circumstances<'_>) -> Step {
    ended.results.retain(|vm, _| now.live.contains(vm));
    let any_failed = ended.results.values().any(Result::is_err);
    let step = again_in_lock_step(item, progress, run, &ended, now)
        .or_else(|| again_without_mitogen(item, progress, run, &ended, now));
    let mut step = step.unwrap_or_else(|| decide(item, progress, run, ended.results, now));
    let is_finished = matches!(step, Step::Finish(_));
    if let (Some(next), Step::Run { record, .. } | Step::Finish(record)) = (&run.next, &mut step) {
        // The process of a run goes on with the next item's when no machine failed.
        if is_finished && !any_failed {
            record.ahead = Some((next.key.clone(), next.run.clone()));
        } else {
            record.end_run = Some(next.run.clone());
        }
    }
    step
}

/// The same attempt once more for all machines, task by task, when Ansible says that the recipe needs that.
fn again_in_lock_step(
    item: &Item,
    progress: &Progress,
    run: &OpenRun,
    ended: &Ended,
    now: &Circumstances<'_>,
) -> Option<Step> {
    if !ended.needs_lock_step || run.strategy != Strategy::Free {
        return None;
    }
    let vms = run.hosts.values().copied().collect();
    let carried = run.carried.clone();
    let again = OpenRun { carried, ..open_run(item, progress, &vms, (run.attempt, Strategy::Linear), now) };
    if again.hosts.is_empty() {
        return None;
    }
    let text = "This recipe needs its machines to go task by task: it starts again that way.\n";
    let reports = vms.iter().map(|vm| log(*vm, text)).collect();
    let record = Record { reports, ..Record::default() };
    Some(Step::Run { record, run: Box::new(again), pause: Duration::ZERO })
}

/// The same attempt once more without mitogen for the machines where mitogen itself failed; none when it did nowhere.
/// Machines whose tasks failed are not in it: their failures are carried to its end.
fn again_without_mitogen(
    item: &Item,
    progress: &Progress,
    run: &OpenRun,
    ended: &Ended,
    now: &Circumstances<'_>,
) -> Option<Step> {
    if run.carrier != Carrier::Mitogen {
        return None;
    }
    let mut record = Record::default();
    let mut carried = run.carried.clone();
    let mut vms = BTreeSet::new();
    let mut why = "";
    for (vm, result) in &ended.results {
        let text = match result {
            Ok(()) => {
                record.done.insert(*vm);
                succeeded(item)
            }
            Err(e) if ended.mitogen_failed.contains(vm) => {
                why = &e.message;
                vms.insert(*vm);
                let warning = format!("WARNING: mitogen failed ([{}] {}): without it once more.\n", e.code, e.message);
                warning + &launch(item)
            }
            Err(e) => {
                carried.insert(*vm, e.clone());
                continue;
            }
        };
        record.reports.push(log(*vm, text));
    }
    if vms.is_empty() {
        return None;
    }
    let why: String = why.lines().last().unwrap_or_default().chars().take(300).collect();
    let line = format!("WARNING: mitogen failed in {} ({why}): Ansible goes on without it.", item.task);
    record.reports.push(Report::InfrastructureLog(line));
    record.mitogen_fault = Some(why);
    let plain = open_run(item, progress, &vms, (run.attempt, run.strategy), now);
    let run = Box::new(OpenRun { carrier: Carrier::Plain, carried, ..plain });
    Some(Step::Run { record, run, pause: Duration::ZERO })
}

/// What becomes of the machines of an attempt: done, tried again, or failed for good.
fn decide(item: &Item, progress: &Progress, run: &OpenRun, mut results: Results, now: &Circumstances<'_>) -> Step {
    let carried = run.carried.iter().filter(|(vm, _)| now.live.contains(vm));
    results.extend(carried.map(|(vm, error)| (*vm, Err(error.clone()))));
    let number = run.attempt;
    let failures = || results.iter().filter_map(|(vm, result)| Some((*vm, result.as_ref().err()?)));
    let most = now.most(failures().all(|(_, error)| error.code.is_infrastructure()));
    let most = most.max(if failures().next().is_none() { 1 } else { number });
    // What cannot end otherwise is not tried again.
    let of = |error: &VmError| if error.may_change() { most } else { number };
    let may_go_on = number < most && !now.time_is_over;
    let (again, last): (BTreeMap<u32, VmError>, BTreeMap<u32, VmError>) = failures()
        .map(|(vm, error)| (vm, error.clone().in_attempt(number, of(error))))
        .partition(|(_, error)| may_go_on && error.may_change());
    let mut reports = Vec::new();
    for (vm, result) in &results {
        let text = match result {
            Ok(()) => succeeded(item),
            Err(error) => failed(&item.task, number, of(error), error),
        };
        reports.push(log(*vm, text));
    }
    reports.extend(finals(&last));
    let done = results.iter().filter(|(_, result)| result.is_ok()).map(|(vm, _)| *vm).collect();
    let mut record = Record { reports, done, failures: last, ..Record::default() };
    if again.is_empty() {
        return Step::Finish(record);
    }
    let pause = Duration::from_secs(u64::from(number.pow(2)) * 5);
    let text = format!("Sleeping {} secs.\n{}", pause.as_secs(), launch(item));
    record.reports.extend(again.keys().map(|vm| log(*vm, text.clone())));
    let run = open_run(item, progress, &again.into_keys().collect(), (number + 1, run.strategy), now);
    Step::Run { record, run: Box::new(run), pause }
}

/// A new run of the item over those of the machines that exist and were reached.
fn open_run(
    item: &Item,
    progress: &Progress,
    vms: &BTreeSet<u32>,
    (attempt, strategy): (u32, Strategy),
    now: &Circumstances<'_>,
) -> OpenRun {
    let hosts = progress.hosts.iter().filter(|(vm, _)| vms.contains(vm) && now.live.contains(vm));
    let hosts: BTreeMap<String, u32> = hosts.map(|(vm, host)| (host.name.clone(), *vm)).collect();
    OpenRun {
        run: now.run_id(item, attempt),
        task: item.task.clone(),
        attempt,
        control: now.control.clone(),
        position: JournalPosition::default(),
        strategy,
        carrier: carrier(item, &hosts, progress, now),
        carried: BTreeMap::new(),
        next: None,
        hosts,
    }
}

/// What carries a new run of the item over these machines.
fn carrier(item: &Item, hosts: &BTreeMap<String, u32>, progress: &Progress, now: &Circumstances<'_>) -> Carrier {
    let takes_mitogen = |host: &HostRecord| host.python.is_some() && !host.windows;
    let fits = now.has_mitogen
        && !progress.without_mitogen
        && hosts.values().filter_map(|vm| progress.hosts.get(vm)).all(takes_mitogen);
    if fits { item.playbook.carrier } else { Carrier::Plain }
}

/// The next item's run, if it can go on in the process of this one: over the same machines in the same way. The
/// connections and interpreters of the one serve the other, which is half of the time of a short recipe.
fn next_run(item: &Item, progress: &Progress, run: &OpenRun, now: &Circumstances<'_>) -> Option<NextRun> {
    let next = item.next.as_deref()?;
    let fits = item.playbook.vault.is_none()
        && next.playbook.vault.is_none()
        && next.playbook.strategy == run.strategy
        && carrier(next, &run.hosts, progress, now) == run.carrier
        && !progress.finished.contains(&next.key)
        && !progress.attempts.contains_key(&next.key)
        && progress.waiting(next) == run.hosts.values().copied().collect();
    let playbook = || next.playbook.playbook.clone();
    fits.then(|| NextRun { key: next.key.clone(), run: now.run_id(next, 1), playbook: playbook() })
}

fn log(vm: u32, text: impl Into<String>) -> Report {
    Report::VmLog { vm, text: text.into() }
}

fn launch(item: &Item) -> String {
    format!("Launch task: {}\n", item.task)
}

fn succeeded(item: &Item) -> String {
    format!("Task {} finished successfully\n", item.task)
}

fn finals(failures: &BTreeMap<u32, VmError>) -> impl Iterator<Item = Report> {
    failures.iter().map(|(vm, error)| Report::VmResult { vm: *vm, result: Err(error.clone()) })
}
