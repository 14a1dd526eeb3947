//! Access to every machine, side by side, through the master's connection.

use super::{
    LoginKind, NodeFacts, NodeTask, Proxy, WaitLimits,
    addresses::{self, addresses_of, private_ip, public_ip},
    errors::failure,
    logins::{credential_change, kept_back, login_order},
    node::prepare_node,
    wait::wait_ssh,
};
use crate::{
    contract::{ErrorCode, Installed, KeyPair, VmError, VmFacts},
    ssh::{Endpoint, HostKeyPolicy, Login, SshError, SshLimits, SshSession},
};
use futures::{Stream, StreamExt};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// How the phase waits and how much it does at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessSettings {
    /// Waiting for one machine.
    pub wait: WaitLimits,
    /// One connection attempt.
    pub attempt: Duration,
    /// Machines at once.
    pub parallel: usize,
    /// Whether a changed host key is an error (CTXT_HOSTKEY).
    pub check_host_keys: bool,
}

impl AccessSettings {
    /// The usual values with a given limit per machine.
    #[must_use]
    pub fn new(timeout: Duration, check_host_keys: bool) -> Self {
        Self { wait: WaitLimits::new(timeout), attempt: Duration::from_secs(10), parallel: 50, check_host_keys }
    }
}

/// A machine to be accessed.
#[derive(Debug, Clone)]
pub struct Target {
    /// Number of the VM; without meaning for an external Ansible host.
    pub vm: u32,
    /// Login name.
    pub user: String,
    /// Where it may answer as the master sees it, in order.
    pub addresses: Vec<Endpoint>,
    /// Where it answers as the daemon, or the proxy host, sees it.
    pub outside: Option<Endpoint>,
    /// Credentials in the order to try.
    pub logins: Vec<(LoginKind, Login)>,
    /// Host key of an earlier connection.
    pub host_key: Option<String>,
    /// A machine to go through, when nothing else leads there.
    pub proxy: Option<Proxy>,
    /// What to do there.
    pub task: NodeTask,
    /// The new credentials that are to be installed: all of these, or an error.
    pub installs: Installed,
    /// Sentences on requested credentials that are not installed.
    pub notes: Vec<String>,
}

impl Target {
    /// The machine as its document and the infrastructure's key say.
    ///
    /// # Errors
    /// NO_IP, PROXY_FAILED, SSH_AUTH when there is no user name.
    pub fn of(vm: &VmFacts, own: &KeyPair) -> Result<Self, VmError> {
        let system = addresses::system(&vm.info);
        let current = system.map(radl::System::credentials).unwrap_or_default();
        let new = system.map(radl::System::new_credentials).unwrap_or_default();
        let user = current.username.clone().ok_or_else(|| {
            failure(ErrorCode::SshAuth, "no user name: set disk.0.os.credentials.username of the system")
        })?;
        let addresses = addresses_of(vm);
        if addresses.is_empty() {
            return Err(failure(ErrorCode::NoIp, "the machine has no IPv4 address"));
        }
        // A machine with a public address is reached directly.
        let proxy = if public_ip(&vm.info).is_some() { None } else { Proxy::of(&vm.info)? };
        let outside = public_ip(&vm.info)
            .map(|ip| Endpoint::new(ip, vm.info.ssh_port()))
            .or_else(|| private_ip(&vm.info).map(|ip| Endpoint::new(ip, vm.info.ssh_port())));
        let (password, key) = credential_change(&current, &new);
        let task = NodeTask {
            sudo_passwords: [current.password.clone(), new.password.clone()].into_iter().flatten().collect(),
            new_password: password.map(str::to_owned),
            authorize: std::iter::once(own.public.as_str()).chain(key).map(str::to_owned).collect(),
        };
        Ok(Self {
            vm: vm.id,
            user,
            addresses,
            outside,
            logins: login_order(&current, &new, Some(own)),
            host_key: vm.host_key.clone(),
            proxy,
            installs: Installed { password: password.is_some(), key: key.is_some() },
            notes: kept_back(&current, &new),
            task,
        })
    }

    fn policy(&self, settings: &AccessSettings) -> HostKeyPolicy {
        HostKeyPolicy { expected: self.host_key.clone(), check: settings.check_host_keys }
    }

    fn secrets(&self) -> Vec<Login> {
        self.logins.iter().map(|(_, login)| login.clone()).collect()
    }
}

/// A machine that is ready for Ansible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accessed {
    /// The address that worked.
    pub address: Endpoint,
    /// Whether it was reached through its proxy host.
    pub through_proxy: bool,
    /// Which credentials worked.
    pub login: LoginKind,
    /// The host key it showed (OpenSSH form).
    pub host_key: String,
    /// What it is.
    pub facts: NodeFacts,
    /// The new credentials that are installed: these `new.*` move over the current ones.
    pub installed: Installed,
}

impl Accessed {
    /// Prepares a machine on an open session.
    ///
    /// # Errors
    /// As [`prepare_node`]; SSH_AUTH when the new password was refused.
    pub async fn prepare(target: &Target, session: &SshSession, through_proxy: bool) -> Result<Self, VmError> {
        let prepared = prepare_node(session, &target.task).await?;
        if prepared.password_changed == Some(false) {
            return Err(failure(ErrorCode::SshAuth, "the machine refused the new password"));
        }
        Ok(Self {
            address: session.endpoint().clone(),
            through_proxy,
            login: target.logins.get(session.login()).map_or(LoginKind::Initial, |(kind, _)| *kind),
            host_key: session.host_key().to_owned(),
            facts: prepared.facts,
            installed: target.installs,
        })
    }
}

