//! How many connections the daemon holds and how fast it opens them (docs/spec/contextualization.md 6.11).

use super::{Endpoint, KeepAlive, Request, SshError, SshSession};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Bounds shared by all connections that the daemon itself opens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SshLimits {
    connections: Arc<Semaphore>,
    interval: Duration,
    keep_alive: KeepAlive,
    next: Arc<Mutex<HashMap<Endpoint, Instant>>>,
}

/// The right to hold one connection, given back when dropped.
#[derive(Debug)]
pub struct Admission(#[allow(dead_code)] OwnedSemaphorePermit);

impl SshLimits {
    /// At most `connections` at once and `per_second` new ones per server (sshd's MaxStartups refuses more).
    #[must_use]
    pub fn new(connections: usize, per_second: u32) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(connections.max(1))),
            interval: Duration::from_secs(1) / per_second.max(1),
            keep_alive: KeepAlive::default(),
            next: Arc::default(),
        }
    }

    /// The same bounds with other times for silence.
    #[must_use]
    pub fn with_keep_alive(self, keep_alive: KeepAlive) -> Self {
        Self { keep_alive, ..self }
    }

    /// Waits until one more connection to the endpoint is allowed.
    pub async fn admit(&self, endpoint: &Endpoint) -> Option<Admission> {
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        let start = self.reserve(endpoint, Instant::now());
        tokio::time::sleep_until(start).await;
        Some(Admission(permit))
    }

    /// The next free moment for a connection to the endpoint.
    fn reserve(&self, endpoint: &Endpoint, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.retain(|_, free| *free > now);
        let start = next.get(endpoint).copied().unwrap_or(now);
        next.insert(endpoint.clone(), start + self.interval);
        start
    }

    /// As [`SshSession::connect`], within these bounds; the waiting for admission is not part of its time.
    ///
    /// # Errors
    /// As [`SshSession::connect`].
    pub async fn connect(&self, request: Request) -> Result<SshSession, SshError> {
        let admission = self.admit(&request.endpoint).await;
        SshSession::connect_admitted(request, self.keep_alive, admission).await
    }
}
