//! The driver of a contextualization (docs/spec/contextualization.md 6.3): waits, chooses the master, brings Ansible there,
//! opens the doors of the other machines, runs the playbooks, records every step.
//!
//! From below: each module knows those above it in this table only.
//!
//! | module | subject |
//! |---|---|
//! | `rules` | pure: where it stands, and what follows from that |
//! | `stop` | why the work does not simply go on |
//! | `recorder` | progress and reports become checkpoints together |
//! | `link` | the connection to a control node: the master, or an external host in its place |
//! | `secrets` | what no log shows |
//! | `pass` | what all parts of a pass share; waiting for machines |
//! | `doors`, `windows`, `tunnels` | opening the doors of machines, of Windows machines, of reverse tunnels |
//! | `install` | Ansible, roles and collections |
//! | `items`, `start`, `listen` | items: what the rules decide is done; a run from its start to its end |
//! | `late` | machines that come late |
//! | `prepare` | from machines to control nodes with everything on them |
//! | `steps` | the built-in playbooks, then the steps of the user |

mod doors;
mod install;
mod items;
mod late;
mod link;
mod listen;
mod pass;
mod prepare;
mod recorder;
mod rules;
mod secrets;
mod start;
mod steps;
mod stop;
mod tunnels;
mod windows;

pub use pass::DISABLED;

use crate::{
    contract::{Checkpoints, CheckpointsClosed, ErrorCode, Job, Outcome, Report, VmError, VmPower},
    plan::{self, decide::decide},
    ssh::SshLimits,
};
use futures::{
    FutureExt,
    future::{FusedFuture, join_all},
};
use pass::{Context, Pass};
use recorder::Recorder;
use rules::progress::{Phase, Progress};
use std::{pin::Pin, sync::Arc, time::Duration};
use stop::Stop;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// The log line when time is over.
pub const TIME_OVER: &str = "ERROR: Max contextualization time passed.";
/// Time for ending the runs of a cancelled job.
const CANCEL: Duration = Duration::from_secs(12);
/// How long the master may be off, as its cloud says, before another one is chosen.
const DOWN: Duration = Duration::from_secs(10);

