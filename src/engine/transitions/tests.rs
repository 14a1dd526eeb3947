//! The rules under random histories: clouds that fail and lose replies, users that add, remove, reconfigure and destroy at
//! any time, daemons that die between any two commits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::{
    auth::{Caller, Credentials, Identity, Item, Principal},
    engine::{
        error::OperationError,
        secrets,
        state::{
            accounts::{Accounts, Shown},
            draft::{Done, Draft, Effect, Terms},
            model::*,
            states::{Clock, vm_state},
        },
        transitions::{
            self, CompletionOutcome, Event, LaunchFailure, NewLogin, Placement, PlannedVm, SnapshotFailure,
            alteration::Alteration,
        },
    },
};
use connectors::{
    CloudAccount, Endpoint, ImageIntent, ImageUid, Location, MappedPort, NewDisk, Observation, PowerState, ProviderId,
    Resize, SharedResources, VmUid,
};
use contextualization::{KeyPair, Outcome};
use proptest::prelude::*;
use radl::{Deploy, Features, Radl, System};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A simulated world: the stored state, the cloud, and the tasks that were started and did not report yet.
struct World {
    model: Infrastructure,
    cloud: BTreeMap<String, String>,
    /// Volumes, by the uid of the machine that they carry the mark of.
    volumes: BTreeSet<String>,
    /// Images by their uid, which is their URL as well.
    images: BTreeSet<String>,
    /// Public addresses, which come after the boot, by the uid of the machine.
    addresses: BTreeSet<String>,
    /// Keys of the parts of the cloud where networks were made.
    shared: BTreeSet<String>,
    tasks: Vec<Effect>,
    next: u32,
    /// Seconds since the epoch.
    now: i64,
}

#[derive(Debug, Clone)]
enum Step {
    Add {
        number: u32,
        context: bool,
    },
    Remove {
        seed: u32,
        context: bool,
    },
    /// A volume for a machine that exists.
    Alter {
        seed: u32,
    },
    /// An image of a machine that exists, to go with the infrastructure.
    Snapshot {
        seed: u32,
    },
    Reconfigure,
    Destroy {
        force: bool,
    },
    /// One started task goes on by a bit; `fate` decides what the cloud does.
    Work {
        seed: u32,
        fate: u8,
    },
    /// The daemon dies and another one takes over.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..4u32, any::<bool>()).prop_map(|(number, context)| Step::Add { number, context }),
        2 => (any::<u32>(), any::<bool>()).prop_map(|(seed, context)| Step::Remove { seed, context }),
        1 => any::<u32>().prop_map(|seed| Step::Alter { seed }),
        1 => any::<u32>().prop_map(|seed| Step::Snapshot { seed }),
        1 => Just(Step::Reconfigure),
        1 => any::<bool>().prop_map(|force| Step::Destroy { force }),
        10 => (any::<u32>(), any::<u8>()).prop_map(|(seed, fate)| Step::Work { seed, fate }),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 0..60)
}

fn document(number: u32) -> Radl {
    let system = System { name: "node".to_owned(), features: Features::new(), reference: false, line: 0 };
    let deploy = Deploy { system: "node".to_owned(), number: i64::from(number), cloud: None, line: 0 };
    Radl { systems: vec![system], deploys: vec![deploy], ..Radl::default() }
}

fn account() -> CloudAccount {
    let fields = [("username".to_owned(), "u".to_owned())].into();
    CloudAccount { id: "c".to_owned(), kind: "Dummy".to_owned(), endpoint: Endpoint::default(), fields }
}

fn accounts() -> Accounts {
    serde_json::from_value(serde_json::json!([account()])).unwrap()
}

impl World {
    fn new() -> Self {
        let model = Infrastructure::new("inf".to_owned(), 0, Vec::new());
        Self {
            model,
            cloud: BTreeMap::new(),
            volumes: BTreeSet::new(),
            images: BTreeSet::new(),
            addresses: BTreeSet::new(),
            shared: BTreeSet::new(),
            tasks: Vec::new(),
            next: 0,
            now: 0,
        }
    }

    /// A commit: the change is stored, then its effects start.
    fn change<T>(&mut self, change: impl FnOnce(&mut Draft) -> T) -> T {
        let limit = std::time::Duration::from_secs(60);
        let terms = Terms {
            now: self.now * 1_000_000,
            steady: self.now,
            max_contextualization: limit,
            wait_running: limit,
            default_vm_name: "vnode-#N#".into(),
            new_password: secrets::random_password,
        };
        let mut draft = Draft::new(self.model.clone(), terms);
        let result = change(&mut draft);
        self.model = draft.model;
        for effect in draft.effects {
            self.start(effect);
        }
        result
    }

    fn start(&mut self, effect: Effect) {
        match effect {
            Effect::StopContextualization => self.tasks.retain(|task| *task != Effect::Contextualize),
            // A deletion waits for the images of its machine, and for what follows its boot.
            Effect::Delete(mut numbers) => {
                for task in &self.tasks {
                    if let Effect::Complete(vms) = task {
                        numbers.retain(|number| !vms.contains(number));
                    }
                    if let Effect::Snapshot(work) = task
                        && let Some((number, _)) = self.snapshot(*work)
                    {
                        numbers.remove(&number);
                    }
                }
                self.tasks.push(Effect::Delete(numbers));
            }
            effect => self.tasks.push(effect),
        }
    }

