//! How many connections the daemon holds and how fast it opens them (docs/spec/contextualization.md 6.11).

use super::{
    ConnectRequest, Endpoint, KeepAlive, SshError, SshSession,
    slots::{Slot, Slots},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Bounds shared by all connections that the daemon itself opens, for one of the owners who share them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SshLimits {
    owner: Arc<str>,
    connections: Slots,
    interval: Duration,
    keep_alive: KeepAlive,
    servers: Arc<Mutex<HashMap<Endpoint, Server>>>,
}

/// Connecting to one server, one after the other.
#[derive(Debug, Clone)]
struct Server {
    turns: Slots,
    /// When the next one may begin.
    free: Arc<Mutex<Instant>>,
}

/// The right to hold one connection, given back when dropped.
#[derive(Debug)]
pub struct Admission(#[allow(dead_code)] Slot);

impl SshLimits {
    /// At most `connections` at once and `per_second` new ones per server (sshd's MaxStartups refuses more).
    #[must_use]
    pub fn new(connections: usize, per_second: u32) -> Self {
        Self {
            owner: "".into(),
            connections: Slots::new(connections),
            interval: Duration::from_secs(1) / per_second.max(1),
            keep_alive: KeepAlive::default(),
            servers: Arc::default(),
        }
    }

    /// These bounds for an owner who shares them with others.
    #[must_use]
    pub fn of(&self, owner: &str) -> Self {
        Self { owner: owner.into(), ..self.clone() }
    }

    /// These bounds with other times for silence.
    #[must_use]
    pub fn with_keep_alive(self, keep_alive: KeepAlive) -> Self {
        Self { keep_alive, ..self }
    }

    /// Waits until one more connection to the endpoint is allowed: for the turn at the server first, so that nobody holds
    /// what all share while waiting for what few do. Where an owner has no connection left, others have their turns.
    pub async fn admit(&self, endpoint: &Endpoint) -> Option<Admission> {
        let server = self.server(endpoint);
        loop {
            let turn = server.turns.take(&self.owner).await?;
            tokio::time::sleep_until(server.free()).await;
            if let Ok(slot) = tokio::time::timeout(self.interval, self.connections.take(&self.owner)).await {
                *server.free.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + self.interval;
                return slot.map(Admission);
            }
            drop(turn);
        }
    }

    fn server(&self, endpoint: &Endpoint) -> Server {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // What nobody uses and no time is left of is as if it had never been.
        servers.retain(|_, server| Arc::strong_count(&server.free) > 1 || server.free() > now);
        let fresh = || Server { turns: Slots::new(1), free: Arc::new(Mutex::new(now)) };
        servers.entry(endpoint.clone()).or_insert_with(fresh).clone()
    }

    /// Connects by [`SshSession::connect`], within these bounds; the waiting for admission is not part of its time.
    ///
    /// # Errors
    /// Those of [`SshSession::connect`].
    pub async fn connect(&self, request: ConnectRequest) -> Result<SshSession, SshError> {
        let admission = self.admit(&request.endpoint).await;
        SshSession::connect_admitted(request, self.keep_alive, admission).await
    }
}

impl Server {
    fn free(&self) -> Instant {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Somebody with many machines at a port that never answers, and somebody else with one machine; also at that port.
    #[tokio::test(start_paused = true)]
    async fn silent_machines_of_one_owner_do_not_delay_another() {
        let limits = SshLimits::new(16, 5);
        let silent = Endpoint::new("192.0.2.1", 22);
        for _ in 0..1600 {
            let (limits, silent) = (limits.of("many"), silent.clone());
            tokio::spawn(async move {
                let admission = limits.admit(&silent).await;
                tokio::time::sleep(Duration::from_secs(10)).await;
                drop(admission);
            });
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        for endpoint in [Endpoint::new("192.0.2.2", 22), silent] {
            let start = Instant::now();
            let admission = limits.of("one").admit(&endpoint).await;
            assert!(start.elapsed() <= Duration::from_secs(1), "{endpoint}: {:?}", start.elapsed());
            drop(admission);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_server_is_not_called_faster_than_it_may_be() {
        let limits = SshLimits::new(100, 5);
        let endpoint = Endpoint::new("192.0.2.1", 22);
        let start = Instant::now();
        let admissions: Vec<_> = (0..11).map(|_| limits.admit(&endpoint)).collect();
        let held = futures::future::join_all(admissions).await;
        assert_eq!((held.len(), start.elapsed()), (11, Duration::from_secs(2)));
    }
}
