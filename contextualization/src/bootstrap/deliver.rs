//! Bringing things to the master: archives, packages of an index, packages of the distribution.

use super::{BootstrapError, choice::Choice, shelf::Shelf};
use crate::{
    access::Target,
    contract::{ErrorCode, Settings},
    ssh::{ExecLimits, Output, SshError, SshSession},
};
use std::{path::Path, time::Duration};

/// Exit status of `unpack.sh` for an archive that does not have its hash.
const DAMAGED: i32 = 81;
/// Exit status of `online.sh` without pip.
const NO_PIP: i32 = 83;

/// How the login user becomes root on the master.
#[derive(Clone, PartialEq, Eq)]
pub struct Privilege {
    /// Passwords that sudo may want.
    passwords: Vec<String>,
}

impl std::fmt::Debug for Privilege {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Privilege(***)")
    }
}

impl Privilege {
    /// On a machine that is accessed like this.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        Self { passwords: target.task.sudo_passwords.clone() }
    }
}

/// Installs packages of the distribution (`python`, `pip`, or a name); the inner error is what it said.
///
/// # Errors
/// The connection.
pub async fn packages(
    session: &SshSession,
    privilege: &Privilege,
    wanted: &[&str],
    time: Duration,
) -> Result<Result<(), String>, SshError> {
    let mut argv = vec!["sh", "-c", include_str!("../../assets/packages.sh"), "packages"];
    argv.extend_from_slice(wanted);
    let password = |i: usize| privilege.passwords.get(i).map_or("", String::as_str);
    let input = format!("{}\n{}\n", password(0), password(1));
    let output = session.exec_with_input(&argv, input.as_bytes(), ExecLimits::within(time)).await?;
    Ok(if output.success() { Ok(()) } else { Err(said(&output)) })
}

/// The last words of a script.
fn said(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" / ");
    let text: String = last.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect();
    if text.is_empty() { format!("status {}", output.status) } else { text }
}

fn refused(output: &Output, what: &str, runtime: &str) -> BootstrapError {
    let said = said(output);
    if String::from_utf8_lossy(&output.stderr).contains("No space left") {
        let why = format!("no space for Ansible below {runtime} on the master: {said}; choose a larger disk");
        return BootstrapError::Unfit(ErrorCode::DiskFull, why);
    }
    BootstrapError::Unfit(ErrorCode::Internal, format!("{what} on the master failed: {said}"))
}

/// Sends an archive as one stream; a damaged arrival is sent once more. Whether it had to be unpacked.
///
/// # Errors
/// [`BootstrapError`].
pub async fn send(
    session: &SshSession,
    settings: &Settings,
    runtime: &str,
    archive: &Path,
    sha256: &str,
) -> Result<bool, BootstrapError> {
    let limits = ExecLimits::within(settings.ansible_install_timeout);
    let argv = ["sh", "-c", include_str!("../../assets/unpack.sh"), "unpack", runtime, sha256];
    let mut last = false;
    loop {
        let mut file = tokio::fs::File::open(archive).await.map_err(|e| {
            BootstrapError::Unfit(ErrorCode::Internal, format!("cannot read the bundle {}: {e}", archive.display()))
        })?;
        let output = session.upload_stream(&argv, &mut file, limits).await?;
        match output.status {
            0 => return Ok(String::from_utf8_lossy(&output.stdout).trim() == "unpacked"),
            DAMAGED if !last => last = true,
            DAMAGED => {
                let why = format!(
                    "{} arrives without the checksum of its description, twice; run make-bundle again",
                    archive.display()
                );
                return Err(BootstrapError::Unfit(ErrorCode::Internal, why));
            }
            _ => return Err(refused(&output, "unpacking Ansible", runtime)),
        }
    }
}

/// Installs a line from the package index, pip from the distribution when it is missing. Whether there was something to
/// do.
///
/// # Errors
/// [`BootstrapError`].
pub async fn online(
    session: &SshSession,
    settings: &Settings,
    privilege: &Privilege,
    (runtime, choice): (&str, &Choice),
    shelf: &Shelf,
) -> Result<bool, BootstrapError> {
    let (Choice::Online(line, python), Some(tree)) = (choice, choice.tree()) else { return Ok(false) };
    // The community package brings the collections that no archive here has.
    let requirement = match shelf.collections(*line, &settings.collections) {
        Some(_) => format!("ansible-core=={line}.*"),
        None => format!("ansible=={}.*", line.package()),
    };
    let index = settings.pip_index.as_deref().unwrap_or_default();
    let script = include_str!("../../assets/online.sh");
    let argv = ["sh", "-c", script, "online", runtime, &tree, &python.path, index, &requirement, "jmespath"];
    let limits = ExecLimits::within(settings.ansible_install_timeout);
    let mut output = session.exec_with_input(&argv, b"", limits).await?;
    if output.status == NO_PIP {
        if let Err(why) = packages(session, privilege, &["pip"], settings.ansible_install_timeout).await? {
            let why = format!("{} has neither pip nor venv, and they cannot be installed: {why}", python.path);
            return Err(BootstrapError::Unfit(ErrorCode::Internal, why));
        }
        output = session.exec_with_input(&argv, b"", limits).await?;
    }
    match output.status {
        0 => Ok(String::from_utf8_lossy(&output.stdout).trim() == "unpacked"),
        NO_PIP => {
            let why = format!("{} has neither pip nor venv; build a bundle with make-bundle", python.path);
            Err(BootstrapError::Unfit(ErrorCode::Internal, why))
        }
        _ => Err(refused(&output, &format!("installing {requirement} from the Python package index"), runtime)),
    }
}
