//! Bringing Ansible to the master: a bundle that is already there, a preinstalled Ansible, or a bundle that is sent
//! (spec/contextualization.md 6.6).

mod choice;

pub use choice::{Bundle, Choice, Probe, Python, choose, wanted_core};

use crate::{
    contract::{ErrorCode, Settings},
    ssh::{ExecLimits, SshError, SshSession},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How Ansible is started on the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Python that runs the runner.
    pub python: String,
    /// Argument list that stands for `ansible-playbook`.
    pub playbook: Vec<String>,
    /// Directory for PYTHONPATH.
    pub python_path: Option<String>,
    /// What it is, for the log.
    pub description: String,
}

/// Why Ansible cannot be had on the master.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The connection.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// Something that the user or the operator can change.
    #[error("[{0}] {1}")]
    Unfit(ErrorCode, String),
}

impl BootstrapError {
    /// The kind of failure.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Ssh(SshError::AuthFailed { .. }) => ErrorCode::SshAuth,
            Self::Ssh(SshError::HostKeyChanged { .. }) => ErrorCode::HostkeyChanged,
            Self::Ssh(SshError::CommandTimeout { .. }) => ErrorCode::Timeout,
            Self::Ssh(_) => ErrorCode::Unreachable,
            Self::Unfit(code, _) => *code,
        }
    }
}

/// The bundles in a directory; unreadable descriptions are left out with a warning in the daemon's log.
pub async fn bundles(directory: &Path) -> Vec<Bundle> {
    let mut bundles = Vec::new();
    let Ok(mut entries) = tokio::fs::read_dir(directory).await else { return bundles };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = tokio::fs::read(&path).await.unwrap_or_default();
        match serde_json::from_slice::<Bundle>(&text) {
            Ok(bundle) => bundles.push(Bundle { archive: path.with_extension("tar.gz"), ..bundle }),
            Err(error) => tracing::warn!(path = %path.display(), %error, "not the description of a bundle"),
        }
    }
    bundles.sort_by(|a, b| a.name.cmp(&b.name));
    bundles
}

/// Makes the conf dir on the master and sees to it that Ansible is there. `version` is the one the document asks for.
///
/// # Errors
/// [`BootstrapError`].
pub async fn bootstrap(
    session: &SshSession,
    settings: &Settings,
    conf_dir: &str,
    version: Option<&str>,
) -> Result<(Runtime, Vec<String>), BootstrapError> {
    let argv = ["sh", "-s", "--", &settings.remote_conf_dir, conf_dir];
    let output = session.exec_with_input(&argv, include_bytes!("../../assets/probe.sh"), ExecLimits::default()).await?;
    let probe = Probe::parse(&String::from_utf8_lossy(&output.stdout))
        .map_err(|reason| BootstrapError::Unfit(ErrorCode::Internal, reason))?;
    let available = bundles(&settings.bundle_dir).await;
    let (core, mut notes) = wanted_core(version);
    let choice = choose(&probe, &available, core.as_deref()).map_err(|(code, mut why)| {
        if settings.allow_online {
            why.push_str("; CTXT_ALLOW_ONLINE is set, but installing Ansible from the Internet is not supported yet");
        }
        BootstrapError::Unfit(code, why)
    })?;
    if let Choice::Send { bundle, .. } = &choice {
        send(session, settings, &probe.runtime, bundle).await?;
    }
    let runtime = choice.runtime(&probe);
    notes.push(runtime.description.clone());
    Ok((runtime, notes))
}

/// Sends a bundle as one stream; a damaged arrival is sent once more.
async fn send(session: &SshSession, settings: &Settings, runtime: &str, bundle: &Bundle) -> Result<(), BootstrapError> {
    let limits = ExecLimits::within(settings.ansible_install_timeout);
    let argv = ["sh", "-c", include_str!("../../assets/unpack.sh"), "unpack", runtime, &bundle.sha256];
    for last in [false, true] {
        let archive = &bundle.archive;
        let mut file = tokio::fs::File::open(archive).await.map_err(|e| {
            BootstrapError::Unfit(ErrorCode::Internal, format!("cannot read the bundle {}: {e}", archive.display()))
        })?;
        let output = session.upload_stream(&argv, &mut file, limits).await?;
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match output.status {
            0 => return Ok(()),
            81 if !last => {}
            81 => {
                let why = format!("the bundle {} does not have its checksum; run make-bundle --force", bundle.name);
                return Err(BootstrapError::Unfit(ErrorCode::Internal, why));
            }
            _ if stderr.contains("No space left") => {
                let why = format!("no space for Ansible below {runtime} on the master: {stderr}");
                return Err(BootstrapError::Unfit(ErrorCode::DiskFull, why));
            }
            status => {
                let why = format!("unpacking Ansible on the master failed with status {status}: {stderr}");
                return Err(BootstrapError::Unfit(ErrorCode::Internal, why));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
