//! Windows machines: does WinRM answer, and the change of the password (docs/spec/contextualization.md 1.8, 1.9).

use super::{
    AccessSettings,
    addresses::{self, private_ip, public_ip},
    errors::failure,
    wait::wait_ssh,
};
use crate::{
    contract::{ErrorCode, InstalledCredentials, VmError, VmFacts},
    ssh::{Endpoint, SshError, SshSession},
    winrm::{WinRm, WinRmError},
};
use std::time::Duration;

/// Port of WinRM over TLS inside a machine.
const WINRM: u16 = 5986;
/// Time for a command; PowerShell takes seconds to start.
const COMMAND: Duration = Duration::from_secs(60);

/// A Windows machine that can be configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessedWindows {
    /// The address that worked.
    pub address: Endpoint,
    /// Login name.
    pub user: String,
    /// The new credentials that are installed.
    pub installed: InstalledCredentials,
    /// Sentences on requested credentials that are not installed.
    pub notes: Vec<String>,
}

/// The places to try from the master: private and default address, each with the redirected port and with 5986.
#[must_use]
pub fn winrm_addresses(vm: &VmFacts) -> Vec<Endpoint> {
    let mut places: Vec<Endpoint> = Vec::new();
    for ip in [private_ip(&vm.info), public_ip(&vm.info)].into_iter().flatten() {
        for port in [vm.info.outside_port(WINRM), WINRM] {
            let place = Endpoint::new(ip, port);
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

/// Waits through the master's session until the machine answers, and sets the new password if there is one. Passwords
/// that the machine refuses are tried again as long as those of SSH.
///
/// # Errors
/// NO_IP, SSH_TIMEOUT, SSH_AUTH; MASTER_LOST when the master's session broke.
pub async fn access_windows(
    master: &SshSession,
    vm: &VmFacts,
    settings: &AccessSettings,
) -> Result<AccessedWindows, VmError> {
    let system = addresses::system(&vm.info);
    let current = system.map(radl::System::credentials).unwrap_or_default();
    let new = system.map(radl::System::new_credentials).unwrap_or_default();
    let missing = |what| failure(ErrorCode::SshAuth, format!("a Windows machine needs disk.0.os.credentials.{what}"));
    let user = current.username.ok_or_else(|| missing("username"))?;
    let password = current.password.ok_or_else(|| missing("password"))?;
    let places = winrm_addresses(vm);
    if places.is_empty() {
        return Err(failure(ErrorCode::NoIp, "the machine has no IPv4 address"));
    }
    let mut notes = Vec::new();
    if new.public_key.is_some() || new.private_key.is_some() {
        notes.push("WARNING: the new key is not installed: Windows machines are logged into by password.".to_owned());
    }
    let change = new.password.as_deref();
    let attempt = || async {
        let place = answering(master, &places, settings.attempt).await?;
        if let Some(new) = change {
            let service = WinRm::new(master, place, COMMAND);
            // Some earlier attempt may have set it and could not say so any more.
            match service.set_password(&user, &password, new).await {
                Ok(()) | Err(WinRmError::Refused { .. }) => service.login(&user, new).await?,
                // Trying again would not help.
                Err(error @ WinRmError::Rejected { .. }) => {
                    return Ok(Err(failure(ErrorCode::SshAuth, error.to_string())));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Ok(place.clone()))
    };
    let reached = wait_ssh(&settings.wait, attempt).await.map_err(|error| {
        let text = error.to_string();
        if master.is_closed() { failure(ErrorCode::MasterLost, text) } else { error.into() }
    })?;
    let address = reached?;
    Ok(AccessedWindows {
        address,
        user,
        installed: InstalledCredentials { password: change.is_some(), key: false },
        notes,
    })
}

/// The first place that answers.
async fn answering<'a>(master: &SshSession, places: &'a [Endpoint], limit: Duration) -> Result<&'a Endpoint, SshError> {
    let mut last = None;
    for place in places {
        match WinRm::new(master, place, limit).probe().await {
            Ok(()) => return Ok(place),
            Err(error) => last = Some(error.into()),
        }
    }
    Err(last.unwrap_or(SshError::Unreachable { target: String::new(), reason: "no address".to_owned() }))
}

impl From<WinRmError> for SshError {
    fn from(error: WinRmError) -> Self {
        match error {
            WinRmError::Ssh(error) => error,
            WinRmError::Refused { target, user } => Self::AuthFailed { target, user },
            WinRmError::Failed { target, reason } => Self::Remote { target, reason },
            WinRmError::Rejected { .. } => Self::Remote { target: "WinRM".to_owned(), reason: error.to_string() },
        }
    }
}
