//! Where a daemon under test dies: debug builds end themselves before or after a chosen commit, for the tests of crashes
//! (`tests/crash/`). Release builds have nothing of it.

/// Passed before and after every commit. Ends the process without any warning at the n-th pass if `IMD_DIE_AT_COMMIT` is
/// n: odd numbers are before a commit, even ones after it, as long as commits come one by one.
#[cfg(debug_assertions)]
pub fn pass() {
    use std::sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    };
    static LEFT: LazyLock<AtomicI64> = LazyLock::new(|| {
        let chosen = std::env::var("IMD_DIE_AT_COMMIT").ok().and_then(|number| number.parse().ok());
        AtomicI64::new(chosen.unwrap_or(-1))
    });
    if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub const fn pass() {}
