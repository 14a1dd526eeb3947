//! Contextualizations: asked for, going on, ended.

use crate::engine::{
    error::OperationError,
    state::{
        draft::{Draft, Effect},
        model::Lifecycle,
    },
};
use contextualization::{Cause, Checkpoint, ErrorCode, Outcome, Report, VmError};
use radl::{Radl, System};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// Starts a contextualization on request, with the changes of a document if there is one.
///
/// # Errors
/// A document that does not fit; nothing is changed then.
pub fn reconfigure(
    draft: &mut Draft,
    document: Option<&Radl>,
    selected: Option<BTreeSet<u32>>,
) -> Result<(), OperationError> {
    if draft.model.is_deleting() {
        return Err(OperationError::Invalid("The infrastructure is being deleted.".to_owned()));
    }
    if let Some(document) = document {
        let radl = radl::merge::reconfigure(&draft.model.radl, document)?;
        draft.infrastructure().radl = Arc::new(radl);
        take_new_credentials(draft, document);
    }
    let notes = notes(draft, document, selected.as_ref());
    draft.start_generation(Cause::Reconfigure, selected);
    for note in notes {
        draft.log(&note);
    }
    Ok(())
}

/// What of the request has no effect, in words.
fn notes(draft: &Draft, document: Option<&Radl>, selected: Option<&BTreeSet<u32>>) -> Vec<String> {
    let mut notes = Vec::new();
    let stored = &draft.model.radl;
    if let Some(document) = document {
        let known: HashSet<&str> = stored.systems.iter().map(|system| system.name.as_str()).collect();
        let systems = document.systems.iter().filter(|new| !known.contains(new.name.as_str()) && !new.reference);
        let known: HashSet<&str> = stored.networks.iter().map(|network| network.id.as_str()).collect();
        let networks = document.networks.iter().filter(|new| !known.contains(new.id.as_str()) && !new.reference);
        let names =
            systems.map(|new| format!("system {}", new.name)).chain(networks.map(|new| format!("network {}", new.id)));
        let names: Vec<String> = names.chain((!document.deploys.is_empty()).then(|| "deploy".to_owned())).collect();
        if !names.is_empty() {
            let names = names.join(", ");
            notes.push(format!("WARNING: reconfiguring makes nothing new: {names} of the document is ignored."));
        }
    }
    let unknown =
        selected.into_iter().flatten().filter(|number| !draft.model.vm(**number).is_some_and(|vm| vm.is_live()));
    let unknown: Vec<String> = unknown.map(u32::to_string).collect();
    if !unknown.is_empty() {
        notes.push(format!("WARNING: there is no VM {} in the infrastructure: ignored.", unknown.join(", ")));
    }
    notes
}

/// New credentials in a document: systems with names and values of the features to set.
pub fn new_credentials(document: &Radl) -> impl Iterator<Item = (&str, Vec<(String, &str)>)> {
    const NEW: [&str; 3] = ["password", "public_key", "private_key"];
    document.systems.iter().map(|system| {
        let names = NEW.iter().map(|key| format!("disk.0.os.credentials.new.{key}"));
        let values = names.filter_map(|name| system.features.text(&name).map(|value| (name, value)));
        (system.name.as_str(), values.collect())
    })
}

/// New credentials of a system go to all its machines, which share them.
fn take_new_credentials(draft: &mut Draft, document: &Radl) {
    let mut machines: HashMap<String, Vec<u32>> = HashMap::new();
    for vm in draft.model.vms.iter().filter(|vm| vm.is_live()) {
        machines.entry(vm.system.clone()).or_default().push(vm.number);
    }
    for (system, values) in new_credentials(document).filter(|(_, values)| !values.is_empty()) {
        let mut last: Option<Arc<Radl>> = None;
        for number in machines.get(system).into_iter().flatten().copied() {
            change_system(draft, number, |system| {
                for (name, value) in &values {
                    system.features.set_text(name, value);
                }
            });
            let Some(vm) = draft.vm(number) else { continue };
            if let Some(last) = &last {
                Arc::make_mut(&mut vm.info).share(last);
            }
            last = Some(vm.info.clone());
        }
    }
}

