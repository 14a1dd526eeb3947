//! The connector under test, and what cases have in common.

use super::Backstage;
use crate::{
    Connector, ConnectorError, ErrorClass, ImageIntent, ImageUid, InfrastructureIntent, InfrastructureMark, Location,
    Observation, PowerState, ProviderId, SharedResources, VmIntent, VmMark, VmUid,
    layers::{Layer, Layered, Retry, RetryPolicy},
};
use futures::future::{BoxFuture, join_all, try_join_all};
use radl::{Network, System};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// A case of the suite.
pub type Case = for<'a> fn(&'a Subject) -> BoxFuture<'a, ()>;

/// A connector under test and what it takes to use it.
pub struct Subject {
    /// The connector.
    pub connector: Arc<dyn Connector>,
    /// A concrete system that the cloud can run, with a login.
    pub system: System,
    /// The networks that the system is connected to.
    pub networks: Vec<Network>,
    /// Where the machines are made.
    pub location: Location,
    /// Cores and bytes of memory that a machine can change to, one after the other.
    pub sizes: [(f64, u64); 2],
    /// How many machines the largest launch makes: 50 where that is cheap.
    pub largest: u32,
    /// The longest that a machine may take to reach a state.
    pub patience: Duration,
    /// How many things a page of the cloud's API has, where that is less than `largest`.
    pub page: Option<u32>,
    /// A connector of the same cloud whose credentials were good once.
    pub expired: Option<Arc<dyn Connector>>,
    /// A connector of the same cloud whose credentials never were good.
    pub wrong: Option<Arc<dyn Connector>>,
    /// Another connector of the same credentials, as a daemon has it that was started again; none to use the first one.
    pub successor: Option<Arc<dyn Connector>>,
    /// URL of an image of this cloud that does not exist.
    pub unknown_image: Option<String>,
    /// The cloud behind the API, where it lets tests look there. Then it is this test's alone.
    pub backstage: Option<Arc<dyn Backstage>>,
}

