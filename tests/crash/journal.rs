//! The proof of the journal: a cloud in a process of its own, which makes whatever it is asked to however often, is slow,
//! fails, throttles and loses replies, and a daemon that dies at chosen steps: at the n-th change that the cloud sees,
//! before or after it is done; before or after the n-th commit; at some time; and again while it recovers.
//!
//! `IMD_JOURNAL_SEEDS` sets how many scenarios (50), `IMD_JOURNAL_SEED` runs one alone: see `scripts/crash`. Everything in
//! a scenario follows from its seed, but for the order in which the daemon's own tasks run.

use crate::{
    cloud::SimulatedCloud,
    dummy::models,
    support::{Answer, Daemon, PATIENCE, Setup},
};
use connectors::dummy::{Moment, ResourceKind};
use futures::{FutureExt, StreamExt, stream};
use imd::engine::state::model::{Infrastructure, Lifecycle, Vm};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use reqwest::{Method, StatusCode};
use std::{
    collections::BTreeSet,
    env,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

/// Scenarios at the same time: they mostly wait.
const SIDE_BY_SIDE: usize = 16;

/// What a new machine has.
const NEW: Belongings = Belongings { disks: 1, address: true };

/// The longest that the work of a dead daemon may take its successor.
const RECOVERY: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_step_a_daemon_dies_at_the_cloud_holds_what_it_believes() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seeds = match number("IMD_JOURNAL_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("IMD_JOURNAL_SEEDS").unwrap_or(50)).collect(),
    };
    let count = seeds.len();
    let runs = seeds.into_iter().map(|seed| async move {
        let result = AssertUnwindSafe(Scenario::run(seed)).catch_unwind().await;
        if result.is_err() {
            eprintln!("seed {seed} failed; again: scripts/crash --seed {seed}");
        }
        result.map_err(|_| seed)
    });
    let (mut deaths, mut failed) = (0, Vec::new());
    let mut results = stream::iter(runs).buffer_unordered(SIDE_BY_SIDE);
    while let Some(result) = results.next().await {
        match result {
            Ok(more) => deaths += more,
            Err(seed) => failed.push(seed),
        }
    }
    println!("{count} seeds, {deaths} deaths at chosen steps, failed: {failed:?}");
    assert!(failed.is_empty(), "failed; one of them again: scripts/crash --seed N, N of {failed:?}");
    assert!(deaths as usize >= count, "no daemon dies");
}

/// What a user does.
#[derive(Debug, Clone)]
enum Action {
    Create {
        vms: u32,
        asynchronous: bool,
    },
    Add {
        vms: u32,
    },
    Remove {
        vms: BTreeSet<u32>,
    },
    Alter {
        vm: u32,
        disk: usize,
    },
    /// A machine gets its public address, or loses it.
    Address {
        vm: u32,
        wanted: bool,
    },
    /// An image, which goes with the infrastructure or stays.
    Snapshot {
        vm: u32,
        name: String,
        auto_delete: bool,
    },
    Delete {
        asynchronous: bool,
    },
}

/// How a daemon dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// At this change that the cloud sees.
    Change(u32, Moment),
    /// At this side of a commit.
    Commit(u32),
    /// After this time, if it has not ended its work by then.
    Time(Duration),
}

/// What there is.
#[derive(Debug, Clone, Default, PartialEq)]
struct Things {
    /// What each machine has, by its number; none when it was deleted.
    machines: Vec<Option<Belongings>>,
    /// Names of images; those that stay begin with `kept`.
    images: Vec<String>,
}

/// What a machine has.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Belongings {
    /// How many data disks.
    disks: usize,
    /// Whether a public address.
    address: bool,
}

struct Scenario {
    seed: u64,
    chance: StdRng,
    daemon: Daemon,
    cloud: SimulatedCloud,
    /// Path of the infrastructure, once there is one.
    path: String,
    things: Things,
    /// How many images were asked for.
    images: u32,
    deaths: u32,
}

