//! Machines that come: placed, planned, launched.

use crate::engine::{
    error::OperationError,
    state::{
        accounts::Accounts,
        draft::{Done, Draft, Effect},
        facts::facts,
        model::{
            Alternative, Alternatives, CloudRef, Completion, IfAllFail, Infrastructure, Lifecycle, Prototype, Vm, Work,
            WorkKind,
        },
    },
    transitions::{
        contextualizing::change_system,
        deleting::{settle, start_deleting, start_destroying},
    },
};
use connectors::{ProviderId, SharedResources, VmUid};
use contextualization::{Cause, KeyPair, plan::decide::decide};
use radl::{Radl, System};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A machine with its cloud chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedVm {
    /// Its uid.
    pub uid: VmUid,
    /// The concrete system.
    pub system: System,
    /// The system as the user asked for it.
    pub requested: System,
    /// Where it goes.
    pub cloud: Arc<CloudRef>,
    /// Why it cannot be launched at all.
    pub failure: Option<String>,
    /// What it may be made as instead, should there be no room for it; the same for machines that are alike.
    pub alternatives: Arc<Vec<Alternative>>,
}

/// What the choice of clouds gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// Machines, in the order of the deploys.
    pub vms: Vec<PlannedVm>,
    /// Private networks and the clouds they are now bound to.
    pub private_networks: BTreeMap<String, String>,
}

impl Placement {
    /// Why no machine at all can be launched, each reason once; none when one may be, or nothing is asked for.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let whys: Option<BTreeSet<&str>> = self.vms.iter().map(|vm| vm.failure.as_deref()).collect();
        let whys: Vec<&str> = whys?.into_iter().collect();
        (!whys.is_empty()).then(|| format!("Error adding VMs: {}", whys.join("\n")))
    }
}

/// A launch that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchFailure {
    /// Why, for users.
    pub why: String,
    /// Something of it may be left in the cloud.
    pub leftover: bool,
    /// It may be had as another candidate.
    pub may_fit_elsewhere: bool,
}

/// What was made of the first login of a machine.
#[derive(Clone, PartialEq, Eq)]
pub enum NewLogin {
    /// A key pair.
    KeyPair(KeyPair),
    /// A password.
    Password(String),
}

/// It holds a secret.
impl std::fmt::Debug for NewLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KeyPair(_) => "KeyPair",
            Self::Password(_) => "Password",
        })
    }
}

/// Accepts a document whose clouds are still to be chosen among these accounts.
///
/// # Errors
/// The infrastructure is being deleted, or the document does not fit the stored one.
pub fn place(draft: &mut Draft, document: Arc<Radl>, accounts: Arc<Accounts>) -> Result<u64, OperationError> {
    merged(&draft.model, &document)?;
    let work = draft.accept(WorkKind::Placing { document, context: true, accounts });
    draft.effects.push(Effect::Place(work));
    Ok(work)
}

