//! The daemon's connection to a control node: one session, made again when it breaks; the runner's commands on it.

use super::stop::Stop;
use crate::{
    access::{self, AccessSettings, Target},
    bootstrap::Runtime,
    plan::control::ControlNode,
    ssh::{ExecLimits, ExecStream, SshError, SshLimits, SshSession},
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};

/// Longest time for one try to connect again.
const AGAIN: Duration = Duration::from_secs(60);
/// Pause between two tries.
const AGAIN_PAUSE: Duration = Duration::from_secs(5);

/// A control node that is ready to run playbooks: the master, or an external host in its place.
#[derive(Clone)]
pub struct Master<'a> {
    /// Which one.
    pub control: ControlNode,
    /// The connection to it.
    pub link: Arc<Link<'a>>,
    /// Ansible on it.
    pub runtime: Runtime,
}

impl Master<'_> {
    /// Ends a run, whether its supervisor lives or left something behind.
    ///
    /// # Errors
    /// What the command failed with; a broken connection is waited for.
    pub async fn end_run(&self, run: &str) -> Result<(), SshError> {
        self.link.ask(&self.runtime, &["cancel", run], &Value::Null).await
    }

    /// Ends a run that nobody is going to listen to.
    pub(super) async fn sweep(&self, run: &str) -> Result<(), Stop> {
        let swept = self.end_run(run).await;
        swept.map_err(|e| Stop::Redo(format!("the runner on the master does not answer: {e}")))
    }
}

/// The link. Its methods wait until the master answers; [`Life::ended`] tells when that will not happen.
pub struct Link<'a> {
    limits: &'a SshLimits,
    target: Target,
    check_host_keys: bool,
    session: Mutex<SshSession>,
    conf_dir: String,
    life: Life,
}

/// How long a master may be silent, and who is told when it was silent for longer.
pub struct Life {
    /// The time.
    pub patience: Duration,
    /// Is notified.
    pub ended: Arc<Notify>,
}

impl<'a> Link<'a> {
    /// A link over an open session with `target`.
    pub fn new(
        limits: &'a SshLimits,
        mut target: Target,
        check_host_keys: bool,
        session: SshSession,
        conf_dir: String,
        life: Life,
    ) -> Self {
        let proxy_key = target.hop(&session).map(str::to_owned);
        if let Some(proxy) = &mut target.proxy {
            proxy.host_key = proxy_key;
        }
        target.host_key = Some(session.host_key().to_owned());
        Self { limits, target, check_host_keys, session: Mutex::new(session), conf_dir, life }
    }

    /// An open session, made again with back-off when the former one broke.
    pub async fn session(&self) -> SshSession {
        let mut session = self.session.lock().await;
        let since = Instant::now();
        while session.is_closed() {
            let left = self.life.patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                self.life.ended.notify_waiters();
                std::future::pending::<()>().await;
            }
            let settings = AccessSettings::new(AGAIN.min(left), self.check_host_keys);
            match access::reach(self.limits, &self.target, &settings).await {
                Ok(new) => *session = new,
                Err(error) => {
                    tracing::debug!(master = %self.name(), error = error.message, "the master does not answer");
                    tokio::time::sleep(AGAIN_PAUSE.min(left)).await;
                }
            }
        }
        session.clone()
    }

    /// Where it leads, for the log.
    fn name(&self) -> String {
        self.target.outside.to_string()
    }

    fn argv<'b>(&'b self, runtime: &'b Runtime, runner: &'b str, rest: &[&'b str]) -> Vec<&'b str> {
        // The runner needs the standard library only: it starts twice as fast without the rest.
        let mut argv = vec![runtime.python.as_str(), "-IS", runner, self.conf_dir.as_str()];
        argv.extend_from_slice(rest);
        argv
    }

    fn runner(&self) -> String {
        format!("{}/.im/runner.py", self.conf_dir)
    }

    /// Runs a command of the runner; repeats it when the connection breaks, which every command tolerates.
    pub async fn ask(&self, runtime: &Runtime, command: &[&str], input: &Value) -> Result<(), SshError> {
        let runner = self.runner();
        let argv = self.argv(runtime, &runner, command);
        let input = input.to_string();
        loop {
            let session = self.session().await;
            match session.exec_with_input(&argv, input.as_bytes(), ExecLimits::default()).await {
                Ok(output) if output.success() => return Ok(()),
                Ok(output) => return Err(session.failed(&output)),
                Err(SshError::Disconnected { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Follows the journal of a run from a byte offset.
    pub async fn tail(&self, runtime: &Runtime, run: &str, offset: u64) -> Result<ExecStream, SshError> {
        let (runner, offset) = (self.runner(), offset.to_string());
        let argv = self.argv(runtime, &runner, &["tail", run, &offset]);
        loop {
            match self.session().await.stream(&argv, b"").await {
                Err(SshError::Disconnected { .. }) => {}
                other => return other,
            }
        }
    }
}
