//! Random scenarios over the simulated cloud, which is slow, fails and loses replies, with a daemon that is killed again
//! and again. `IMD_CRASH_SEEDS` sets how many (12); `IMD_CRASH_SEED` runs one alone. A seed gives the same plan, though
//! not the same moments.

use crate::support::{Answer, Daemon, Setup, path_of};
use connectors::dummy::{Inventory, ResourceKind};
use futures::{FutureExt, StreamExt, future::join_all, stream};
use imd::{
    engine::state::{
        model::{Infrastructure, Lifecycle},
        rows,
    },
    store::{self, Keyring, Store},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::{Method, StatusCode};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Scenarios at the same time: they mostly wait.
const SIDE_BY_SIDE: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_work_survives_random_deaths() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seeds = match number("IMD_CRASH_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("IMD_CRASH_SEEDS").unwrap_or(12)).collect(),
    };
    let runs = seeds.into_iter().map(|seed| async move {
        let result = AssertUnwindSafe(scenario(seed)).catch_unwind().await;
        result.err().map(|_| seed)
    });
    let failed: Vec<u64> =
        stream::iter(runs).buffer_unordered(SIDE_BY_SIDE).filter_map(std::future::ready).collect().await;
    assert!(failed.is_empty(), "failed; to run one of them again: IMD_CRASH_SEED=<seed>, one of {failed:?}");
}

/// What the daemon acknowledged of an infrastructure, which nothing may undo.
#[derive(Debug, Default)]
struct Acknowledged {
    /// How many machines there are, deleted ones too, at least.
    machines: usize,
    removed: BTreeSet<u32>,
    /// URLs.
    images: BTreeSet<String>,
    deleted: bool,
}

/// By the path of the infrastructure.
type Records = Mutex<BTreeMap<String, Acknowledged>>;

async fn scenario(seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    let setup = Setup {
        options: "DELAY_BETWEEN_VM_RETRIES = 0\nMAX_VM_FAILS = 2\nVM_INFO_UPDATE_FREQUENCY = 1".to_owned(),
        clouds: format!(
            "id = dummy; type = Dummy; latency_ms = 1-{}; lost_reply_rate = {:.2}; failure_rate = {:.2}; seed = {seed}",
            chance.random_range(5..80),
            chance.random_range(0.05..0.2),
            chance.random_range(0.0..0.05),
        ),
        ..Setup::default()
    };
    let mut daemon = Daemon::over_dummy(setup);
    let records = Records::default();

    for _ in 0..chance.random_range(3..=5) {
        daemon.start().await;
        let plans: Vec<Plan> = (0..chance.random_range(1..=4)).map(|_| Plan::random(&mut chance, &records)).collect();
        let death = daemon.die_after(Duration::from_millis(chance.random_range(5..900)));
        futures::join!(join_all(plans.iter().map(|plan| plan.follow(&daemon, &records))), death);
        daemon.kill();
    }

    daemon.start().await;
    daemon.until_idle().await;
    let settled = async |daemon: &Daemon| {
        let states = join_all(paths(daemon).await.into_iter().map(|path| async move { daemon.state(&path).await }));
        states.await.iter().all(|state| state != "pending" && state != "deleting")
    };
    daemon.until("settled", settled).await;
    daemon.kill();
    compare(seed, &daemon, &records).await;

    // Deleted from the outside, with the cloud as unreliable as before and one more death.
    daemon.start().await;
    let paths = paths(&daemon).await;
    let death = daemon.die_after(Duration::from_millis(chance.random_range(5..500)));
    let delete = |path: String| daemon.ask(Method::DELETE, path, String::new());
    futures::join!(join_all(paths.iter().cloned().map(&delete)), death);
    daemon.kill();
    daemon.start().await;
    let again = join_all(paths.iter().cloned().map(|path| daemon.ask(Method::DELETE, path, String::new()))).await;
    for answer in again.into_iter().flatten() {
        assert!([StatusCode::OK, StatusCode::NOT_FOUND].contains(&answer.status), "seed {seed}: {answer:?}");
    }
    daemon.kill();
    let (empty, left) = daemon.inspect_dummy(|inventory| (inventory.is_empty(), everything(inventory)));
    assert!(empty, "seed {seed}: the cloud still holds {left}");
    assert!(models(&daemon).await.iter().all(|model| model.deleted), "seed {seed}");
}

fn everything(inventory: &Inventory) -> String {
    let tenants = inventory.tenants().map(|(_, tenant)| {
        let machines = tenant.machines().map(|machine| format!("{}/{}", machine.infrastructure, machine.number));
        let others = tenant.resources().map(|other| format!("{}/{}", other.infrastructure, other.name));
        machines.chain(others).collect::<Vec<_>>().join(" ")
    });
    tenants.collect()
}

async fn paths(daemon: &Daemon) -> Vec<String> {
    daemon.text(Method::GET, "/infrastructures", "").await.lines().map(path_of).collect()
}