/// Merges a document into the stored one and plans its machines.
///
/// # Errors
/// The infrastructure is being deleted, or the document does not fit the stored one.
pub fn add(
    draft: &mut Draft,
    document: &Radl,
    placement: Placement,
    context: bool,
    if_all_fail: IfAllFail,
) -> Result<u64, OperationError> {
    let radl = merged(&draft.model, document)?;
    let had_deploys = !document.deploys.is_empty();
    let now = draft.seconds();
    let infrastructure = draft.infrastructure();
    infrastructure.radl = Arc::new(radl);
    infrastructure.private_networks.extend(placement.private_networks);
    if placement.vms.is_empty() {
        if infrastructure.configured.is_none() && infrastructure.generation.is_none() {
            infrastructure.configured = Some(false);
        }
        draft.log(if had_deploys {
            "No VMs to deploy. Exiting."
        } else {
            "Infrastructure without any deploy. Exiting."
        });
    }
    draft.warn_of(document);
    let networks = draft.model.radl.networks.clone();
    let first = u32::try_from(draft.model.vms.len()).unwrap_or(u32::MAX);
    let mut numbers = Vec::with_capacity(placement.vms.len());
    let mut last: Option<Alike> = None;
    let mut alternatives: Vec<Alternatives> = Vec::new();
    for (number, planned) in (first..).zip(placement.vms) {
        let alike = match last.take() {
            Some(alike) if alike.is_of(&planned) => alike.with_another(draft),
            _ => Alike::new(&planned, number, &networks, draft),
        };
        let (prototype, documents) = (alike.number, alike.documents.clone());
        last = Some(alike);
        if planned.failure.is_none() {
            // They are made before the first machine is: whoever deletes the infrastructure must know of them.
            draft.infrastructure().shared.entry(planned.cloud.key()).or_default();
        }
        let failed = |why| Lifecycle::Failed { why, leftover: false };
        let lifecycle = planned.failure.map_or(Lifecycle::Planned, failed);
        if lifecycle == Lifecycle::Planned && !planned.alternatives.is_empty() {
            match alternatives.last_mut().filter(|last| Arc::ptr_eq(&last.candidates, &planned.alternatives)) {
                Some(last) => drop(last.vms.insert(number)),
                None => {
                    let (vms, taken) = (BTreeSet::from([number]), BTreeMap::new());
                    alternatives.push(Alternatives { vms, candidates: planned.alternatives, taken });
                }
            }
        }
        numbers.push(number);
        let vm = Vm::planned(number, planned.uid, planned.cloud, documents, now);
        draft.push_vm(Vm { lifecycle, prototype, ..vm });
    }
    let work = draft.accept(WorkKind::Adding { vms: numbers, context, if_all_fail, alternatives });
    draft.effects.push(Effect::Launch(work));
    Ok(work)
}

/// Machines of one deploy, which are alike until their cloud tells them apart. What they share becomes a prototype with the
/// second one.
struct Alike {
    first: u32,
    documents: Prototype,
    number: Option<u32>,
}

impl Alike {
    fn new(planned: &PlannedVm, first: u32, networks: &[radl::Network], draft: &Draft) -> Self {
        let document = |system: &System| {
            Arc::new(Radl { networks: networks.to_vec(), systems: vec![system.clone()], ..Radl::default() })
        };
        let documents = Prototype { info: document(&planned.system), requested: document(&planned.requested) };
        let number = draft.known_prototype(&documents);
        Self { first, documents, number }
    }

    fn is_of(&self, planned: &PlannedVm) -> bool {
        let Prototype { info, requested } = &self.documents;
        info.systems.first() == Some(&planned.system) && requested.systems.first() == Some(&planned.requested)
    }

    fn with_another(mut self, draft: &mut Draft) -> Self {
        if self.number.is_none() {
            self.number = Some(draft.add_prototype(self.documents.clone()));
            if let Some(first) = draft.vm(self.first) {
                first.prototype = self.number;
            }
        }
        self
    }
}

pub(super) fn merged(model: &Infrastructure, document: &Radl) -> Result<Radl, OperationError> {
    if model.deleted || model.is_deleting() {
        return Err(OperationError::Invalid("Infrastructure deleted. Do not add resources.".to_owned()));
    }
    Ok(radl::merge::add_resource(&model.radl, document, &model.private_networks)?.stored)
}

pub(super) fn placed(draft: &mut Draft, id: u64, result: Result<Placement, String>) {
    let Some(Work { kind: WorkKind::Placing { document, context, .. }, .. }) = draft.work(id).cloned() else { return };
    let added = result.and_then(|placement| {
        add(draft, &document, placement, context, IfAllFail::Keep).map_err(|error| error.to_string())
    });
    match added {
        Ok(_) => draft.finish(id, Ok(Done::Machines(Vec::new()))),
        Err(why) => {
            draft.infrastructure().configured = Some(false);
            draft.log(&why);
            draft.finish(id, Err(why));
        }
    }
}

