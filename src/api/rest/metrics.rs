//! What `/metrics` shows of event streams and of the engine, and the page.

use crate::{engine::Figures, telemetry::panics};
use prometheus::{IntGauge, Registry, TextEncoder};

/// Gauges, most of which are set when the page is asked for.
pub(super) struct Metrics {
    /// Open event streams.
    pub(super) streams: IntGauge,
    infrastructures: IntGauge,
    loaded: IntGauge,
    vms: IntGauge,
    contextualizing: IntGauge,
    work: IntGauge,
}

impl Metrics {
    /// Makes the metrics and adds them to the registry, with the defects of the program.
    ///
    /// # Errors
    /// The registry has some of them already.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        if let Some(panics) = panics::counter() {
            registry.register(Box::new(panics))?;
        }
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            streams: gauge("imd_http_event_streams", "Open event streams.")?,
            infrastructures: gauge("imd_infrastructures", "Infrastructures that were not deleted.")?,
            loaded: gauge("imd_infrastructures_loaded", "Infrastructures in memory.")?,
            vms: gauge("imd_vms", "Machines of the infrastructures in memory.")?,
            contextualizing: gauge("imd_contextualizations", "Contextualizations that are running.")?,
            work: gauge("imd_pending_work", "Accepted work that did not end yet.")?,
        })
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
