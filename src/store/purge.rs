//! Purging in batches, so that the daemon's own commits come in between.

use super::{Store, StoreError};
use std::time::Duration;

/// Time for others between two batches.
pub(super) const BREATH: Duration = Duration::from_millis(10);

/// Removes all deleted infrastructures created before `created_before` (seconds since the epoch), `batch` at a time, and
/// tells after each batch how many it were so far; returns how many.
///
/// # Errors
/// The store; what was told is removed.
pub async fn purge(
    store: &dyn Store,
    created_before: i64,
    batch: usize,
    mut told: impl FnMut(u64),
) -> Result<u64, StoreError> {
    let (batch, mut removed) = (batch.max(1), 0);
    loop {
        let gone = store.purge(created_before, batch).await?;
        removed += gone;
        told(removed);
        if gone < batch as u64 {
            return Ok(removed);
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// How many [`purge`] would remove.
///
/// # Errors
/// The store.
pub async fn purgeable(store: &dyn Store, created_before: i64) -> Result<usize, StoreError> {
    let rows = store.index().await?;
    Ok(rows.iter().filter(|row| row.deleted && row.created < created_before).count())
}