    /// Machine and uid of the image of a work.
    fn snapshot(&self, work: u64) -> Option<(u32, String)> {
        match &self.model.work.iter().find(|candidate| candidate.id == work)?.kind {
            WorkKind::Snapshotting { vm, image, .. } => Some((*vm, image.uid.0.clone())),
            _ => None,
        }
    }

    /// The images that go with the infrastructure.
    fn noted_images(&self) -> BTreeSet<String> {
        let made = self.model.snapshots.iter().map(|(_, url)| url.clone());
        made.chain(self.model.unmade_images.iter().map(|(_, image)| image.uid.0.clone())).collect()
    }

    /// A machine that the cloud has.
    fn present(&self, seed: u32) -> Option<u32> {
        let present = |vm: &&Arc<Vm>| matches!(vm.lifecycle, Lifecycle::Present(_));
        let present: Vec<u32> = self.model.vms.iter().filter(present).map(|vm| vm.number).collect();
        (!present.is_empty()).then(|| present[seed as usize % present.len()])
    }

    /// A request, with what its caller shows.
    fn request<T, E>(&mut self, change: impl FnOnce(&mut Draft) -> Result<T, E>) -> Result<T, E> {
        self.change(|draft| {
            let done = change(draft)?;
            let mut shown = Shown::default();
            shown.accounts = Arc::new(accounts());
            draft.keep(&shown);
            Ok(done)
        })
    }

    fn report(&mut self, event: Event) {
        self.change(|draft| transitions::apply(draft, event));
    }

    fn step(&mut self, step: Step) {
        if self.model.deleted {
            return;
        }
        let accounts = accounts();
        match step {
            Step::Add { number, context } => {
                let vms = (0..number).map(|_| self.planned_with_alternative()).collect();
                let placement = Placement { vms, private_networks: BTreeMap::new() };
                let keep = IfAllFail::Keep;
                let _ = self.request(|draft| transitions::add(draft, &document(number), placement, context, keep));
            }
            Step::Remove { seed, context } => {
                if self.model.vms.is_empty() {
                    return;
                }
                let number = seed % u32::try_from(self.model.vms.len()).unwrap();
                let _ = self.request(|draft| transitions::remove(draft, &[number], context, &accounts));
            }
            Step::Alter { seed } => {
                if let Some(number) = self.present(seed) {
                    let disks = vec![NewDisk { index: 1, size: Some(1), ..NewDisk::default() }];
                    let change = Alteration { resize: Resize { disks, ..Resize::default() }, ..Alteration::default() };
                    let _ = self.request(|draft| transitions::alter(draft, number, change));
                }
            }
            Step::Snapshot { seed } => {
                if let Some(number) = self.present(seed) {
                    self.next += 1;
                    let uid = ImageUid(format!("image-{}", self.next));
                    let image = ImageIntent {
                        infrastructure: "inf".to_owned(),
                        location: Location::default(),
                        uid,
                        disk: 0,
                        name: "i".to_owned(),
                    };
                    let taken =
                        |draft: &mut Draft| Ok::<_, OperationError>(transitions::snapshot(draft, number, image, true));
                    let _ = self.request(taken);
                }
            }
            Step::Reconfigure => {
                let _ = self.request(|draft| transitions::reconfigure(draft, None, None));
            }
            Step::Destroy { force } => {
                let _ = self.request(|draft| transitions::destroy(draft, force, &accounts));
            }
            Step::Work { seed, fate } => self.work(seed, fate),
            Step::Crash => {
                // Only what is stored and what the cloud holds is left.
                self.tasks.clear();
                for effect in transitions::resume(&self.model) {
                    self.start(effect);
                }
            }
        }
    }

    fn planned(&mut self) -> PlannedVm {
        self.planned_of(document(1).systems.remove(0))
    }

    fn planned_of(&mut self, system: System) -> PlannedVm {
        self.next += 1;
        PlannedVm {
            uid: VmUid(format!("uid-{}", self.next)),
            requested: system.clone(),
            system,
            cloud: Arc::new(CloudRef::from(&account())),
            failure: None,
            alternatives: Arc::default(),
        }
    }

    /// A machine that may be made in another zone as well.
    fn planned_with_alternative(&mut self) -> PlannedVm {
        let planned = self.planned();
        let location = Location { zone: Some("other".to_owned()), ..Location::default() };
        let cloud = Arc::new(CloudRef { location, ..CloudRef::from(&account()) });
        let alternatives = Arc::new(vec![Alternative { cloud, system: planned.system.clone() }]);
        PlannedVm { alternatives, ..planned }
    }

