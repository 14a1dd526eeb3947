//! The state machine of a contextualization (docs/spec/contextualization.md 6.3): waits, chooses the master, brings Ansible
//! there, opens the doors of the other machines, runs the playbooks, records every step.
//!
//! | module | subject |
//! |---|---|
//! | `progress` | where it stands |
//! | `recorder` | writing the journal |
//! | `link` | the connection to the master |
//! | `control` | the master, or external hosts in its place |
//! | `windows` | the doors of Windows machines |
//! | `tunnels` | the keys of reverse tunnels |
//! | `roles` | roles and collections of the document |
//! | `stages` | from machines to a master with everything on it |
//! | `late` | machines that come late |
//! | `item` | one playbook over some machines |
//! | `engine` | with mitogen, and without it when it fails |

mod control;
mod engine;
mod item;
mod late;
mod link;
mod progress;
mod recorder;
mod roles;
mod stages;
mod tunnels;
mod windows;

use crate::{
    access::Proxy,
    contract::{ErrorCode, Job, Journal, JournalClosed, Outcome, VmError, VmPower},
    journal::text::Cleaner,
    plan::{
        self, Files, Runnable,
        decide::{Decision, Lane, decide},
    },
    ssh::{Login, SshLimits},
};
use control::Master;
use futures::{
    FutureExt, StreamExt,
    future::{FusedFuture, join_all},
    stream::FuturesUnordered,
};
use item::{Item, Runs};
use late::{Late, Part};
use progress::{Phase, Progress};
use recorder::Recorder;
use stages::Stage;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// The log line of an infrastructure whose contextualization is switched off.
pub const DISABLED: &str = "Contextualization disabled by the RADL/TOSCA template.";
/// The log line when time is over.
pub const TIME_OVER: &str = "ERROR: Max contextualization time passed.";
/// Lanes of a step that run at once.
const LANES: usize = 4;
/// Times the master may be lost or set up again.
const REDOS: u32 = 5;
/// Time for ending the runs of a cancelled job.
const CANCEL: Duration = Duration::from_secs(12);
/// How long the master may be off, as its cloud says, before another one is chosen.
const DOWN: Duration = Duration::from_secs(10);

/// Why the work does not simply go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The journal is closed.
    Closed,
    /// The infrastructure cannot be contextualized.
    Failed(String),
    /// The same for a reason that its machines share.
    Refused(ErrorCode, String),
    /// The master lost its files or its runner: choose and prepare one again.
    Redo(String),
    /// Time is over.
    Late,
    /// The master is gone or does not answer any more: the same with another one.
    Dead(String),
    /// The connection broke in the middle of something that can be repeated.
    Broken,
}

impl From<JournalClosed> for Stop {
    fn from(_: JournalClosed) -> Self {
        Self::Closed
    }
}

/// Contextualizes an infrastructure, going on where an earlier daemon left off. Dropping the future leaves the runs on
/// the master alone, to be found again by the next daemon; `cancel` ends them.
pub async fn run(job: Job, journal: Arc<dyn Journal>, ssh: SshLimits, cancel: CancellationToken) -> Outcome {
    let progress: Progress = serde_json::from_value(job.progress.clone()).unwrap_or_default();
    let recorder = Recorder::new(journal, progress, job.vms.clone());
    let conf_dir =
        format!("{}/{}", job.settings.remote_conf_dir.trim_end_matches('/'), plan::names::safe(&job.infrastructure));
    let driver = Driver {
        job: &job,
        recorder: &recorder,
        ssh: &ssh,
        conf_dir,
        masters: watch::Sender::default(),
        dead: Arc::default(),
    };
    let time_left = job.deadline.saturating_duration_since(Instant::now());
    // It may have ended late with runs still open, and is listened to once more below.
    let mut drive = std::pin::pin!(driver.drive().fuse());
    let mut outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Outcome::Cancelled,
        outcome = &mut drive => match outcome {
            Outcome::TimedOut => outcome,
            outcome => return outcome,
        },
        () = tokio::time::sleep(time_left) => Outcome::TimedOut,
    };
    let is_running = !recorder.progress().await.open.is_empty();
    if outcome == Outcome::TimedOut && is_running {
        // The runs are ended, and what their machines did until now still counts.
        let driven = CancellationToken::new();
        let hear = async {
            let heard = match drive.is_terminated() {
                true => None,
                false => tokio::time::timeout(CANCEL, &mut drive).await.ok(),
            };
            driven.cancel();
            heard
        };
        let end = async {
            // A daemon that has just begun may still be on its way to the master; one that ended found what there is.
            let mut masters = driver.masters.subscribe();
            let found = tokio::time::timeout(CANCEL, masters.wait_for(|masters| !masters.is_empty()));
            let found = async { drop(found.await) };
            tokio::select! {
                () = found => {}
                () = driven.cancelled() => {}
            }
            driver.end_runs().await;
        };
        let both = async { tokio::join!(hear, end).0 };
        tokio::select! {
            biased;
            () = cancel.cancelled() => outcome = Outcome::Cancelled,
            heard = both => outcome = heard.unwrap_or(outcome),
        }
    }
    if outcome == Outcome::Cancelled {
        driver.end_runs().await;
    }
    if outcome == Outcome::TimedOut && driver.time_over().await.is_err() {
        return Outcome::Cancelled;
    }
    outcome
}

