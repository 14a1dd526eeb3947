//! The behaviour that every connector owes the daemon (docs/spec/connectors.md, 13), as cases to run against a cloud at
//! hand. A case panics with what went wrong, uses infrastructures of its own and leaves nothing behind.
//!
//! Faults are put between the daemon and the cloud by layers, so they need no help from the cloud: see [`LoseReplies`]
//! and [`Throttle`].

use crate::{
    Connector, ConnectorError, ErrorClass, ImageIntent, ImageUid, InfrastructureIntent, NewDisk, Observation,
    PowerOperation, PowerState, ProviderId, Resize, SharedResources, VmIntent, VmMark, VmUid,
    layers::{Call, Layer, Layered, Next, Operation, Reply, Retry, RetryPolicy},
};
use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use radl::{Network, System};
use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// A connector under test and what it takes to use it.
pub struct Subject {
    /// The connector.
    pub connector: Arc<dyn Connector>,
    /// A concrete system that the cloud can run.
    pub system: System,
    /// The networks that the system is connected to.
    pub networks: Vec<Network>,
    /// How many machines the largest launch makes: 50 where that is cheap.
    pub largest: u32,
    /// The longest that a machine may take to reach a state.
    pub patience: Duration,
}

/// Runs every case that needs nothing but the connector; states are polled.
pub async fn run(subject: &Subject) {
    for count in [1, 5, 50] {
        if count <= subject.largest {
            subject.launches_exactly(count).await;
        }
    }
    subject.creates_one_machine_per_uid().await;
    subject.finds_by_mark_and_keeps_infrastructures_apart().await;
    subject.observes_what_exists().await;
    subject.changes_power().await;
    subject.deletes_what_is_there_and_what_is_not().await;
    subject.leaves_machines_of_others_alone().await;
    subject.refuses_what_it_does_not_offer().await;
    subject.cleans_up_what_it_refused().await;
    subject.alters_as_asked_or_refuses().await;
    subject.makes_another_of_a_document_that_comes_again().await;
    subject.makes_one_machine_when_replies_are_lost().await;
    subject.waits_when_throttled().await;
}

impl Subject {
    /// `count` machines side by side: as many distinct ids, all found by their marks, all up in the end.
    pub async fn launches_exactly(&self, count: u32) {
        let infrastructure = format!("launch-{count}");
        let ids = self.launch(&infrastructure, count).await;
        assert_eq!(distinct(&ids), count as usize, "ids are unique");
        assert_eq!(self.found(&infrastructure).await.len(), count as usize, "exactly {count} machines");
        let observations = self.reach(&ids, PowerState::Running).await;
        assert_eq!(observations.len(), count as usize);
        self.clear(&infrastructure).await;
    }

    /// Creating twice, also at the same time, gives the same machine.
    pub async fn creates_one_machine_per_uid(&self) {
        let infrastructure = "same-uid";
        self.share(infrastructure).await;
        let intent = self.intent(infrastructure, 0);
        let first = must("create", self.connector.create_vm(&intent).await);
        assert_eq!(must("create again", self.connector.create_vm(&intent).await), first);
        let intent = self.intent(infrastructure, 1);
        let (one, other) = tokio::join!(self.connector.create_vm(&intent), self.connector.create_vm(&intent));
        assert_eq!(must("create at once", one), must("create at once", other));
        assert_eq!(self.found(infrastructure).await.len(), 2);
        self.clear(infrastructure).await;
    }

    /// Marks lead to the machines of one infrastructure, and deleting those leaves the other alone.
    pub async fn finds_by_mark_and_keeps_infrastructures_apart(&self) {
        let ours = self.launch("apart-1", 2).await;
        let theirs = self.launch("apart-2", 2).await;
        let found = self.found("apart-1").await;
        let expected: BTreeSet<_> = (0..2).map(|number| uid("apart-1", number)).zip(ours).collect();
        assert_eq!(found, expected, "uids and ids belong together");
        self.clear("apart-1").await;
        let left: BTreeSet<_> = self.found("apart-2").await.into_iter().map(|(_, id)| id).collect();
        assert_eq!(left, theirs.iter().cloned().collect(), "the other infrastructure is untouched");
        self.reach(&theirs, PowerState::Running).await;
        self.clear("apart-2").await;
        assert!(self.found("never-made").await.is_empty());
    }

