//! Layer: counts and times every attempt at a cloud, for Prometheus.

use super::{Call, Layer, Next, Reply};
use crate::ConnectorError;
use async_trait::async_trait;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use tokio::time::Instant;

/// The metrics of all connectors:
///
/// - `imd_cloud_calls_total{cloud, operation, outcome}`: attempts; the outcome is `ok` or an error class
/// - `imd_cloud_call_seconds{cloud, operation}`: how long they took
/// - `imd_cloud_calls_running{cloud}`: attempts that wait for an answer
#[derive(Clone)]
pub struct CallMetrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    running: IntGaugeVec,
}

impl CallMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When `registry` already has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = HistogramOpts::new("imd_cloud_call_seconds", "Time that attempts at a cloud took")
            .buckets(vec![0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]);
        let metrics = Self {
            calls: IntCounterVec::new(
                Opts::new("imd_cloud_calls_total", "Attempts at a cloud by outcome"),
                &["cloud", "operation", "outcome"],
            )?,
            seconds: HistogramVec::new(seconds, &["cloud", "operation"])?,
            running: IntGaugeVec::new(
                Opts::new("imd_cloud_calls_running", "Attempts that wait for the answer of a cloud"),
                &["cloud"],
            )?,
        };
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.running.clone()))?;
        Ok(metrics)
    }
}

/// Counts and times the attempts at clouds of one type.
pub struct Metrics {
    metrics: CallMetrics,
    cloud: String,
}

impl Metrics {
    /// Counts under the cloud type `cloud`.
    #[must_use]
    pub fn new(metrics: CallMetrics, cloud: &str) -> Self {
        Self { metrics, cloud: cloud.to_owned() }
    }
}

/// One attempt under way; callers may drop it at any time.
struct Running(prometheus::IntGauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[async_trait]
impl Layer for Metrics {
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        let (cloud, operation) = (self.cloud.as_str(), call.operation.name());
        let gauge = self.metrics.running.with_label_values(&[cloud]);
        gauge.inc();
        let _running = Running(gauge);
        let start = Instant::now();
        let result = next.run().await;
        self.metrics.seconds.with_label_values(&[cloud, operation]).observe(start.elapsed().as_secs_f64());
        let outcome = result.as_ref().map_or_else(|error| error.class.name(), |_| "ok");
        self.metrics.calls.with_label_values(&[cloud, operation, outcome]).inc();
        result
    }
}
