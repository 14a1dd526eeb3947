//! The keeper of an infrastructure: the one task that changes it. It takes commands and reports from a channel, applies
//! them to a draft, stores the draft, publishes it as a snapshot, and only then starts what follows from it.
//!
//! It never waits for a cloud or for Ansible: slow work runs in child tasks that report back.

use super::{
    Inner, commit_point,
    doubt::{self, Doubt, Outcome},
    draft::{Done, Draft, Effect, WorkResult},
    error::OperationError,
    model::{Infrastructure, State},
    rows, state,
    transitions::{self, Event},
};
use crate::store::{EventKind, NewEvent, StoreError, Version};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How many messages one commit may hold.
const BATCH: usize = 1024;
/// How long the store may be away until those who wait for the end of a work are told that it cannot be told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Wait between attempts to store reports while the store is away.
const STORE_RETRY: Duration = Duration::from_millis(500);

type Apply = Box<dyn FnOnce(&mut Draft) -> Acknowledge + Send>;
type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a keeper is told.
enum Message {
    /// Refused with the store's error while the store is away.
    Command(Apply),
    /// Applied again until it is stored. The answer says whether it was still of use.
    Report(Event, Option<oneshot::Sender<bool>>),
}

/// The way to a keeper, and what it published last.
#[derive(Clone)]
pub struct Handle {
    mailbox: mpsc::UnboundedSender<Message>,
    snapshot: watch::Receiver<Arc<Infrastructure>>,
    events: watch::Receiver<u64>,
    /// When the clouds were last asked on behalf of a client, microseconds since the start of the daemon.
    asked: Arc<AtomicI64>,
    /// Another daemon keeps it now.
    left: CancellationToken,
}

/// What tells one keeper from another.
pub type Identity = Arc<AtomicI64>;

impl Handle {
    /// Whether this is the way to that keeper.
    #[must_use]
    pub fn is_of(&self, keeper: &Identity) -> bool {
        Arc::ptr_eq(&self.asked, keeper)
    }

    /// Ends the keeper, without ending what runs on machines: another daemon goes on with it.
    pub fn leave(&self) {
        self.left.cancel();
    }

    /// Whether the keeper has ended, or is to.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left.is_cancelled() || self.mailbox.is_closed()
    }

    /// Why a keeper did not answer.
    fn ended(&self) -> OperationError {
        if self.snapshot().deleted { OperationError::DeletedInfrastructure } else { OperationError::Moved }
    }

    /// Whether the clouds are to be asked again; if so, this caller is the one to do it.
    #[must_use]
    pub fn is_due(&self, now: i64, frequency: Duration) -> bool {
        let last = self.asked.load(Ordering::Relaxed);
        let frequency = i64::try_from(frequency.as_micros()).unwrap_or(i64::MAX);
        now.saturating_sub(last) >= frequency
            && self.asked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The state as last stored.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Infrastructure> {
        self.snapshot.borrow().clone()
    }

    /// Follows the state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Infrastructure>> {
        self.snapshot.clone()
    }

    /// Follows the sequence of the last stored event.
    #[must_use]
    pub fn watch_events(&self) -> watch::Receiver<u64> {
        self.events.clone()
    }

    /// Changes the infrastructure; returns when the change is durable.
    ///
    /// # Errors
    /// What `change` refused, with nothing changed; the store; a keeper that ended.
    pub async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Draft) -> Result<T, OperationError> + Send + 'static,
    ) -> Result<T, OperationError> {
        let (reply, answer) = oneshot::channel();
        let apply: Apply = Box::new(move |draft| {
            let result = change(draft);
            Box::new(move |stored| {
                let result = result.and_then(|value| stored.map(|()| value).map_err(OperationError::from));
                // Nobody waits any more: the change stands all the same.
                let _ = reply.send(result);
            })
        });
        self.mailbox.send(Message::Command(apply)).map_err(|_| self.ended())?;
        answer.await.map_err(|_| self.ended())?
    }

    /// As [`Handle::change`] for a change that accepts a work; waits for the end of the work as well.
    ///
    /// # Errors
    /// As there.
    pub async fn change_and_wait(
        &self,
        change: impl FnOnce(&mut Draft) -> Result<u64, OperationError> + Send + 'static,
    ) -> Result<WorkResult, OperationError> {
        let (done, end) = oneshot::channel();
        self.change(move |draft| {
            let work = change(draft)?;
            draft.waiters.entry(work).or_default().push(done);
            Ok(())
        })
        .await?;
        let untold = "the work goes on; its end cannot be told, for it cannot be stored now or the daemon is stopping";
        end.await.map_err(|_| OperationError::InDoubt(untold.to_owned()))
    }

    /// Reports what happened; it is applied sooner or later.
    pub fn report(&self, event: Event) {
        // A keeper that ended has nothing left to learn.
        let _ = self.mailbox.send(Message::Report(event, None));
    }

    /// As [`Handle::report`]; returns when it is durable, and whether it was still of use.
    pub async fn report_and_wait(&self, event: Event) -> bool {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(Message::Report(event, Some(reply))).is_ok() && answer.await.unwrap_or(false)
    }
}