    /// Observing one call for all, unknown ids missing, and each with an address once it is up.
    pub async fn observes_what_exists(&self) {
        let ids = self.launch("observe", 2).await;
        self.reach(&ids, PowerState::Running).await;
        let asked = [ids[1].clone(), unknown(), ids[0].clone()];
        let observations = must("observe", self.connector.observe(&asked).await);
        let answered: BTreeSet<_> = observations.iter().map(|observation| observation.id.clone()).collect();
        assert_eq!(answered, ids.iter().cloned().collect(), "known ids, and only these");
        assert!(observations.iter().all(|observation| !observation.addresses.is_empty()), "addresses are known");
        let again = must("observe", self.connector.observe(&asked).await);
        assert_eq!(again, observations, "observing changes nothing");
        assert!(must("observe nothing", self.connector.observe(&[]).await).is_empty());
        self.clear("observe").await;
        assert!(must("observe", self.connector.observe(&ids).await).iter().all(|gone| gone.state == PowerState::Off));
    }

    /// Stop, start and reset, each safe to repeat; a missing machine is `NotFound`.
    pub async fn changes_power(&self) {
        let offers = self.connector.capabilities();
        let ids = self.launch("power", 2).await;
        self.reach(&ids, PowerState::Running).await;
        let (id, vm) = (&ids[0], self.mark("power", 0, &ids[0]));
        if offers.stop_start {
            for (operation, state) in
                [(PowerOperation::Stop, PowerState::Stopped), (PowerOperation::Start, PowerState::Running)]
            {
                must("change power", self.connector.power(&vm, operation).await);
                self.reach(std::slice::from_ref(id), state).await;
                must("change power again", self.connector.power(&vm, operation).await);
                self.reach(std::slice::from_ref(id), state).await;
            }
            let missing = self.connector.power(&self.mark("power", 2, &unknown()), PowerOperation::Start).await;
            assert_eq!(class(missing), ErrorClass::NotFound);
        }
        if offers.reboot {
            must("reboot", self.connector.power(&vm, PowerOperation::Reboot).await);
            self.reach(&ids, PowerState::Running).await;
        }
        self.clear("power").await;
    }

    /// Deleting twice, at once, in any order, what is unknown and what never was, all succeed.
    pub async fn deletes_what_is_there_and_what_is_not(&self) {
        let ids = self.launch("delete", 3).await;
        let vm = self.mark("delete", 1, &ids[1]);
        let (one, other) = tokio::join!(self.connector.delete_vm(&vm), self.connector.delete_vm(&vm));
        must("delete at once", one);
        must("delete at once", other);
        must("delete again", self.connector.delete_vm(&vm).await);
        let never_made = self.intent("delete", 3).mark();
        must("delete what never was", self.connector.delete_vm(&never_made).await);
        must("delete unknown", self.connector.delete_vm(&VmMark { id: Some(unknown()), ..never_made }).await);
        let left: BTreeSet<_> = self.found("delete").await.into_iter().map(|(_, id)| id).collect();
        assert_eq!(left, BTreeSet::from([ids[0].clone(), ids[2].clone()]));
        self.clear("delete").await;
        must("delete shared again", self.connector.delete_shared("delete").await);
        must("delete shared of nothing", self.connector.delete_shared("never-made").await);
        self.share("delete").await;
        let intent = self.intent("delete", 1);
        must("create", self.connector.create_vm(&intent).await);
        must("delete by the mark alone", self.connector.delete_vm(&intent.mark()).await);
        assert!(self.found("delete").await.is_empty(), "the mark is enough");
        let reborn = must("create after delete", self.connector.create_vm(&intent).await);
        assert_eq!(self.found("delete").await, BTreeSet::from([(intent.uid, reborn)]), "only what was made again");
        self.clear("delete").await;
    }

