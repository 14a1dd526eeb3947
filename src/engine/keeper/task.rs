//! The keeper of an infrastructure: the one task that changes it. It takes commands and reports from a channel, applies
//! them to a draft, stores the draft, publishes it as a snapshot, and only then starts what follows from it.
//!
//! It never waits for a cloud or for Ansible: slow work runs in child tasks that report back.

use crate::{
    engine::{
        keeper::{
            commit_point,
            crew::{Crew, Hire},
            directory::Directory,
            doubt::{self, Doubt, Outcome},
            handle::{Acknowledge, Handle, KeeperId, Message},
            told::Told,
        },
        services::Services,
        state::{
            draft::{Done, Draft, Effect, WorkResult},
            model::Infrastructure,
            rows,
        },
        transitions::{self, Event},
    },
    store::{StoreError, Version},
};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicI64},
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

/// Who waits for the end of a piece of work.
pub type Waiters = HashMap<u64, Vec<oneshot::Sender<WorkResult>>>;

/// A keeper about to run.
pub struct Keeper {
    services: Arc<Services>,
    directory: Arc<Directory>,
    identity: KeeperId,
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
    waiters: Waiters,
    told: Told,
    crew: Box<dyn Crew>,
    /// The last commit, while it is not known whether it took place.
    doubt: Option<Doubt>,
    /// Reports that could not be stored yet.
    backlog: Vec<Report>,
    /// Since when the store takes nothing.
    away_since: Option<Instant>,
}

/// What happened, and who waits until it is durable and learns whether it was still of use.
type Report = (Event, Option<oneshot::Sender<bool>>);