/// A contextualization under way.
struct Driver<'a> {
    job: &'a Job,
    recorder: &'a Recorder,
    ssh: &'a SshLimits,
    conf_dir: String,
    /// None until they are prepared, or found again.
    masters: watch::Sender<Vec<Master<'a>>>,
    /// Told when a master has been silent for too long.
    dead: Arc<Notify>,
}

impl<'a> Driver<'a> {
    async fn drive(&self) -> Outcome {
        loop {
            let stop = tokio::select! {
                passed = self.pass() => match passed {
                    Ok(()) => return Outcome::Done,
                    Err(stop) => stop,
                },
                why = self.master_gone() => Stop::Dead(why),
                () = self.dead.notified() => Stop::Dead("the master VM does not answer any more".to_owned()),
            };
            let again = self.recorder.progress().await.redos < REDOS;
            let ended = match stop {
                Stop::Closed => return Outcome::Cancelled,
                Stop::Late => return Outcome::TimedOut,
                Stop::Broken => continue,
                Stop::Redo(why) if again => self.redo(&why, false).await.map(|()| None),
                Stop::Dead(why) if again => self.redo(&why, true).await.map(|()| None),
                Stop::Redo(why) | Stop::Dead(why) => self.failed(ErrorCode::MasterLost, why).await.map(Some),
                Stop::Refused(code, why) => self.failed(code, why).await.map(Some),
                Stop::Failed(why) => self.failed(ErrorCode::Internal, why).await.map(Some),
            };
            match ended {
                Ok(None) => tokio::time::sleep(Duration::from_secs(1)).await,
                Ok(Some(outcome)) => return outcome,
                Err(JournalClosed) => return Outcome::Cancelled,
            }
        }
    }

    /// Back to the choice of the master, another one when this one is `dead`.
    async fn redo(&self, why: &str, dead: bool) -> Result<(), JournalClosed> {
        let progress = self.recorder.progress().await;
        let error = VmError::new(ErrorCode::MasterLost, progress.phase.name(), why);
        let most = self.job.settings.playbook_retries.max(2);
        let mut effects =
            vec![crate::Effect::InfrastructureLog(format!("WARNING: {why}: a master is prepared again."))];
        for open in progress.open.values() {
            let text = format!("ERROR executing task {}: ({}/{most})\n{}", open.task, open.attempt, error.cause());
            effects.extend(open.hosts.values().map(|vm| crate::Effect::VmLog { vm: *vm, text: text.clone() }));
        }
        let change = |p: &mut Progress| {
            p.lost.extend(p.master().filter(|_| dead));
            p.redo();
        };
        self.recorder.record(effects, change).await
    }

    /// The infrastructure as a whole failed: machines without a result share the reason.
    async fn failed(&self, code: ErrorCode, why: String) -> Result<Outcome, JournalClosed> {
        self.recorder.log([why.clone()]).await?;
        let phase = self.recorder.progress().await.phase.name();
        // Errors of machines begin with their code.
        let message = why.replacen(&format!("[{code}] "), "", 1);
        self.undecided(&VmError::new(code, phase, message)).await?;
        Ok(Outcome::Failed(why))
    }

    /// The same failure for all machines without a result, in their logs too.
    async fn undecided(&self, error: &VmError) -> Result<(), JournalClosed> {
        let known = self.recorder.progress().await.results;
        let vms: Vec<u32> = self.recorder.live().into_iter().filter(|vm| !known.contains_key(vm)).collect();
        let log = |vm: &u32| crate::Effect::VmLog { vm: *vm, text: error.final_cause() };
        let result = |vm: &u32| crate::Effect::VmResult { vm: *vm, result: Err(error.clone()) };
        let effects = vms.iter().map(log).chain(vms.iter().map(result)).collect();
        let results = vms.iter().map(|vm| (*vm, Some(error.clone())));
        self.recorder.record(effects, |p| p.results.extend(results)).await
    }