pub(super) fn shared_ready(draft: &mut Draft, cloud: String, shared: SharedResources, vms: &[u32]) {
    if !shared.networks.is_empty() {
        take_shared(Arc::make_mut(&mut draft.infrastructure().radl), &shared);
    }
    // What is one document before it is one afterwards.
    let mut last: Option<(Arc<Radl>, Arc<Radl>)> = None;
    for &number in vms {
        let Some(vm) = draft.vm(number) else { continue };
        if vm.lifecycle == Lifecycle::Planned {
            vm.lifecycle = Lifecycle::Launching;
        }
        if shared.networks.is_empty() {
            continue;
        }
        if let Some((_, after)) = last.as_ref().filter(|(before, _)| Arc::ptr_eq(before, &vm.info)) {
            vm.info = after.clone();
            continue;
        }
        let before = vm.info.clone();
        take_shared(Arc::make_mut(&mut vm.info), &shared);
        last = Some((before, vm.info.clone()));
    }
    // What earlier machines share stays known.
    draft.infrastructure().shared.entry(cloud).or_default().get_or_insert_default().networks.extend(shared.networks);
}

/// Writes what the cloud told of shared networks into a document.
fn take_shared(document: &mut Radl, shared: &SharedResources) {
    for network in &mut document.networks {
        for (name, value) in shared.networks.get(&network.id).into_iter().flat_map(radl::Features::iter) {
            network.features.set(name, value.clone());
        }
    }
}

pub(super) fn launched(draft: &mut Draft, number: u32, result: Result<ProviderId, LaunchFailure>) {
    if let Err(failure) = &result
        && failure.may_fit_elsewhere
        && !failure.leftover
        && take_alternative(draft, number, &failure.why)
    {
        return;
    }
    let Some(vm) = draft.vm(number) else { return };
    match (&vm.lifecycle, result) {
        (Lifecycle::Launching, Ok(id)) => vm.lifecycle = Lifecycle::Present(id),
        (Lifecycle::Launching | Lifecycle::Planned, Err(LaunchFailure { why, leftover, .. })) => {
            let why = format!(
                "Error launching the VMs of type {} to cloud ID {} of type {}. {why}",
                vm.system, vm.cloud.id, vm.cloud.kind
            );
            vm.lifecycle = Lifecycle::Failed { why, leftover };
        }
        // It was to be deleted while the cloud was making it.
        (Lifecycle::Deleting(None), Ok(id)) => {
            vm.lifecycle = Lifecycle::Deleting(Some(id));
            draft.effects.push(Effect::Delete(BTreeSet::from([number])));
        }
        (Lifecycle::Deleting(None), Err(failure)) if failure.leftover => {
            draft.effects.push(Effect::Delete(BTreeSet::from([number])));
        }
        (Lifecycle::Deleting(None), Err(_)) => {
            vm.lifecycle = Lifecycle::Gone;
            settle(draft);
        }
        _ => {}
    }
}

/// Plans a machine for which there is no room as its next candidate. False when there is none.
fn take_alternative(draft: &mut Draft, number: u32, why: &str) -> bool {
    let waits = |vm: &Arc<Vm>| matches!(vm.lifecycle, Lifecycle::Planned | Lifecycle::Launching);
    let Some(vm) = draft.model.vm(number).filter(|vm| waits(vm)).cloned() else { return false };
    let lists = draft.infrastructure().work.iter_mut().filter_map(|work| match &mut work.kind {
        WorkKind::Adding { alternatives, .. } => Some(alternatives),
        _ => None,
    });
    let Some(list) = lists.flatten().find(|list| list.vms.contains(&number)) else { return false };
    let taken = list.taken.entry(number).or_default();
    let Some(next) = list.candidates.get(taken.len()).cloned() else { return false };
    let why = why.lines().last().unwrap_or_default();
    let text = format!(
        "VM {number}: no room in {}, so it is made in {} ({} of {} alternatives). {why}",
        in_words(&vm.cloud),
        in_words(&next.cloud),
        taken.len() + 1,
        list.candidates.len()
    );
    taken.push(text.clone());
    draft.log(&text);
    let infrastructure = draft.infrastructure();
    if !infrastructure.full_clouds.contains(&vm.cloud) {
        infrastructure.full_clouds.push(vm.cloud.clone());
    }
    // What its machines share there is made before the first of them is.
    infrastructure.shared.entry(next.cloud.key()).or_default();
    let mut info = Radl::clone(&vm.info);
    info.systems = vec![next.system];
    if let Some(vm) = draft.vm(number) {
        vm.lifecycle = Lifecycle::Planned;
        vm.completion = Completion::Complete;
        (vm.cloud, vm.info) = (next.cloud, Arc::new(info));
    }
    true
}