/// Connects the daemon to a machine: directly, or through its proxy host. Made for the master.
///
/// # Errors
/// As [`wait_ssh`], with PROXY_FAILED for the first of two hops.
pub async fn reach(limits: &SshLimits, target: &Target, settings: &AccessSettings) -> Result<SshSession, VmError> {
    let Some(place) = &target.outside else {
        return Err(failure(ErrorCode::NoIp, "the machine has no IPv4 address"));
    };
    let logins = target.secrets();
    let attempt = || async {
        match &target.proxy {
            None => limits
                .connect(place, &target.user, &logins, target.policy(settings), settings.attempt)
                .await
                .map_err(Hop::Last),
            Some(proxy) => {
                let policy = HostKeyPolicy::off();
                let first = limits.connect(&proxy.endpoint, &proxy.user, &proxy.logins, policy, settings.attempt);
                let first = first.await.map_err(Hop::Proxy)?;
                let last =
                    first.connect_through(place, &target.user, &logins, target.policy(settings), settings.attempt);
                last.await.map_err(Hop::Last)
            }
        }
    };
    wait(settings, attempt).await
}

/// Prepares all machines through the master's session, at most `settings.parallel` at once; results come as they are
/// ready. The master itself is prepared by [`Accessed::prepare`] on its own session.
pub fn access_all<'a>(
    master: &'a SshSession,
    targets: &'a [Target],
    settings: &'a AccessSettings,
) -> impl Stream<Item = (u32, Result<Accessed, VmError>)> + Send + 'a {
    futures::stream::iter(targets)
        .map(move |target| async move { (target.vm, access(master, target, settings).await) })
        .buffer_unordered(settings.parallel.max(1))
}

async fn access(master: &SshSession, target: &Target, settings: &AccessSettings) -> Result<Accessed, VmError> {
    let logins = target.secrets();
    let reached = wait(settings, || attempt(master, target, &logins, settings)).await;
    let (session, through_proxy) = reached
        .map_err(|error| if master.is_closed() { failure(ErrorCode::MasterLost, error.message) } else { error })?;
    Accessed::prepare(target, &session, through_proxy).await
}

/// One round over all addresses. The most telling error of the round counts.
async fn attempt(
    master: &SshSession,
    target: &Target,
    logins: &[Login],
    settings: &AccessSettings,
) -> Result<(SshSession, bool), Hop> {
    let mut worst: Option<SshError> = None;
    for place in &target.addresses {
        let policy = target.policy(settings);
        match master.connect_through(place, &target.user, logins, policy, settings.attempt).await {
            Ok(session) => return Ok((session, false)),
            Err(error) if worst.as_ref().is_none_or(|known| weight(&error) > weight(known)) => worst = Some(error),
            Err(_) => {}
        }
    }
    if let (Some(proxy), Some(place)) = (&target.proxy, &target.outside) {
        let policy = HostKeyPolicy::off();
        let first = master.connect_through(&proxy.endpoint, &proxy.user, &proxy.logins, policy, settings.attempt);
        let first = first.await.map_err(Hop::Proxy)?;
        let last = first.connect_through(place, &target.user, logins, target.policy(settings), settings.attempt);
        return match last.await {
            Ok(session) => Ok((session, true)),
            // The proxy's connection broke, not the master's: worth another round.
            Err(SshError::Disconnected { target, reason }) => Err(Hop::Proxy(SshError::Unreachable { target, reason })),
            Err(error) => Err(Hop::Last(error)),
        };
    }
    let nowhere = || SshError::Unreachable { target: target.user.clone(), reason: "it has no address".to_owned() };
    Err(Hop::Last(worst.unwrap_or_else(nowhere)))
}

/// A server that answered says more than one that did not.
fn weight(error: &SshError) -> u8 {
    match error {
        SshError::HostKeyChanged { .. } => 3,
        SshError::InvalidPrivateKey(_) => 2,
        SshError::AuthFailed { .. } => 1,
        _ => 0,
    }
}

/// Where on the way a connection failed.
enum Hop {
    Proxy(SshError),
    Last(SshError),
}

/// [`wait_ssh`] that remembers the hop.
async fn wait<T, F>(settings: &AccessSettings, mut attempt: impl FnMut() -> F) -> Result<T, VmError>
where
    F: Future<Output = Result<T, Hop>>,
{
    let at_proxy = AtomicBool::new(false);
    let result = wait_ssh(&settings.wait, || {
        let attempt = attempt();
        let at_proxy = &at_proxy;
        async move {
            attempt.await.map_err(|hop| {
                at_proxy.store(matches!(hop, Hop::Proxy(_)), Ordering::Relaxed);
                match hop {
                    Hop::Proxy(error) | Hop::Last(error) => error,
                }
            })
        }
    })
    .await;
    result.map_err(|error| {
        if at_proxy.load(Ordering::Relaxed) {
            failure(ErrorCode::ProxyFailed, format!("the proxy host: {error}"))
        } else {
            error.into()
        }
    })
}
