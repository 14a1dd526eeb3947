//! What the metrics page shows of the API.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use std::time::Duration;

/// Label of calls of unknown methods, so that callers cannot make labels.
const OTHER: &str = "other";

/// Upper bounds of the time classes, seconds.
const SECONDS: &[f64] = &[0.000_5, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 30.0, 120.0, 600.0];

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Success,
    Refusal,
    Fault,
}

impl End {
    const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refusal => "refusal",
            Self::Fault => "fault",
        }
    }
}

/// Counters of the API.
pub(super) struct Metrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    /// Open connections.
    pub(super) connections: IntGauge,
}

impl Metrics {
    /// Makes the metrics and adds them to the registry.
    ///
    /// # Errors
    /// The registry has some of them already.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let calls = Opts::new("imd_xmlrpc_calls_total", "XML-RPC calls answered, by method and outcome.");
        let seconds = HistogramOpts::new("imd_xmlrpc_call_seconds", "Time of XML-RPC calls, seconds.");
        let metrics = Self {
            calls: IntCounterVec::new(calls, &["method", "outcome"])?,
            seconds: HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["method"])?,
            connections: IntGauge::new("imd_xmlrpc_connections", "Open connections of XML-RPC.")?,
        };
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        Ok(metrics)
    }

    /// Counts a call; `method` is none for one that there is not.
    pub(super) fn count(&self, method: Option<&'static str>, end: End, time: Duration) {
        let method = method.unwrap_or(OTHER);
        self.calls.with_label_values(&[method, end.label()]).inc();
        self.seconds.with_label_values(&[method]).observe(time.as_secs_f64());
    }
}