impl Scenario {
    /// Runs the scenario of a seed; how often a daemon died.
    async fn run(seed: u64) -> u32 {
        let mut chance = StdRng::seed_from_u64(seed);
        let setup = Setup {
            options: "DELAY_BETWEEN_VM_RETRIES = 0\nVM_INFO_UPDATE_FREQUENCY = 1".to_owned(),
            clouds: "id = dummy; type = Dummy; dns_zones = example.org".to_owned(),
            ..Setup::default()
        };
        let mut daemon = Daemon::new(setup);
        let faults = format!(
            "latency_ms = 1-{}; lost_reply_rate = 0.05; failure_rate = transient:0.01,throttled:0.02,capacity:0.005; \
             retry_after_ms = 100; seed = {seed}",
            chance.random_range(3..30)
        );
        let cloud = SimulatedCloud::start(daemon.directory(), &faults, true);
        daemon.add_options(&cloud.options());
        let (path, things) = (String::new(), Things::default());
        let mut scenario = Self { seed, chance, daemon, cloud, path, things, images: 0, deaths: 0 };
        let create = Action::Create { vms: 5, asynchronous: scenario.chance.random() };
        scenario.step(create).await;
        let mut kinds = ["add", "remove", "alter", "address", "snapshot"].to_vec();
        if scenario.chance.random() {
            kinds.extend(["alter", "address", "snapshot"]);
        }
        kinds.shuffle(&mut scenario.chance);
        for kind in kinds {
            let action = scenario.action(kind);
            scenario.step(action).await;
        }
        let delete = Action::Delete { asynchronous: scenario.chance.random() };
        scenario.step(delete).await;
        scenario.deaths
    }

    fn action(&mut self, kind: &str) -> Action {
        let live: Vec<u32> =
            (0..).zip(&self.things.machines).filter(|(_, machine)| machine.is_some()).map(|(n, _)| n).collect();
        match kind {
            "add" => Action::Add { vms: self.chance.random_range(1..=3) },
            "remove" => {
                let count = self.chance.random_range(1..=2);
                Action::Remove { vms: (0..count).map(|_| live[self.chance.random_range(0..live.len())]).collect() }
            }
            "snapshot" => {
                let vm = live[self.chance.random_range(0..live.len())];
                let auto_delete = self.chance.random();
                self.images += 1;
                let name = format!("{}-{}", if auto_delete { "goes" } else { "kept" }, self.images);
                Action::Snapshot { vm, name, auto_delete }
            }
            "address" => {
                let vm = live[self.chance.random_range(0..live.len())];
                Action::Address { vm, wanted: !self.things.machines[vm as usize].unwrap().address }
            }
            _ => {
                let vm = live[self.chance.random_range(0..live.len())];
                Action::Alter { vm, disk: self.things.machines[vm as usize].unwrap().disks + 1 }
            }
        }
    }

    /// A death somewhere in an action or in the recovery from it.
    fn death(&mut self, action: &Action) -> Death {
        // About as many changes and sides of commits as it takes.
        let (changes, sides) = match action {
            Action::Create { .. } => (36, 20),
            Action::Add { vms } => (7 * vms, 16),
            Action::Remove { vms } => (4 * u32::try_from(vms.len()).unwrap(), 10),
            Action::Alter { .. } | Action::Address { .. } => (3, 8),
            Action::Snapshot { .. } => (2, 5),
            Action::Delete { .. } => (26, 14),
        };
        let moment = if self.chance.random() { Moment::Before } else { Moment::After };
        match self.chance.random_range(0..10) {
            0..=4 => Death::Change(self.chance.random_range(1..=changes), moment),
            5..=7 => Death::Commit(self.chance.random_range(1..=sides)),
            _ => Death::Time(Duration::from_millis(self.chance.random_range(1..700))),
        }
    }

