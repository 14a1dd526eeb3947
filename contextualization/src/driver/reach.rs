//! Opening the door of a machine: waiting for SSH, logging in, letting the infrastructure's key in
//! (spec/contextualization.md 1.8, 1.9, 6.3).

use crate::{
    contract::{ErrorCode, KeyPair, Settings, VmError, VmFacts},
    plan::inventory::{private_ip, public_ip},
    ssh::{Endpoint, ExecLimits, HostKeyPolicy, Login, SshError, SshLimits, SshSession},
};
use std::time::Duration;
use tokio::time::Instant;

/// Time for one attempt to connect and log in.
const ATTEMPT: Duration = Duration::from_secs(15);
/// Images may install keys late: refusals in this time after the port opened are not counted.
const LATE_KEYS: Duration = Duration::from_secs(60);
/// Counted refusals until the credentials are called wrong.
const REFUSALS: u32 = 3;

/// An open door.
#[derive(Debug)]
pub struct Reached {
    /// The connection.
    pub session: SshSession,
    /// Path of Python 3, none when there is none.
    pub python: Option<String>,
    /// Whether sudo asks for the password.
    pub sudo_asks: bool,
    /// Whether the new credentials were installed.
    pub changed: bool,
}

/// What all doors of an infrastructure have in common.
#[derive(Debug, Clone, Copy)]
pub struct Doorway<'a> {
    /// Bounds on connections.
    pub limits: &'a SshLimits,
    /// The infrastructure's key.
    pub key: &'a KeyPair,
    /// Options.
    pub settings: &'a Settings,
}

fn system(vm: &VmFacts) -> Option<&radl::System> {
    vm.info.systems.first()
}

/// Every credential that may fit, in the order they are tried: current, new, the infrastructure's key.
pub fn logins(vm: &VmFacts, key: &KeyPair) -> Vec<Login> {
    let mut logins = Vec::new();
    for credentials in system(vm).map(|s| [s.credentials(), s.new_credentials()]).into_iter().flatten() {
        logins.extend(credentials.password.filter(|p| !p.is_empty()).map(Login::Password));
        logins.extend(credentials.private_key.filter(|k| !k.is_empty()).map(Login::PrivateKey));
    }
    logins.push(Login::PrivateKey(key.private.clone()));
    logins
}

/// The user to log in as.
pub fn user(vm: &VmFacts) -> String {
    system(vm).and_then(|s| s.credentials().username).unwrap_or_else(|| "root".to_owned())
}

/// Where the machine may answer, best first; `through_master` is the view of the master.
pub fn endpoints(vm: &VmFacts, through_master: bool) -> Vec<Endpoint> {
    let port = ssh_port(vm);
    let mut all = Vec::new();
    let ips = if through_master { [private_ip(vm), public_ip(vm)] } else { [public_ip(vm), private_ip(vm)] };
    for ip in ips.into_iter().flatten() {
        for port in [port, 22] {
            let endpoint = Endpoint::new(ip, port);
            if !all.contains(&endpoint) {
                all.push(endpoint);
            }
        }
        if !through_master {
            break;
        }
    }
    all
}

/// Remote port of the outport whose local port is 22, else 22.
fn ssh_port(vm: &VmFacts) -> u16 {
    let outports = vm.info.networks.iter().filter(|n| n.is_public()).filter_map(|n| n.features.text("outports"));
    let port = |text: &str| text.split_once('/').map_or(text, |(port, _)| port).trim().parse::<u16>().ok();
    outports
        .flat_map(|text| text.split(','))
        .filter_map(|pair| pair.split_once('-'))
        .find(|(_, local)| port(local) == Some(22))
        .and_then(|(remote, _)| port(remote))
        .unwrap_or(22)
}

fn failure(code: ErrorCode, message: impl Into<String>) -> VmError {
    VmError { code, phase: "access".to_owned(), message: message.into() }
}

/// Waits at most `limit` for a login on the machine, directly or through the master, and prepares it.
///
/// # Errors
/// Why the machine cannot be configured.
pub async fn reach(
    vm: &VmFacts,
    through: Option<&SshSession>,
    doorway: Doorway<'_>,
    limit: Duration,
) -> Result<Reached, VmError> {
    let session = connect(vm, through, doorway, limit).await?;
    prepare(vm, session, doorway).await
}

