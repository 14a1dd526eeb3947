//! Deleted infrastructures are not kept for ever (PURGE_AFTER_DAYS).

use crate::{engine::operations::engine::Engine, store::purge};
use std::{convert::Infallible, time::Duration};

/// How often it is looked for old ones.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Infrastructures removed in one transaction.
const BATCH: usize = 50;

impl Engine {
    /// Removes deleted infrastructures created more than `days` ago from the store, now and every hour; none with 0.
    pub async fn keep_for(&self, days: u32) -> Infallible {
        if days == 0 {
            return std::future::pending().await;
        }
        loop {
            let before = self.services.now() / 1_000_000 - i64::from(days) * 86_400;
            match purge::purge(&*self.services.store, before, BATCH, |_| ()).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!("{removed} deleted infrastructures are older than {days} days: purged"),
                Err(error) => tracing::warn!("old deleted infrastructures are not purged: {error}"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