/// Contextualizes an infrastructure, going on where an earlier daemon left off. Dropping the future leaves the runs on
/// the master alone, to be found again by the next daemon; `cancel` ends them.
pub async fn run(job: Job, checkpoints: Arc<dyn Checkpoints>, ssh: SshLimits, cancel: CancellationToken) -> Outcome {
    let recorder = Recorder::new(checkpoints, stored(&job), job.vms.clone());
    let conf_dir =
        format!("{}/{}", job.settings.remote_conf_dir.trim_end_matches('/'), plan::names::safe(&job.infrastructure));
    let driver = Context {
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
        tokio::select! {
            biased;
            () = cancel.cancelled() => outcome = Outcome::Cancelled,
            heard = driver.end_heard(drive.as_mut()) => outcome = heard.unwrap_or(outcome),
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

/// Where an earlier daemon left off.
fn stored(job: &Job) -> Progress {
    if job.progress.is_null() {
        return Progress::default();
    }
    serde_json::from_value(job.progress.clone()).unwrap_or_else(|error| {
        tracing::error!(infrastructure = job.infrastructure, %error, "the stored progress cannot be read: it begins again");
        Progress::default()
    })
}

impl Context<'_> {
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
            let again = self.recorder.progress().await.may_redo();
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
                Err(CheckpointsClosed) => return Outcome::Cancelled,
            }
        }
    }

    /// Back to the choice of the master, another one when this one is `dead`.
    async fn redo(&self, why: &str, dead: bool) -> Result<(), CheckpointsClosed> {
        let progress = self.recorder.progress().await;
        let error = VmError::new(ErrorCode::MasterLost, progress.phase.name(), why);
        let most = self.job.settings.playbook_retries.max(2);
        let mut reports = vec![Report::InfrastructureLog(format!("WARNING: {why}: a master is prepared again."))];
        for open in progress.open.values() {
            let text = format!("ERROR executing task {}: ({}/{most})\n{}", open.task, open.attempt, error.cause());
            reports.extend(open.hosts.values().map(|vm| Report::VmLog { vm: *vm, text: text.clone() }));
        }
        let change = |p: &mut Progress| {
            p.lost.extend(p.master().filter(|_| dead));
            p.redo();
        };
        self.recorder.record(reports, change).await
    }

    /// The infrastructure as a whole failed: machines without a result share the reason.
    async fn failed(&self, code: ErrorCode, why: String) -> Result<Outcome, CheckpointsClosed> {
        self.recorder.log([why.clone()]).await?;
        let phase = self.recorder.progress().await.phase.name();
        // Errors of machines begin with their code.
        let message = why.replacen(&format!("[{code}] "), "", 1);
        self.undecided(&VmError::new(code, phase, message)).await?;
        Ok(Outcome::Failed(why))
    }

    /// Gives all machines without a result this failure, in their logs too.
    async fn undecided(&self, error: &VmError) -> Result<(), CheckpointsClosed> {
        let known = self.recorder.progress().await.results;
        let vms: Vec<u32> = self.recorder.live().into_iter().filter(|vm| !known.contains_key(vm)).collect();
        let log = |vm: &u32| Report::VmLog { vm: *vm, text: error.final_cause() };
        let result = |vm: &u32| Report::VmResult { vm: *vm, result: Err(error.clone()) };
        let reports = vms.iter().map(log).chain(vms.iter().map(result)).collect();
        let results = vms.iter().map(|vm| (*vm, Some(error.clone())));
        self.recorder.record(reports, |p| p.results.extend(results)).await
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

    /// Ends the runs when time is over, and hears what their machines did until now, which still counts.
    async fn end_heard(&self, drive: Pin<&mut impl FusedFuture<Output = Outcome>>) -> Option<Outcome> {
        let driven = CancellationToken::new();
        let hear = async {
            let heard = match drive.is_terminated() {
                true => None,
                false => tokio::time::timeout(CANCEL, drive).await.ok(),
            };
            driven.cancel();
            heard
        };
        let end = async {
            // A daemon that has just begun may still be on its way to the master; one that ended found what there is.
            let mut masters = self.masters.subscribe();
            let found = tokio::time::timeout(CANCEL, masters.wait_for(|masters| !masters.is_empty()));
            let found = async { drop(found.await) };
            tokio::select! {
                () = found => {}
                () = driven.cancelled() => {}
            }
            self.end_runs().await;
        };
        tokio::join!(hear, end).0
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
                if let Err(error) = master.end_run(run).await {
                    tracing::warn!(run, %error, "a run could not be cancelled");
                }
            };
            ends.push(end.boxed());
        }
        if tokio::time::timeout(CANCEL, join_all(ends)).await.is_err() {
            tracing::warn!("the runs on the master could not be ended in time");
        }
    }

    /// From where it stands to the end.
    async fn pass(&self) -> Result<(), Stop> {
        let (job, recorder) = (self.job, self.recorder);
        let vms = job.vms.borrow().clone();
        let pass = Pass { context: self, decision: decide(&job.radl, &vms, job.selected.as_ref()) };
        if recorder.progress().await.phase == Phase::Idle {
            pass.announce().await?;
        }
        if !pass.decision.enabled {
            return pass.disabled().await;
        }
        let (masters, files) = pass.prepared().await?;
        self.masters.send_replace(masters.clone());
        pass.work(&masters, &files).await
    }

    /// Time is over: machines without a result have that one.
    async fn time_over(&self) -> Result<(), CheckpointsClosed> {
        self.recorder.log([TIME_OVER.to_owned()]).await?;
        let phase = self.recorder.progress().await.phase.name();
        self.undecided(&VmError::new(ErrorCode::Timeout, phase, "time is over")).await
    }
}
