//! Layer: repeats a call that had trouble on its way (docs/spec/connectors.md, 1.5).
//!
//! What the cloud itself decided (no room, a machine in an error state) is the engine's to repeat where the operation belongs to
//! a durable work, which may take another candidate. So a refusal is never repeated by both.

use super::{Call, Layer, Next, Operation, Reply};
use crate::{ConnectorError, ErrorClass};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How often and how long to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in total; being throttled uses none up.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each further one.
    pub first_delay: Duration,
    /// Longest pause of our own choice.
    pub longest_delay: Duration,
    /// No attempt starts later than this after the first one.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(30),
            // Room for three attempts that each take the longest a write may.
            budget: Duration::from_secs(1000),
        }
    }
}

/// What happened so far to one call.
#[derive(Debug, Clone, Copy, Default)]
struct History {
    attempts: u32,
    throttled: u32,
}

impl History {
    fn note(&mut self, class: ErrorClass) {
        match class {
            ErrorClass::Throttled => self.throttled += 1,
            _ => self.attempts += 1,
        }
    }
}

impl RetryPolicy {
    /// The pause before the next attempt, none to give up. `random` is in [0, 1).
    fn pause(&self, operation: Operation, error: &ConnectorError, history: History, random: f64) -> Option<Duration> {
        let left = history.attempts < self.attempts;
        match error.class {
            ErrorClass::Throttled => {
                // A little more than asked for, each caller another little, so that they do not come back at once.
                let own = self.backoff(history.throttled, random);
                Some(error.retry_after.map_or(own, |asked| asked + self.backoff(1, random).min(own)))
            }
            ErrorClass::Transient | ErrorClass::WaitTimeout => {
                (left && operation.is_repeatable()).then(|| self.backoff(history.attempts, random))
            }
            ErrorClass::Conflict => left.then(|| self.backoff(history.attempts, random)),
            ErrorClass::Capacity => {
                (left && !operation.belongs_to_work()).then(|| self.backoff(history.attempts, random))
            }
            ErrorClass::ProviderFailed
            | ErrorClass::Auth
            | ErrorClass::Denied
            | ErrorClass::NotFound
            | ErrorClass::Invalid
            | ErrorClass::Quota
            | ErrorClass::Unsupported => None,
        }
    }

    /// Between half and all of a pause that doubles with each failure (from 1).
    fn backoff(&self, failures: u32, random: f64) -> Duration {
        let doubled = self.first_delay.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.longest_delay).mul_f64(0.5 + random / 2.0)
    }
}

/// Repeats failed calls. Writes are repeated because connectors make them safe to repeat, above all `create_vm` by its
/// uid; what is not ([`Operation::is_repeatable`]) is repeated only when the cloud refused it.
pub struct Retry {
    policy: RetryPolicy,
    random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Retry {
    /// Repeats by `policy`; `random` gives numbers in [0, 1) for the jitter.
    pub fn new(policy: RetryPolicy, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self { policy, random: Arc::new(random) }
    }
}

#[async_trait]
impl Layer for Retry {
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        let start = Instant::now();
        let mut history = History::default();
        loop {
            let error = match next.run().await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            history.note(error.class);
            let pause = self.policy.pause(call.operation, &error, history, (self.random)());
            let Some(pause) = pause.filter(|pause| start.elapsed() + *pause <= self.policy.budget) else {
                return Err(error);
            };
            tracing::debug!(class = error.class.name(), attempts = history.attempts, ?pause, "will try again: {error}");
            sleep(pause).await;
        }
    }
}