    /// What follows the boot of machines is made, with its reply or without, or it is not, or the daemon dies in between.
    fn complete(&mut self, index: usize, vms: BTreeSet<u32>, fate: u8) {
        self.tasks.remove(index);
        for number in vms {
            let vm = self.model.vm(number).unwrap();
            if !vm.is_to_be_completed() {
                self.report(Event::CompletionEnded { vm: number, outcome: CompletionOutcome::Interrupted });
                continue;
            }
            let is_made = fate.is_multiple_of(2);
            if is_made || fate > 128 {
                self.addresses.insert(vm.uid.0.clone());
            }
            if fate >= 200 {
                return self.step(Step::Crash);
            }
            let why = "the cloud refuses".to_owned();
            let outcome = if is_made { CompletionOutcome::Complete } else { CompletionOutcome::GivenUp(why.clone()) };
            if !is_made {
                self.report(Event::CompletionFailed { vm: number, why });
            }
            self.report(Event::CompletionEnded { vm: number, outcome });
        }
    }

    /// What the child tasks do, with a cloud that works (even fate), fails (odd), or fails after doing it (odd, > 128).
    fn work(&mut self, seed: u32, fate: u8) {
        if self.tasks.is_empty() {
            return;
        }
        let index = seed as usize % self.tasks.len();
        let fails = fate % 2 == 1;
        match self.tasks[index].clone() {
            Effect::Place(_) | Effect::StopContextualization => {
                self.tasks.remove(index);
            }
            Effect::Launch(work) => self.launch(index, work, fate),
            Effect::Alter(work) => self.alter(index, work, fate),
            Effect::Complete(vms) => self.complete(index, vms, fate),
            Effect::Snapshot(work) => self.make_image(index, work, fate),
            Effect::Delete(numbers) => {
                self.tasks.remove(index);
                for number in numbers {
                    let uid = self.model.vm(number).unwrap().uid.0.clone();
                    if !fails {
                        self.cloud.remove(&uid);
                        self.volumes.remove(&uid);
                        self.addresses.remove(&uid);
                    }
                    let result = if fails { Err("the cloud refuses".to_owned()) } else { Ok(()) };
                    self.report(Event::Deleted { vm: number, result });
                    if fails && self.model.vm(number).unwrap().lifecycle == Lifecycle::Gone {
                        // A forced delete gives up what the cloud refuses to delete, and says so.
                        self.cloud.remove(&uid);
                        self.volumes.remove(&uid);
                        self.addresses.remove(&uid);
                    }
                }
            }
            Effect::DeleteShared => {
                self.tasks.remove(index);
                self.report(Event::SharedDeleted(if fails { Err("in use".to_owned()) } else { Ok(()) }));
                if !fails || self.model.deleted {
                    // They are deleted first; a forced delete gives up what the cloud refuses to delete, and says so.
                    let noted = self.noted_images();
                    self.images.retain(|uid| !noted.contains(uid));
                    let clouds: Vec<String> = self.model.clouds().iter().map(|cloud| cloud.key()).collect();
                    self.shared.retain(|key| !clouds.contains(key));
                }
            }
            Effect::Contextualize => {
                self.tasks.remove(index);
                if let Some(generation) = self.model.generation.clone().filter(|generation| generation.open) {
                    let outcome = if fails { Outcome::TimedOut } else { Outcome::Done };
                    self.report(Event::ContextEnded { generation: generation.number, outcome });
                }
            }
        }
    }

