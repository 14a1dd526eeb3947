//! Layer: how many calls of one account run at once.

use super::{Call, Layer, Next, Reply};
use crate::{ConnectorError, ErrorClass};
use async_trait::async_trait;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

/// Longest that a throttled account holds its other calls back.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// How many calls of one account may run at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConcurrencyLimits {
    /// Operations that only read.
    pub reads: usize,
    /// Operations that change something.
    pub writes: usize,
}

impl Default for ConcurrencyLimits {
    fn default() -> Self {
        Self { reads: 32, writes: 64 }
    }
}

/// Limits the calls of one account, reads and writes apart so that neither starves the other. When the cloud throttles
/// one call, the others of the account wait with it instead of making it worse.
pub struct Concurrency {
    reads: Semaphore,
    writes: Semaphore,
    held_until: Mutex<Option<Instant>>,
}

impl Concurrency {
    /// Limits for one account; zero is taken as one.
    #[must_use]
    pub fn new(limits: &ConcurrencyLimits) -> Self {
        let semaphore = |permits: usize| Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS));
        Self { reads: semaphore(limits.reads), writes: semaphore(limits.writes), held_until: Mutex::new(None) }
    }

    fn held_until(&self) -> Option<Instant> {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, pause: Duration) {
        let until = Instant::now() + pause.min(LONGEST_HOLD);
        let mut held = self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(held.map_or(until, |earlier| earlier.max(until)));
    }
}

#[async_trait]
impl Layer for Concurrency {
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        let semaphore = if call.operation.is_write() { &self.writes } else { &self.reads };
        let closed = |_| ConnectorError::new(ErrorClass::Transient, "The daemon is shutting down");
        let _permit = semaphore.acquire().await.map_err(closed)?;
        if let Some(until) = self.held_until() {
            sleep_until(until).await;
        }
        let result = next.run().await;
        if let Err(ConnectorError { class: ErrorClass::Throttled, retry_after: Some(pause), .. }) = &result {
            self.hold(*pause);
        }
        result
    }
}