/// A cloud in words.
fn in_words(cloud: &CloudRef) -> String {
    if cloud.location.is_whole_cloud() { cloud.id.clone() } else { format!("{} ({})", cloud.id, cloud.location) }
}

pub(super) fn prepared(draft: &mut Draft, number: u32, login: Option<NewLogin>, is_completed_after_boot: bool) {
    let is_launching = |vm: &Arc<Vm>| vm.lifecycle == Lifecycle::Launching;
    if !draft.model.vm(number).is_some_and(is_launching) {
        return;
    }
    if is_completed_after_boot && let Some(vm) = draft.vm(number) {
        vm.completion = Completion::Due { told: None, given_up: false };
    }
    if let Some(login) = login {
        change_system(draft, number, |system| {
            let credentials = system.credentials();
            if credentials.public_key.is_some() || credentials.password.is_some() {
                return;
            }
            let texts = match &login {
                NewLogin::KeyPair(pair) => vec![("public_key", &pair.public), ("private_key", &pair.private)],
                NewLogin::Password(password) => vec![("password", password)],
            };
            for (name, text) in texts {
                system.features.set_text(&format!("disk.0.os.credentials.{name}"), text);
            }
        });
    }
}

pub(super) fn launch_ended(draft: &mut Draft, id: u64) {
    let Some(Work { kind: WorkKind::Adding { vms, context, if_all_fail, alternatives }, .. }) = draft.work(id).cloned()
    else {
        return;
    };
    let waits = |vm: &Arc<Vm>| matches!(vm.lifecycle, Lifecycle::Planned | Lifecycle::Launching);
    if vms.iter().any(|number| draft.model.vm(*number).is_some_and(waits)) {
        // Those that had no room are made as something else.
        draft.effects.push(Effect::Launch(id));
        return;
    }
    let failures: Vec<String> = vms
        .iter()
        .filter_map(|number| match &draft.model.vm(*number)?.lifecycle {
            Lifecycle::Failed { why, .. } => Some(why.clone()),
            _ => None,
        })
        .collect();
    if !vms.is_empty() && failures.len() == vms.len() {
        // Each reason once, as before a launch.
        let reasons: BTreeSet<String> = failures.into_iter().collect();
        let reasons = reasons.into_iter().collect::<Vec<_>>().join("\n");
        let why = format!("Error adding VMs: {reasons}");
        start_deleting(draft, &vms.into_iter().collect());
        if draft.model.live_vms().next().is_none() {
            draft.infrastructure().configured = Some(false);
        }
        draft.log(&format!("All VMs failed. No contextualize.\n{reasons}"));
        draft.finish(id, Err(why));
        if if_all_fail == IfAllFail::Destroy {
            start_destroying(draft, true);
        }
        return;
    }
    let contextualized = participants(&draft.model);
    for &number in vms.iter().filter(|number| contextualized.contains(number)) {
        give_new_password(draft, number);
    }
    draft.finish(id, Ok(Done::Machines(vms.clone())));
    if context && !vms.is_empty() {
        draft.start_generation(Cause::Add, None);
        // The log begins anew, and this still holds.
        for text in alternatives.iter().flat_map(|list| list.taken.values().flatten()) {
            draft.log(text);
        }
    }
}

/// The machines that a contextualization would touch now.
fn participants(model: &Infrastructure) -> BTreeSet<u32> {
    let decision = decide(&model.radl, &facts(model), None);
    if decision.enabled { decision.participants } else { BTreeSet::new() }
}

/// A machine that logs in with the password of its image gets one of its own (docs/spec/radl.md 15, AddResource 7).
fn give_new_password(draft: &mut Draft, number: u32) {
    let Some(vm) = draft.model.vm(number) else { return };
    let Some(system) = vm.info.systems.first() else { return };
    let wants = vm.is_live()
        && !matches!(vm.lifecycle, Lifecycle::Failed { .. })
        && system.credentials().password.is_some()
        && system.new_credentials().password.is_none();
    if wants {
        let password = (draft.terms.new_password)();
        change_system(draft, number, |system| {
            system.features.set_text("disk.0.os.credentials.new.password", &password);
        });
    }
}