    /// The volume is made, with its reply or without, or it is not, or the daemon dies in between.
    fn alter(&mut self, index: usize, work: u64, fate: u8) {
        self.tasks.remove(index);
        let kind = self.model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind);
        let Some(WorkKind::Altering { vm, .. }) = kind else { return };
        let vm = *vm;
        if fate.is_multiple_of(2) || fate > 128 {
            self.volumes.insert(self.model.vm(vm).unwrap().uid.0.clone());
        }
        if fate >= 200 {
            return self.step(Step::Crash);
        }
        let result = if fate.is_multiple_of(2) { Ok(()) } else { Err("the cloud refuses".to_owned()) };
        self.report(Event::Altered { work, vm, result });
    }

    /// The image is made, with its reply or without, or it is not, or the daemon dies in between. What was made without a
    /// reply is removed, if the cloud lets it.
    fn make_image(&mut self, index: usize, work: u64, fate: u8) {
        self.tasks.remove(index);
        let Some((vm, uid)) = self.snapshot(work) else { return };
        let (is_made, leftover) = (fate.is_multiple_of(2), fate > 128);
        if is_made || leftover {
            self.images.insert(uid.clone());
        } else {
            self.images.remove(&uid);
        }
        if fate >= 200 {
            return self.step(Step::Crash);
        }
        let why = "the cloud refuses".to_owned();
        let result = if is_made { Ok(uid) } else { Err(SnapshotFailure { why, leftover }) };
        self.report(Event::SnapshotEnded { work, vm, result });
    }

    fn launch(&mut self, index: usize, work: u64, fate: u8) {
        let vms = match self.model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind) {
            Some(WorkKind::Adding { vms, .. }) => vms.clone(),
            _ => Vec::new(),
        };
        let in_state = |lifecycle: &Lifecycle, model: &Infrastructure| -> Vec<u32> {
            vms.iter().copied().filter(|number| model.vm(*number).unwrap().lifecycle == *lifecycle).collect()
        };
        let planned = in_state(&Lifecycle::Planned, &self.model);
        if !planned.is_empty() {
            let key = |number: &u32| self.model.vm(*number).unwrap().cloud.key();
            let cloud = key(&planned[0]);
            let vms = planned.into_iter().filter(|number| key(number) == cloud).collect();
            self.shared.insert(cloud.clone());
            return self.report(Event::SharedReady { cloud, shared: SharedResources::default(), vms });
        }
        match in_state(&Lifecycle::Launching, &self.model).first() {
            Some(&number) => {
                let uid = self.model.vm(number).unwrap().uid.0.clone();
                if number % 2 == 1 {
                    let prepared = Event::Prepared { vm: number, login: None, is_completed_after_boot: true };
                    self.report(prepared);
                }
                if fate % 2 == 1 {
                    // The launcher looks a failed launch up by its mark and removes what is there, if the cloud lets it.
                    let leftover = fate > 128;
                    if !leftover {
                        self.cloud.remove(&uid);
                    }
                    let (why, may_fit_elsewhere) = ("no room".to_owned(), fate % 4 == 3);
                    let result = Err(LaunchFailure { why, leftover, may_fit_elsewhere });
                    return self.report(Event::Launched { vm: number, result });
                }
                let id = self.cloud.entry(uid.clone()).or_insert_with(|| format!("id-{uid}")).clone();
                if fate < 200 {
                    self.report(Event::Launched { vm: number, result: Ok(ProviderId(id)) });
                } else {
                    // The machine exists and the daemon dies before it learns of it.
                    self.step(Step::Crash);
                }
            }
            None => {
                self.tasks.remove(index);
                let asked = vms.clone();
                let observations = vms
                    .iter()
                    .filter_map(|number| self.model.vm(*number)?.provider_id().cloned())
                    .map(|id| Observation {
                        id,
                        state: PowerState::Running,
                        addresses: Vec::new(),
                        features: Features::new(),
                        fault: None,
                        infrastructure: Some("inf".to_owned()),
                        ports: Vec::new(),
                        missing: Vec::new(),
                    })
                    .collect();
                self.report(Event::Observed { asked, answer: Ok(observations), account: None });
                self.report(Event::LaunchEnded(work));
            }
        }
    }

    /// With a cloud that works, everything that was accepted ends.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.model.deleted {
                return;
            }
            if self.tasks.is_empty() {
                self.look();
                if self.tasks.is_empty() {
                    return;
                }
            }
            self.work(0, 0);
        }
        panic!("the work does not end: {:?}", self.tasks);
    }

    /// The daemon looks at machines that come up; here they are up.
    fn look(&mut self) {
        let coming = self.model.vms.iter().filter(|vm| vm.is_coming_up());
        let seen = coming.filter_map(|vm| {
            let (id, state, features) = (vm.provider_id()?.clone(), PowerState::Running, Features::new());
            Some((
                vm.number,
                Observation {
                    id,
                    state,
                    addresses: Vec::new(),
                    features,
                    fault: None,
                    infrastructure: None,
                    ports: Vec::new(),
                    missing: Vec::new(),
                },
            ))
        });
        let (asked, observations): (Vec<u32>, Vec<Observation>) = seen.unzip();
        if self.model.accounts.is_some() && !asked.is_empty() {
            self.report(Event::Observed { asked, answer: Ok(observations), account: None });
        }
    }

    /// Machines of the cloud by the daemon's books.
    fn believed(&self) -> BTreeSet<String> {
        let held = |vm: &&Arc<Vm>| matches!(vm.lifecycle, Lifecycle::Present(_));
        self.model.vms.iter().filter(held).map(|vm| vm.uid.0.clone()).collect()
    }
}

/// A cloud that does not answer ends nothing. It shows after the grace period and is forgotten with the next answer.
///
/// Cases: M-28.
#[test]
fn a_silent_cloud_is_waited_for() {
    let mut world = World::new();
    world.step(Step::Add { number: 1, context: true });
    while let Some(index) = world.tasks.iter().position(|task| *task != Effect::Contextualize) {
        world.work(index.try_into().unwrap(), 0);
    }
    let waiting = |world: &World, now: i64| {
        assert!(world.model.generation.as_ref().unwrap().open && world.tasks == [Effect::Contextualize]);
        vm_state(&world.model, world.model.vm(0).unwrap(), Clock { now, grace: 120 })
    };
    assert_eq!(waiting(&world, 1000), State::Running);
    world.report(Event::Observed { asked: vec![0], answer: Err(()), account: None });
    assert_eq!((waiting(&world, 120), waiting(&world, 121)), (State::Running, State::Unknown));
    let id = world.model.vm(0).unwrap().provider_id().unwrap().clone();
    let (state, addresses, features) = (PowerState::Running, Vec::new(), Features::new());
    let answer = Ok(vec![Observation {
        id,
        state,
        addresses,
        features,
        fault: None,
        infrastructure: None,
        ports: Vec::new(),
        missing: Vec::new(),
    }]);
    world.report(Event::Observed { asked: vec![0], answer, account: None });
    assert_eq!(waiting(&world, 1000), State::Running);
}

