//! The simulated cloud passes the behaviour suite, also when it is unreliable, and outlives its daemon.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    ConnectorSettings, Endpoint, ErrorClass, ImageUid, Registry, VmUid,
    conformance::{self, Backstage, Case, Fate, Subject},
};
use radl::{Features, Network};
use std::{
    collections::HashSet,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

fn account(fields: &[(&str, &str)]) -> CloudAccount {
    let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    CloudAccount { id: "dummy".into(), kind: "Dummy".into(), endpoint: Endpoint::default(), fields }
}

fn in_memory(fields: &[(&str, &str)]) -> (Arc<Cloud>, Arc<Dummy>) {
    let cloud = Arc::new(Cloud::in_memory(system_clock));
    let dummy = Dummy::new(Arc::clone(&cloud), &account(fields)).unwrap();
    (cloud, Arc::new(dummy))
}

fn subject(connector: Arc<dyn Connector>) -> Subject {
    let mut system = System { name: "node".into(), ..System::default() };
    system.features.set_text("net_interface.0.connection", "net");
    let mut features = Features::new();
    features.set_text("outbound", "yes");
    let networks = vec![Network { id: "net".into(), features, ..Network::default() }];
    Subject { largest: 50, ..Subject::new(connector, system, networks) }
}

/// What machines of an infrastructure share is found by this.
fn shared_mark(infrastructure: &str) -> InfrastructureMark {
    InfrastructureMark::in_whole_cloud(infrastructure)
}

/// The cloud behind the API, and one account of it.
struct Stage(Arc<Cloud>);

impl Stage {
    fn ask(&self, request: CloudRequest) -> CloudReply {
        self.0.answer("@", request).unwrap()
    }
}

impl Backstage for Stage {
    fn fail(&self, request: Option<(u32, Fate)>) {
        let failing = request.map(|(number, fate)| {
            let fate = match fate {
                Fate::NotDone => RequestFate::Refused(ErrorClass::Transient),
                Fate::ReplyLost => RequestFate::ReplyLost,
            };
            FailingRequest { kind: None, number, fate }
        });
        self.0.impose(Some(Faults { requests: failing.into_iter().collect(), ..Faults::default() }));
    }

    fn requests(&self) -> u32 {
        self.0.imposed().unwrap().requests()
    }

    fn holdings(&self) -> Vec<String> {
        let all = |inventory: &Inventory| {
            let things = inventory.tenants().flat_map(|(_, tenant)| {
                let machines = tenant.machines().map(|machine| format!("{machine:?}"));
                machines.chain(tenant.resources().map(|resource| format!("{resource:?}"))).collect::<Vec<_>>()
            });
            things.collect()
        };
        self.0.inspect(all).unwrap()
    }

    fn make_users_volume(&self) -> String {
        let volume = Resource::new(ResourceKind::Volume, "mine".to_owned(), shared_mark(""), None);
        let named = Resource { name: format!("mine-{}", self.holdings().len()), ..volume };
        match self.ask(CloudRequest::Create(Box::new(named))) {
            CloudReply::Made(id) => format!("mock0://linux.for.ev.er/volume/{id}"),
            other => panic!("{other:?}"),
        }
    }

    fn delete_users_volume(&self, url: &str) -> bool {
        let id = ProviderId(url.rsplit('/').next().unwrap().to_owned());
        self.0.answer("@", CloudRequest::Delete(id)).is_ok()
    }

    fn user_data(&self, machine: &ProviderId) -> Option<String> {
        self.0.inspect(|inventory| inventory.tenant("@")?.machine(machine)?.user_data.clone()).unwrap()
    }
}

/// The suite over a cloud that may be divided, makes things twice, and gives small pages.
async fn conforms_over(cloud: Cloud, fields: &[(&str, &str)], location: Location, case: Case) {
    let cloud = Arc::new(cloud);
    let account = |fields: &[(&str, &str)]| {
        let connector: Arc<dyn Connector> = Arc::new(Dummy::new(Arc::clone(&cloud), &account(fields)).unwrap());
        connector
    };
    let subject = Subject {
        location,
        page: Some(20),
        expired: Some(account(&[("failure_rate", "auth:1")])),
        backstage: Some(Arc::new(Stage(Arc::clone(&cloud)))),
        ..subject(account(&[&[("page", "20")], fields].concat()))
    };
    case(&subject).await;
    assert!(cloud.inspect(Inventory::is_empty).unwrap(), "nothing is left in the cloud");
}

async fn conforms(_name: &str, case: Case) {
    conforms_over(Cloud::in_memory(system_clock), &[], Location::default(), case).await;
}

mod conformance_in_memory {
    crate::conformance!(super::conforms);
}

async fn conforms_in_a_zone(_name: &str, case: Case) {
    let location = Location { zone: Some("south".to_owned()), ..Location::default() };
    conforms_over(Cloud::in_memory(system_clock), &[("zones", "north,south")], location, case).await;
}

mod conformance_in_a_zone {
    crate::conformance!(super::conforms_in_a_zone);
}

/// Nothing but the connector keeps things from being made twice.
#[tokio::test]
async fn a_failed_request_makes_nothing_twice() {
    let subject = |cloud: &Arc<Cloud>| {
        let document = demanding();
        let connector = Arc::new(Dummy::new(Arc::clone(cloud), &account(&[])).unwrap());
        let backstage: Option<Arc<dyn Backstage>> = Some(Arc::new(Stage(Arc::clone(cloud))));
        Subject { backstage, ..Subject::new(connector, document.systems[0].clone(), document.networks) }
    };
    let cloud = Arc::new(Cloud::in_memory(system_clock).with_duplicates());
    conformance::goes_on_after_any_failed_request(&subject(&cloud)).await;
    conformance::leaves_nothing_when_given_up_at_any_request(&subject(&cloud)).await;
    assert!(cloud.inspect(Inventory::is_empty).unwrap());
}

#[tokio::test]
async fn an_account_has_its_limit() {
    let (_, limited) = in_memory(&[("quota", "3")]);
    conformance::keeps_the_quota(&subject(limited), 3).await;
}

#[tokio::test(start_paused = true)]
async fn conforms_while_unreliable() {
    let settings = ConnectorSettings {
        retry: crate::layers::RetryPolicy { attempts: 12, budget: Duration::from_secs(3600), ..Default::default() },
        ..ConnectorSettings::default()
    };
    let registry = Registry::new(settings);
    let line = account(&[
        ("latency_ms", "5-50"),
        ("failure_rate", "transient:0.1,throttled:0.1,conflict:0.05"),
        ("retry_after_ms", "300"),
        ("lost_reply_rate", "0.2"),
        ("seed", "7"),
    ]);
    let subject = subject(registry.connector(&line).unwrap());
    conformance::launches_fifty_machines(&subject).await;
    conformance::finds_by_mark_and_keeps_infrastructures_apart(&subject).await;
    conformance::deletes_what_is_there_and_what_is_not(&subject).await;
    assert!(registry.simulated_cloud().unwrap().inspect(Inventory::is_empty).unwrap());
}

#[tokio::test]
async fn shows_what_clients_know() {
    let (cloud, dummy) = in_memory(&[]);
    let subject = subject(dummy.clone());
    let mut system = subject.system.clone();
    assert_eq!(dummy.candidates(&system).await.unwrap(), [system.clone().into()]);
    let urls = vec!["one://server/1".to_owned(), "mock0://linux.for.ev.er/image1".to_owned()];
    system.features.set("disk.0.image.url", radl::Value::List { items: urls, line: 0 });
    let candidates = dummy.candidates(&system).await.unwrap();
    assert_eq!(candidates.len(), 2);
    assert_eq!(candidates[1].system.features.text("disk.0.image.url"), Some("mock0://linux.for.ev.er/image1"));
    assert_eq!(candidates[1].system.features.text("provider.type"), Some("Dummy"));
    assert_eq!(candidates[1].system.credentials().username.as_deref(), Some("username"));

    let shared = subject.shared_intent("inf", &subject.networks);
    assert_eq!(dummy.ensure_shared(&shared).await.unwrap(), SharedResources::default());
    let id = dummy.create_vm(&subject.intent("inf", 0)).await.unwrap();
    let resize = Resize { cpu_count: Some(2.0), memory: Some(1_024_000_000), ..Resize::default() };
    let vm = VmMark { id: Some(id.clone()), ..subject.intent("inf", 0).mark() };
    dummy.resize(&vm, &resize).await.unwrap();
    let [machine] = &dummy.observe(&subject.location, std::slice::from_ref(&id)).await.unwrap()[..] else {
        panic!("one machine")
    };
    let text = |name| machine.features.text(name);
    assert_eq!(text("provider.type"), Some("Dummy"));
    assert_eq!(text("net_interface.0.ip"), Some("10.0.0.1"));
    assert_eq!(text("disk.0.os.credentials.username"), Some("username"));
    assert_eq!(text("disk.0.os.credentials.password"), Some("password"));
    assert!(!machine.features.has("instance_id"));
    assert_eq!(machine.features.integer("cpu.count", ""), Some(2));
    assert_eq!(machine.features.integer("memory.size", ""), Some(1_024_000_000));
    assert_eq!((machine.addresses[0].network.as_deref(), machine.addresses[0].public), (Some("net"), true));

    let uid = ImageUid("image-1".to_owned());
    let image = ImageIntent {
        infrastructure: "inf".to_owned(),
        location: Location::default(),
        uid,
        disk: 0,
        name: "mine".to_owned(),
    };
    for _ in 0..2 {
        assert_eq!(dummy.snapshot(&vm, &image).await.unwrap(), "mock0://linux.for.ev.er/mine");
    }
    let held = |inventory: &Inventory| {
        let tenant = inventory.tenant("@").unwrap();
        let made = |made: &Resource| format!("{:?} {} {}", made.kind, made.infrastructure, made.name);
        let machines: Vec<_> = tenant.machines().map(|machine| machine.uid.to_string()).collect();
        (tenant.resources().map(made).collect::<Vec<_>>(), machines)
    };
    let is_held = |resources: &[&str]| {
        let resources: Vec<String> = resources.iter().map(|&text| text.to_owned()).collect();
        assert_eq!(cloud.inspect(held).unwrap(), (resources, vec!["inf-0".to_owned()]));
    };
    is_held(&["Network inf net", "Image inf mine"]);
    for _ in 0..2 {
        dummy.discard_snapshot(&image).await.unwrap();
        is_held(&["Network inf net"]);
    }
    let url = dummy.snapshot(&vm, &image).await.unwrap();
    for _ in 0..2 {
        dummy.delete_image(&url, &subject.location).await.unwrap();
        is_held(&["Network inf net"]);
    }
    assert_eq!(dummy.images(&BTreeMap::new()).await.unwrap()[1].name, "Image Name2");
    assert_eq!(dummy.quotas(None).await.unwrap()["cores"], Quota { used: 1.0, limit: 10.0 });
}

#[tokio::test]
async fn states_follow_the_schedule_and_chosen_machines_fail() {
    let now = Arc::new(AtomicU64::new(1_000));
    let clock = Arc::clone(&now);
    let cloud = Arc::new(Cloud::in_memory(move || clock.load(Ordering::Relaxed)));
    let line = account(&[("states", "pending:2000,running:500,failed"), ("fail_numbers", "1, 3")]);
    let dummy = Arc::new(Dummy::new(Arc::clone(&cloud), &line).unwrap());
    let subject = subject(dummy.clone());
    let mut ids = Vec::new();
    for number in 0..5 {
        match dummy.create_vm(&subject.intent("inf", number)).await {
            Ok(id) => ids.push(id),
            Err(error) => assert_eq!((error.class, number % 2), (ErrorClass::Invalid, 1)),
        }
    }
    assert_eq!(ids.len(), 3, "all but numbers 1 and 3");
    for (elapsed, state) in [(1_999, PowerState::Pending), (2_000, PowerState::Running), (9_000, PowerState::Failed)] {
        now.store(1_000 + elapsed, Ordering::Relaxed);
        let machine = dummy.observe(&subject.location, &ids[..1]).await.unwrap().remove(0);
        assert_eq!((machine.state, machine.fault.is_some()), (state, state == PowerState::Failed));
    }
    cloud.impose(Some(Faults { quota: Some(3), ..Faults::default() }));
    let refused = dummy.create_vm(&subject.intent("inf", 5)).await.unwrap_err();
    assert_eq!(refused.message, "Quota exceeded for instances: 3 of 3 in use");
}

#[test]
fn fault_keys_that_cannot_be_read_are_named() {
    for (key, value) in [
        ("latency_ms", "20-10"),
        ("failure_rate", "sometimes:0.1"),
        ("lost_reply_rate", "1.5"),
        ("fail_requests", "makes:1"),
        ("fail_requests", "attach:0"),
        ("page", "0"),
        ("first_login", "cloud"),
        ("quota", "-1"),
        ("fail_numbers", "one"),
        ("states", "asleep:10"),
    ] {
        let error = Faults::from_account(&account(&[(key, value)])).unwrap_err();
        assert_eq!(error.class, ErrorClass::Invalid);
        assert!(error.message.contains(&format!("`{key}`")), "{error}");
    }
}

#[tokio::test]
async fn the_inventory_outlives_the_daemon_and_is_shared() {
    let directory = tempfile::tempdir().unwrap();
    let state_dir = Some(directory.path().join("state"));
    let daemon = || {
        let dummy = DummySettings { state_dir: state_dir.clone(), socket: None };
        let registry = Registry::new(ConnectorSettings { dummy, ..ConnectorSettings::default() });
        subject(registry.connector(&account(&[])).unwrap())
    };
    let (one, other) = (daemon(), daemon());
    let intents: Vec<_> = (0..500).map(|number| one.intent("inf", number)).collect();
    // Both daemons launch the same machines at once.
    let start = Arc::new(std::sync::Barrier::new(2));
    let launch = |daemon: &Subject| {
        let connector = Arc::clone(&daemon.connector);
        let (intents, start) = (intents.clone(), Arc::clone(&start));
        tokio::task::spawn_blocking(move || {
            start.wait();
            let creations = intents.iter().map(|intent| connector.create_vm(intent));
            tokio::runtime::Handle::current().block_on(futures::future::join_all(creations))
        })
    };
    let (ours, theirs) = tokio::join!(launch(&one), launch(&other));
    let ids: Vec<ProviderId> = ours.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(ids, theirs.unwrap().into_iter().map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 500);
    one.connector.delete_vm(&intents[0].mark()).await.unwrap();
    let vm = VmMark { id: Some(ids[1].clone()), ..intents[1].mark() };
    one.connector.power(&vm, PowerOperation::Stop).await.unwrap();
    drop((one, other));

    // The last one died while writing: half an entry is as if it had never been.
    let journal = directory.path().join("state/inventory.journal");
    assert_eq!(std::fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&journal, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&journal).unwrap();
    std::io::Write::write_all(&mut file, br#"{"tenant":"@","event":{"machine_go"#).unwrap();

    let reborn = daemon();
    let found = reborn.connector.find(&shared_mark("inf")).await.unwrap();
    assert_eq!(found.len(), 499);
    assert!(!found.iter().any(|machine| machine.uid == VmUid("inf-0".into())));
    let observed = reborn.connector.observe(&reborn.location, &ids[1..3]).await.unwrap();
    assert_eq!((observed[0].state, observed[1].state), (PowerState::Stopped, PowerState::Running));
    conformance::launches_fifty_machines(&reborn).await;
    conformance::deletes_what_is_there_and_what_is_not(&reborn).await;
    assert_eq!(
        daemon().connector.find(&shared_mark("inf")).await.unwrap().len(),
        499,
        "what was written after the half entry is read"
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_an_error_and_lines_cannot_name_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let dummy = DummySettings { state_dir: Some(file), socket: None };
    let registry = Registry::new(ConnectorSettings { dummy, ..ConnectorSettings::default() });
    let error = registry.connector(&account(&[])).err().unwrap();
    assert!(error.message.contains("check [Dummy] STATE_DIR"), "{error}");

    let wanted = directory.path().join("wanted");
    let line = account(&[("state_dir", wanted.to_str().unwrap()), ("STATE_DIR", wanted.to_str().unwrap())]);
    let registry = Registry::new(ConnectorSettings::default());
    let subject = subject(registry.connector(&line).unwrap());
    subject.connector.create_vm(&subject.intent("inf", 0)).await.unwrap();
    assert!(!wanted.exists());
}

/// A cloud that makes whatever it is asked to, however often, in a process of its own.
async fn served(directory: &std::path::Path, faults: &str) -> (Registry, Remote) {
    let socket = directory.join("cloud");
    let cloud = Cloud::in_memory(system_clock).with_duplicates();
    let server = server::Server::new(cloud, Faults::parse(faults).unwrap());
    tokio::spawn(server.serve(server::listen(&socket).unwrap()));
    let dummy = DummySettings { state_dir: None, socket: Some(socket.clone()) };
    let retry = crate::layers::RetryPolicy {
        attempts: 100,
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(5),
        ..Default::default()
    };
    (Registry::new(ConnectorSettings { dummy, retry, ..ConnectorSettings::default() }), Remote::new(socket))
}

/// Machines and other resources of all accounts.
async fn holds(cloud: &Remote) -> Held {
    let OrderOutcome::Holds(accounts) = cloud.order(Order::Inspect).await.unwrap() else {
        panic!("not what was asked for")
    };
    let mut held = Held::default();
    for account in accounts {
        held.machines.extend(account.machines);
        held.resources.extend(account.resources);
    }
    held
}

/// A system with a key pair, two volumes and an address, and its networks.
fn demanding() -> radl::Radl {
    radl::Radl::parse(
        "network pub (outbound = 'yes' and provider_id = 'pool' and outports = '80/tcp')
network inner ()
system node (
net_interface.0.connection = 'pub' and
net_interface.1.connection = 'inner' and
disk.0.os.credentials.public_key = 'ssh-ed25519 AAAA' and
disk.1.size = 10 GB and
disk.2.size = 20 GB
)",
    )
    .unwrap()
}

/// Whatever step is the last one of a process, the next one takes it up from there: nothing is made twice, also by a
/// cloud that would, and nothing is left. The cloud loses replies and fails besides.
#[tokio::test]
async fn what_was_begun_is_taken_up_and_all_of_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let (registry, cloud) = served(directory.path(), "lost_reply_rate = 0.2; failure_rate = 0.05; seed = 3").await;
    let connector = registry.connector(&account(&[("username", "u")])).unwrap();
    let document = demanding();
    let subject = Subject::new(connector, document.systems[0].clone(), document.networks);
    // Which process dies is of no importance here.
    let bystander = || std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let shared = subject.shared_intent("inf", &subject.networks);
    for (change, moment) in (1..12).flat_map(|change| [(change, Moment::Before), (change, Moment::After)]) {
        let mut process = bystander();
        let death = Death { pid: process.id().cast_signed(), change, moment };
        cloud.order(Order::Kill(Some(death))).await.unwrap();
        let intent = subject.intent("inf", 0);
        let vm = intent.mark();
        // It dies, so its calls are never heard of again.
        let work = async {
            subject.connector.ensure_shared(&shared).await.unwrap();
            let id = subject.connector.create_vm(&intent).await.unwrap();
            subject.connector.reconcile(&intent, &id).await.unwrap();
        };
        let died = async {
            while process.try_wait().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! { () = work => process.kill().unwrap(), () = died => {} }
        cloud.order(Order::Settle).await.unwrap();
        cloud.order(Order::Kill(None)).await.unwrap();
        if change % 2 == 0 {
            // The next one goes on with it.
            subject.connector.ensure_shared(&shared).await.unwrap();
            let id = subject.connector.create_vm(&intent).await.unwrap();
            subject.connector.reconcile(&intent, &id).await.unwrap();
            let held = holds(&cloud).await;
            let mut names: Vec<_> = held.resources.iter().map(|made| (made.kind, made.name.as_str())).collect();
            names.sort_unstable();
            let expected = [
                (ResourceKind::Network, "inner"),
                (ResourceKind::Network, "pub"),
                (ResourceKind::SecurityGroup, "pub"),
                (ResourceKind::KeyPair, "key"),
                (ResourceKind::Volume, "disk.1"),
                (ResourceKind::Volume, "disk.2"),
                (ResourceKind::Address, "pool"),
            ];
            assert_eq!(names, expected, "{change} {moment:?}");
            let attached = held.resources.iter().filter(|made| made.machine.as_ref() == Some(&id)).count();
            assert_eq!((held.machines.len(), attached), (1, 3), "{change} {moment:?}");
        }
        // What there is of it goes, by the mark alone; the shared part stays until it is its turn.
        subject.connector.delete_vm(&vm).await.unwrap();
        subject.connector.delete_shared(&shared_mark("inf")).await.unwrap();
        let held = holds(&cloud).await;
        assert_eq!(held, Held::default(), "{change} {moment:?}");
        process.wait().unwrap();
    }
}

/// A cloud of its own is like the one inside, tells what it holds, and refuses what it cannot read.
#[tokio::test]
async fn behind_a_socket_it_is_the_same_cloud() {
    let directory = tempfile::tempdir().unwrap();
    let (registry, cloud) = served(directory.path(), "quota = 3").await;
    conformance::keeps_the_quota(&subject(registry.connector(&account(&[])).unwrap()), 3).await;
    cloud.order(Order::Impose(String::new())).await.unwrap();
    let subject = subject(registry.connector(&account(&[])).unwrap());
    conformance::launches_fifty_machines(&subject).await;
    conformance::finds_by_mark_and_keeps_infrastructures_apart(&subject).await;
    conformance::observes_what_exists(&subject).await;
    conformance::changes_power(&subject).await;
    conformance::adds_and_takes_a_public_address(&subject).await;
    conformance::makes_one_machine_when_replies_are_lost(&subject).await;
    assert_eq!(holds(&cloud).await, Held::default());

    for faults in ["latency = 5", "quota", "states = failed"] {
        let refused = cloud.order(Order::Impose(faults.to_owned())).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Invalid, "{refused}");
    }
    let taken = server::listen(&directory.path().join("cloud")).unwrap_err();
    assert!(taken.message.ends_with("another one does already"), "{taken}");
    let nobody = DummySettings { state_dir: None, socket: Some(directory.path().join("nobody")) };
    let lonely = Dummy::new(CloudSite::Remote(Remote::new(nobody.socket.clone().unwrap())), &account(&[])).unwrap();
    assert_eq!(lonely.find(&shared_mark("inf")).await.unwrap_err().class, ErrorClass::Transient);
    let both = DummySettings { state_dir: Some(directory.path().to_owned()), ..nobody };
    let registry = Registry::new(ConnectorSettings { dummy: both, ..ConnectorSettings::default() });
    assert_eq!(registry.connector(&account(&[])).err().unwrap().class, ErrorClass::Invalid);
}

/// Costs that grow with the inventory would show in tens of thousands of machines.
#[tokio::test]
async fn thousands_of_machines_are_cheap() {
    let (cloud, dummy) = in_memory(&[]);
    let subject = subject(dummy.clone());
    let cost = async |number: u32| {
        let intents: Vec<_> = (0..1000).map(|n| subject.intent(&format!("inf-{number}"), n)).collect();
        let start = std::time::Instant::now();
        for intent in &intents {
            dummy.create_vm(intent).await.unwrap();
        }
        start.elapsed()
    };
    for number in 0..20 {
        cost(number).await;
    }
    let created = cost(20).await;
    let start = std::time::Instant::now();
    let found = dummy.find(&shared_mark("inf-3")).await.unwrap();
    assert_eq!(found.len(), 1000);
    for machine in &found {
        dummy.delete_vm(&machine.mark("inf-3")).await.unwrap();
    }
    let deleted = start.elapsed();
    assert_eq!(cloud.inspect(|inventory| inventory.tenant("@").unwrap().len()).unwrap(), 20_000);
    println!("1000 created in {created:?}, found and deleted in {deleted:?}");
    // 20 ms when optimised on an idle machine; a walk through 20 000 machines per call would take seconds.
    assert!(created.max(deleted) < Duration::from_millis(500), "created in {created:?}, deleted in {deleted:?}");
}
