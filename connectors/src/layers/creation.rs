//! Repeated attempts at one `create_vm`: look first, so that a reply that was lost does not become a second machine.

use crate::{Connector, ConnectorError, ErrorClass, ProviderId, VmIntent};
use std::sync::{Mutex, PoisonError};

/// What earlier attempts left behind in the cloud.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Leftover {
    /// Nothing: never tried, or refused.
    #[default]
    None,
    /// Perhaps the machine.
    Unknown,
    /// A machine that the cloud gave up on.
    Broken,
}

impl Leftover {
    fn of(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Transient | ErrorClass::WaitTimeout | ErrorClass::Conflict => Self::Unknown,
            ErrorClass::ProviderFailed => Self::Broken,
            _ => Self::None,
        }
    }
}

/// One `create_vm` over all its attempts.
#[derive(Debug, Default)]
pub(super) struct Creation(Mutex<Leftover>);

impl Creation {
    /// One attempt: adopts what an earlier one made, clears away what it broke, else asks the cloud.
    pub(super) async fn attempt(
        self: std::sync::Arc<Self>,
        cloud: &dyn Connector,
        intent: &VmIntent,
    ) -> Result<ProviderId, ConnectorError> {
        let leftover = self.leftover();
        if leftover != Leftover::None {
            let found = cloud.find(&intent.infrastructure).await?;
            let machine = found.into_iter().find(|machine| machine.uid == intent.uid).map(|machine| machine.id);
            match machine {
                Some(id) if leftover == Leftover::Unknown => return Ok(id),
                Some(id) => cloud.delete_vm(&id).await?,
                None => {}
            }
        }
        // Set before the call: a caller that drops this future does not know the outcome either.
        self.leave(Leftover::Unknown);
        let result = cloud.create_vm(intent).await;
        if let Err(error) = &result {
            self.leave(Leftover::of(error.class));
        }
        result
    }

    fn leftover(&self) -> Leftover {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, leftover: Leftover) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = leftover;
    }
}
