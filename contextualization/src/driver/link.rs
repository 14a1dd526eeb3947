//! The daemon's connection to the master: one session, made again when it breaks; the runner's commands on it.

use super::reach::{self, Doorway};
use crate::{
    bootstrap::Runtime,
    contract::VmFacts,
    ssh::{Endpoint, ExecLimits, ExecStream, HostKeyPolicy, SshError, SshSession},
};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;

/// The link. Its methods wait until the master answers; who calls them bounds the time.
pub struct Link<'a> {
    doorway: Doorway<'a>,
    vm: VmFacts,
    endpoint: Endpoint,
    host_key: String,
    session: Mutex<SshSession>,
    conf_dir: String,
}

impl<'a> Link<'a> {
    /// A link over an open session.
    pub fn new(doorway: Doorway<'a>, vm: VmFacts, session: SshSession, conf_dir: String) -> Self {
        let (endpoint, host_key) = (session.endpoint().clone(), session.host_key().to_owned());
        Self { doorway, vm, endpoint, host_key, session: Mutex::new(session), conf_dir }
    }

    /// An open session, made again with back-off when the former one broke.
    pub async fn session(&self) -> SshSession {
        let mut session = self.session.lock().await;
        let mut pause = Duration::from_millis(500);
        while session.is_closed() {
            let policy = if self.doorway.settings.check_host_keys {
                HostKeyPolicy::tofu(Some(self.host_key.clone()))
            } else {
                HostKeyPolicy::off()
            };
            let logins = reach::logins(&self.vm, self.doorway.key);
            let user = reach::user(&self.vm);
            let timeout = Duration::from_secs(15);
            match self.doorway.limits.connect(&self.endpoint, &user, &logins, policy, timeout).await {
                Ok(new) => *session = new,
                Err(error) => {
                    tracing::debug!(master = self.vm.id, %error, "the master does not answer");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(20));
                }
            }
        }
        session.clone()
    }

    fn argv<'b>(&'b self, runtime: &'b Runtime, runner: &'b str, rest: &[&'b str]) -> Vec<&'b str> {
        let mut argv = vec![runtime.python.as_str(), runner, self.conf_dir.as_str()];
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