    /// The action with a death, perhaps another one in the recovery, and again if it came to nothing.
    async fn step(&mut self, action: Action) {
        let first = self.death(&action);
        let second = (self.chance.random_range(0..10) < 4).then(|| self.death(&action));
        let what = format!("seed {}: {action:?} with {first:?} and {second:?}", self.seed);
        let after = self.after(&action);
        let mut acknowledged = false;
        if self.start(Some(first)).await {
            acknowledged = self.ask(&action, Some(first), &what).await;
            self.until_idle_or_dead(&what).await;
        }
        if self.bury().await {
            if let Some(second) = second {
                if self.start(Some(second)).await {
                    if let Death::Time(time) = second {
                        self.daemon.die_after(time).await;
                    }
                    self.until_idle_or_dead(&what).await;
                }
                self.bury().await;
            }
            let started = Instant::now();
            self.live(None, &what).await;
            let time = started.elapsed();
            assert!(time <= RECOVERY, "{what}: recovery took {time:?}\n{}", self.daemon.log());
        }
        let believed = self.compare(&what).await;
        if believed != after {
            assert!(!acknowledged, "{what}: acknowledged, but it is as {believed:?}");
            assert_eq!(believed, self.things, "{what}: happened by halves");
            self.live(Some(&action), &what).await;
            assert_eq!(self.compare(&what).await, after, "{what}, once more");
        }
        self.things = after;
    }

    /// Starts a daemon that is to die; whether it came to serve.
    async fn start(&mut self, death: Option<Death>) -> bool {
        let environment = match death {
            Some(Death::Commit(side)) => vec![("IMD_DIE_AT_COMMIT".to_owned(), side.to_string())],
            _ => Vec::new(),
        };
        self.daemon.set_environment(environment);
        let cloud = &self.cloud;
        let told = async |pid: nix::unistd::Pid| {
            if let Some(Death::Change(change, moment)) = death {
                cloud.kill_at(pid.as_raw(), change, moment).await;
            }
        };
        self.daemon.start_doomed(told).await
    }

    /// A daemon that does not die ends all the work there is, and what it is asked for.
    async fn live(&mut self, action: Option<&Action>, what: &str) {
        assert!(self.start(None).await, "{what}: it died by itself\n{}", self.daemon.log());
        if let Some(action) = action {
            assert!(self.ask(action, None, what).await, "{what}: no answer\n{}", self.daemon.log());
        }
        self.until_idle_or_dead(what).await;
        assert!(!self.bury().await, "{what}: it died by itself\n{}", self.daemon.log());
    }

    /// Clears a daemon away, and lets pass what it asked for. Whether it had died by itself.
    async fn bury(&mut self) -> bool {
        self.cloud.settle().await;
        let died = self.daemon.has_ended();
        self.deaths += u32::from(died);
        self.daemon.kill();
        died
    }

    /// Asks for the action; false when the daemon died before the answer.
    async fn ask(&self, action: &Action, death: Option<Death>, what: &str) -> bool {
        let (method, path, body) = self.request(action);
        let asked = self.daemon.ask(method, path, body);
        let answer = match death {
            Some(Death::Time(time)) => futures::join!(asked, self.daemon.die_after(time)).0,
            _ => asked.await,
        };
        let Some(Answer { status, text }) = answer else { return false };
        assert_eq!(status, StatusCode::OK, "{what}: {text}\n{}", self.daemon.log());
        true
    }

