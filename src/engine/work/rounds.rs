//! Calls to clouds that are repeated, round by round, while they may still succeed.

use crate::engine::services::Services;
use connectors::{ConnectorError, ErrorClass};
use std::time::Duration;

/// Rounds of a call before it is given up, with waits of 1, 2, 4, ... seconds between them.
const ROUNDS: u32 = 5;

/// Deletes with [`insist`]; a missing thing is a success, as is one that the cloud does not offer: it can have none.
pub(super) async fn persist<F: Future<Output = Result<(), ConnectorError>>>(
    services: &Services,
    call: impl FnMut() -> F,
) -> Result<(), ConnectorError> {
    match insist(services, call).await {
        Err(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::Unsupported) => Ok(()),
        result => result,
    }
}

/// Repeats what may still succeed.
pub(super) async fn insist<T, F: Future<Output = Result<T, ConnectorError>>>(
    services: &Services,
    call: impl FnMut() -> F,
) -> Result<T, ConnectorError> {
    repeat(services, ErrorClass::is_final, call).await
}

/// Repeats what is not final.
pub(super) async fn repeat<T, F: Future<Output = Result<T, ConnectorError>>>(
    services: &Services,
    is_final: impl Fn(ErrorClass) -> bool,
    mut call: impl FnMut() -> F,
) -> Result<T, ConnectorError> {
    let mut round = 0;
    loop {
        let under_way = services.cloud_call().await;
        let result = call().await;
        drop(under_way);
        match result {
            Err(error) if !is_final(error.class) && round + 1 < ROUNDS => {
                tracing::warn!(%error, round, "the cloud failed, trying again");
                tokio::time::sleep(Duration::from_secs(1 << round)).await;
                round += 1;
            }
            result => return result,
        }
    }
}