pub(super) fn change_system(draft: &mut Draft, number: u32, change: impl FnOnce(&mut System)) {
    if let Some(vm) = draft.vm(number)
        && let Some(system) = Arc::make_mut(&mut vm.info).systems.first_mut()
    {
        change(system);
    }
}

fn open_generation(draft: &Draft, number: u64) -> bool {
    draft.model.generation.as_ref().is_some_and(|generation| generation.open && generation.number == number)
}

pub(super) fn context(draft: &mut Draft, generation: u64, entry: Checkpoint) -> bool {
    if !open_generation(draft, generation) {
        return false;
    }
    if let Some(progress) = entry.progress {
        draft.progress = Some(Some(progress));
    }
    for effect in entry.reports {
        match effect {
            Report::InfrastructureLog(line) => draft.log(&line),
            Report::InfrastructureText(text) => draft.log_plain(&text),
            Report::VmLog { vm, text } => draft.log_vm(vm, text),
            Report::VmResult { vm, result } => vm_result(draft, vm, result),
            Report::CredentialsChanged { vm, installed } => {
                let former = draft.model.vm(vm).and_then(|vm| Some(vm.info.systems.first()?.credentials()));
                change_system(draft, vm, |system| system.update_credentials(installed.password, installed.key));
                if let Some((vm, former)) = draft.vm(vm).zip(former) {
                    let password = former.password.filter(|_| installed.password);
                    let replaced = password.into_iter().chain(former.private_key.filter(|_| installed.key));
                    let is_new = |secret: &String| !vm.former_secrets.contains(secret);
                    let replaced: Vec<String> = replaced.filter(is_new).collect();
                    vm.former_secrets.extend(replaced);
                }
            }
            Report::HostKey { vm, key } => {
                if let Some(vm) = draft.vm(vm) {
                    vm.host_key = Some(key);
                }
            }
            Report::ProxyHostKey { vm, key } => {
                if let Some(vm) = draft.vm(vm) {
                    vm.proxy_host_key = Some(key);
                }
            }
            Report::Master { vm } => draft.infrastructure().master = Some(vm),
            Report::AnsibleHostKey { host, key } => {
                draft.infrastructure().ansible_host_keys.insert(host, key);
            }
        }
    }
    true
}

fn vm_result(draft: &mut Draft, number: u32, result: Result<(), VmError>) {
    if let Some(vm) = draft.vm(number) {
        vm.configured = Some(result.is_ok());
        vm.failure = result.err();
    }
}

pub(super) fn context_ended(draft: &mut Draft, number: u64, outcome: Outcome) {
    if outcome == Outcome::Cancelled || !open_generation(draft, number) {
        return;
    }
    let (code, why) = match &outcome {
        Outcome::TimedOut => (ErrorCode::Timeout, "The time for the contextualization is over."),
        Outcome::Failed(why) => (ErrorCode::Internal, why.as_str()),
        Outcome::Done | Outcome::Cancelled => (ErrorCode::Internal, "The contextualization gave no result for it."),
    };
    close(draft, &VmError::new(code, "contextualization", why), outcome == Outcome::Done);
}

/// The daemon stops and takes the contextualization with it.
pub(super) fn context_stopped(draft: &mut Draft) {
    if draft.model.generation.as_ref().is_some_and(|generation| generation.open) {
        let why = "The daemon was stopped during the contextualization.";
        draft.log(why);
        close(draft, &VmError::new(ErrorCode::Cancelled, "contextualization", why), false);
        draft.effects.push(Effect::StopContextualization);
    }
}

/// Ends the generation; machines without a result get this failure.
fn close(draft: &mut Draft, error: &VmError, configured: bool) {
    let undecided: Vec<u32> = draft
        .model
        .vms
        .iter()
        .filter(|vm| matches!(vm.lifecycle, Lifecycle::Present(_)) && vm.configured.is_none())
        .map(|vm| vm.number)
        .collect();
    for number in undecided {
        vm_result(draft, number, Err(error.clone()));
    }
    let infrastructure = draft.infrastructure();
    infrastructure.configured = Some(configured);
    if let Some(generation) = &mut infrastructure.generation {
        generation.open = false;
    }
    draft.progress = Some(None);
}