/// One thing that a client does, after a while.
#[derive(Debug)]
struct Plan {
    after: Duration,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Create { machines: usize, asynchronous: bool, contextualize: bool },
    Add { path: String, machines: usize, context: bool },
    Remove { path: String, vms: BTreeSet<u32>, context: bool },
    Reconfigure { path: String },
    Power { path: String, operation: &'static str },
    Snapshot { path: String, vm: usize, name: u32 },
    Destroy { path: String, force: bool, asynchronous: bool },
}

impl Plan {
    fn random(chance: &mut StdRng, records: &Records) -> Self {
        let records = records.lock().unwrap();
        let live: Vec<(&String, usize)> = records
            .iter()
            .filter(|(_, record)| !record.deleted)
            .map(|(path, record)| (path, record.machines))
            .collect();
        let choice = if live.is_empty() { 0 } else { chance.random_range(0..14) };
        let mut target = || {
            let (path, machines) = live[chance.random_range(0..live.len())];
            (path.clone(), machines)
        };
        let action = match choice {
            0..=3 => Action::Create {
                machines: chance.random_range(2..=15),
                asynchronous: chance.random(),
                contextualize: chance.random(),
            },
            4 | 5 => {
                let (path, _) = target();
                Action::Add { path, machines: chance.random_range(1..=6), context: chance.random() }
            }
            6 | 7 => {
                let (path, machines) = target();
                let vms = (0..chance.random_range(1..=3)).map(|_| chance.random_range(0..machines) as u32).collect();
                Action::Remove { path, vms, context: chance.random() }
            }
            8 => Action::Reconfigure { path: target().0 },
            9 => Action::Power { path: target().0, operation: if chance.random() { "stop" } else { "start" } },
            10 | 11 => {
                let (path, machines) = target();
                Action::Snapshot { path, vm: chance.random_range(0..machines), name: chance.random() }
            }
            _ => Action::Destroy { path: target().0, force: chance.random(), asynchronous: chance.random() },
        };
        Self { after: Duration::from_millis(chance.random_range(0..200)), action }
    }

    async fn follow(&self, daemon: &Daemon, records: &Records) {
        tokio::time::sleep(self.after).await;
        let (method, path, body) = self.action.request();
        let answer = daemon.ask(method, path, body).await;
        if let Some(Answer { status: StatusCode::OK, text }) = answer {
            self.action.record(&text, &mut records.lock().unwrap());
        }
    }
}

impl Action {
    fn request(&self) -> (Method, String, String) {
        match self {
            Self::Create { machines, asynchronous, contextualize } => {
                (Method::POST, format!("/infrastructures?async={asynchronous}"), document(*machines, *contextualize))
            }
            Self::Add { path, machines, context } => {
                (Method::POST, format!("{path}?context={context}"), document(*machines, true))
            }
            Self::Remove { path, vms, context } => {
                let vms: Vec<String> = vms.iter().map(u32::to_string).collect();
                (Method::DELETE, format!("{path}/vms/{}?context={context}", vms.join(",")), String::new())
            }
            Self::Reconfigure { path } => (Method::PUT, format!("{path}/reconfigure"), String::new()),
            Self::Power { path, operation } => (Method::PUT, format!("{path}/{operation}"), String::new()),
            Self::Snapshot { path, vm, name } => {
                let query = format!("image_name=i{name}&auto_delete=yes");
                (Method::PUT, format!("{path}/vms/{vm}/disks/0/snapshot?{query}"), String::new())
            }
            Self::Destroy { path, force, asynchronous } => {
                (Method::DELETE, format!("{path}?force={force}&async={asynchronous}"), String::new())
            }
        }
    }

