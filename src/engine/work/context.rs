//! The contextualization of an infrastructure as a child task: facts go in through a channel, steps come back as
//! reports. A new generation waits until the task of the former one has let go.

use crate::engine::{
    keeper::handle::Handle,
    services::Services,
    state::{
        draft::Draft,
        facts::facts,
        model::{Infrastructure, Lifecycle, Vm},
        rows,
    },
    transitions::Event,
};
use async_trait::async_trait;
use connectors::GuestKind;
use contextualization::{
    Checkpoint, Checkpoints, CheckpointsClosed, Job, KeyPair, Report, VmFacts,
    plan::decide::{decide, runs_ansible},
};
use keypair::KeyType;
use radl::Configure;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long a cancelled contextualization may take to end its remote runs.
pub const LET_GO: Duration = Duration::from_secs(15);

/// The running contextualization of a keeper.
#[derive(Default)]
pub struct Running {
    current: Option<Current>,
}

struct Current {
    generation: u64,
    cancel: CancellationToken,
    facts: watch::Sender<Arc<Vec<VmFacts>>>,
    /// The machines that the facts were made of.
    vms: Vec<Arc<Vm>>,
    task: JoinHandle<()>,
}

impl Running {
    /// Runs the open generation of the model; what ran before is cancelled.
    pub fn start(&mut self, services: Arc<Services>, handle: Handle, model: Arc<Infrastructure>) {
        let Some(generation) = model.generation.as_ref().filter(|generation| generation.open) else { return };
        let former = self.current.take();
        if let Some(former) = &former {
            former.cancel.cancel();
        }
        let (facts, watched) = watch::channel(Arc::new(facts(&model)));
        let cancel = CancellationToken::new();
        let number = generation.number;
        let former = former.map(|former| former.task);
        let contexts = services.contexts.clone();
        let task = run(services, handle, number, watched, cancel.clone(), former);
        let span = tracing::info_span!("contextualization", generation = number);
        let task = contexts.spawn(tracing::Instrument::instrument(task, span.or_current()));
        self.current = Some(Current { generation: number, cancel, facts, vms: model.vms.clone(), task });
    }

    /// Tells it of a new state.
    pub fn follow(&mut self, model: &Infrastructure) {
        let Some(current) = &mut self.current else { return };
        let same = current.vms.len() == model.vms.len()
            && current.vms.iter().zip(&model.vms).all(|(former, vm)| Arc::ptr_eq(former, vm));
        if same {
            return;
        }
        current.vms.clone_from(&model.vms);
        let open = |g: &&crate::engine::state::model::Generation| g.open && g.number == current.generation;
        if model.generation.as_ref().filter(open).is_some() {
            let facts = facts(model);
            current.facts.send_if_modified(|last| {
                let changed = **last != facts;
                if changed {
                    *last = Arc::new(facts);
                }
                changed
            });
        }
    }

    /// Ends it here; its remote runs go on, and another daemon follows them.
    pub fn leave(&mut self) {
        if let Some(current) = self.current.take() {
            current.task.abort();
        }
    }

    /// Cancels it: its remote runs end within seconds.
    pub fn stop(&mut self) {
        if let Some(current) = self.current.take() {
            current.cancel.cancel();
        }
    }
}

async fn run(
    services: Arc<Services>,
    handle: Handle,
    generation: u64,
    vms: watch::Receiver<Arc<Vec<VmFacts>>>,
    cancel: CancellationToken,
    former: Option<JoinHandle<()>>,
) {
    if let Some(former) = former
        && tokio::time::timeout(LET_GO, former).await.is_err()
    {
        tracing::warn!("the former contextualization does not end; going on without waiting for it");
    }
    let ended = |outcome| Event::ContextEnded { generation, outcome };
    let journal = Arc::new(KeeperCheckpoints { handle: handle.clone(), generation });
    // Decided before a key pair is made, which takes a tenth of a second of a processor.
    if nobody_can_log_in(&handle.snapshot()) {
        let skipped = journal.record(skip_all(&handle.snapshot())).await;
        let outcome = skipped.map_or(contextualization::Outcome::Cancelled, |()| contextualization::Outcome::Done);
        return handle.report(ended(outcome));
    }
    let job = match job(&services, &handle, generation, vms).await {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(why) => return handle.report(ended(contextualization::Outcome::Failed(why))),
    };
    let owner = handle.snapshot().owners.first().map(|owner| owner.key.clone()).unwrap_or_default();
    let outcome = contextualization::run(job, journal, services.ssh.of(&owner), cancel).await;
    tracing::info!(?outcome, "contextualization ended");
    handle.report(ended(outcome));
}

