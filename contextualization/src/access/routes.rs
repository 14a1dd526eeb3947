//! The ways that lead on from the master: its own connection, and one to each proxy host.

use super::Proxy;
use crate::ssh::{SshError, SshSession};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The master's session, and sessions behind it with proxy hosts, each shared by all machines that need it.
#[derive(Debug)]
pub struct Routes {
    master: SshSession,
    proxies: Mutex<HashMap<Proxy, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// The connection to one proxy host.
#[derive(Debug, Default)]
struct Slot {
    open: Option<SshSession>,
    failed: Option<(Instant, SshError)>,
}

impl Routes {
    /// The ways from this master.
    #[must_use]
    pub fn from(master: SshSession) -> Self {
        Self { master, proxies: Mutex::default() }
    }

    /// The session with the master.
    #[must_use]
    pub fn master(&self) -> &SshSession {
        &self.master
    }

    /// A session with a proxy host: the open one, or a new one. Who waited while somebody else failed has failed as well.
    pub(super) async fn proxy(
        &self,
        proxy: &Proxy,
        check_host_key: bool,
        timeout: Duration,
    ) -> Result<SshSession, SshError> {
        let asked = Instant::now();
        let slot = {
            let mut proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(proxies.entry(proxy.clone()).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(open) = slot.open.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        if let Some((_, error)) = slot.failed.as_ref().filter(|(when, _)| *when >= asked) {
            return Err(error.clone());
        }
        match self.master.connect_through(proxy.request(check_host_key, timeout)).await {
            // A relay is scarce: it goes back with the machine that needed it.
            Ok(session) if session.is_relayed() => Ok(session),
            Ok(session) => Ok(slot.open.insert(session).clone()),
            Err(error) => {
                slot.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}