/// A keeper about to run.
pub struct Keeper {
    inner: Arc<Inner>,
    identity: Identity,
    left: CancellationToken,
    /// Of its lease, where several daemons share the store.
    token: Option<u64>,
    /// The state as last stored and published.
    model: Arc<Infrastructure>,
    version: Version,
    next_sequence: u64,
    mailbox: mpsc::UnboundedReceiver<Message>,
    snapshot: watch::Sender<Arc<Infrastructure>>,
    events: watch::Sender<u64>,
    waiters: HashMap<u64, Vec<oneshot::Sender<WorkResult>>>,
    told: Told,
    children: super::children::Children,
    /// The last commit, while it is not known whether it took place.
    doubt: Option<Doubt>,
}

/// The states that the event stream told last.
#[derive(Default)]
pub struct Told {
    infrastructure: Option<State>,
    vms: Vec<State>,
}

/// An infrastructure as the store has it.
pub struct Stored {
    /// Its state.
    pub model: Infrastructure,
    /// Version of the state.
    pub version: Version,
    /// Sequence of its last event.
    pub last_sequence: u64,
    /// Token of the lease it is kept under, where several daemons share the store.
    pub token: Option<u64>,
}

/// Starts the keeper of a stored infrastructure and what must go on with it.
pub fn spawn(
    inner: &Arc<Inner>,
    stored: Stored,
    effects: Vec<Effect>,
    waiters: HashMap<u64, Vec<oneshot::Sender<WorkResult>>>,
) -> Handle {
    let Stored { model, version, last_sequence, token } = stored;
    let (sender, mailbox) = mpsc::unbounded_channel();
    let model = Arc::new(model);
    let (snapshot, snapshots) = watch::channel(model.clone());
    let (events, sequences) = watch::channel(last_sequence);
    let asked = Arc::new(AtomicI64::new(inner.uptime()));
    let (identity, left) = (asked.clone(), CancellationToken::new());
    let handle = Handle { mailbox: sender, snapshot: snapshots, events: sequences, asked, left: left.clone() };
    let clock = inner.clock();
    let told = Told {
        infrastructure: Some(state::infrastructure_state(&model, clock)),
        vms: model.vms.iter().map(|vm| state::vm_state(&model, vm, clock)).collect(),
    };
    let children = super::children::Children::new(inner.clone(), handle.clone(), left.clone());
    let mut keeper = Keeper {
        inner: inner.clone(),
        identity,
        left,
        token,
        model,
        version,
        next_sequence: last_sequence + 1,
        mailbox,
        snapshot,
        events,
        waiters,
        told,
        children,
        doubt: None,
    };
    let span = crate::telemetry::infrastructure_span(&keeper.model.id);
    tokio::spawn(tracing::Instrument::instrument(
        async move {
            keeper.start(effects);
            keeper.run().await;
        },
        span,
    ));
    handle
}