    /// Whoever names the id of a machine of another infrastructure does nothing to it.
    pub async fn leaves_machines_of_others_alone(&self) {
        let ids = self.launch("theirs", 1).await;
        let before = self.reach(&ids, PowerState::Running).await;
        let marks: Vec<_> = before.iter().map(|seen| seen.infrastructure.as_deref()).collect();
        assert_eq!(marks, [Some("theirs")], "whose it is is told");
        let (offers, vm) = (self.connector.capabilities(), self.mark("ours", 0, &ids[0]));
        let denied = |result: Result<(), ConnectorError>| assert_eq!(class(result), ErrorClass::Denied);
        denied(self.connector.delete_vm(&vm).await);
        if offers.stop_start {
            denied(self.connector.power(&vm, PowerOperation::Stop).await);
        }
        if offers.reboot {
            denied(self.connector.power(&vm, PowerOperation::Reboot).await);
        }
        if offers.resize {
            denied(self.connector.resize(&vm, &Resize { cpu_count: Some(2.0), ..Resize::default() }).await);
        }
        if offers.snapshot {
            let uid = ImageUid("conformance".to_owned());
            let image = ImageIntent { infrastructure: "ours".to_owned(), uid, disk: 0, name: "theirs".to_owned() };
            denied(self.connector.snapshot(&vm, &image).await.map(drop));
        }
        assert_eq!(must("observe", self.connector.observe(&ids).await), before, "it is as it was");
        self.clear("theirs").await;
    }

    /// What the capabilities deny is refused as `Unsupported`.
    pub async fn refuses_what_it_does_not_offer(&self) {
        let connector = Layered::new(Arc::clone(&self.connector), Vec::new());
        let offers = connector.capabilities();
        let refused = |offered: bool, what: &str, result: Result<(), ConnectorError>| {
            let is_refusal = result.is_err_and(|error| error.class == ErrorClass::Unsupported);
            assert_eq!(is_refusal, !offered, "{what}");
        };
        let vm = self.mark("conformance", 0, &unknown());
        refused(offers.stop_start, "stop", connector.power(&vm, PowerOperation::Stop).await);
        refused(offers.reboot, "reboot", connector.power(&vm, PowerOperation::Reboot).await);
        let uid = ImageUid("conformance".to_owned());
        let image =
            ImageIntent { infrastructure: "conformance".to_owned(), uid, disk: 0, name: "conformance".to_owned() };
        refused(offers.snapshot, "snapshot", connector.snapshot(&vm, &image).await.map(drop));
        refused(offers.images, "images", connector.images(&Default::default()).await.map(drop));
        refused(offers.quotas, "quotas", connector.quotas().await.map(drop));
    }

    /// Names that no image can have: whether one is made of them or not, nothing is left and the clean-up succeeds.
    pub async fn cleans_up_what_it_refused(&self) {
        if !self.connector.capabilities().snapshot {
            return;
        }
        let ids = self.launch("refused", 1).await;
        self.reach(&ids, PowerState::Running).await;
        let long = "x".repeat(300);
        for (number, name) in ["my image", "", "../image", "\u{e4}\n", long.as_str()].into_iter().enumerate() {
            let uid = ImageUid(format!("refused-image-{number}"));
            let image = ImageIntent { infrastructure: "refused".to_owned(), uid, disk: 0, name: name.to_owned() };
            let url = self.connector.snapshot(&self.mark("refused", 0, &ids[0]), &image).await;
            must("discard what was refused", self.connector.discard_snapshot(&image).await);
            if let Ok(url) = url {
                must("delete the image", self.connector.delete_image(&url).await);
            }
        }
        must("delete an image of another cloud", self.connector.delete_image("other://cloud/1").await);
        self.clear("refused").await;
    }

    /// A disk that is added, twice, is there once; another size of it is refused, and the disk stays.
    pub async fn alters_as_asked_or_refuses(&self) {
        if !self.connector.capabilities().attach_disk {
            return;
        }
        let ids = self.launch("alter", 1).await;
        self.reach(&ids, PowerState::Running).await;
        let vm = VmMark { id: Some(ids[0].clone()), ..self.intent("alter", 0).mark() };
        let has = |index: &usize| self.system.features.has(&format!("disk.{index}.size"));
        let index = (1..).find(|index| !has(index)).unwrap_or(1);
        let disk = |size| Resize { disks: vec![NewDisk { index, size: Some(size), image: None }], ..Resize::default() };
        must("add a disk", self.connector.resize(&vm, &disk(16_000_000)).await);
        must("add it again", self.connector.resize(&vm, &disk(16_000_000)).await);
        assert_eq!(class(self.connector.resize(&vm, &disk(32_000_000)).await), ErrorClass::Invalid);
        must("add it once more", self.connector.resize(&vm, &disk(16_000_000)).await);
        self.clear("alter").await;
    }

