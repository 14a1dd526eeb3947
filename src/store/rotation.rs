//! Sealing a whole database anew with the newest key, while a daemon may be using it.

use super::{Store, StoreError, purge::BREATH};

/// What one pass through the database did.
#[derive(Debug, Default)]
pub struct Pass {
    /// Infrastructures there are.
    pub infrastructures: usize,
    /// Values that were not sealed with the newest key, and are now.
    pub values: u64,
    /// Infrastructures with values that cannot be opened, and why.
    pub failed: Vec<(String, StoreError)>,
}

/// Goes once through the database, `batch` values at a time. `told` hears which infrastructure it is at, of how many, and
/// how many values were sealed so far. It can be stopped at any moment and called again. Nothing is left under an older
/// key when a pass finds no value while all writers have the newest key.
///
/// # Errors
/// The store cannot be used at all; what was told is done.
pub async fn reseal(
    store: &dyn Store,
    batch: usize,
    mut told: impl FnMut(usize, usize, u64),
) -> Result<Pass, StoreError> {
    let rows = store.index().await?;
    let mut pass = Pass { infrastructures: rows.len(), ..Pass::default() };
    for (number, row) in rows.iter().enumerate() {
        loop {
            told(number, rows.len(), pass.values);
            match store.reseal(Some(&row.id), batch.max(1)).await {
                Ok(0) => break,
                Ok(values) => pass.values += values,
                Err(error @ StoreError::Corrupt(_)) => {
                    pass.failed.push((row.id.clone(), error));
                    break;
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(BREATH).await;
        }
    }
    // Last: with it, the database opens without the older keys.
    if pass.failed.is_empty() {
        pass.values += store.reseal(None, 1).await?;
    }
    told(rows.len(), rows.len(), pass.values);
    Ok(pass)
}
