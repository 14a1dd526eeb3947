//! The model while a transition changes it: the new state, and a record of what must be stored, told and started.

use crate::{
    engine::state::{
        accounts::Shown,
        model::{Generation, Infrastructure, Prototype, Vm, Work, WorkKind},
        render,
    },
    store::{EventKind, NewEvent},
    telemetry::plain::plain,
};
use contextualization::Cause;
use radl::Radl;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

/// How a piece of work ended: what it was about, or why it failed.
pub type WorkResult = Result<Done, String>;

/// What a piece of work that succeeded was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Machines, by their numbers.
    Machines(Vec<u32>),
    /// An image, by its URL.
    Image(String),
    /// An infrastructure that was forgotten, and what of it the clouds refused to delete.
    Forgotten(Vec<String>),
}

impl Done {
    /// The machines, none of other work.
    #[must_use]
    pub fn machines(self) -> Vec<u32> {
        match self {
            Self::Machines(numbers) => numbers,
            Self::Image(_) | Self::Forgotten(_) => Vec::new(),
        }
    }
}

/// Something to start once the change is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Choose clouds for the document of this work.
    Place(u64),
    /// Launch what is planned or launching in this work, then report its end.
    Launch(u64),
    /// Change the machine of this work.
    Alter(u64),
    /// Make what is missing of these machines, which run.
    Complete(BTreeSet<u32>),
    /// Make the image of this work.
    Snapshot(u64),
    /// Delete these machines in their clouds.
    Delete(BTreeSet<u32>),
    /// Delete the shared resources of all clouds.
    DeleteShared,
    /// Run the open generation.
    Contextualize,
    /// Stop the contextualization: it is of no use any more.
    StopContextualization,
}

/// Options and time a transition may need.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Now by the clock of the host, microseconds since the epoch: what people are told.
    pub now: i64,
    /// Now by the steady clock, seconds since the epoch: what intervals begin and end with.
    pub steady: i64,
    /// MAX_CONTEXTUALIZATION_TIME
    pub max_contextualization: Duration,
    /// WAIT_RUNNING_VM_TIMEOUT: machines that are not up after it are no longer looked at.
    pub wait_running: Duration,
    /// DEFAULT_VM_NAME
    pub default_vm_name: Arc<str>,
    /// Makes up the password of a machine.
    pub new_password: fn() -> String,
}

impl Terms {
    /// Machines made before this and not up yet are not waited for any more, seconds since the epoch.
    #[must_use]
    pub fn awaited_since(&self) -> i64 {
        self.steady.saturating_sub(i64::try_from(self.wait_running.as_secs()).unwrap_or(i64::MAX))
    }
}

/// A model under change.
pub struct Draft {
    /// The new state. Machines are shared with the old one until they are changed.
    pub model: Infrastructure,
    /// Options and time.
    pub terms: Terms,
    /// Effects to start, in order.
    pub effects: Vec<Effect>,
    /// Work that ended.
    pub finished: Vec<(u64, WorkResult)>,
    /// Who waits for the end of a work.
    pub waiters: HashMap<u64, Vec<oneshot::Sender<WorkResult>>>,
    /// New progress of the contextualization; `Some(None)` forgets it.
    pub progress: Option<Option<serde_json::Value>>,
    pub(in crate::engine) touched: BTreeSet<u32>,
    /// How many prototypes are stored already.
    pub(in crate::engine) stored_prototypes: usize,
    pub(in crate::engine) infrastructure_touched: bool,
    pub(in crate::engine) events: Vec<NewEvent>,
    pub(in crate::engine) clear_logs: bool,
}

impl Draft {
    /// Starts from a state.
    #[must_use]
    pub fn new(model: Infrastructure, terms: Terms) -> Self {
        Self {
            stored_prototypes: model.prototypes.len(),
            model,
            terms,
            effects: Vec::new(),
            finished: Vec::new(),
            waiters: HashMap::new(),
            progress: None,
            touched: BTreeSet::new(),
            infrastructure_touched: false,
            events: Vec::new(),
            clear_logs: false,
        }
    }