    /// The document of an infrastructure, with what was written into its networks, makes another one beside it and after
    /// it; networks that both use go with the last of them.
    pub async fn makes_another_of_a_document_that_comes_again(&self) {
        let first = self.share_networks("again-1", &self.networks).await;
        let mut written = self.networks.clone();
        for network in &mut written {
            for (name, value) in first.networks.get(&network.id).into_iter().flat_map(|features| features.iter()) {
                network.features.set(name, value.clone());
            }
        }
        self.share_networks("again-2", &written).await;
        let mut intent = self.intent("again-2", 0);
        intent.networks = written.clone();
        let id = must("create in the second", self.connector.create_vm(&intent).await);
        self.clear("again-1").await;
        self.reach(&[id], PowerState::Running).await;
        self.clear("again-2").await;
        self.share_networks("again-3", &written).await;
        self.clear("again-3").await;
    }

    /// The first two replies of every change are lost: still exactly one machine each, and nothing left at the end.
    pub async fn makes_one_machine_when_replies_are_lost(&self) {
        self.share("lost").await;
        let faulty = self.behind(|| Arc::new(LoseReplies::new(2)));
        for number in 0..3 {
            let connector = faulty();
            let intent = self.intent("lost", number);
            let id = must("create with lost replies", connector.create_vm(&intent).await);
            let found = self.found("lost").await;
            assert!(found.contains(&(intent.uid, id)), "the machine that was reported is the one that exists");
            assert_eq!(found.len(), number as usize + 1, "one machine per uid");
        }
        for (uid, id) in self.found("lost").await {
            let vm = VmMark { infrastructure: "lost".to_owned(), uid, id: Some(id) };
            must("delete with lost replies", faulty().delete_vm(&vm).await);
        }
        assert!(self.found("lost").await.is_empty());
        must("delete shared with lost replies", faulty().delete_shared("lost").await);
    }

    /// Being throttled uses up no attempt, and the machine is made once.
    pub async fn waits_when_throttled(&self) {
        self.share("throttled").await;
        let faulty = self.behind(|| Arc::new(Throttle::new(10, Duration::from_millis(2))));
        let start = Instant::now();
        must("create while throttled", faulty().create_vm(&self.intent("throttled", 0)).await);
        assert!(start.elapsed() >= Duration::from_millis(20), "Retry-After is honoured");
        assert_eq!(self.found("throttled").await.len(), 1);
        self.clear("throttled").await;
    }

    /// An account that may have `quota` machines: the next one is refused at once and leaves nothing behind, and a
    /// deleted one makes room. The account must be empty before.
    pub async fn keeps_the_quota(&self, quota: u32) {
        self.launch("quota", quota).await;
        let refused = self.connector.create_vm(&self.intent("quota", quota)).await;
        assert_eq!(class(refused.map(drop)), ErrorClass::Quota);
        assert_eq!(self.found("quota").await.len(), quota as usize);
        must("delete", self.connector.delete_vm(&self.intent("quota", 0).mark()).await);
        must("create in the room made", self.connector.create_vm(&self.intent("quota", quota)).await);
        self.clear("quota").await;
    }

    fn mark(&self, infrastructure: &str, number: u32, id: &ProviderId) -> VmMark {
        VmMark { id: Some(id.clone()), ..self.intent(infrastructure, number).mark() }
    }

    /// A durable intent for machine `number` of an infrastructure.
    #[must_use]
    pub fn intent(&self, infrastructure: &str, number: u32) -> VmIntent {
        VmIntent {
            infrastructure: infrastructure.to_owned(),
            uid: uid(infrastructure, number),
            number,
            fqdn: format!("vnode-{number}.localdomain"),
            system: self.system.clone(),
            networks: self.networks.clone(),
            tags: vec![("purpose".to_owned(), "conformance".to_owned())],
            user_data: Default::default(),
        }
    }

    async fn share(&self, infrastructure: &str) {
        self.share_networks(infrastructure, &self.networks).await;
    }

    /// Makes networks, twice; what they turned out to be.
    async fn share_networks(&self, infrastructure: &str, networks: &[Network]) -> SharedResources {
        let intent = InfrastructureIntent {
            infrastructure: infrastructure.to_owned(),
            owners: vec!["owner".to_owned()],
            networks: networks.to_vec(),
        };
        let first = must("ensure shared resources", self.connector.ensure_shared(&intent).await);
        assert_eq!(must("ensure them again", self.connector.ensure_shared(&intent).await), first);
        first
    }

