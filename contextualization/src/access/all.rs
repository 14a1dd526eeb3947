//! Access to every machine, side by side, through the master's connection.

use super::{
    LoginKind, NodeFacts, NodeTask, Proxy, Routes, WaitLimits,
    addresses::{self, addresses_of, private_ip, public_ip},
    errors::failure,
    logins::{credential_change, kept_back, login_order},
    node::prepare_node,
    wait::wait_ssh,
};
use crate::{
    contract::{ErrorCode, InstalledCredentials, KeyPair, VmError, VmFacts},
    ssh::{ConnectRequest, Endpoint, HostKeyPolicy, Login, SshError, SshLimits, SshSession},
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
    pub outside: Endpoint,
    /// Credentials in the order to try.
    pub logins: Vec<(LoginKind, Login)>,
    /// Host key of an earlier connection.
    pub host_key: Option<String>,
    /// A machine to go through, when nothing else leads there.
    pub proxy: Option<Proxy>,
    /// What to do there.
    pub task: NodeTask,
    /// The new credentials that are to be installed: all of these, or an error.
    pub installs: InstalledCredentials,
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
        let ip = public_ip(&vm.info).or_else(|| private_ip(&vm.info)).ok_or_else(|| {
            failure(ErrorCode::NoIp, "the machine has no IPv4 address, and IPv6 alone is not supported")
        })?;
        let outside = Endpoint::new(ip, vm.info.ssh_port());
        // A machine with a public address is reached directly.
        let proxy = if public_ip(&vm.info).is_some() { None } else { Proxy::of(&vm.info)? };
        let proxy = proxy.map(|proxy| proxy.recall(vm.proxy_host_key.as_deref()));
        let (password, key) = credential_change(&current, &new);
        let task = NodeTask {
            sudo_passwords: [current.password.clone(), new.password.clone()].into_iter().flatten().collect(),
            new_password: password.map(str::to_owned),
            authorize: std::iter::once(own.public.as_str()).chain(key).map(str::to_owned).collect(),
        };
        Ok(Self {
            vm: vm.id,
            user,
            addresses: addresses_of(vm),
            outside,
            logins: login_order(&current, &new, Some(own)),
            host_key: vm.host_key.clone(),
            proxy,
            installs: InstalledCredentials { password: password.is_some(), key: key.is_some() },
            notes: kept_back(&current, &new),
            task,
        })
    }

    /// The host key of the proxy host, when a session with this machine goes through it.
    #[must_use]
    pub fn hop<'s>(&self, session: &'s SshSession) -> Option<&'s str> {
        let (proxy, via) = (self.proxy.as_ref()?, session.via()?);
        (via.endpoint() == &proxy.endpoint && via.user() == proxy.user).then(|| via.host_key())
    }

    fn request(&self, place: &Endpoint, settings: &AccessSettings) -> ConnectRequest {
        ConnectRequest {
            endpoint: place.clone(),
            user: self.user.clone(),
            logins: self.logins.iter().map(|(_, login)| login.clone()).collect(),
            host_key: HostKeyPolicy { expected: self.host_key.clone(), check: settings.check_host_keys },
            timeout: settings.attempt,
        }
    }
}

/// A machine that is ready for Ansible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accessed {
    /// The address that worked.
    pub address: Endpoint,
    /// The host key of the proxy host it was reached through, none when it was reached without.
    pub proxy_host_key: Option<String>,
    /// Which credentials worked.
    pub login: LoginKind,
    /// The host key it showed (OpenSSH form).
    pub host_key: String,
    /// What it is.
    pub facts: NodeFacts,
    /// The new credentials that are installed: these `new.*` move over the current ones.
    pub installed: InstalledCredentials,
}

