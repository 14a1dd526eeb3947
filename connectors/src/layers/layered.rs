//! A connector with layers around it: the one place that delegates the operations.

use super::{Call, Layer, Next, Operation, Reply, creation::create};
use crate::{
    Candidate, Capabilities, CloudImage, Connector, ConnectorError, ErrorClass, Found, ImageIntent,
    InfrastructureIntent, InfrastructureMark, Location, Observation, PowerOperation, ProviderId, Quota, Resize,
    SharedResources, VmIntent, VmMark, dns::RecordProvider,
};
use async_trait::async_trait;
use futures::future::BoxFuture;
use radl::System;
use std::{collections::BTreeMap, sync::Arc};

/// A connector whose calls pass through layers, the first one outermost. What the connector does not offer fails before
/// the first layer.
pub struct Layered {
    inner: Arc<dyn Connector>,
    layers: Vec<Arc<dyn Layer>>,
}

impl Layered {
    /// Puts `layers` around `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Connector>, layers: Vec<Arc<dyn Layer>>) -> Self {
        Self { inner, layers }
    }

    /// Sends a call through the layers; `ask` is one attempt at the cloud.
    async fn send<'a, T: Send + 'static>(
        &'a self,
        call: Call<'a>,
        ask: impl Fn() -> BoxFuture<'a, Result<T, ConnectorError>> + Send + Sync + 'a,
    ) -> Result<T, ConnectorError> {
        let cloud = || -> BoxFuture<'a, Result<Reply, ConnectorError>> {
            let answer = ask();
            Box::pin(async move { Ok(Reply(Box::new(answer.await?))) })
        };
        let Reply(value) = Next { layers: &self.layers, call: &call, cloud: &cloud }.run().await?;
        match value.downcast::<T>() {
            Ok(value) => Ok(*value),
            // Only a layer that keeps the reply of one call for another could get here.
            Err(_) => Err(ConnectorError::new(ErrorClass::Transient, "A layer answered with another call's reply")),
        }
    }

    fn require(&self, offers: impl Fn(Capabilities) -> bool) -> Result<(), ConnectorError> {
        if offers(self.inner.capabilities()) { Ok(()) } else { Err(ConnectorError::unsupported()) }
    }
}

#[async_trait]
impl Connector for Layered {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        self.send(Call::new(Operation::Candidates), || self.inner.candidates(system)).await
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        let call = Call::within(Operation::EnsureShared, &intent.infrastructure);
        self.send(call, || self.inner.ensure_shared(intent)).await
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        let call = Call::intending(Operation::CreateVm, intent);
        self.send(call, || Box::pin(create(&*self.inner, intent))).await
    }

    fn is_completed_after_boot(&self, vm: &VmIntent) -> bool {
        self.inner.is_completed_after_boot(vm)
    }

    async fn reconcile(&self, vm: &VmIntent, id: &ProviderId) -> Result<(), ConnectorError> {
        let call = Call { id: Some(id), ..Call::intending(Operation::Reconcile, vm) };
        self.send(call, || self.inner.reconcile(vm, id)).await
    }

    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        self.send(Call::marked(Operation::Find, mark), || self.inner.find(mark)).await
    }

    async fn observe(&self, location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        let call = Call { id: ids.first(), ..Call::new(Operation::Observe) };
        self.send(call, || self.inner.observe(location, ids)).await
    }

    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        self.send(Call::about(Operation::DeleteVm, vm), || Box::pin(deletion(self.inner.delete_vm(vm)))).await
    }

    async fn delete_shared(&self, mark: &InfrastructureMark) -> Result<(), ConnectorError> {
        let call = Call::marked(Operation::DeleteShared, mark);
        self.send(call, || Box::pin(deletion(self.inner.delete_shared(mark)))).await
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        self.require(|offers| match operation {
            PowerOperation::Start | PowerOperation::Stop => offers.stop_start,
            PowerOperation::Reboot => offers.reboot,
        })?;
        self.send(Call::about(Operation::Power(operation), vm), || self.inner.power(vm, operation)).await
    }

    async fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        self.require(|offers| {
            (offers.resize || !resize.changes_size())
                && (offers.attach_disk || resize.disks.is_empty())
                && (offers.public_address || resize.public_address.is_none())
        })?;
        self.send(Call::about(Operation::Resize, vm), || self.inner.resize(vm, resize)).await
    }

    async fn snapshot(&self, vm: &VmMark, image: &ImageIntent) -> Result<String, ConnectorError> {
        self.require(|offers| offers.snapshot)?;
        self.send(Call::about(Operation::Snapshot, vm), || self.inner.snapshot(vm, image)).await
    }

    async fn discard_snapshot(&self, image: &ImageIntent) -> Result<(), ConnectorError> {
        self.require(|offers| offers.snapshot)?;
        let call = Call::within(Operation::DiscardSnapshot, &image.infrastructure);
        self.send(call, || Box::pin(deletion(self.inner.discard_snapshot(image)))).await
    }

    async fn delete_image(&self, url: &str, location: &Location) -> Result<(), ConnectorError> {
        self.require(|offers| offers.snapshot)?;
        let call = Call::new(Operation::DeleteImage);
        self.send(call, || Box::pin(deletion(self.inner.delete_image(url, location)))).await
    }

    fn record_provider(&self) -> Option<&dyn RecordProvider> {
        self.inner.record_provider()
    }

    async fn images(&self, filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        self.require(|offers| offers.images)?;
        self.send(Call::new(Operation::Images), || self.inner.images(filters)).await
    }

    async fn quotas(&self, region: Option<&str>) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        self.require(|offers| offers.quotas)?;
        self.send(Call::new(Operation::Quotas), || self.inner.quotas(region)).await
    }
}

/// On delete, what is missing is what was wanted.
async fn deletion(answer: impl Future<Output = Result<(), ConnectorError>>) -> Result<(), ConnectorError> {
    match answer.await {
        Err(error) if error.class == ErrorClass::NotFound => Ok(()),
        other => other,
    }
}