/// A machine that still boots when its contextualization is over keeps the credentials of its cloud, so that the daemon
/// sees it come up without being asked, also after a restart; one that never comes up keeps them until it is given up.
#[test]
fn a_machine_is_followed_until_it_is_up() {
    for comes_up in [true, false] {
        let mut world = World::new();
        world.step(Step::Add { number: 1, context: true });
        while world.model.vm(0).unwrap().provider_id().is_none() {
            world.work(0, 0);
        }
        let id = world.model.vm(0).unwrap().provider_id().unwrap().clone();
        let seen = |state: PowerState| {
            let observation = Observation {
                id: id.clone(),
                state,
                addresses: Vec::new(),
                features: Features::new(),
                fault: None,
                infrastructure: None,
                ports: Vec::new(),
                missing: Vec::new(),
            };
            Event::Observed { asked: vec![0], answer: Ok(vec![observation]), account: None }
        };
        world.tasks.clear();
        world.report(seen(PowerState::Pending));
        world.report(Event::LaunchEnded(world.model.work[0].id));
        let generation = world.model.generation.as_ref().unwrap().number;
        world.report(Event::ContextEnded { generation, outcome: Outcome::Done });
        assert!(!world.model.generation.as_ref().unwrap().open);
        let is_followed = |world: &World| (world.model.accounts.is_some(), world.model.is_pending(world.now - 60));
        assert_eq!(is_followed(&world), (true, true));
        if comes_up {
            world.report(seen(PowerState::Running));
        } else {
            world.now = 60;
            world.report(Event::NothingAwaited);
        }
        assert_eq!(is_followed(&world), (false, false));
    }
}

/// Machines that share a public address are reached by ports that the cloud chose, each by its own.
#[test]
fn ports_that_the_cloud_chose_are_those_of_a_machine() {
    let mut world = World::new();
    world.step(Step::Add { number: 2, context: false });
    for _ in 0..8 {
        world.work(0, 0);
    }
    let look = |world: &mut World| {
        let machine = |number: u32| Observation {
            id: world.model.vm(number).unwrap().provider_id().unwrap().clone(),
            state: PowerState::Running,
            addresses: Vec::new(),
            ports: vec![MappedPort { outside: 35_000 + u16::try_from(number).unwrap(), inside: 22 }],
            features: Features::new(),
            fault: None,
            infrastructure: None,
            missing: Vec::new(),
        };
        let answer = Ok(vec![machine(0), machine(1)]);
        world.report(Event::Observed { asked: vec![0, 1], answer, account: None });
        [0, 1].map(|number| Arc::clone(&world.model.vm(number).unwrap().info))
    };
    let seen = look(&mut world);
    assert_eq!(seen.each_ref().map(|info| info.ssh_port()), [35_000, 35_001]);
    let again = look(&mut world);
    assert!(Arc::ptr_eq(&seen[0], &again[0]), "what is known changes nothing");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_cloud_holds_what_the_daemon_believes(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            let known: BTreeSet<String> = world
                .model
                .vms
                .iter()
                .filter(|vm| !matches!(vm.lifecycle, Lifecycle::Gone | Lifecycle::Failed { leftover: false, .. }))
                .map(|vm| vm.uid.0.clone())
                .collect();
            for uid in world.cloud.keys().chain(&world.volumes).chain(&world.addresses) {
                prop_assert!(known.contains(uid), "{uid} exists and nobody will ever delete it");
            }
            let wanted = world.model.work.iter().filter_map(|work| world.snapshot(work.id)).map(|(_, uid)| uid);
            let known: BTreeSet<String> = world.noted_images().into_iter().chain(wanted).collect();
            for uid in &world.images {
                prop_assert!(known.contains(uid), "{uid} exists and nobody will ever delete it");
            }
        }
        world.settle();
        let leftover = |vm: &&Arc<Vm>| matches!(vm.lifecycle, Lifecycle::Failed { leftover: true, .. });
        let leftovers: BTreeSet<String> = world.model.vms.iter().filter(leftover).map(|vm| vm.uid.0.clone()).collect();
        let held: BTreeSet<String> = world.cloud.keys().filter(|uid| !leftovers.contains(*uid)).cloned().collect();
        prop_assert_eq!(&held, &world.believed());
        prop_assert!(world.model.work.is_empty(), "work left: {:?}", world.model.work);
        prop_assert!(world.model.accounts.is_none() || world.model.deleted, "credentials are kept without need");
        if !world.model.deleted {
            let _ = world.request(|draft| transitions::destroy(draft, false, &accounts()));
            world.settle();
            prop_assert!(world.model.deleted, "a delete that does not end: {:?}", world.model.work);
        }
        prop_assert!(world.cloud.is_empty(), "left behind: {:?}", world.cloud);
        prop_assert!(world.volumes.is_empty(), "volumes left behind: {:?}", world.volumes);
        prop_assert!(world.images.is_empty(), "images left behind: {:?}", world.images);
        prop_assert!(world.addresses.is_empty(), "addresses left behind: {:?}", world.addresses);
        prop_assert!(world.shared.is_empty(), "networks left behind: {:?}", world.shared);
    }
}

