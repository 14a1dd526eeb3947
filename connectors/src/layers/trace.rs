//! Layer: a tracing span around every operation. It names ids, never values of the credential line.

use super::{Call, Layer, Next, Operation, Reply};
use crate::{ConnectorError, ErrorClass};
use async_trait::async_trait;
use tokio::time::Instant;
use tracing::Instrument;

/// Puts a span around every operation on one cloud.
pub struct Trace {
    cloud: String,
}

impl Trace {
    /// Spans that name the cloud type `cloud`.
    #[must_use]
    pub fn new(cloud: &str) -> Self {
        Self { cloud: cloud.to_owned() }
    }
}

#[async_trait]
impl Layer for Trace {
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        let span = tracing::info_span!(
            "cloud",
            cloud = self.cloud,
            operation = call.operation.name(),
            infrastructure = call.infrastructure,
            uid = call.uid.map(|uid| uid.0.as_str()),
            id = call.id.map(|id| id.0.as_str()),
        );
        let start = Instant::now();
        async {
            let result = next.run().await;
            let elapsed = start.elapsed();
            match &result {
                Ok(_) => tracing::debug!(?elapsed, "done"),
                // That a system is none for this cloud is for who asked, and happens wherever somebody has several clouds.
                Err(error) if call.operation == Operation::Candidates && error.class == ErrorClass::Invalid => {
                    tracing::debug!(?elapsed, "none: {error}")
                }
                Err(error) => tracing::warn!(?elapsed, class = error.class.name(), "failed: {error}"),
            }
            result
        }
        .instrument(span)
        .await
    }
}