impl Subject {
    /// A cloud that is not divided and whose API is all there is of it.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>, system: System, networks: Vec<Network>) -> Self {
        Self {
            connector,
            system,
            networks,
            location: Location::default(),
            sizes: [(2.0, 512_000_000), (1.0, 256_000_000)],
            largest: 5,
            patience: Duration::from_secs(60),
            page: None,
            expired: None,
            wrong: None,
            successor: None,
            unknown_image: None,
            backstage: None,
        }
    }

    /// A durable intent for machine `number` of an infrastructure.
    #[must_use]
    pub fn intent(&self, infrastructure: &str, number: u32) -> VmIntent {
        VmIntent {
            infrastructure: infrastructure.to_owned(),
            location: self.location.clone(),
            uid: uid(infrastructure, number),
            number,
            fqdn: format!("vnode-{number}.localdomain"),
            system: self.system.clone(),
            requested: self.system.clone(),
            networks: self.networks.clone(),
            tags: vec![("purpose".to_owned(), "conformance".to_owned())],
            user_data: Default::default(),
        }
    }

    /// The mark of an infrastructure.
    #[must_use]
    pub fn shared_mark(&self, infrastructure: &str) -> InfrastructureMark {
        InfrastructureMark { infrastructure: infrastructure.to_owned(), location: self.location.clone() }
    }

    /// What an infrastructure with these networks shares.
    #[must_use]
    pub fn shared_intent(&self, infrastructure: &str, networks: &[Network]) -> InfrastructureIntent {
        InfrastructureIntent {
            infrastructure: infrastructure.to_owned(),
            location: self.location.clone(),
            owners: vec!["owner".to_owned()],
            networks: networks.to_vec(),
            used_cidrs: Vec::new(),
        }
    }

    /// The mark of machine `number` of an infrastructure, with its id.
    pub(super) fn mark(&self, infrastructure: &str, number: u32, id: &ProviderId) -> VmMark {
        VmMark { id: Some(id.clone()), ..self.intent(infrastructure, number).mark() }
    }

    /// An image of disk 0.
    pub(super) fn image(&self, infrastructure: &str, uid: &str, name: &str) -> ImageIntent {
        ImageIntent {
            infrastructure: infrastructure.to_owned(),
            location: self.location.clone(),
            uid: ImageUid(uid.to_owned()),
            disk: 0,
            name: name.to_owned(),
        }
    }

    /// Makes the networks of an infrastructure.
    pub(super) async fn share(&self, infrastructure: &str) {
        self.share_networks(infrastructure, &self.networks).await;
    }

    /// Makes networks, twice; what they turned out to be.
    pub(super) async fn share_networks(&self, infrastructure: &str, networks: &[Network]) -> SharedResources {
        let intent = self.shared_intent(infrastructure, networks);
        let first = must("ensure shared resources", self.connector.ensure_shared(&intent).await);
        assert_eq!(must("ensure them again", self.connector.ensure_shared(&intent).await), first);
        first
    }

    /// Makes machines side by side; their ids.
    pub(super) async fn launch(&self, infrastructure: &str, count: u32) -> Vec<ProviderId> {
        self.share(infrastructure).await;
        let intents: Vec<_> = (0..count).map(|number| self.intent(infrastructure, number)).collect();
        must("launch", try_join_all(intents.iter().map(|intent| self.connector.create_vm(intent))).await)
    }

    /// The machines with the mark of an infrastructure.
    pub(super) async fn found(&self, infrastructure: &str) -> BTreeSet<(VmUid, ProviderId)> {
        let found = must("find", self.connector.find(&self.shared_mark(infrastructure)).await);
        let pairs: BTreeSet<_> = found.iter().map(|found| (found.uid.clone(), found.id.clone())).collect();
        assert_eq!(pairs.len(), found.len(), "nothing is found twice");
        pairs
    }

    /// What the cloud says of machines.
    pub(super) async fn seen(&self, ids: &[ProviderId]) -> Vec<Observation> {
        must("observe", self.connector.observe(&self.location, ids).await)
    }

    /// Polls until every machine is in `state`.
    pub(super) async fn reach(&self, ids: &[ProviderId], state: PowerState) -> Vec<Observation> {
        let start = Instant::now();
        loop {
            let observations = self.seen(ids).await;
            if observations.len() == ids.len() && observations.iter().all(|machine| machine.state == state) {
                return observations;
            }
            assert!(start.elapsed() < self.patience, "not {state:?} in time: {observations:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Deletes everything of an infrastructure and looks whether anything is left.
    pub(super) async fn clear(&self, infrastructure: &str) {
        let found = self.found(infrastructure).await;
        let mark = |(uid, id): (VmUid, ProviderId)| {
            let (infrastructure, location) = (infrastructure.to_owned(), self.location.clone());
            VmMark { infrastructure, location, uid, id: Some(id) }
        };
        let marks: Vec<_> = found.into_iter().map(mark).collect();
        let deletions = join_all(marks.iter().map(|vm| self.connector.delete_vm(vm))).await;
        deletions.into_iter().for_each(|deletion| must("delete", deletion));
        must("delete shared", self.connector.delete_shared(&self.shared_mark(infrastructure)).await);
        assert!(self.found(infrastructure).await.is_empty(), "nothing of {infrastructure} is left");
    }

    /// Makes connectors that retry quickly, each with a faulty layer of its own in front of the cloud.
    pub(super) fn behind<L: Layer + 'static>(&self, faults: impl Fn() -> Arc<L>) -> impl Fn() -> Layered {
        move || {
            let policy =
                RetryPolicy { first_delay: Duration::from_millis(1), budget: self.patience, ..RetryPolicy::default() };
            Layered::new(Arc::clone(&self.connector), vec![Arc::new(Retry::new(policy, || 0.5)), faults()])
        }
    }

    /// The cloud behind the API; none, and a word about it, where it cannot be seen.
    pub(super) fn backstage(&self) -> Option<&dyn Backstage> {
        let backstage = self.backstage.as_deref();
        if backstage.is_none() {
            left_out("the cloud lets nobody look behind its API");
        }
        backstage
    }
}

/// Says why a case is not run; always false.
pub(super) fn left_out(why: &str) -> bool {
    println!("left out: {why}");
    false
}

/// Our id of a machine.
pub(super) fn uid(infrastructure: &str, number: u32) -> VmUid {
    VmUid(format!("{infrastructure}-{number}"))
}

/// An id that no cloud ever gave out.
pub(super) fn unknown() -> ProviderId {
    ProviderId("0".to_owned())
}

/// What succeeded.
#[track_caller]
pub(super) fn must<T>(what: &str, result: Result<T, ConnectorError>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {:?}: {error}", error.class))
}

/// The class of what failed.
#[track_caller]
pub(super) fn class<T>(result: Result<T, ConnectorError>) -> ErrorClass {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error.class,
    }
}