    fn request(&self, action: &Action) -> (Method, String, String) {
        let path = &self.path;
        match action {
            Action::Create { vms, asynchronous } => {
                (Method::POST, format!("/infrastructures?async={asynchronous}"), document(*vms))
            }
            Action::Add { vms } => (Method::POST, path.clone(), document(*vms)),
            Action::Remove { vms } => {
                let vms: Vec<String> = vms.iter().map(u32::to_string).collect();
                (Method::DELETE, format!("{path}/vms/{}", vms.join(",")), String::new())
            }
            Action::Alter { vm, disk } => {
                let system = format!("system node ( cpu.count = 4 and disk.{disk}.size = {disk} GB )");
                (Method::PUT, format!("{path}/vms/{vm}"), system)
            }
            Action::Address { vm, wanted } => {
                let interface = if *wanted { "1.connection = 'pub'" } else { "0.connection = 'inner'" };
                (Method::PUT, format!("{path}/vms/{vm}"), format!("system node ( net_interface.{interface} )"))
            }
            Action::Snapshot { vm, name, auto_delete } => {
                let auto_delete = if *auto_delete { "yes" } else { "no" };
                let query = format!("image_name={name}&auto_delete={auto_delete}");
                (Method::PUT, format!("{path}/vms/{vm}/disks/0/snapshot?{query}"), String::new())
            }
            Action::Delete { asynchronous } => (Method::DELETE, format!("{path}?async={asynchronous}"), String::new()),
        }
    }

    /// What there is when an action has happened.
    fn after(&self, action: &Action) -> Things {
        let Things { mut machines, mut images } = self.things.clone();
        match action {
            Action::Create { vms, .. } | Action::Add { vms } => machines.extend((0..*vms).map(|_| Some(NEW))),
            Action::Remove { vms } => vms.iter().for_each(|vm| machines[*vm as usize] = None),
            Action::Alter { vm, disk } => {
                let machine = machines[*vm as usize].as_mut();
                machine.unwrap().disks = *disk;
            }
            Action::Address { vm, wanted } => {
                let machine = machines[*vm as usize].as_mut();
                machine.unwrap().address = *wanted;
            }
            Action::Snapshot { name, .. } => images.push(name.clone()),
            Action::Delete { .. } => {
                machines.clear();
                images.retain(|name| name.starts_with("kept"));
            }
        }
        images.sort_unstable();
        Things { machines, images }
    }

