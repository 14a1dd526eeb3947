//! What `/metrics` shows of the API itself and of the engine.

use super::routes::{RESOURCES, Resource, Verb};
use crate::{engine::Figures, telemetry::panics};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    core::Collector,
};
use std::time::Duration;
use warp::http::StatusCode;

/// Label of requests whose path or method is unknown, so that callers cannot make labels.
const OTHER: &str = "other";

/// Upper bounds of the time classes, seconds.
const SECONDS: &[f64] = &[0.000_5, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 30.0, 120.0, 600.0];

/// Counters of the API and gauges that are set when the page is asked for.
pub(super) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// Successes and times of the reads of each resource, looked up once.
    reads: Vec<Option<(IntCounter, Histogram)>>,
    /// Open connections.
    pub(super) connections: IntGauge,
    /// Open event streams.
    pub(super) streams: IntGauge,
    infrastructures: IntGauge,
    loaded: IntGauge,
    vms: IntGauge,
    contextualizing: IntGauge,
    work: IntGauge,
}

impl Metrics {
    /// Makes the metrics and adds them to the registry.
    ///
    /// # Errors
    /// The registry has some of them already.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        }
        let labels = ["route", "method", "status"];
        let requests = Opts::new("imd_http_requests_total", "Requests answered, by route, method and status.");
        let seconds = HistogramOpts::new("imd_http_request_seconds", "Time from headers to answer, seconds.");
        let gauge = |name: &str, help: &str| add(registry, IntGauge::new(name, help)?);
        if let Some(panics) = panics::counter() {
            registry.register(Box::new(panics))?;
        }
        let requests = add(registry, IntCounterVec::new(requests, &labels)?)?;
        let seconds = add(registry, HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &labels[..2])?)?;
        let get = Verb::Get.name();
        let read = |resource: &Resource| {
            resource.operation(Verb::Get)?;
            let success = [resource.template, get, StatusCode::OK.as_str()];
            Some((requests.with_label_values(&success), seconds.with_label_values(&success[..2])))
        };
        Ok(Self {
            reads: RESOURCES.iter().map(read).collect(),
            requests,
            seconds,
            connections: gauge("imd_http_connections", "Open connections.")?,
            streams: gauge("imd_http_event_streams", "Open event streams.")?,
            infrastructures: gauge("imd_infrastructures", "Infrastructures that were not deleted.")?,
            loaded: gauge("imd_infrastructures_loaded", "Infrastructures in memory.")?,
            vms: gauge("imd_vms", "Machines of the infrastructures in memory.")?,
            contextualizing: gauge("imd_contextualizations", "Contextualizations that are running.")?,
            work: gauge("imd_pending_work", "Accepted work that did not end yet.")?,
        })
    }

    /// Counts a request; `place` is that of its resource.
    pub(super) fn count(&self, place: Option<usize>, verb: Option<Verb>, status: StatusCode, time: Duration) {
        if let (Some(place), Some(Verb::Get), StatusCode::OK) = (place, verb, status)
            && let Some((successes, seconds)) = &self.reads[place]
        {
            successes.inc();
            return seconds.observe(time.as_secs_f64());
        }
        let route = place.map_or(OTHER, |place| RESOURCES[place].template);
        let method = verb.map_or(OTHER, Verb::name);
        self.requests.with_label_values(&[route, method, status.as_str()]).inc();
        self.seconds.with_label_values(&[route, method]).observe(time.as_secs_f64());
    }

    /// The page: everything in the registry, with the engine's numbers of now.
    pub(super) fn page(&self, registry: &Registry, figures: Figures) -> String {
        let set = |gauge: &IntGauge, number: usize| gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        set(&self.infrastructures, figures.infrastructures);
        set(&self.loaded, figures.loaded);
        set(&self.vms, figures.vms);
        set(&self.contextualizing, figures.contextualizing);
        set(&self.work, figures.work);
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be written");
            String::new()
        })
    }
}
