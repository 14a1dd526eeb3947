//! One attempt at `create_vm`. A connector takes up what an earlier attempt began; what the cloud gave up on cannot be taken
//! up, and is cleared away for the next attempt.

use crate::{Connector, ConnectorError, ErrorClass, ProviderId, VmIntent};

/// Makes the machine, or leaves nothing in the way of the next attempt.
pub(super) async fn create(cloud: &dyn Connector, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
    let result = cloud.create_vm(intent).await;
    if let Err(ConnectorError { class: ErrorClass::ProviderFailed, .. }) = &result
        && let Err(error) = cloud.delete_vm(&intent.mark()).await
    {
        // The next attempt meets the broken machine and tries again to clear it away.
        tracing::debug!("what the cloud gave up on stays for now: {error}");
    }
    result
}