    /// Resolves when the chosen master is no longer among the machines, or off for good.
    async fn master_gone(&self) -> String {
        let mut vms = self.job.vms.clone();
        let mut down: Option<Instant> = None;
        loop {
            let master = self.recorder.progress().await.master();
            let all = vms.borrow_and_update().clone();
            match master.map(|master| all.iter().find(|vm| vm.id == master)) {
                Some(None) => return "the master VM was deleted".to_owned(),
                Some(Some(vm)) if vm.power == VmPower::Down => {
                    if down.get_or_insert_with(Instant::now).elapsed() >= DOWN {
                        return "the master VM was switched off".to_owned();
                    }
                }
                _ => down = None,
            }
            let look = async {
                match down {
                    Some(since) => tokio::time::sleep_until(since + DOWN).await,
                    None => std::future::pending().await,
                }
            };
            let news = async {
                if vms.changed().await.is_err() {
                    // No news will ever come.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = look => {}
                () = news => {}
            }
        }
    }

    /// How long the master may be silent before another one is chosen: as long as machines are waited for.
    fn patience(&self) -> Duration {
        self.job.settings.wait_ssh * 2
    }

    /// From where it stands to the end.
    async fn pass(&self) -> Result<(), Stop> {
        let vms = self.job.vms.borrow().clone();
        let decision = decide(&self.job.radl, &vms, self.job.selected.as_ref());
        let stage = Stage { driver: self, decision: &decision };
        if self.recorder.progress().await.phase == Phase::Idle {
            stage.announce().await?;
        }
        if !decision.enabled {
            return stage.disabled().await;
        }
        let (masters, files) = stage.prepared().await?;
        self.work(&stage, &masters, &files).await
    }

    /// The runs.
    async fn work(&self, stage: &Stage<'_, 'a>, masters: &[Master<'a>], files: &Files) -> Result<(), Stop> {
        self.masters.send_replace(masters.to_vec());
        let progress = self.recorder.progress().await;
        let runs =
            Runs { job: self.job, recorder: self.recorder, masters, conf_dir: &self.conf_dir, cleaner: self.cleaner() };
        let late = Late::new(progress.late.intersection(&stage.decision.participants).copied().collect());
        let steps = async {
            self.begin(stage, &runs, files, &late).await?;
            self.steps(stage, &runs, files, &late).await
        };
        tokio::try_join!(steps, self.follow(stage, (masters, &runs), &late))?;
        stage.finish().await
    }

    /// The item of the built-in playbook over some machines, or over a late one by itself.
    fn built_in(&self, windows: bool, vms: Vec<u32>, late: Option<u32>) -> Item {
        let (key, task, phase, playbook) = match windows {
            false => (BASIC_KEY, "basic", "basic", plan::BASIC),
            true => (WINDOWS_KEY, "main_windows", "main", plan::windows::PLAYBOOK),
        };
        let key = late.map_or(key.to_owned(), |vm| format!("{key}.{vm}"));
        let playbook = Runnable::built_in(&self.job.radl, playbook);
        let (task, phase) = (task.to_owned(), phase.to_owned());
        Item { key, task, phase, step: None, playbook, vms, marks: BTreeMap::new(), next: None }
    }

    /// The built-in playbooks over the machines that are there.
    async fn begin(&self, stage: &Stage<'_, 'a>, runs: &Runs<'_>, files: &Files, late: &Late) -> Result<(), Stop> {
        let progress = self.recorder.progress().await;
        let there = progress.hosts.iter().filter(|(vm, _)| !late.vms.contains(vm));
        let (windows, linux): (Vec<_>, Vec<_>) = there.partition(|(_, host)| host.windows);
        let [linux, windows] = [linux, windows].map(|hosts| hosts.into_iter().map(|(vm, _)| *vm).collect::<Vec<u32>>());
        let there = linux.iter().chain(&windows).copied().collect();
        let (mut basic, windows) = (self.built_in(false, linux, None), self.built_in(true, windows, None));
        if let ([_], true) = (runs.masters, late.vms.is_empty()) {
            basic.next = stage.first(files, &basic.vms).await.map(Box::new);
        }
        let (basic, windows) = tokio::join!(runs.run(&basic), runs.run(&windows));
        basic.and(windows)?;
        self.settle(stage.decision, 0, &there).await
    }

    /// The user's steps: each begins when the one before is done, late machines included.
    async fn steps(&self, stage: &Stage<'_, 'a>, runs: &Runs<'_>, files: &Files, late: &Late) -> Result<(), Stop> {
        let lanes_at_once = &Semaphore::new(LANES);
        let steps: Vec<(&i64, &Vec<Lane>)> = stage.decision.steps.iter().collect();
        for (done, (step, lanes)) in steps.iter().enumerate() {
            let run = |part: Part| async move {
                late.ready(&part.waits_for).await;
                // Nobody closes the semaphore.
                let _lane = lanes_at_once.acquire().await;
                stage.lane(runs, files, **step, &part.lane).await?;
                self.settle(stage.decision, done + 1, &part.lane.vms.iter().copied().collect()).await
            };
            let parts = lanes.iter().flat_map(|lane| late.parts(lane, files));
            let (now, later): (Vec<Part>, Vec<Part>) = parts.partition(|part| part.waits_for.is_empty());
            for part in &later {
                self.tell_part_waits(**step, part, late).await?;
            }
            let next = steps.get(done + 1).map(|(next, _)| **next);
            let missing: BTreeSet<u32> = later.iter().flat_map(|part| part.waits_for.iter().copied()).collect();
            let now = async {
                together(join_all(now.into_iter().map(run)).await)?;
                self.tell_step_waits(**step, next, late, &missing).await
            };
            let later = async {
                let mut later: FuturesUnordered<_> = later.into_iter().map(run).collect();
                while let Some(done) = later.next().await {
                    done?;
                }
                Ok(())
            };
            tokio::try_join!(now, later)?;
            let is_late = |e: &VmError| e.code == ErrorCode::Timeout;
            if self.recorder.progress().await.results.values().flatten().any(is_late) {
                return Err(Stop::Late);
            }
        }
        Ok(())
    }

    /// Those of the machines that have no work after the first `done` steps are configured.
    async fn settle(&self, decision: &Decision, done: usize, vms: &BTreeSet<u32>) -> Result<(), Stop> {
        let busy: BTreeSet<u32> =
            decision.steps.values().skip(done).flatten().flat_map(|lane| lane.vms.iter().copied()).collect();
        let progress = self.recorder.progress().await;
        let finished = progress.hosts.keys().filter(|vm| vms.contains(vm) && !busy.contains(vm));
        Ok(self.recorder.results(finished.map(|vm| (*vm, Ok(())))).await?)
    }

    /// Masks everything secret that this job knows.
    fn cleaner(&self) -> Cleaner {
        let mut secrets = vec![self.job.ansible_key.private.clone()];
        secrets.extend(self.job.exposed_auth.clone());
        for vm in self.job.vms.borrow().iter() {
            let proxy = Proxy::of(&vm.info).ok().flatten();
            secrets.extend(proxy.into_iter().flat_map(|proxy| proxy.logins).map(|login| match login {
                Login::Password(text) | Login::PrivateKey(text) => text,
            }));
        }
        // The document has what machines were made with, whatever took its place.
        let machines = self.job.vms.borrow().clone();
        secrets.extend(machines.iter().flat_map(|vm| vm.former_secrets.iter().cloned()));
        for system in machines.iter().flat_map(|vm| &vm.info.systems).chain(&self.job.radl.systems) {
            for credentials in [system.credentials(), system.new_credentials()] {
                secrets.extend(credentials.password);
                secrets.extend(credentials.private_key);
            }
        }
        for host in &self.job.radl.ansible_hosts {
            let texts = ["credentials.password", "credentials.private_key"].map(|name| host.features.text(name));
            secrets.extend(texts.into_iter().flatten().map(str::to_owned));
        }
        let passwords = self.job.radl.systems.iter().filter_map(|system| system.features.text("vault.password"));
        secrets.extend(passwords.map(str::to_owned));
        Cleaner::new(secrets, self.job.settings.log_ascii)
    }

    /// Ends what runs on the master.
    async fn end_runs(&self) {
        let masters = self.masters.borrow().clone();
        let progress = self.recorder.progress().await;
        let mut ends = Vec::new();
        let ahead = progress.ahead.values().flat_map(|run| masters.iter().map(move |master| (master, run)));
        let open = progress
            .open
            .values()
            .filter_map(|open| Some((masters.iter().find(|master| master.control == open.control)?, &open.run)));
        for (master, run) in open.chain(ahead) {
            let end = async move {
                let cancel = ["cancel", run.as_str()];
                if let Err(error) = master.link.ask(&master.runtime, &cancel, &serde_json::Value::Null).await {
                    tracing::warn!(run, %error, "a run could not be cancelled");
                }
            };
            ends.push(end.boxed());
        }
        if tokio::time::timeout(CANCEL, join_all(ends)).await.is_err() {
            tracing::warn!("the runs on the master could not be ended in time");
        }
    }

    async fn time_over(&self) -> Result<(), JournalClosed> {
        self.recorder.log([TIME_OVER.to_owned()]).await?;
        let phase = self.recorder.progress().await.phase.name();
        self.undecided(&VmError::new(ErrorCode::Timeout, phase, "time is over")).await
    }
}

/// One result of several: that time is over counts after everything else.
fn together(results: Vec<Result<(), Stop>>) -> Result<(), Stop> {
    let (late, others): (Vec<_>, Vec<_>) = results.into_iter().partition(|result| matches!(result, Err(Stop::Late)));
    others.into_iter().chain(late).collect()
}

/// Key of the built-in playbook's item.
const BASIC_KEY: &str = "basic";
/// Key of the item for Windows machines.
const WINDOWS_KEY: &str = "windows";
