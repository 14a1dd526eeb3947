//! Layer: the longest that one attempt at a cloud may take.

use super::{Call, Layer, Next, Reply};
use crate::{ConnectorError, ErrorClass};
use async_trait::async_trait;
use std::time::Duration;

/// The longest that one attempt may take, for a connector as a whole; each of its requests has its own limit, none longer
/// (`HttpSettings`), and a wait for a long-running operation ends before that of a change (`Patience`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Of an operation that only reads.
    pub read: Duration,
    /// Of an operation that changes something.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { read: Duration::from_secs(60), write: Duration::from_secs(300) }
    }
}

/// Ends attempts that take too long with [`ErrorClass::WaitTimeout`].
pub struct Timeout {
    timeouts: Timeouts,
}

impl Timeout {
    /// Ends attempts after `timeouts`.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts }
    }
}

#[async_trait]
impl Layer for Timeout {
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        let limit = if call.operation.is_write() { self.timeouts.write } else { self.timeouts.read };
        tokio::time::timeout(limit, next.run()).await.unwrap_or_else(|_| {
            let message =
                format!("The cloud did not answer {} within {} s", call.operation.name(), limit.as_secs_f64());
            Err(ConnectorError::new(ErrorClass::WaitTimeout, message))
        })
    }
}