    fn record(&self, text: &str, records: &mut BTreeMap<String, Acknowledged>) {
        match self {
            Self::Create { machines, asynchronous, .. } => {
                // Until the clouds are chosen there are no machines yet, but there will be.
                let _ = asynchronous;
                records.entry(path_of(text)).or_default().machines = *machines;
            }
            Self::Add { path, .. } => {
                let numbers = text.lines().filter_map(|uri| uri.rsplit('/').next()?.parse::<usize>().ok());
                let record = records.entry(path.clone()).or_default();
                record.machines = record.machines.max(numbers.max().unwrap() + 1);
            }
            Self::Remove { path, vms, .. } => records.entry(path.clone()).or_default().removed.extend(vms),
            Self::Destroy { path, .. } => records.entry(path.clone()).or_default().deleted = true,
            Self::Snapshot { path, .. } => {
                records.entry(path.clone()).or_default().images.insert(text.trim().to_owned());
            }
            Self::Reconfigure { .. } | Self::Power { .. } => {}
        }
    }
}

fn document(machines: usize, contextualize: bool) -> String {
    let switched_off = if contextualize { "" } else { "contextualize ()" };
    format!(
        "network pub ( outbound = 'yes' )
network inner ()
system node (
net_interface.0.connection = 'pub' and
net_interface.1.connection = 'inner' and
disk.0.image.url = 'mock0://linux.for.ev.er/image1' and
disk.0.os.name = 'linux'
)
{switched_off}
deploy node {machines}
"
    )
}

/// The stored infrastructures, deleted ones too; no daemon may run.
pub async fn models(daemon: &Daemon) -> Vec<Infrastructure> {
    let keyring = Arc::new(Keyring::load(&daemon.key(), None).unwrap());
    let store: Arc<dyn Store> = store::open(daemon.database().to_str().unwrap(), keyring).await.unwrap();
    let mut models = Vec::new();
    for row in store.index().await.unwrap() {
        let stored = store.load(&row.id).await.unwrap().unwrap();
        let model = rows::model(stored).unwrap();
        assert!(!row.pending, "{} is still pending", model.id);
        models.push(model);
    }
    models
}

/// The daemon and the cloud agree, and both with what was acknowledged.
async fn compare(seed: u64, daemon: &Daemon, records: &Records) {
    let models = models(daemon).await;
    let marks =
        daemon.machines_of_dummy().into_iter().map(|m| (m.id.to_string(), (m.infrastructure, m.uid.to_string())));
    let mut machines: HashMap<String, (String, String)> = marks.collect();
    let mut uids = BTreeSet::new();
    for model in &models {
        let id = &model.id;
        assert!(model.work.is_empty() && model.accounts.is_none(), "seed {seed}: {id} has work: {:?}", model.work);
        for vm in &model.vms {
            assert!(uids.insert(vm.uid.to_string()), "seed {seed}: {} is there twice", vm.uid);
            match &vm.lifecycle {
                Lifecycle::Present(provider_id) => {
                    let found = machines.remove(&provider_id.to_string());
                    assert_eq!(found, Some((id.clone(), vm.uid.to_string())), "seed {seed}: {id}/{}", vm.number);
                }
                Lifecycle::Failed { leftover: true, .. } => {
                    machines.retain(|_, (_, uid)| *uid != vm.uid.to_string());
                }
                Lifecycle::Failed { .. } | Lifecycle::Gone => {}
                other => panic!("seed {seed}: {id}/{} rests {other:?}", vm.number),
            }
        }
    }
    assert!(machines.is_empty(), "seed {seed}: nobody knows {machines:?}");
    // Every image is noted once; those of which something may be left are, too.
    let live = || models.iter().filter(|model| !model.deleted);
    let noted = live().flat_map(|model| model.snapshots.iter().map(|(_, url)| url.rsplit('/').next().unwrap()));
    let mut noted: Vec<String> = noted.map(str::to_owned).collect();
    let unmade: BTreeSet<&str> =
        live().flat_map(|model| model.unmade_images.iter().map(|(_, image)| image.name.as_str())).collect();
    let mut images = daemon.inspect_dummy(|inventory| {
        let resources = inventory.tenants().flat_map(|(_, tenant)| tenant.resources());
        resources.filter(|made| made.kind == ResourceKind::Image).map(|image| image.name.clone()).collect::<Vec<_>>()
    });
    images.retain(|name| !unmade.contains(name.as_str()));
    images.sort_unstable();
    noted.sort_unstable();
    assert_eq!(images, noted, "seed {seed}: images in the cloud (left), noted (right)");
    for (path, record) in &*records.lock().unwrap() {
        let model = models.iter().find(|model| path.ends_with(&model.id));
        let model = model.unwrap_or_else(|| panic!("seed {seed}: {path} is lost"));
        assert!(model.deleted || !record.deleted, "seed {seed}: the deletion of {path} is lost");
        assert!(
            model.vms.len() >= record.machines || model.deleted || refused(model),
            "seed {seed}: machines of {path} are lost: {record:?}"
        );
        for url in record.images.iter().filter(|_| !model.deleted) {
            assert!(model.snapshots.iter().any(|(_, noted)| noted == url), "seed {seed}: {path} lost {url}");
        }
        for number in &record.removed {
            let vm = model.vm(*number).unwrap();
            assert_eq!(vm.lifecycle, Lifecycle::Gone, "seed {seed}: {path}/{number}");
        }
    }
    // The journal of the cloud remembers deleted machines too.
    let mut made: HashMap<String, BTreeSet<String>> = HashMap::new();
    for line in daemon.journal_of_dummy().lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        if let machine @ serde_json::Value::Object(_) = &entry["event"]["machine"] {
            made.entry(machine["uid"].to_string()).or_default().insert(machine["id"].to_string());
        }
    }
    assert!(!made.is_empty() || models.is_empty());
    for (uid, ids) in made {
        assert_eq!(ids.len(), 1, "seed {seed}: {uid} was made twice");
    }
}

/// Whether the cloud gave no answer when it was asked for candidates: that ends the creation.
fn refused(model: &Infrastructure) -> bool {
    model.vms.is_empty() && model.configured == Some(false)
}
