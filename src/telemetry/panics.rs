//! Defects: a panic is counted, and logged once for the place where it happens and interval, whoever catches it. The text of a
//! panic may quote what a client sent, so that it is only told where it is one of the program's own.

use prometheus::IntCounter;
use std::{
    collections::HashMap,
    panic::{self, PanicHookInfo},
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time between two lines about the same place.
const INTERVAL: Duration = Duration::from_secs(60);

/// Panics of this process.
static COUNTER: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
    IntCounter::new("imd_panics_total", "Defects of the program that ended a request or a task.").ok()
});

/// When a place was logged last, and how often it panicked since.
static PLACES: LazyLock<Mutex<HashMap<String, (Instant, u64)>>> = LazyLock::new(Mutex::default);

/// The counter, for the page of metrics.
#[must_use]
pub fn counter() -> Option<IntCounter> {
    COUNTER.clone()
}

/// Logs panics from now on, instead of the text and backtrace on standard error.
pub(super) fn log() {
    panic::set_hook(Box::new(|panic| {
        if let Some(counter) = &*COUNTER {
            counter.inc();
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        if let Some(more) = is_new(&place, Instant::now()) {
            tracing::error!(place, more, "defect: a request or task ended in a panic: {}", own_text(panic));
        }
    }));
}

fn own_text<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(its text may hold what a client sent)")
}

/// Whether a panic at this place is to be logged now; if so, how many were not since the last one.
fn is_new(place: &str, now: Instant) -> Option<u64> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    match places.get_mut(place) {
        Some((last, more)) if now.saturating_duration_since(*last) < INTERVAL => {
            *more += 1;
            None
        }
        known => {
            let more = known.map_or(0, |(_, more)| *more);
            places.insert(place.to_owned(), (now, 0));
            Some(more)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_once_in_an_interval() {
        let start = Instant::now();
        let told = [0, 1, 2, 60, 61].map(|seconds| is_new("here.rs:1", start + Duration::from_secs(seconds)));
        assert_eq!(told, [Some(0), None, None, Some(2), None]);
        assert_eq!(is_new("there.rs:1", start), Some(0));
    }
}