async fn connect(
    vm: &VmFacts,
    through: Option<&SshSession>,
    doorway: Doorway<'_>,
    limit: Duration,
) -> Result<SshSession, VmError> {
    let endpoints = endpoints(vm, through.is_some());
    if endpoints.is_empty() {
        return Err(failure(ErrorCode::NoIp, "the machine has no IPv4 address"));
    }
    let (user, logins) = (user(vm), logins(vm, doorway.key));
    let policy = if doorway.settings.check_host_keys {
        HostKeyPolicy::tofu(vm.host_key.clone())
    } else {
        HostKeyPolicy::off()
    };
    let start = Instant::now();
    let mut pause = Duration::from_millis(250);
    let (mut open_since, mut refusals) = (None, 0);
    loop {
        let mut last = None;
        for endpoint in &endpoints {
            let attempt = ATTEMPT.min(limit.saturating_sub(start.elapsed()).max(Duration::from_secs(1)));
            let connected = match through {
                Some(master) => master.connect_through(endpoint, &user, &logins, policy.clone(), attempt).await,
                None => doorway.limits.connect(endpoint, &user, &logins, policy.clone(), attempt).await,
            };
            match connected {
                Ok(session) => return Ok(session),
                Err(e @ SshError::InvalidPrivateKey(_)) => return Err(failure(ErrorCode::SshAuth, e.to_string())),
                Err(e @ SshError::HostKeyChanged { .. }) => {
                    return Err(failure(ErrorCode::HostkeyChanged, e.to_string()));
                }
                Err(e @ SshError::AuthFailed { .. }) => {
                    let since = *open_since.get_or_insert_with(Instant::now);
                    refusals += u32::from(since.elapsed() >= LATE_KEYS);
                    if refusals >= REFUSALS {
                        let host = &endpoint.host;
                        let text = format!("Error connecting with ip: {host} incorrect credentials. ({e})");
                        return Err(failure(ErrorCode::SshAuth, text));
                    }
                    last = Some(e);
                }
                Err(e) => last = Some(e),
            }
        }
        if start.elapsed() >= limit || through.is_some_and(SshSession::is_closed) {
            let reason = last.map_or(String::new(), |e| format!(" ({e})"));
            return Err(failure(ErrorCode::SshTimeout, format!("Timeout waiting SSH access.{reason}")));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Lets the key in, changes credentials, asks what there is.
async fn prepare(vm: &VmFacts, session: SshSession, doorway: Doorway<'_>) -> Result<Reached, VmError> {
    let (current, new) = system(vm).map(|s| (s.credentials(), s.new_credentials())).unwrap_or_default();
    let mut password = current.password.clone().unwrap_or_default();
    // After a crash between the change and its record the new password is the current one already.
    if let (Some(Login::Password(used)), Some(wanted)) = (logins(vm, doorway.key).get(session.login()), &new.password) {
        if used == wanted {
            password.clone_from(wanted);
        }
    }
    let wanted = new.password.filter(|p| !p.is_empty() && !password.is_empty());
    let further = new.public_key.filter(|_| new.private_key.is_some());
    let asked = (wanted.is_some(), further.is_some());
    let lines = [Some(doorway.key.public.clone()), Some(password), wanted, further];
    let input: String = lines.map(|l| format!("{}\n", l.unwrap_or_default().replace(['\n', '\r'], ""))).concat();
    let argv = ["sh", "-c", include_str!("../../assets/prepare_access.sh")];
    let output = session
        .exec_with_input(&argv, input.as_bytes(), ExecLimits::default())
        .await
        .map_err(|e| failure(ErrorCode::SshTimeout, e.to_string()))?;
    let (mut python, mut sudo_asks, mut password_changed) = (None, false, false);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        match line.split_once(' ') {
            Some(("error", why)) => return Err(failure(ErrorCode::SshAuth, why)),
            Some(("sudo", "denied")) => {
                let user = session.user();
                let text = format!("user {user} cannot become root: sudo is missing, forbidden, or refused the password");
                return Err(failure(ErrorCode::SudoDenied, text));
            }
            Some(("sudo", kind)) => sudo_asks = kind == "password",
            Some(("password", _)) => password_changed = true,
            Some(("python", path)) => python = Some(path.to_owned()),
            _ => {}
        }
    }
    if !output.success() {
        return Err(failure(ErrorCode::Internal, session.failed(&output).to_string()));
    }
    let changed = (asked.0 && password_changed) || (!asked.0 && asked.1);
    Ok(Reached { session, python, sudo_asks, changed })
}
