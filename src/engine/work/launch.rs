//! Launching machines: shared resources first, then every machine on its own, then a first look at all of them.

use crate::engine::{
    keeper::handle::Handle,
    secrets,
    services::Services,
    state::model::{Infrastructure, Lifecycle, Vm, WorkKind},
    transitions::{Event, LaunchFailure, NewLogin},
    work::{children::by_cloud, intent, names, refresh},
};
use connectors::{Connector, ConnectorError, ErrorClass, LoginPart, ProviderId, VmIntent};
use futures::{StreamExt, stream};
use std::{collections::BTreeSet, sync::Arc};

/// Launches `vms` of a work and reports each, then its end.
pub async fn run(services: Arc<Services>, handle: Handle, model: Arc<Infrastructure>, work: u64, vms: BTreeSet<u32>) {
    let clouds = by_cloud(&model, vms);
    let launches = clouds.into_iter().map(|(cloud, vms)| launch_in_cloud(&services, &handle, &model, cloud, vms));
    futures::future::join_all(launches).await;
    // The reports are applied in order: behind this one the launched machines are known.
    let known = handle.change(|_| Ok(())).await;
    if known.is_ok() {
        look(&services, &handle, work).await;
    }
    handle.report(Event::LaunchEnded(work));
}

/// The first answer of the clouds, so that a create returns machines whose state is known.
async fn look(services: &Arc<Services>, handle: &Handle, work: u64) {
    let model = handle.snapshot();
    let kind = model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind);
    if let Some(WorkKind::Adding { vms, .. }) = kind {
        refresh::observe(services, handle, &model, vms.iter().copied(), None).await;
    }
}

async fn launch_in_cloud(
    services: &Arc<Services>,
    handle: &Handle,
    model: &Arc<Infrastructure>,
    cloud: String,
    vms: Vec<u32>,
) {
    let Some(first) = vms.first().and_then(|number| model.vm(*number)) else { return };
    // What an earlier daemon asked for may exist already.
    let was_launching = |number: u32| model.vm(number).is_some_and(|vm| vm.lifecycle == Lifecycle::Launching);
    let fail = |vm: u32, refusal: &Refusal, leftover: bool| {
        handle.report(Event::Launched { vm, result: Err(refusal.clone().failure(leftover)) });
    };
    let connector = match services.connector(model.accounts.as_deref(), &first.cloud) {
        Ok(connector) => connector,
        Err(error) => {
            let refusal = Refusal { why: error.message, class: error.class };
            return vms.into_iter().for_each(|vm| fail(vm, &refusal, was_launching(vm)));
        }
    };
    let intent = intent::shared(model, &first.cloud, &vms);
    let alternative = vms.iter().all(|vm| has_alternative(model, *vm));
    let shared = match attempts(services, alternative, || connector.ensure_shared(&intent)).await {
        Ok(shared) => shared,
        Err(refusal) => {
            for vm in vms {
                let leftover = was_launching(vm) && !remove_leftover(services, &connector, model, vm).await;
                fail(vm, &refusal, leftover);
            }
            return;
        }
    };
    handle.report_and_wait(Event::SharedReady { cloud, shared, vms: vms.clone() }).await;
    stream::iter(vms)
        .for_each_concurrent(services.launch_slots(), |number| {
            let (connector, handle) = (&connector, handle);
            async move {
                // It may have been deleted while it waited for its turn.
                let model = handle.snapshot();
                let result = match model.vm(number) {
                    Some(vm) if vm.lifecycle == Lifecycle::Launching => {
                        let span = crate::telemetry::vm_span(&model.id, number);
                        tracing::Instrument::instrument(attempt(services, handle, connector, &model, vm), span).await
                    }
                    _ => Err(deleted(was_launching(number))),
                };
                handle.report(Event::Launched { vm: number, result });
            }
        })
        .await;
}

/// Why something could not be made.
#[derive(Debug, Clone)]
struct Refusal {
    /// What each attempt met, for users.
    why: String,
    /// What the last one met.
    class: ErrorClass,
}

impl Refusal {
    fn failure(self, leftover: bool) -> LaunchFailure {
        LaunchFailure { why: self.why, leftover, may_fit_elsewhere: self.class.may_fit_elsewhere() }
    }
}

/// The end of a machine that was deleted before it was made.
fn deleted(leftover: bool) -> LaunchFailure {
    let why = "it was deleted before it was launched".to_owned();
    LaunchFailure { why, leftover, may_fit_elsewhere: false }
}