/// The job of a generation; none when it was superseded meanwhile.
async fn job(
    services: &Arc<Services>,
    handle: &Handle,
    number: u64,
    vms: watch::Receiver<Arc<Vec<VmFacts>>>,
) -> Result<Option<Job>, String> {
    let stored = services.store.load(&handle.snapshot().id).await.map_err(|error| error.to_string())?;
    let progress = match stored {
        Some(stored) => rows::progress(&stored).map_err(|error| error.to_string())?,
        None => return Ok(None),
    };
    let model = handle.snapshot();
    let Some(generation) = model.generation.as_ref().filter(|g| g.open && g.number == number) else {
        return Ok(None);
    };
    // A pair takes a tenth of a second of a processor: it is made where something may use it.
    let ansible_key = if runs_ansible(&model.radl) {
        ansible_key(handle, services.settings.ssh_key_type).await?
    } else {
        KeyPair { private: String::new(), public: String::new() }
    };
    Ok(Some(Job {
        infrastructure: model.id.clone(),
        generation: number,
        cause: generation.cause,
        radl: Arc::new(model.radl.without_internal()),
        vms,
        selected: generation.selected.clone(),
        ansible_key,
        ansible_host_keys: model.ansible_host_keys.clone(),
        exposed_auth: services.exposed_auth(&model),
        notes: lost_user_data(services, &model),
        deadline: tokio::time::Instant::now()
            + Duration::from_secs(u64::try_from(generation.deadline.saturating_sub(services.steady())).unwrap_or(0)),
        progress,
        settings: services.settings.contextualization.clone(),
    }))
}

/// Recipes for cloud-init that the cloud of their machines cannot hand over, in words.
fn lost_user_data(services: &Services, model: &Infrastructure) -> Vec<String> {
    let mut sentences = BTreeSet::new();
    // What a system has is looked up once for all its machines.
    let mut configures: HashMap<&str, Option<&Configure>> = HashMap::new();
    for vm in model.vms.iter().filter(|vm| vm.is_live()) {
        let configure = *configures.entry(&vm.system).or_insert_with(|| model.radl.cloud_init(&vm.system));
        let (Some(configure), Ok(connector)) = (configure, services.connector(model.accounts.as_deref(), &vm.cloud))
        else {
            continue;
        };
        if !connector.capabilities().user_data {
            let (name, kind) = (&configure.name, &vm.cloud.kind);
            sentences.insert(format!(
                "WARNING: machines of the type {kind} take no data for cloud-init: the configure {name} is left out."
            ));
        }
    }
    sentences.into_iter().collect()
}

/// Whether nobody can log in to any machine and there would be something to do on them.
fn nobody_can_log_in(model: &Infrastructure) -> bool {
    let mut live = model.vms.iter().filter(|vm| vm.is_live()).peekable();
    live.peek().is_some()
        && live.all(|vm| !connectors::guests(&vm.cloud.kind).log_in)
        && decide(&model.radl, &facts(model), None).enabled
}

/// Machines that nobody can log in to count as configured at once.
fn skip_all(model: &Infrastructure) -> Checkpoint {
    let mut guests = model.vms.iter().filter(|vm| vm.is_live()).map(|vm| connectors::guests(&vm.cloud.kind).kind);
    let line = match guests.next() {
        Some(GuestKind::Function) => "Functions have no login: there is nothing to configure.",
        Some(GuestKind::Container) => "The containers of this cloud have no login: there is nothing to configure.",
        Some(GuestKind::Machine) | None => "The machines of this cloud are simulated: there is nothing to configure.",
    };
    let line = line.to_owned();
    let present = model.vms.iter().filter(|vm| matches!(vm.lifecycle, Lifecycle::Present(_)));
    let configured = present.map(|vm| Report::VmResult { vm: vm.number, result: Ok(()) });
    Checkpoint { progress: None, reports: std::iter::once(Report::InfrastructureLog(line)).chain(configured).collect() }
}

/// The infrastructure's key pair, made and stored at the first need.
async fn ansible_key(handle: &Handle, kind: KeyType) -> Result<KeyPair, String> {
    if let Some(key) = &handle.snapshot().ansible_key {
        return Ok(key.clone());
    }
    let making = tokio::task::spawn_blocking(move || contextualization::ssh::keys::generate(kind));
    let made = making.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let keep = move |draft: &mut Draft| Ok(draft.infrastructure().ansible_key.get_or_insert(made).clone());
    handle.change(keep).await.map_err(|error| error.to_string())
}

/// The checkpoints of a contextualization: each is a report to the keeper.
struct KeeperCheckpoints {
    handle: Handle,
    generation: u64,
}

#[async_trait]
impl Checkpoints for KeeperCheckpoints {
    async fn record(&self, entry: Checkpoint) -> Result<(), CheckpointsClosed> {
        let event = Event::Context { generation: self.generation, entry };
        if self.handle.report_and_wait(event).await { Ok(()) } else { Err(CheckpointsClosed) }
    }
}
