//! Repeated attempts at one `create_vm`. A connector takes up what an earlier attempt began; what the cloud gave up on
//! cannot be taken up and is cleared away first.

use crate::{Connector, ConnectorError, ErrorClass, ProviderId, VmIntent};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// One `create_vm` over all its attempts.
#[derive(Debug, Default)]
pub(super) struct Creation {
    /// The last attempt left a machine that the cloud gave up on.
    broken: AtomicBool,
}

impl Creation {
    /// One attempt.
    pub(super) async fn attempt(
        self: Arc<Self>,
        cloud: &dyn Connector,
        intent: &VmIntent,
    ) -> Result<ProviderId, ConnectorError> {
        if self.broken.load(Ordering::Relaxed) {
            cloud.delete_vm(&intent.mark()).await?;
            self.broken.store(false, Ordering::Relaxed);
        }
        let result = cloud.create_vm(intent).await;
        let broken = matches!(&result, Err(ConnectorError { class: ErrorClass::ProviderFailed, .. }));
        self.broken.store(broken, Ordering::Relaxed);
        result
    }
}
