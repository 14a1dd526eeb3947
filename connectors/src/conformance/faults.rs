//! Faults between the daemon and the cloud, by layers, so that they need no help from the cloud.

use crate::{
    ConnectorError, ErrorClass,
    layers::{Call, Layer, Next, Operation, Reply},
};
use async_trait::async_trait;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Layer: the first changes are done, but their replies are lost.
pub struct LoseReplies(AtomicU32);

impl LoseReplies {
    /// Loses `count` replies.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self(AtomicU32::new(count))
    }
}

#[async_trait]
impl Layer for LoseReplies {
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        let result = next.run().await;
        if call.operation.is_write() && strikes(&self.0) {
            return Err(ConnectorError::new(ErrorClass::Transient, "The connection broke before the reply"));
        }
        result
    }
}

/// Layer: the first calls that create a machine are turned away.
pub struct Throttle {
    left: AtomicU32,
    retry_after: Duration,
}

impl Throttle {
    /// Turns `count` calls away, asking for a pause.
    #[must_use]
    pub fn new(count: u32, retry_after: Duration) -> Self {
        Self { left: AtomicU32::new(count), retry_after }
    }
}

#[async_trait]
impl Layer for Throttle {
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        if call.operation == Operation::CreateVm && strikes(&self.left) {
            let error = ConnectorError::new(ErrorClass::Throttled, "Too many requests");
            return Err(ConnectorError { retry_after: Some(self.retry_after), ..error });
        }
        next.run().await
    }
}

/// Counts down; false at zero.
fn strikes(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
