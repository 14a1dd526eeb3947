//! The state machine of a contextualization (spec/contextualization.md 6.3): waits, chooses the master, brings Ansible
//! there, opens the doors of the other machines, runs the playbooks, records every step.
//!
//! | module | subject |
//! |---|---|
//! | `progress` | where it stands |
//! | `recorder` | writing the journal |
//! | `link` | the connection to the master |
//! | `control` | the master, or external hosts in its place |
//! | `windows` | the doors of Windows machines |
//! | `roles` | roles and collections of the document |
//! | `stages` | from machines to a master with everything on it |
//! | `item` | one playbook over some machines |
//! | `engine` | with mitogen, and without it when it fails |

mod control;
mod engine;
mod item;
mod link;
mod progress;
mod recorder;
mod roles;
mod stages;
mod windows;

use crate::{
    access::Proxy,
    contract::{ErrorCode, Job, Journal, JournalClosed, Outcome, VmError},
    journal::text::Cleaner,
    plan::{
        self, Runnable,
        decide::{Decision, decide},
    },
    ssh::{Login, SshLimits},
};
use control::Master;
use futures::{FutureExt, StreamExt, future::join_all};
use item::{Item, Runs};
use progress::{Phase, Progress};
use recorder::Recorder;
use stages::Stage;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
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

/// Why the work does not simply go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The journal is closed.
    Closed,
    /// The infrastructure cannot be contextualized.
    Failed(String),
    /// The master is gone or lost its files: choose and prepare one again.
    Redo(String),
    /// Time is over.
    Late,
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
    let driver = Driver { job: &job, recorder: &recorder, ssh: &ssh, conf_dir, masters: Mutex::default() };
    let time_left = job.deadline.duration_since(SystemTime::now()).unwrap_or_default();
    let mut drive = std::pin::pin!(driver.drive());
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
        let listen = async { tokio::join!(tokio::time::timeout(CANCEL, &mut drive), driver.end_runs()).0 };
        tokio::select! {
            biased;
            () = cancel.cancelled() => outcome = Outcome::Cancelled,
            heard = listen => outcome = heard.unwrap_or(outcome),
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
    masters: Mutex<Vec<Master<'a>>>,
}

impl<'a> Driver<'a> {
    async fn drive(&self) -> Outcome {
        let mut redos = 0;
        loop {
            let stop = tokio::select! {
                passed = self.pass() => match passed {
                    Ok(()) => return Outcome::Done,
                    Err(stop) => stop,
                },
                () = self.master_gone() => Stop::Redo("the master VM was deleted".to_owned()),
            };
            match stop {
                Stop::Closed => return Outcome::Cancelled,
                Stop::Late => return Outcome::TimedOut,
                Stop::Redo(why) if redos < REDOS => {
                    redos += 1;
                    let reset = |p: &mut Progress| {
                        p.phase = Phase::WaitIps;
                        p.controls.clear();
                        p.open.clear();
                        // The keys of the user's steps begin with a number.
                        p.finished.retain(|key| !key.starts_with(BASIC_KEY) && !key.starts_with(WINDOWS_KEY));
                    };
                    let line = format!("WARNING: {why}: a master is prepared again.");
                    let effects = vec![crate::Effect::InfrastructureLog(line)];
                    if self.recorder.record(effects, reset).await.is_err() {
                        return Outcome::Cancelled;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Stop::Failed(why) | Stop::Redo(why) => {
                    if self.recorder.log([why.clone()]).await.is_err() {
                        return Outcome::Cancelled;
                    }
                    return Outcome::Failed(why);
                }
                Stop::Broken => {}
            }
        }
    }

    /// Resolves when the chosen master is no longer among the machines.
    async fn master_gone(&self) {
        let mut vms = self.job.vms.clone();
        loop {
            let master = self.recorder.progress().await.master();
            let gone = master.is_some_and(|master| vms.borrow_and_update().iter().all(|vm| vm.id != master));
            if gone {
                return;
            }
            if vms.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
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
        self.masters.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&masters);
        let progress = self.recorder.progress().await;
        let runs = Runs {
            job: self.job,
            recorder: self.recorder,
            masters: &masters,
            conf_dir: &self.conf_dir,
            cleaner: self.cleaner(),
        };
        let built_in = |windows: bool, key: &str, task: &str, phase: &str, playbook: &str| {
            let family = progress.hosts.iter().filter(|(_, host)| host.windows == windows);
            let [key, task, phase] = [key, task, phase].map(str::to_owned);
            let playbook = Runnable::built_in(&self.job.radl, playbook);
            Item { key, task, phase, playbook, vms: family.map(|(vm, _)| *vm).collect() }
        };
        let basic = built_in(false, BASIC_KEY, "basic", "basic", plan::BASIC);
        let windows = built_in(true, WINDOWS_KEY, "main_windows", "main", plan::windows::PLAYBOOK);
        let (basic, windows) = tokio::join!(runs.run(&basic), runs.run(&windows));
        basic.and(windows)?;
        let steps: Vec<_> = decision.steps.iter().collect();
        self.settle(&decision, 0).await?;
        for (done, (step, lanes)) in steps.iter().enumerate() {
            let mut work = Vec::new();
            for lane in *lanes {
                work.push(stage.lane(&runs, &files, **step, lane).boxed());
            }
            let results: Vec<Result<(), Stop>> = futures::stream::iter(work).buffer_unordered(LANES).collect().await;
            let (late, others): (Vec<_>, Vec<_>) =
                results.into_iter().partition(|result| matches!(result, Err(Stop::Late)));
            others.into_iter().collect::<Result<(), Stop>>()?;
            self.settle(&decision, done + 1).await?;
            let is_late = |e: &VmError| e.code == ErrorCode::Timeout;
            if !late.is_empty() || self.recorder.progress().await.results.values().flatten().any(is_late) {
                return Err(Stop::Late);
            }
        }
        stage.finish().await
    }

    /// Machines without work after the first `done` steps are configured.
    async fn settle(&self, decision: &Decision, done: usize) -> Result<(), Stop> {
        let busy: BTreeSet<u32> =
            decision.steps.values().skip(done).flatten().flat_map(|lane| lane.vms.iter().copied()).collect();
        let progress = self.recorder.progress().await;
        let finished = progress.hosts.keys().filter(|vm| !busy.contains(vm));
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
        for system in self.job.vms.borrow().iter().flat_map(|vm| &vm.info.systems) {
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
        let masters = self.masters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let progress = self.recorder.progress().await;
        let mut ends = Vec::new();
        for open in progress.open.values() {
            let Some(master) = masters.iter().find(|master| master.control == open.control) else { continue };
            let end = async move {
                let cancel = ["cancel", open.run.as_str()];
                if let Err(error) = master.link.ask(&master.runtime, &cancel, &serde_json::Value::Null).await {
                    tracing::warn!(run = open.run, %error, "a run could not be cancelled");
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
        let error = VmError { code: ErrorCode::Timeout, phase: "deadline".to_owned(), message: TIME_OVER.to_owned() };
        self.recorder.results(self.recorder.live().into_iter().map(|vm| (vm, Err(error.clone())))).await
    }
}

/// Key of the built-in playbook's item.
const BASIC_KEY: &str = "basic";
/// Key of the item for Windows machines.
const WINDOWS_KEY: &str = "windows";