    async fn launch(&self, infrastructure: &str, count: u32) -> Vec<ProviderId> {
        self.share(infrastructure).await;
        let intents: Vec<_> = (0..count).map(|number| self.intent(infrastructure, number)).collect();
        must("launch", try_join_all(intents.iter().map(|intent| self.connector.create_vm(intent))).await)
    }

    async fn found(&self, infrastructure: &str) -> BTreeSet<(VmUid, ProviderId)> {
        let found = must("find", self.connector.find(infrastructure).await);
        let pairs: BTreeSet<_> = found.iter().map(|found| (found.uid.clone(), found.id.clone())).collect();
        assert_eq!(pairs.len(), found.len(), "nothing is found twice");
        pairs
    }

    /// Polls until every machine is in `state`.
    async fn reach(&self, ids: &[ProviderId], state: PowerState) -> Vec<Observation> {
        let start = Instant::now();
        loop {
            let observations = must("observe", self.connector.observe(ids).await);
            if observations.len() == ids.len() && observations.iter().all(|machine| machine.state == state) {
                return observations;
            }
            assert!(start.elapsed() < self.patience, "not {state:?} in time: {observations:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Deletes everything of an infrastructure and looks whether anything is left.
    async fn clear(&self, infrastructure: &str) {
        let found = self.found(infrastructure).await;
        let mark = |(uid, id): (VmUid, ProviderId)| VmMark { infrastructure: infrastructure.into(), uid, id: Some(id) };
        let marks: Vec<_> = found.into_iter().map(mark).collect();
        let deletions = join_all(marks.iter().map(|vm| self.connector.delete_vm(vm))).await;
        deletions.into_iter().for_each(|deletion| must("delete", deletion));
        must("delete shared", self.connector.delete_shared(infrastructure).await);
        assert!(self.found(infrastructure).await.is_empty(), "nothing of {infrastructure} is left");
    }

    /// Makes connectors that retry quickly, each with a faulty layer of its own in front of the cloud.
    fn behind<L: Layer + 'static>(&self, faults: impl Fn() -> Arc<L>) -> impl Fn() -> Layered {
        move || {
            let policy =
                RetryPolicy { first_delay: Duration::from_millis(1), budget: self.patience, ..RetryPolicy::default() };
            Layered::new(Arc::clone(&self.connector), vec![Arc::new(Retry::new(policy, || 0.5)), faults()])
        }
    }
}

/// Layer: the first changes are done, but their replies are lost.
pub struct LoseReplies(AtomicU32);

impl LoseReplies {
    /// Loses `count` replies.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self(AtomicU32::new(count))
    }
}

#[async_trait]
impl Layer for LoseReplies {
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        let result = next.run().await;
        if call.operation.is_write() && strikes(&self.0) {
            return Err(ConnectorError::new(ErrorClass::Transient, "The connection broke before the reply"));
        }
        result
    }
}

/// Layer: the first calls that create a machine are turned away.
pub struct Throttle {
    left: AtomicU32,
    retry_after: Duration,
}

impl Throttle {
    /// Turns `count` calls away, asking for a pause.
    #[must_use]
    pub fn new(count: u32, retry_after: Duration) -> Self {
        Self { left: AtomicU32::new(count), retry_after }
    }
}

#[async_trait]
impl Layer for Throttle {
    async fn around(&self, call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        if call.operation == Operation::CreateVm && strikes(&self.left) {
            let error = ConnectorError::new(ErrorClass::Throttled, "Too many requests");
            return Err(ConnectorError { retry_after: Some(self.retry_after), ..error });
        }
        next.run().await
    }
}

/// Counts down; false at zero.
fn strikes(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn uid(infrastructure: &str, number: u32) -> VmUid {
    VmUid(format!("{infrastructure}-{number}"))
}

/// An id that no cloud ever gave out.
fn unknown() -> ProviderId {
    ProviderId("0".to_owned())
}

fn distinct(ids: &[ProviderId]) -> usize {
    ids.iter().collect::<HashSet<_>>().len()
}

fn must<T>(what: &str, result: Result<T, ConnectorError>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {:?}: {error}", error.class))
}

fn class(result: Result<(), ConnectorError>) -> ErrorClass {
    match result {
        Ok(()) => panic!("it should have failed"),
        Err(error) => error.class,
    }
}