/// What one commit is made of.
struct Turn {
    acknowledgements: Vec<Acknowledge>,
    reports: Vec<Report>,
    /// Whether each report was of use.
    useful: Vec<bool>,
    store_was_away: bool,
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
    services: Arc<Services>,
    directory: Arc<Directory>,
    hire: Hire,
    stored: Stored,
    effects: Vec<Effect>,
    waiters: Waiters,
) -> Handle {
    let Stored { model, version, last_sequence, token } = stored;
    let (sender, mailbox) = mpsc::unbounded_channel();
    let model = Arc::new(model);
    let (snapshot, snapshots) = watch::channel(model.clone());
    let (events, sequences) = watch::channel(last_sequence);
    let asked = Arc::new(AtomicI64::new(services.uptime()));
    let left = CancellationToken::new();
    let handle = Handle { mailbox: sender, snapshot: snapshots, events: sequences, asked, left: left.clone() };
    let identity = handle.keeper();
    let told = Told::of(&model, services.clock());
    let crew = hire(services.clone(), handle.clone(), left.clone());
    let mut keeper = Keeper {
        services,
        directory,
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
        crew,
        doubt: None,
        backlog: Vec::new(),
        away_since: None,
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
            self.crew.start(effect, &self.model);
        }
        self.crew.follow(&self.model);
    }

    async fn run(&mut self) {
        let mut batch = Vec::new();
        while !self.model.deleted && self.receive(&mut batch).await {
            let store_was_away = self.is_behind();
            let in_doubt = match self.settle_doubt().await {
                // The commit cannot be tried before that is known: it is, when this one has failed as well.
                Err(error) if self.doubt.is_some() => Some(error),
                Err(error) => {
                    tell_overtaken(&error);
                    break;
                }
                Ok(()) => None,
            };
            if self.model.deleted {
                break;
            }
            let (draft, turn) = self.apply(&mut batch, store_was_away);
            let committed = match in_doubt {
                Some(error) => Err(error),
                None => self.commit(draft).await,
            };
            if !self.answer(turn, committed) {
                break;
            }
        }
        if self.left.is_cancelled() {
            self.crew.leave();
        } else {
            self.crew.stop();
        }
        self.services.unsaved().remove(&self.model.id);
        self.directory.remove_kept_by(&self.model.id, &self.identity);
    }

    /// Whether something waits for the store.
    fn is_behind(&self) -> bool {
        !self.backlog.is_empty() || self.doubt.is_some()
    }

    /// Waits for messages, or for the time to try again what the store refused; false when the keeper is to end.
    async fn receive(&mut self, batch: &mut Vec<Message>) -> bool {
        if !self.is_behind() {
            return tokio::select! {
                received = self.mailbox.recv_many(batch, BATCH) => received > 0,
                () = self.left.cancelled() => false,
            };
        }
        tokio::select! {
            () = tokio::time::sleep(STORE_RETRY) => {}
            () = self.left.cancelled() => return false,
        }
        while batch.len() < BATCH
            && let Ok(message) = self.mailbox.try_recv()
        {
            batch.push(message);
        }
        true
    }

    /// Applies messages, after the reports that wait, to a draft.
    fn apply(&mut self, batch: &mut Vec<Message>, store_was_away: bool) -> (Draft, Turn) {
        let mut draft = Draft::new(Infrastructure::clone(&self.model), self.services.terms());
        let mut reports = std::mem::take(&mut self.backlog);
        let mut useful: Vec<bool> =
            reports.iter().map(|(event, _)| transitions::apply(&mut draft, event.clone())).collect();
        let mut acknowledgements: Vec<Acknowledge> = Vec::new();
        for message in batch.drain(..) {
            match message {
                Message::Command(apply) => acknowledgements.push(apply(&mut draft)),
                Message::Report(event, reply) => {
                    self.crew.note(&event);
                    useful.push(transitions::apply(&mut draft, event.clone()));
                    reports.push((event, reply));
                }
            }
        }
        (draft, Turn { acknowledgements, reports, useful, store_was_away })
    }

    /// Tells everybody what became of the commit; false when the keeper is to end. Reports that were not stored wait.
    fn answer(&mut self, turn: Turn, committed: Result<(), StoreError>) -> bool {
        let stored = committed.clone();
        for acknowledge in turn.acknowledgements {
            acknowledge(stored.clone());
        }
        let error = match committed {
            Ok(()) => {
                self.away_since = None;
                if turn.store_was_away {
                    tracing::info!("the store is back: everything is stored");
                    self.services.unsaved().remove(&self.model.id);
                }
                for ((_, reply), useful) in turn.reports.into_iter().zip(turn.useful) {
                    if let Some(reply) = reply {
                        let _ = reply.send(useful);
                    }
                }
                return true;
            }
            Err(error @ (StoreError::Stale { .. } | StoreError::NotFound | StoreError::AlreadyExists)) => {
                tell_overtaken(&error);
                if let Some(cluster) = &self.services.cluster {
                    // Whoever wrote holds no lease: it is still ours.
                    cluster.unattended(&self.model.id);
                }
                self.left.cancel();
                return false;
            }
            Err(error) => error,
        };
        if let (StoreError::Fenced, Some(cluster)) = (&error, &self.services.cluster) {
            // Whether another daemon has it now is found out; then this keeper ends.
            cluster.doubt();
        }
        if self.away_since.is_none() {
            tracing::warn!(%error, "the store is away: reads go on, changes are refused");
        }
        self.backlog = turn.reports;
        if self.away_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            self.waiters.clear();
        }
        if let (StoreError::InDoubt(_), Some(doubt)) = (&error, &mut self.doubt) {
            doubt.reports = self.backlog.len();
        }
        if self.is_behind() {
            self.services.unsaved().insert(self.model.id.clone(), error);
        }
        true
    }

    async fn commit(&mut self, mut draft: Draft) -> Result<(), StoreError> {
        if draft.is_dirty() {
            let told = self.told.tell(&mut draft, self.services.clock());
            let mut changes = rows::changes(&draft, self.next_sequence)?;
            changes.lease = self.services.lease(self.token);
            self.services.activity.note();
            commit_point::pass();
            let committed = self.services.store.commit(&self.model.id, self.version, changes).await;
            self.services.note_write(&committed);
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
        self.crew.follow(&self.model);
        self.snapshot.send_replace(self.model.clone());
        if former.owners != self.model.owners {
            self.directory.changed();
        }
        if count > 0 {
            self.events.send_replace(self.next_sequence - 1);
        }
        self.follow_up(waiters, effects, finished);
    }

    fn follow_up(&mut self, waiters: Waiters, effects: Vec<Effect>, finished: Vec<(u64, WorkResult)>) {
        for (work, waiters) in waiters {
            self.waiters.entry(work).or_default().extend(waiters);
        }
        for effect in effects {
            self.crew.start(effect, &self.model);
        }
        if self.model.deleted {
            self.directory.remove(&self.model.id);
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
    async fn settle_doubt(&mut self) -> Result<(), StoreError> {
        let Some(doubt) = self.doubt.take() else { return Ok(()) };
        match doubt::find_out(&self.services, doubt, self.version, self.next_sequence).await {
            Outcome::NotStored => tracing::info!("the commit in doubt did not take place"),
            Outcome::Stored(doubt) => {
                tracing::info!("the commit in doubt took place");
                self.version += 1;
                self.publish(doubt.draft, doubt.told);
                for (_, reply) in self.backlog.drain(..doubt.reports) {
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
}

fn tell_overtaken(error: &StoreError) {
    tracing::error!(%error, "this infrastructure has another keeper now: leaving it");
}