impl Accessed {
    /// Prepares a machine on an open session, which may go through a proxy host.
    ///
    /// # Errors
    /// Those of [`prepare_node`]; SSH_AUTH when the new password was refused.
    pub async fn prepare(target: &Target, session: &SshSession) -> Result<Self, VmError> {
        let prepared = prepare_node(session, &target.task).await?;
        if prepared.password_changed == Some(false) {
            return Err(failure(ErrorCode::SshAuth, "the machine refused the new password"));
        }
        Ok(Self {
            address: session.endpoint().clone(),
            proxy_host_key: target.hop(session).map(str::to_owned),
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
/// Those of [`wait_ssh`], and PROXY_FAILED for the first of two hops.
pub async fn reach(limits: &SshLimits, target: &Target, settings: &AccessSettings) -> Result<SshSession, VmError> {
    let attempt = || async {
        let request = target.request(&target.outside, settings);
        let Some(proxy) = &target.proxy else { return limits.connect(request).await.map_err(Hop::Last) };
        let first = limits.connect(proxy.request(settings.check_host_keys, settings.attempt)).await;
        first.map_err(Hop::Proxy)?.connect_through(request).await.map_err(Hop::behind_proxy)
    };
    wait(settings, attempt).await
}

/// Prepares all machines by the ways that lead on from the master, at most `settings.parallel` at once; results come as
/// they are ready. The master itself is prepared by [`Accessed::prepare`] on its own session.
pub fn access_all<'a>(
    routes: &'a Routes,
    targets: &'a [Target],
    settings: &'a AccessSettings,
) -> impl Stream<Item = (u32, Result<Accessed, VmError>)> + Send + 'a {
    futures::stream::iter(targets)
        .map(move |target| async move { (target.vm, access(routes, target, settings).await) })
        .buffer_unordered(settings.parallel.max(1))
}

async fn access(routes: &Routes, target: &Target, settings: &AccessSettings) -> Result<Accessed, VmError> {
    let lost = |error: VmError| {
        if routes.master().is_closed() { failure(ErrorCode::MasterLost, error.message) } else { error }
    };
    let session = wait(settings, || attempt(routes, target, settings)).await.map_err(lost)?;
    Accessed::prepare(target, &session).await.map_err(lost)
}

/// One round over all addresses. The most telling error of the round counts.
async fn attempt(routes: &Routes, target: &Target, settings: &AccessSettings) -> Result<SshSession, Hop> {
    let mut worst: Option<SshError> = None;
    for place in &target.addresses {
        match routes.master().connect_through(target.request(place, settings)).await {
            Ok(session) => return Ok(session),
            Err(error) if worst.as_ref().is_none_or(|known| weight(&error) > weight(known)) => worst = Some(error),
            Err(_) => {}
        }
    }
    if let Some(proxy) = &target.proxy {
        let place = &target.outside;
        let first = routes.proxy(proxy, settings.check_host_keys, settings.attempt).await.map_err(Hop::Proxy)?;
        let last = first.connect_through(target.request(place, settings)).await.map_err(Hop::behind_proxy)?;
        if last.is_relayed() {
            // Ansible's own connection has no relay.
            let (target, reason) = (place.to_string(), "set AllowTcpForwarding = yes there".to_owned());
            return Err(Hop::Proxy(SshError::ForwardingDenied { target, reason }));
        }
        return Ok(last);
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

impl Hop {
    /// A failure behind a proxy host. That its connection broke is worth another round: the master's did not.
    fn behind_proxy(error: SshError) -> Self {
        match error {
            SshError::Disconnected { target, reason } => Self::Proxy(SshError::Unreachable { target, reason }),
            error => Self::Last(error),
        }
    }
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
    result.map_err(|error| match (at_proxy.load(Ordering::Relaxed), error) {
        (true, error) => {
            let changed = matches!(error, SshError::HostKeyChanged { .. });
            let code = if changed { ErrorCode::HostkeyChanged } else { ErrorCode::ProxyFailed };
            failure(code, format!("the proxy host: {error}"))
        }
        (false, error) => error.into(),
    })
}
