//! What is the same for every cloud: layers that a call passes on its way to a connector.
//!
//! [`Layered`] is the only type that knows the operations of [`Connector`](crate::Connector); it turns each of them into
//! a [`Call`] and hands it to the first [`Layer`], which decides when, and how often, the [`Next`] one runs. So a layer
//! is one function, whatever the operation.
//!
//! | layer | subject |
//! |---|---|
//! | [`Trace`] | a span per operation |
//! | [`Retry`] | repeats by error class |
//! | [`Concurrency`] | how many calls of an account run at once |
//! | [`Metrics`] | counters and latencies of every attempt |
//! | [`Timeout`] | the longest one attempt may take |

mod concurrency;
mod creation;
mod layered;
mod metrics;
mod retry;
mod timeout;
mod trace;

#[cfg(test)]
mod tests;

pub use concurrency::{Concurrency, ConcurrencyLimits};
pub use layered::Layered;
pub use metrics::{CallMetrics, Metrics};
pub use retry::{Retry, RetryPolicy};
pub use timeout::{Timeout, Timeouts};
pub use trace::Trace;

use crate::{ConnectorError, InfrastructureMark, PowerOperation, ProviderId, VmIntent, VmMark, VmUid};
use async_trait::async_trait;
use futures::future::BoxFuture;
use std::{any::Any, sync::Arc};

/// An operation of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Connector::candidates`](crate::Connector::candidates)
    Candidates,
    /// [`Connector::ensure_shared`](crate::Connector::ensure_shared)
    EnsureShared,
    /// [`Connector::create_vm`](crate::Connector::create_vm)
    CreateVm,
    /// [`Connector::reconcile`](crate::Connector::reconcile)
    Reconcile,
    /// [`Connector::find`](crate::Connector::find)
    Find,
    /// [`Connector::observe`](crate::Connector::observe)
    Observe,
    /// [`Connector::delete_vm`](crate::Connector::delete_vm)
    DeleteVm,
    /// [`Connector::delete_shared`](crate::Connector::delete_shared)
    DeleteShared,
    /// [`Connector::power`](crate::Connector::power)
    Power(PowerOperation),
    /// [`Connector::resize`](crate::Connector::resize)
    Resize,
    /// [`Connector::snapshot`](crate::Connector::snapshot)
    Snapshot,
    /// [`Connector::discard_snapshot`](crate::Connector::discard_snapshot)
    DiscardSnapshot,
    /// [`Connector::delete_image`](crate::Connector::delete_image)
    DeleteImage,
    /// [`Connector::images`](crate::Connector::images)
    Images,
    /// [`Connector::quotas`](crate::Connector::quotas)
    Quotas,
}

impl Operation {
    /// Name for logs and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Candidates => "candidates",
            Self::EnsureShared => "ensure_shared",
            Self::CreateVm => "create_vm",
            Self::Reconcile => "reconcile",
            Self::Find => "find",
            Self::Observe => "observe",
            Self::DeleteVm => "delete_vm",
            Self::DeleteShared => "delete_shared",
            Self::Power(PowerOperation::Start) => "start",
            Self::Power(PowerOperation::Stop) => "stop",
            Self::Power(PowerOperation::Reboot) => "reboot",
            Self::Resize => "resize",
            Self::Snapshot => "snapshot",
            Self::DiscardSnapshot => "discard_snapshot",
            Self::DeleteImage => "delete_image",
            Self::Images => "images",
            Self::Quotas => "quotas",
        }
    }

    /// Whether it changes something in the cloud.
    #[must_use]
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Candidates | Self::Find | Self::Observe | Self::Images | Self::Quotas)
    }

    /// Whether it belongs to a durable work of the engine, which repeats what a cloud refuses for now.
    #[must_use]
    pub fn belongs_to_work(self) -> bool {
        self.is_write() && !matches!(self, Self::Power(_))
    }

    /// Whether doing it twice is the same as doing it once, so that it may be repeated when nobody knows whether the
    /// first time was done.
    #[must_use]
    pub fn is_repeatable(self) -> bool {
        self != Self::Power(PowerOperation::Reboot)
    }
}

/// One operation on its way to the cloud: what it is and what it is about.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The operation.
    pub operation: Operation,
    /// Infrastructure that it is about, when known.
    pub infrastructure: Option<&'a str>,
    /// Our id of the machine, when known.
    pub uid: Option<&'a VmUid>,
    /// The cloud's id of the machine, when known.
    pub id: Option<&'a ProviderId>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(operation: Operation) -> Self {
        Self { operation, infrastructure: None, uid: None, id: None }
    }

    pub(crate) fn about(operation: Operation, vm: &'a VmMark) -> Self {
        Self { uid: Some(&vm.uid), id: vm.id.as_ref(), ..Self::within(operation, &vm.infrastructure) }
    }

    pub(crate) fn intending(operation: Operation, vm: &'a VmIntent) -> Self {
        Self { uid: Some(&vm.uid), ..Self::within(operation, &vm.infrastructure) }
    }

    pub(crate) fn marked(operation: Operation, mark: &'a InfrastructureMark) -> Self {
        Self::within(operation, &mark.infrastructure)
    }

    pub(crate) fn within(operation: Operation, infrastructure: &'a str) -> Self {
        Self { infrastructure: Some(infrastructure), ..Self::new(operation) }
    }
}

/// Answer of a cloud on its way back. Layers pass it on; only the cloud makes one.
pub struct Reply(Box<dyn Any + Send>);

/// One attempt at the cloud.
type Cloud<'a, 'cloud> = dyn Fn() -> BoxFuture<'cloud, Result<Reply, ConnectorError>> + Send + Sync + 'a;

/// The rest of the way to the cloud.
#[derive(Clone, Copy)]
pub struct Next<'a, 'cloud> {
    layers: &'a [Arc<dyn Layer>],
    call: &'a Call<'a>,
    cloud: &'a Cloud<'a, 'cloud>,
}

impl Next<'_, '_> {
    /// Goes the rest of the way; may be run again.
    ///
    /// # Errors
    /// What the cloud, or a layer on the way, reported.
    pub async fn run(&self) -> Result<Reply, ConnectorError> {
        match self.layers.split_first() {
            Some((layer, layers)) => layer.around(self.call, Next { layers, ..*self }).await,
            None => (self.cloud)().await,
        }
    }
}

/// Something that happens around every call.
#[async_trait]
pub trait Layer: Send + Sync {
    /// Runs `next` never, once or several times.
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError>;
}
