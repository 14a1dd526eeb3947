//! A machine's life in which one request to the cloud fails: each of them once, before and after it is done.

use super::{Fate, Subject, subject::must};
use crate::{
    Connector, ConnectorError, NewDisk, PowerOperation, ProviderId, PublicAddress, Resize, VmIntent, layers::Layered,
};
use std::sync::Arc;

/// Requests of a life at least.
const FEWEST: u32 = 10;
/// Requests of a life at most.
const MOST: u32 = 500;

/// Whatever request fails, the same operation succeeds when it is tried again, and at the end nothing is left.
pub async fn goes_on_after_any_failed_request(subject: &Subject) {
    walk(subject, true).await;
}

/// Whatever request fails, the deletion finds all that was made until then.
pub async fn leaves_nothing_when_given_up_at_any_request(subject: &Subject) {
    walk(subject, false).await;
}

async fn walk(subject: &Subject, goes_on: bool) {
    let Some(backstage) = subject.backstage() else { return };
    let before = backstage.holdings();
    for fate in [Fate::NotDone, Fate::ReplyLost] {
        for number in 1..MOST {
            backstage.fail(Some((number, fate)));
            let life = Life::new(subject, goes_on);
            let lived = life.begin().await;
            let struck = backstage.requests() >= number;
            if lived.is_err() {
                assert!(struck && !goes_on, "request {number}, {fate:?}: {lived:?}");
                backstage.fail(None);
            }
            must("the end", life.end().await);
            let had_all = backstage.requests() < number;
            backstage.fail(None);
            assert_eq!(backstage.holdings(), before, "request {number}, {fate:?}");
            if had_all && lived.is_ok() {
                assert!(number > FEWEST, "a life of {number} requests is none");
                break;
            }
            assert!(number + 1 < MOST, "a life has no end");
        }
    }
}

/// One machine from its networks to its deletion.
struct Life<'a> {
    subject: &'a Subject,
    cloud: Layered,
    intent: VmIntent,
    /// Whether what failed is tried again.
    goes_on: bool,
}

impl<'a> Life<'a> {
    fn new(subject: &'a Subject, goes_on: bool) -> Self {
        let cloud = Layered::new(Arc::clone(&subject.connector), Vec::new());
        Self { subject, cloud, intent: subject.intent("steps", 0), goes_on }
    }

    /// Tries once more what failed.
    async fn again<T, F: Future<Output = Result<T, ConnectorError>>>(
        &self,
        step: impl Fn() -> F,
    ) -> Result<T, ConnectorError> {
        match step().await {
            Err(_) if self.goes_on => step().await,
            result => result,
        }
    }

    async fn begin(&self) -> Result<(), ConnectorError> {
        let Self { subject, cloud, intent, .. } = self;
        let offers = cloud.capabilities();
        let shared = subject.shared_intent("steps", &subject.networks);
        self.again(|| cloud.ensure_shared(&shared)).await?;
        let id = self.again(|| cloud.create_vm(intent)).await?;
        self.look(&id).await?;
        self.again(|| cloud.reconcile(intent, &id)).await?;
        let vm = subject.mark("steps", 0, &id);
        if offers.stop_start {
            self.again(|| cloud.power(&vm, PowerOperation::Stop)).await?;
            self.again(|| cloud.power(&vm, PowerOperation::Start)).await?;
            self.look(&id).await?;
        }
        let mut resize = Resize { cpu_count: offers.resize.then_some(2.0), ..Resize::default() };
        if offers.attach_disk {
            let index = NewDisk::all_of(&intent.system).count() + 1;
            resize.disks.push(NewDisk { index, size: Some(16_000_000), ..NewDisk::default() });
        }
        let network = "conformance".to_owned();
        resize.public_address = offers.public_address.then_some(PublicAddress::Add { network, pool: None });
        if resize != Resize::default() {
            self.again(|| cloud.resize(&vm, &resize)).await?;
            self.again(|| cloud.reconcile(intent, &id)).await?;
        }
        if offers.public_address {
            let remove = Resize { public_address: Some(PublicAddress::Remove), ..Resize::default() };
            self.again(|| cloud.resize(&vm, &remove)).await?;
        }
        if offers.snapshot {
            let image = subject.image("steps", "steps-image", "steps");
            let url = self.again(|| cloud.snapshot(&vm, &image)).await;
            // An image outlives its machine: whoever gives it up discards it at once.
            if url.is_err() {
                cloud.discard_snapshot(&image).await?;
            }
            let url = url?;
            if let Err(error) = self.again(|| cloud.delete_image(&url, &subject.location)).await {
                cloud.delete_image(&url, &subject.location).await?;
                return Err(error);
            }
        }
        let mark = shared.mark();
        let found = self.again(|| cloud.find(&mark)).await?;
        assert!(found.len() == 1 && found[0].id == id, "one machine: {found:?}");
        Ok(())
    }

    /// Looks at the machine.
    async fn look(&self, id: &ProviderId) -> Result<(), ConnectorError> {
        let ids = std::slice::from_ref(id);
        self.again(|| self.cloud.observe(&self.subject.location, ids)).await?;
        Ok(())
    }

    /// Deletes it; what fails is tried again in any case.
    async fn end(&self) -> Result<(), ConnectorError> {
        let Self { subject, cloud, intent, .. } = self;
        let (vm, shared) = (intent.mark(), subject.shared_mark("steps"));
        if cloud.delete_vm(&vm).await.is_err() {
            cloud.delete_vm(&vm).await?;
        }
        if cloud.delete_shared(&shared).await.is_err() {
            cloud.delete_shared(&shared).await?;
        }
        Ok(())
    }
}