impl Keeper {
    fn start(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.children.start(effect, &self.model);
        }
        self.children.follow(&self.model);
    }

    async fn run(&mut self) {
        let mut batch = Vec::new();
        // Reports that could not be stored yet.
        let mut backlog: Vec<(Event, Option<oneshot::Sender<bool>>)> = Vec::new();
        let mut away_since: Option<Instant> = None;
        while !self.model.deleted {
            if backlog.is_empty() && self.doubt.is_none() {
                let received = tokio::select! {
                    received = self.mailbox.recv_many(&mut batch, BATCH) => received,
                    () = self.left.cancelled() => break,
                };
                if received == 0 {
                    return;
                }
            } else {
                tokio::select! {
                    () = tokio::time::sleep(STORE_RETRY) => {}
                    () = self.left.cancelled() => break,
                }
                while batch.len() < BATCH
                    && let Ok(message) = self.mailbox.try_recv()
                {
                    batch.push(message);
                }
            }
            let store_was_away = !backlog.is_empty() || self.doubt.is_some();
            let in_doubt = match self.settle_doubt(&mut backlog).await {
                // The commit cannot be tried before that is known: it is, when this one has failed as well.
                Err(error) if self.doubt.is_some() => Some(error),
                Err(error) => {
                    self.leave(&error);
                    break;
                }
                Ok(()) => None,
            };
            if self.model.deleted {
                break;
            }
            let mut draft = Draft::new(Infrastructure::clone(&self.model), self.inner.terms());
            let mut acknowledgements: Vec<Acknowledge> = Vec::new();
            let mut reports = std::mem::take(&mut backlog);
            let mut useful = Vec::new();
            for (event, _) in &reports {
                useful.push(transitions::apply(&mut draft, event.clone()));
            }
            for message in batch.drain(..) {
                match message {
                    Message::Command(apply) => acknowledgements.push(apply(&mut draft)),
                    Message::Report(event, reply) => {
                        self.children.note(&event);
                        useful.push(transitions::apply(&mut draft, event.clone()));
                        reports.push((event, reply));
                    }
                }
            }
            let committed = match in_doubt {
                Some(error) => Err(error),
                None => self.commit(draft).await,
            };
            match committed {
                Ok(()) => {
                    away_since = None;
                    if store_was_away {
                        tracing::info!("the store is back: everything is stored");
                        self.inner.unsaved().remove(&self.model.id);
                    }
                    for acknowledge in acknowledgements {
                        acknowledge(Ok(()));
                    }
                    for ((_, reply), useful) in reports.into_iter().zip(useful) {
                        if let Some(reply) = reply {
                            let _ = reply.send(useful);
                        }
                    }
                }
                Err(error @ (StoreError::Stale { .. } | StoreError::NotFound | StoreError::AlreadyExists)) => {
                    self.leave(&error);
                    for acknowledge in acknowledgements {
                        acknowledge(Err(error.clone()));
                    }
                    if let Some(cluster) = &self.inner.cluster {
                        // Whoever wrote holds no lease: it is still ours.
                        cluster.unattended(&self.model.id);
                    }
                    self.left.cancel();
                    break;
                }
                Err(error) => {
                    if let (StoreError::Fenced, Some(cluster)) = (&error, &self.inner.cluster) {
                        // Whether another daemon has it now is found out; then this keeper ends.
                        cluster.doubt();
                    }
                    if away_since.is_none() {
                        tracing::warn!(%error, "the store is away: reads go on, changes are refused");
                    }
                    for acknowledge in acknowledgements {
                        acknowledge(Err(error.clone()));
                    }
                    backlog = reports;
                    if away_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        self.waiters.clear();
                    }
                    if let (StoreError::InDoubt(_), Some(doubt)) = (&error, &mut self.doubt) {
                        doubt.reports = backlog.len();
                    }
                    if !backlog.is_empty() || self.doubt.is_some() {
                        self.inner.unsaved().insert(self.model.id.clone(), error);
                    }
                }
            }
        }
        if self.left.is_cancelled() {
            self.children.leave();
        } else {
            self.children.stop();
        }
        self.inner.unsaved().remove(&self.model.id);
        self.inner.directory.remove_kept_by(&self.model.id, &self.identity);
    }

    async fn commit(&mut self, mut draft: Draft) -> Result<(), StoreError> {
        if draft.is_dirty() {
            let told = self.tell_states(&mut draft);
            let mut changes = rows::changes(&draft, self.next_sequence)?;
            changes.lease = self.inner.lease(self.token);
            self.inner.activity.note();
            commit_point::pass();
            let committed = self.inner.store.commit(&self.model.id, self.version, changes).await;
            self.inner.note_write(&committed);
            match committed {
                Ok(version) => self.version = version,
                Err(error) => {
                    if matches!(error, StoreError::InDoubt(_)) {
                        self.doubt = Some(Doubt { draft, told, reports: 0 });
                    }
                    return Err(error);
                }
            }
            commit_point::pass();
            self.publish(draft, told);
        } else {
            self.follow_up(draft.waiters, draft.effects, draft.finished);
        }
        Ok(())
    }

    /// Publishes what was stored, and starts what follows from it.
    fn publish(&mut self, draft: Draft, told: Told) {
        let count = draft.events.len() as u64;
        self.told = told;
        self.next_sequence += count;
        let Draft { model, waiters, effects, finished, .. } = draft;
        let former = std::mem::replace(&mut self.model, Arc::new(model));
        self.children.follow(&self.model);
        self.snapshot.send_replace(self.model.clone());
        if former.owners != self.model.owners {
            self.inner.directory.changed();
        }
        if count > 0 {
            self.events.send_replace(self.next_sequence - 1);
        }
        self.follow_up(waiters, effects, finished);
    }

    fn follow_up(
        &mut self,
        waiters: HashMap<u64, Vec<oneshot::Sender<WorkResult>>>,
        effects: Vec<Effect>,
        finished: Vec<(u64, WorkResult)>,
    ) {
        for (work, waiters) in waiters {
            self.waiters.entry(work).or_default().extend(waiters);
        }
        for effect in effects {
            self.children.start(effect, &self.model);
        }
        if self.model.deleted {
            self.inner.forget(&self.model.id);
        }
        for (work, result) in finished {
            if let Ok(Done::Forgotten(left)) = &result {
                for what in left {
                    tracing::warn!(inf = %self.model.id, "the infrastructure is forgotten, left in its cloud: {what}");
                }
            }
            for waiter in self.waiters.remove(&work).into_iter().flatten() {
                let _ = waiter.send(result.clone());
            }
        }
    }

    /// Finds out what became of a commit in doubt; if it took place, it is published and its reports are answered.
    async fn settle_doubt(
        &mut self,
        reports: &mut Vec<(Event, Option<oneshot::Sender<bool>>)>,
    ) -> Result<(), StoreError> {
        let Some(doubt) = self.doubt.take() else { return Ok(()) };
        match doubt::find_out(&self.inner, doubt, self.version, self.next_sequence).await {
            Outcome::NotStored => tracing::info!("the commit in doubt did not take place"),
            Outcome::Stored(doubt) => {
                tracing::info!("the commit in doubt took place");
                self.version += 1;
                self.publish(doubt.draft, doubt.told);
                for (_, reply) in reports.drain(..doubt.reports) {
                    if let Some(reply) = reply {
                        let _ = reply.send(true);
                    }
                }
            }
            Outcome::Overtaken(error) => return Err(error),
            Outcome::Unknown(doubt, error) => {
                self.doubt = Some(doubt);
                return Err(error);
            }
        }
        Ok(())
    }

    fn leave(&self, error: &StoreError) {
        tracing::error!(%error, "this infrastructure has another keeper now: leaving it");
    }

    /// Adds an event for every state that changed.
    fn tell_states(&self, draft: &mut Draft) -> Told {
        let clock = self.inner.clock();
        let mut told = Told { infrastructure: self.told.infrastructure, vms: self.told.vms.clone() };
        if draft.touched.is_empty() && !draft.infrastructure_touched {
            return told;
        }
        let mut changed = Vec::new();
        for (index, vm) in draft.model.vms.iter().enumerate() {
            let state = state::vm_state(&draft.model, vm, clock);
            match told.vms.get_mut(index) {
                Some(last) if *last == state => continue,
                Some(last) => *last = state,
                None => told.vms.push(state),
            }
            changed.push((Some(vm.number), state));
        }
        let state = state::infrastructure_state(&draft.model, clock);
        if told.infrastructure != Some(state) {
            told.infrastructure = Some(state);
            changed.push((None, state));
        }
        let at = draft.terms.now;
        let event = |(vm, state): (Option<u32>, State)| NewEvent {
            vm,
            kind: EventKind::State,
            at,
            text: state.name().to_owned(),
        };
        draft.events.extend(changed.into_iter().map(event));
        told
    }
}