/// A machine for which there is no room is made as its next candidate, also by another daemon; the log says so, and what the
/// former cloud has of the infrastructure is deleted with it.
#[test]
fn a_machine_without_room_is_made_elsewhere() {
    let mut world = World::new();
    let mut vms = vec![world.planned_with_alternative(), world.planned_with_alternative()];
    vms[1].alternatives = vms[0].alternatives.clone();
    let placement = Placement { vms, private_networks: BTreeMap::new() };
    let add = |draft: &mut Draft| transitions::add(draft, &document(2), placement, true, IfAllFail::Keep);
    let work = world.request(add).unwrap();
    // Networks, then the first machine has no room, and the daemon dies.
    world.work(0, 0);
    world.work(0, 3);
    let zone = |world: &World, number: u32| world.model.vm(number).unwrap().cloud.location.zone.clone();
    assert_eq!((zone(&world, 0).as_deref(), zone(&world, 1)), (Some("other"), None));
    assert_eq!(world.model.vm(0).unwrap().lifecycle, Lifecycle::Planned);
    let stored: Infrastructure = serde_json::from_value(serde_json::to_value(&world.model).unwrap()).unwrap();
    assert_eq!((&stored.work, &stored.full_clouds), (&world.model.work, &world.model.full_clouds));
    world.step(Step::Crash);
    world.settle();
    let Lifecycle::Present(_) = world.model.vm(0).unwrap().lifecycle else { panic!("{:?}", world.model.vm(0)) };
    assert_eq!(world.shared.len(), 2);
    world.request(|draft| transitions::destroy(draft, false, &accounts())).unwrap();
    world.settle();
    assert!(world.model.deleted && world.shared.is_empty() && world.cloud.is_empty());

    // The last candidate is the end, and what may be left somewhere is not left alone.
    for leftover in [false, true] {
        let mut world = World::new();
        let vms = vec![world.planned_with_alternative()];
        let placement = Placement { vms, private_networks: BTreeMap::new() };
        let add = |draft: &mut Draft| transitions::add(draft, &document(1), placement, true, IfAllFail::Keep);
        assert_eq!(world.request(add).unwrap(), work);
        let refused = LaunchFailure { why: "full".to_owned(), leftover, may_fit_elsewhere: true };
        let logged = world.change(|draft| {
            for _ in 0..2 {
                transitions::apply(draft, Event::Launched { vm: 0, result: Err(refused.clone()) });
            }
            draft.events.iter().map(|event| event.text.clone()).collect::<String>()
        });
        assert!(matches!(world.model.vm(0).unwrap().lifecycle, Lifecycle::Failed { .. }));
        assert_eq!(
            logged.contains("VM 0: no room in c, so it is made in c (zone=other) (1 of 1 alternatives). full"),
            !leftover
        );
    }
}

/// What the daemon makes of a login is stored before the machine is made, once, and never in the place of one that is given.
#[test]
fn a_first_login_is_written_down_before_the_machine_is_made() {
    let pair = |name: &str| {
        let (public, private) = (format!("public {name}"), format!("private {name}"));
        NewLogin::KeyPair(KeyPair { public, private })
    };
    for (given, expected) in [
        ("", [Some("public a"), Some("private a"), None]),
        ("disk.0.os.credentials.public_key = 'mine'", [Some("mine"), None, None]),
        ("disk.0.os.credentials.password = 'mine'", [None, None, Some("mine")]),
    ] {
        let mut world = World::new();
        let system = Radl::parse(&format!("system node ({given})")).unwrap().systems.remove(0);
        let vms = vec![world.planned_of(system)];
        let placement = Placement { vms, private_networks: BTreeMap::new() };
        let add = |draft: &mut Draft| transitions::add(draft, &document(1), placement, false, IfAllFail::Keep);
        world.request(add).unwrap();
        world.work(0, 0);
        for name in ["a", "b"] {
            let prepared = Event::Prepared { vm: 0, login: Some(pair(name)), is_completed_after_boot: false };
            assert!(!format!("{prepared:?}").contains("private"), "no log shows it");
            world.report(prepared);
        }
        world.step(Step::Crash);
        let login = world.model.vm(0).unwrap().info.systems[0].credentials();
        let login = [login.public_key.as_deref(), login.private_key.as_deref(), login.password.as_deref()];
        assert_eq!(login, expected, "{given}");
    }
}

