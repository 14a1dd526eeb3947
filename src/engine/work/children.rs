//! Child tasks of a keeper: all slow work. They start after the commit that decided them and report back.

use crate::engine::{
    keeper::{crew::Crew, handle::Handle},
    services::Services,
    state::{
        draft::Effect,
        model::{Infrastructure, Lifecycle, WorkKind},
    },
    transitions::Event,
    work::{alter, completion, context, launch, placement, refresh, removal, snapshot},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};
use tokio::{sync::Mutex, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Finds the children of a keeper.
pub fn hire(services: Arc<Services>, handle: Handle, left: CancellationToken) -> Box<dyn Crew> {
    let observer = refresh::Observer::new(services.clone(), handle.clone());
    let context = context::Running::default();
    Box::new(Children {
        services,
        handle,
        busy: HashMap::new(),
        turns: HashMap::new(),
        launches: Vec::new(),
        context,
        observer,
        left,
    })
}

/// The children of one keeper.
pub struct Children {
    services: Arc<Services>,
    handle: Handle,
    /// Machines that this process is creating, changing or making images of, and how often: their deletion waits for the
    /// answers.
    busy: HashMap<u32, usize>,
    /// Whose turn it is to change a machine.
    turns: HashMap<u32, Arc<Mutex<()>>>,
    /// Launches that may still make shared resources: their deletion waits for the end.
    launches: Vec<JoinHandle<()>>,
    context: context::Running,
    observer: refresh::Observer,
    /// Another daemon goes on: all tasks end where they are.
    left: CancellationToken,
}

impl Children {
    fn occupy(&mut self, numbers: &BTreeSet<u32>) {
        for number in numbers {
            *self.busy.entry(*number).or_default() += 1;
        }
    }

    fn turn(&mut self, number: u32) -> Arc<Mutex<()>> {
        self.turns.entry(number).or_default().clone()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let left = self.left.clone();
        let task = async move { left.run_until_cancelled(task).await.unwrap_or_default() };
        tokio::spawn(tracing::Instrument::in_current_span(task))
    }
}

impl Crew for Children {
    fn start(&mut self, effect: Effect, snapshot: &Arc<Infrastructure>) {
        let (services, handle, model) = (self.services.clone(), self.handle.clone(), snapshot.clone());
        match effect {
            Effect::Place(work) => drop(self.spawn(placement::place_work(services, handle, model, work))),
            Effect::Launch(work) => {
                let vms = to_launch(&model, work);
                self.occupy(&vms);
                self.launches.retain(|launch| !launch.is_finished());
                let launch = self.spawn(launch::run(services, handle, model, work, vms));
                self.launches.push(launch);
            }
            Effect::Alter(work) => {
                let vms = machine_of(&model, work);
                self.occupy(&vms);
                let turn = vms.first().map(|number| self.turn(*number)).unwrap_or_default();
                drop(self.spawn(alter::run(services, handle, model, work, turn)));
            }
            Effect::Complete(vms) => {
                self.occupy(&vms);
                for number in vms {
                    let (services, handle, turn) = (services.clone(), handle.clone(), self.turn(number));
                    drop(self.spawn(completion::run(services, handle, number, turn)));
                }
            }
            Effect::Snapshot(work) => {
                self.occupy(&machine_of(&model, work));
                drop(self.spawn(snapshot::run(services, handle, model, work)));
            }
            Effect::Delete(mut numbers) => {
                numbers.retain(|number| !self.busy.contains_key(number));
                drop(self.spawn(removal::delete(services, handle, model, numbers)));
            }
            Effect::DeleteShared => {
                let launches = std::mem::take(&mut self.launches);
                drop(self.spawn(async move {
                    futures::future::join_all(launches).await;
                    removal::delete_shared(services, handle, model).await;
                }));
            }
            Effect::Contextualize => self.context.start(services, handle, model),
            Effect::StopContextualization => self.context.stop(),
        }
    }

    fn note(&mut self, event: &Event) {
        if let Event::Launched { vm, .. }
        | Event::Altered { vm, .. }
        | Event::CompletionEnded { vm, .. }
        | Event::SnapshotEnded { vm, .. } = event
            && let Entry::Occupied(mut times) = self.busy.entry(*vm)
        {
            match times.get() {
                0 | 1 => {
                    times.remove();
                    self.turns.remove(vm);
                }
                more => *times.get_mut() = more - 1,
            }
        }
    }

    fn follow(&mut self, snapshot: &Arc<Infrastructure>) {
        self.context.follow(snapshot);
        self.observer.follow(snapshot);
    }

    fn stop(&mut self) {
        self.context.stop();
        self.observer.stop();
    }

    fn leave(&mut self) {
        self.left.cancel();
        self.context.leave();
        self.observer.stop();
    }
}

/// Machines of an adding work that are not launched yet.
fn to_launch(model: &Infrastructure, work: u64) -> BTreeSet<u32> {
    let kind = model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind);
    let Some(WorkKind::Adding { vms, .. }) = kind else { return BTreeSet::new() };
    let waits = |number: &&u32| {
        model.vm(**number).is_some_and(|vm| matches!(vm.lifecycle, Lifecycle::Planned | Lifecycle::Launching))
    };
    vms.iter().filter(waits).copied().collect()
}

/// The machine of a work that changes it or makes an image of it.
fn machine_of(model: &Infrastructure, work: u64) -> BTreeSet<u32> {
    match model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind) {
        Some(WorkKind::Altering { vm, .. } | WorkKind::Snapshotting { vm, .. }) => BTreeSet::from([*vm]),
        _ => BTreeSet::new(),
    }
}

/// Machines by the cloud and account they are in.
#[must_use]
pub fn by_cloud(model: &Infrastructure, numbers: impl IntoIterator<Item = u32>) -> BTreeMap<String, Vec<u32>> {
    let mut clouds: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for number in numbers {
        if let Some(vm) = model.vm(number) {
            clouds.entry(vm.cloud.key()).or_default().push(number);
        }
    }
    clouds
}