    /// Whether anything must be stored.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.infrastructure_touched
            || !self.touched.is_empty()
            || !self.events.is_empty()
            || self.clear_logs
            || self.progress.is_some()
    }

    /// Now by the steady clock, seconds since the epoch.
    #[must_use]
    pub const fn seconds(&self) -> i64 {
        self.terms.steady
    }

    /// The infrastructure's own part, to be changed.
    pub fn infrastructure(&mut self) -> &mut Infrastructure {
        self.infrastructure_touched = true;
        &mut self.model
    }

    /// A machine, to be changed.
    pub fn vm(&mut self, number: u32) -> Option<&mut Vm> {
        let vm = self.model.vms.get_mut(usize::try_from(number).ok()?)?;
        self.touched.insert(number);
        Some(Arc::make_mut(vm))
    }

    /// Adds a machine; its number must be the next one.
    pub fn push_vm(&mut self, vm: Vm) {
        self.touched.insert(vm.number);
        self.model.vms.push(Arc::new(vm));
    }

    /// The number of a prototype like this one, if there is one.
    #[must_use]
    pub fn known_prototype(&self, wanted: &Prototype) -> Option<u32> {
        let at = self.model.prototypes.iter().position(|known| **known == *wanted)?;
        u32::try_from(at).ok()
    }

    /// Keeps what machines have in common; returns its number.
    pub fn add_prototype(&mut self, prototype: Prototype) -> u32 {
        self.model.prototypes.push(Arc::new(prototype));
        u32::try_from(self.model.prototypes.len() - 1).unwrap_or(u32::MAX)
    }

    /// Appends text to the log of a machine.
    pub fn log_vm(&mut self, vm: u32, text: impl Into<String>) {
        let event = NewEvent { vm: Some(vm), kind: EventKind::Log, at: self.terms.now, text: text.into() };
        self.events.push(event);
    }

    /// Appends a time-stamped line to the log of the infrastructure.
    pub fn log(&mut self, line: &str) {
        let text = render::log_line(self.terms.now, &plain(line, &['\n', '\t']));
        self.events.push(NewEvent { vm: None, kind: EventKind::Log, at: self.terms.now, text });
    }

    /// Appends text as it is to the log of the infrastructure.
    pub fn log_plain(&mut self, text: &str) {
        let event = NewEvent { vm: None, kind: EventKind::Log, at: self.terms.now, text: text.to_owned() };
        self.events.push(event);
    }

    /// Tells in the log what of a document is probably meant otherwise.
    pub fn warn_of(&mut self, document: &Radl) {
        self.warn(&document.warnings());
    }

    /// Puts warnings into the log of the infrastructure.
    pub fn warn(&mut self, warnings: &[String]) {
        for warning in warnings {
            self.log(&format!("WARNING: {warning}."));
        }
    }

    /// Accepts a work; returns its number.
    pub fn accept(&mut self, kind: WorkKind) -> u64 {
        let infrastructure = self.infrastructure();
        infrastructure.last_work += 1;
        let id = infrastructure.last_work;
        infrastructure.work.push(Work { id, kind, errors: Vec::new() });
        id
    }

    /// Ends a work.
    pub fn finish(&mut self, id: u64, result: WorkResult) {
        self.infrastructure().work.retain(|work| work.id != id);
        self.finished.push((id, result));
    }

    /// The work of this number.
    #[must_use]
    pub fn work(&self, id: u64) -> Option<&Work> {
        self.model.work.iter().find(|work| work.id == id)
    }

    /// Starts a new contextualization of everything; the logs begin anew.
    pub fn start_generation(&mut self, cause: Cause, selected: Option<BTreeSet<u32>>) {
        let max_time = self.model.radl.contextualize.as_ref().map_or(0, |section| section.max_time);
        let limit = match max_time {
            0 => i64::try_from(self.terms.max_contextualization.as_secs()).unwrap_or(i64::MAX),
            seconds => seconds,
        };
        let deadline = self.seconds().saturating_add(limit);
        let number = self.model.generation.as_ref().map_or(1, |generation| generation.number + 1);
        let live: Vec<u32> = self.model.vms.iter().filter(|vm| vm.is_live()).map(|vm| vm.number).collect();
        let infrastructure = self.infrastructure();
        infrastructure.generation = Some(Generation { number, cause, selected, deadline, open: true });
        infrastructure.configured = None;
        for number in live {
            let undecided = self.model.vm(number).is_some_and(|vm| vm.configured.is_none() && vm.failure.is_none());
            if !undecided && let Some(vm) = self.vm(number) {
                vm.configured = None;
                vm.failure = None;
            }
        }
        self.clear_logs = true;
        self.events.retain(|event| event.kind == EventKind::State);
        self.progress = Some(None);
        // The log begins anew, and this still holds.
        let incomplete = self.model.vms.iter().filter_map(|vm| Some((vm.number, vm.completion.line()?)));
        for (number, line) in incomplete.collect::<Vec<_>>() {
            self.log_vm(number, line);
        }
        let document = self.model.radl.clone();
        self.warn_of(&document);
        self.effects.push(Effect::Contextualize);
    }

    /// Keeps what the caller of a change showed, for as long as it is of use.
    pub fn keep(&mut self, shown: &Shown) {
        if !shown.accounts.is_empty() {
            Arc::make_mut(self.infrastructure().accounts.get_or_insert_default()).keep(&shown.accounts);
        }
        if let Some(login) =
            shown.login_for(&self.model.owners).filter(|login| self.model.login.as_ref() != Some(login))
        {
            self.infrastructure().login = Some(login.clone());
        }
        self.release_accounts();
    }

    /// Forgets the accounts of the clouds when nothing is left to do with them.
    pub fn release_accounts(&mut self) {
        if self.model.accounts.is_some() && !self.model.is_pending(self.terms.awaited_since()) {
            self.infrastructure().accounts = None;
        }
    }
}
