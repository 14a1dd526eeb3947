//! Requests of all sites, counted.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};
use std::time::Duration;
use warp::http::{Method, StatusCode};

/// Label of requests whose path or method is unknown, so that callers cannot make labels.
const OTHER: &str = "other";

/// Upper bounds of the time classes, seconds.
const SECONDS: &[f64] = &[0.000_5, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 30.0, 120.0, 600.0];

/// Counters of the requests to a server.
pub(super) struct RequestMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// Open connections.
    pub(super) connections: IntGauge,
}

/// What is counted of one resource.
pub(super) struct ResourceMetrics {
    /// Its template with the prefix of its site.
    route: String,
    /// Successes and times of its reads, looked up once.
    reads: Option<(IntCounter, Histogram)>,
}

impl RequestMetrics {
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
        Ok(Self {
            requests: add(registry, IntCounterVec::new(requests, &labels)?)?,
            seconds: add(registry, HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &labels[..2])?)?,
            connections: add(registry, IntGauge::new("imd_http_connections", "Open connections.")?)?,
        })
    }

    /// What is counted of the resource at `route`, which may be read or not.
    pub(super) fn resource(&self, route: String, is_read: bool) -> ResourceMetrics {
        let reads = is_read.then(|| {
            let success = [route.as_str(), Method::GET.as_str(), StatusCode::OK.as_str()];
            (self.requests.with_label_values(&success), self.seconds.with_label_values(&success[..2]))
        });
        ResourceMetrics { route, reads }
    }

    /// Counts a request to a resource, or to none.
    pub(super) fn count(
        &self,
        resource: Option<&ResourceMetrics>,
        method: &Method,
        status: StatusCode,
        time: Duration,
    ) {
        if let Some(ResourceMetrics { reads: Some((successes, seconds)), .. }) = resource
            && (method, status) == (&Method::GET, StatusCode::OK)
        {
            successes.inc();
            return seconds.observe(time.as_secs_f64());
        }
        let route = resource.map_or(OTHER, |resource| resource.route.as_str());
        let method = match *method {
            Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => method.as_str(),
            _ => OTHER,
        };
        self.requests.with_label_values(&[route, method, status.as_str()]).inc();
        self.seconds.with_label_values(&[route, method]).observe(time.as_secs_f64());
    }
}