/// What is missing is told once in the log, tried again until it is given up, and begun anew when the cloud says again that it
/// is missing.
#[test]
fn what_follows_a_boot_is_told_once_and_begun_anew() {
    let mut world = World::new();
    world.step(Step::Add { number: 1, context: false });
    world.settle();
    let incomplete = |world: &mut World| {
        let accounts = Some(Arc::new(accounts()));
        world.report(Event::Incomplete { vms: vec![0], accounts });
        (world.tasks.len(), world.model.accounts.is_some(), world.model.is_pending(world.now))
    };
    for _ in 0..2 {
        assert_eq!(incomplete(&mut world), (1, true, true), "begun once, with the accounts that were shown");
    }
    let log = |world: &mut World, event: Event| {
        world.change(|draft| {
            transitions::apply(draft, event);
            draft.events.iter().filter(|event| event.vm == Some(0)).count()
        })
    };
    let failed = |why: &str| Event::CompletionFailed { vm: 0, why: why.to_owned() };
    let told = ["busy", "busy", "full"].map(|why| log(&mut world, failed(why)));
    assert_eq!(told, [1, 0, 1]);
    let again = world.change(|draft| {
        transitions::reconfigure(draft, None, None).unwrap();
        draft.events.iter().filter(|event| event.vm == Some(0)).map(|event| event.text.clone()).collect::<String>()
    });
    assert_eq!(again, "What follows the boot is not complete, and tried again: full\n", "a new log says so as well");
    world.report(Event::ContextEnded { generation: 1, outcome: Outcome::Done });
    world.tasks.clear();
    let outcome = CompletionOutcome::GivenUp("full".to_owned());
    assert_eq!(log(&mut world, Event::CompletionEnded { vm: 0, outcome }), 1, "that nobody tries any more");
    assert!(!world.model.is_pending(world.now) && world.model.accounts.is_none());
    assert_eq!(incomplete(&mut world), (1, true, true));
    let outcome = CompletionOutcome::GivenUp("full".to_owned());
    let told = [failed("full"), Event::CompletionEnded { vm: 0, outcome }].map(|event| log(&mut world, event));
    assert_eq!(told, [0, 0], "whoever looks again and again is not told again and again");
    world.tasks.clear();
    assert_eq!(incomplete(&mut world), (1, true, true));
    world.settle();
    assert!(world.model.vm(0).unwrap().completion.is_complete() && world.addresses.len() == 1);
}

/// A document with these systems, a machine of each.
fn systems(texts: &str) -> Radl {
    let deploys = ["password", "wish", "key", "off"].map(|name| format!("deploy {name} 1\n")).concat();
    Radl::parse(&format!("{texts}\n{deploys}")).unwrap()
}

/// A machine with an image's password and no wish gets a random one of eight letters and digits, each its own; one that
/// is not contextualized keeps what it has. A reconfigure with new credentials of a system concerns all its machines and
/// no others.
///
/// Cases: K-01, K-06.
#[test]
fn new_credentials() {
    let system = |name: &str, more: &str| {
        format!("system {name} (disk.0.os.credentials.username = 'u' and disk.0.os.credentials.{more})")
    };
    let text = [
        system("password", "password = 'image'"),
        system("wish", "password = 'image' and disk.0.os.credentials.new.password = 'Wished-4'"),
        system("key", "private_key = 'k'"),
        system("off", "password = 'image'"),
        "configure off ()".to_owned(),
    ];
    let radl = systems(&text.join("\n"));
    let mut world = World::new();
    for _ in 0..2 {
        let vms = radl.systems.iter().map(|system| world.planned_of(system.clone())).collect();
        let placement = Placement { vms, private_networks: BTreeMap::new() };
        let add = |draft: &mut Draft| transitions::add(draft, &radl, placement, true, IfAllFail::Keep).map(drop);
        world.change(add).unwrap();
        world.settle();
    }
    let wished =
        |world: &World, number: u32| world.model.vm(number).unwrap().info.systems[0].new_credentials().password;
    let made: Vec<String> = [0, 4].map(|number| wished(&world, number).unwrap()).to_vec();
    for password in &made {
        assert!(password.len() == 8 && password.bytes().all(|b| b.is_ascii_alphanumeric()), "{password}");
        let has = |class: fn(&u8) -> bool| password.as_bytes().iter().any(class);
        assert!(has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit), "{password}");
    }
    assert_ne!(made[0], made[1]);
    for (number, expected) in [(1, Some("Wished-4")), (2, None), (3, None), (7, None)] {
        assert_eq!(wished(&world, number).as_deref(), expected, "VM {number}");
    }

    let new = Radl::parse("system key (disk.0.os.credentials.new.password = 'Another:1')").unwrap();
    let reconfigure = |draft: &mut Draft| transitions::reconfigure(draft, Some(&new), None);
    world.change(reconfigure).unwrap();
    for (number, expected) in [(2, Some("Another:1")), (6, Some("Another:1")), (3, None), (0, Some(made[0].as_str()))] {
        assert_eq!(wished(&world, number).as_deref(), expected, "VM {number}");
    }
    // What no tool can set is refused, and nothing changes.
    let bad = Radl::parse("system key (disk.0.os.credentials.new.password = 'Another:2\nroot:x')").unwrap();
    let reconfigure = |draft: &mut Draft| transitions::reconfigure(draft, Some(&bad), None);
    assert!(world.change(reconfigure).is_err());
    assert_eq!(wished(&world, 2).as_deref(), Some("Another:1"));
}