    async fn until_idle_or_dead(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.daemon.has_ended() {
            let figures = self.daemon.ask(Method::GET, "/metrics", String::new()).await;
            let is_zero = |line: &str| ["imd_pending_work 0", "imd_contextualizations 0"].contains(&line);
            if figures.is_some_and(|figures| figures.text.lines().filter(|line| is_zero(line)).count() == 2) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: it does not end\n{}", self.daemon.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The cloud holds exactly what the daemon believes, each thing once, and nothing waits for anybody. What the daemon
    /// believes in, with the images that are their owner's alone.
    async fn compare(&mut self, what: &str) -> Things {
        let models = models(&self.daemon).await;
        let live: Vec<&Infrastructure> = models.iter().filter(|model| !model.deleted).collect();
        assert!(live.len() <= 1, "{what}: there are {} infrastructures", live.len());
        let mut believed: Vec<String> = live.iter().flat_map(|model| things(model, what)).collect();
        let (mut held, mut images) = (Vec::new(), Vec::new());
        for account in self.cloud.holds().await {
            held.extend(account.machines.iter().map(|machine| format!("Machine {} of {}", machine.id, machine.uid)));
            let (made, others): (Vec<_>, Vec<_>) =
                account.resources.iter().partition(|made| made.kind == ResourceKind::Image);
            images.extend(made.iter().map(|image| image.name.clone()));
            held.extend(others.iter().map(|made| {
                let owner = made.uid.as_ref().map_or(made.infrastructure.clone(), ToString::to_string);
                thing(made.kind, &made.name, &owner, made.machine.as_ref().map(ToString::to_string).as_deref())
            }));
        }
        believed.sort_unstable();
        held.sort_unstable();
        assert_eq!(
            held,
            believed,
            "{what}: the cloud holds (left), the daemon believes (right)\n{}",
            self.daemon.log()
        );
        images.sort_unstable();
        let noted = live.iter().flat_map(|model| &model.snapshots).map(|(_, url)| url.rsplit('/').next().unwrap());
        let mut noted: Vec<&str> = noted.collect();
        noted.sort_unstable();
        let goes: Vec<&str> = images.iter().map(String::as_str).filter(|name| name.starts_with("goes")).collect();
        assert_eq!(goes, noted, "{what}: images in the cloud (left), noted (right)\n{}", self.daemon.log());
        let Some(model) = live.first() else { return Things { machines: Vec::new(), images } };
        self.path = format!("/infrastructures/{}", model.id);
        let belongings = |vm: &Arc<Vm>| {
            let is_there = vm.lifecycle != Lifecycle::Gone;
            is_there.then(|| Belongings { disks: disks(vm).count(), address: has_address(vm) })
        };
        Things { machines: model.vms.iter().map(belongings).collect(), images }
    }
}

/// Everything that a daemon believes to be in the cloud for an infrastructure at rest.
fn things(model: &Infrastructure, what: &str) -> Vec<String> {
    assert!(model.work.is_empty() && model.accounts.is_none(), "{what}: there is work: {:?}", model.work);
    assert!(model.unmade_images.is_empty(), "{what}: nobody knows of {:?}", model.unmade_images);
    let mut things = Vec::new();
    for (kind, name) in
        [(ResourceKind::Network, "inner"), (ResourceKind::Network, "pub"), (ResourceKind::SecurityGroup, "pub")]
    {
        things.push(thing(kind, name, &model.id, None));
    }
    for vm in &model.vms {
        let (id, uid) = match &vm.lifecycle {
            Lifecycle::Present(id) => (id.to_string(), vm.uid.to_string()),
            Lifecycle::Gone => continue,
            other => panic!("{what}: machine {} needs somebody: {other:?}", vm.number),
        };
        things.push(format!("Machine {id} of {uid}"));
        things.push(thing(ResourceKind::KeyPair, "key", &uid, None));
        if has_address(vm) {
            things.push(thing(ResourceKind::Address, "pool", &uid, Some(&id)));
        }
        let name = format!("node-{}.example.org", vm.number);
        let is_named = vm.info.systems[0].features.text("net_interface.0.dns_name") == Some(name.as_str());
        assert!(!is_named || vm.records.iter().any(|kept| kept.made), "{what}: {name} leads nowhere");
        things.extend(vm.records.iter().map(|kept| thing(ResourceKind::Record, &kept.record.to_string(), "", None)));
        things.extend(disks(vm).map(|disk| thing(ResourceKind::Volume, &disk, &uid, Some(&id))));
    }
    things
}

fn thing(kind: ResourceKind, name: &str, owner: &str, machine: Option<&str>) -> String {
    format!("{kind:?} {name} of {owner} at {machine:?}")
}

/// Whether a machine is on the public network.
fn has_address(vm: &Arc<Vm>) -> bool {
    vm.info.systems[0].interfaces().any(|interface| interface.connection == "pub")
}

/// Names of the data disks of a machine.
fn disks(vm: &Arc<Vm>) -> impl Iterator<Item = String> {
    let system = &vm.info.systems[0];
    (1..).map(|disk| format!("disk.{disk}")).take_while(|disk| system.features.has(&format!("{disk}.size")))
}

fn document(vms: u32) -> String {
    format!(
        "network pub ( outbound = 'yes' and provider_id = 'pool' and outports = '80/tcp' )
network inner ()
system node (
net_interface.0.connection = 'pub' and
net_interface.0.dns_name = 'node-#N#.example.org' and
net_interface.1.connection = 'inner' and
disk.0.image.url = 'mock0://linux.for.ev.er/image1' and
disk.0.os.name = 'linux' and
disk.0.os.credentials.username = 'user' and
disk.0.os.credentials.public_key = 'ssh-ed25519 AAAA' and
disk.1.size = 10 GB
)
deploy node {vms}
"
    )
}