/// Launches a machine.
async fn attempt(
    services: &Services,
    handle: &Handle,
    connector: &Arc<dyn Connector>,
    model: &Infrastructure,
    vm: &Vm,
) -> Result<ProviderId, LaunchFailure> {
    let intent = prepare(services, handle, &**connector, model, vm).await?;
    match attempts(services, has_alternative(model, vm.number), || connector.create_vm(&intent)).await {
        Ok(id) => Ok(id),
        Err(refusal) => Err(refusal.failure(!remove_leftover(services, connector, model, vm.number).await)),
    }
}

/// What the cloud is asked for. What the daemon makes of it, and what follows the boot, is stored before.
async fn prepare(
    services: &Services,
    handle: &Handle,
    connector: &dyn Connector,
    model: &Infrastructure,
    vm: &Vm,
) -> Result<VmIntent, LaunchFailure> {
    let fail = |why: String| LaunchFailure { why, leftover: false, may_fit_elsewhere: false };
    let no_system = || fail("its stored document has no system".to_owned());
    let intent = intent::machine(services, model, vm).ok_or_else(no_system)?;
    let lacking = connector.capabilities().first_login.lacks(&intent.login(), intent.guest_os());
    let login = match lacking {
        Some(LoginPart::KeyPair) => {
            // An RSA pair takes a tenth of a second of a processor.
            let kind = services.settings.ssh_key_type;
            let making = tokio::task::spawn_blocking(move || keypair::generate(kind, "imd"));
            let made = making.await.map_err(|error| fail(error.to_string()))?;
            Some(NewLogin::KeyPair(made.map_err(|error| fail(format!("no key pair can be made: {error}")))?))
        }
        Some(LoginPart::Password) => Some(NewLogin::Password(secrets::random_password())),
        None => None,
    };
    let is_named = names::is_to_be_named(services, model, connector, vm);
    let is_completed_after_boot = is_named || connector.is_completed_after_boot(&intent);
    if login.is_none() && !is_completed_after_boot {
        return Ok(intent);
    }
    handle.report_and_wait(Event::Prepared { vm: vm.number, login, is_completed_after_boot }).await;
    let model = handle.snapshot();
    let vm = model.vm(vm.number).filter(|vm| vm.lifecycle == Lifecycle::Launching).ok_or_else(|| deleted(false))?;
    intent::machine(services, &model, vm).ok_or_else(no_system)
}

/// Whether a machine may be made as something else when there is no room for it.
fn has_alternative(model: &Infrastructure, number: u32) -> bool {
    let lists = model.work.iter().filter_map(|work| match &work.kind {
        WorkKind::Adding { alternatives, .. } => Some(alternatives),
        _ => None,
    });
    lists
        .flatten()
        .any(|list| list.vms.contains(&number) && list.taken.get(&number).map_or(0, Vec::len) < list.candidates.len())
}

/// Up to MAX_VM_FAILS attempts; what can never succeed is not tried again, and what may be had elsewhere not where there is an
/// alternative.
///
/// # Errors
/// What each of them met.
async fn attempts<T, F>(services: &Services, alternative: bool, mut call: impl FnMut() -> F) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, ConnectorError>>,
{
    let (mut messages, mut class) = (Vec::new(), ErrorClass::Transient);
    for number in 1..=services.settings.max_vm_fails.max(1) {
        if number > 1 {
            tokio::time::sleep(services.settings.delay_between_retries).await;
        }
        let _call = services.cloud_call().await;
        match call().await {
            Ok(made) => return Ok(made),
            Err(error) => {
                tracing::warn!(attempt = number, class = ?error.class, %error, "launch failed");
                messages.push(format!("Attempt {number}: {}", error.message));
                class = error.class;
                if class.is_final() || alternative && class.may_fit_elsewhere() {
                    break;
                }
            }
        }
    }
    Err(Refusal { why: messages.join("\n"), class })
}

/// A failed launch leaves nothing behind: the reply may have been lost after the work was done, or a part of it was.
/// Whether it is certain that nothing is left.
async fn remove_leftover(
    services: &Services,
    connector: &Arc<dyn Connector>,
    model: &Infrastructure,
    number: u32,
) -> bool {
    let Some(vm) = model.vm(number) else { return true };
    let _call = services.cloud_call().await;
    let removed = connector.delete_vm(&vm.mark(&model.id)).await;
    if let Err(error) = &removed {
        tracing::warn!(vm = number, %error, "what a failed launch left cannot be deleted yet");
    }
    removed.is_ok()
}