/// What recipes see with CTXT_EXPOSE_AUTH = full is their owner's, whoever calls, as long as nobody else owns them.
#[test]
fn recipes_see_their_only_owner() {
    let who = |name: &str| Identity { username: name.to_owned(), key: format!("key-{name}"), token: false };
    let shown = |name: &str| {
        let item = Item(
            [("type", "InfrastructureManager"), ("username", name)].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        );
        let credentials = Arc::new(Credentials { items: vec![item] });
        let principal = if name == "root" { Principal::Administrator } else { Principal::User };
        Shown::of(&Caller { credentials, principals: vec![principal(who(name))], expires: None }, true).unwrap()
    };
    let mut world = World::new();
    world.model.owners = vec![who("owner")];
    let mut seen = Vec::new();
    for name in ["owner", "root"] {
        world.change(|draft| {
            transitions::reconfigure(draft, None, None).unwrap();
            draft.keep(&shown(name));
        });
        seen.push(world.model.login.as_ref().and_then(|item| item.get("username").map(str::to_owned)));
    }
    assert_eq!(seen, [Some("owner".to_owned()), Some("owner".to_owned())]);
    world.change(|draft| transitions::change_owners(draft, vec![who("other")], false)).unwrap();
    assert_eq!(world.model.login, None);
    world.change(|draft| draft.keep(&shown("other")));
    assert_eq!(world.model.login, None, "the recipes of one would see the credentials of the other");
}

/// Only the account that made a machine tells what became of it. Machines that came with an import belong to the account
/// that knows them, unless they carry the mark of another infrastructure.
#[test]
fn machines_are_known_by_their_account() {
    let mut world = World::new();
    let stranger: Accounts = serde_json::from_value(serde_json::json!([CloudAccount {
        fields: [("username".to_owned(), "v".to_owned())].into(),
        ..account()
    }]))
    .unwrap();
    let vms = vec![world.planned(), world.planned()];
    let placement = Placement { vms, private_networks: BTreeMap::new() };
    world.request(|draft| transitions::add(draft, &document(2), placement, false, IfAllFail::Keep)).unwrap();
    world.settle();
    let before = world.model.clone();
    for shown in [&Accounts::default(), &stranger] {
        for force in [false, true] {
            world.change(|draft| transitions::destroy(draft, force, shown)).unwrap_err();
        }
        world.change(|draft| transitions::remove(draft, &[1], false, shown)).unwrap_err();
    }
    assert_eq!(world.model, before, "what is refused changes nothing");

    // The same machine as an import brings it.
    world.change(|draft| {
        let vm = draft.vm(0).unwrap();
        vm.cloud = Arc::new(CloudRef { account: None, ..CloudRef::from(&account()) });
    });
    let look = |world: &mut World, infrastructure: Option<&str>, known: bool| {
        let id = world.model.vm(0).unwrap().provider_id().unwrap().clone();
        let (state, infrastructure) = (PowerState::Running, infrastructure.map(str::to_owned));
        let (addresses, features) = (Vec::new(), Features::new());
        let seen = Observation {
            id,
            state,
            addresses,
            features,
            fault: None,
            infrastructure,
            ports: Vec::new(),
            missing: Vec::new(),
        };
        let answer = Ok(if known { vec![seen] } else { Vec::new() });
        let name = connectors::account_name(&account());
        world.report(Event::Observed { asked: vec![0], answer, account: name.clone() });
        let vm = world.model.vm(0).unwrap();
        (vm.cloud.account == name, vm.observed.unwrap().state)
    };
    assert_eq!(look(&mut world, None, false), (false, PowerState::Running), "another account may know it");
    assert_eq!(look(&mut world, Some("theirs"), true), (false, PowerState::Running));
    let refused = world.change(|draft| transitions::destroy(draft, false, &accounts())).unwrap_err();
    assert!(refused.to_string().contains("no account of Dummy that was given knows the machine"), "{refused}");
    assert_eq!(look(&mut world, None, true), (true, PowerState::Running));
    assert_eq!(look(&mut world, None, false), (true, PowerState::Off), "its own account knows");

    // What the cloud refuses is forgotten by force, and told.
    world.request(|draft| transitions::destroy(draft, true, &accounts())).unwrap();
    let left = world.change(|draft| {
        for vm in [0, 1] {
            transitions::apply(draft, Event::Deleted { vm, result: Err("locked".to_owned()) });
        }
        transitions::apply(draft, Event::SharedDeleted(Err("in use".to_owned())));
        draft.finished.clone()
    });
    let [(_, Ok(Done::Forgotten(left)))] = left.as_slice() else { panic!("{left:?}") };
    let machine = |number: u32| format!("VM {number}, the machine id-uid-{} of the cloud c: locked", number + 1);
    assert_eq!(left, &[machine(0), machine(1), "in use".to_owned()]);
}
