//! Launching machines: shared resources first, then every machine on its own, then a first look at all of them.

use crate::engine::{
    keeper::handle::Handle,
    services::Services,
    state::model::{Infrastructure, Lifecycle, Vm, WorkKind},
    transitions::{Event, LaunchFailure},
    work::{children::by_cloud, refresh, tunnel},
};
use connectors::{Connector, ConnectorError, InfrastructureIntent, ProviderId, UserData, VmIntent};
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
    let fail = |vm: u32, why: &str, leftover: bool| {
        handle.report(Event::Launched { vm, result: Err(LaunchFailure { why: why.to_owned(), leftover }) });
    };
    let connector = match services.connector(model.accounts.as_deref(), &first.cloud) {
        Ok(connector) => connector,
        Err(error) => return vms.into_iter().for_each(|vm| fail(vm, &error.message, was_launching(vm))),
    };
    let networks = used_networks(model, &vms);
    let owners = model.owners.iter().map(|owner| owner.key.clone()).collect();
    let intent = InfrastructureIntent { infrastructure: model.id.clone(), owners, networks };
    let shared = match attempts(services, || connector.ensure_shared(&intent)).await {
        Ok(shared) => shared,
        Err(why) => {
            for vm in vms {
                let leftover = was_launching(vm) && !remove_leftover(services, &connector, model, vm).await;
                fail(vm, &why, leftover);
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
                        tracing::Instrument::instrument(attempt(services, connector, &model, vm), span).await
                    }
                    _ => {
                        let why = "it was deleted before it was launched".to_owned();
                        Err(LaunchFailure { why, leftover: was_launching(number) })
                    }
                };
                handle.report(Event::Launched { vm: number, result });
            }
        })
        .await;
}

/// Launches a machine.
async fn attempt(
    services: &Services,
    connector: &Arc<dyn Connector>,
    model: &Infrastructure,
    vm: &Vm,
) -> Result<ProviderId, LaunchFailure> {
    let Some(intent) = intent(services, model, vm) else {
        return Err(LaunchFailure { why: "its stored document has no system".to_owned(), leftover: false });
    };
    match attempts(services, || connector.create_vm(&intent)).await {
        Ok(id) => Ok(id),
        Err(why) => Err(LaunchFailure { why, leftover: !remove_leftover(services, connector, model, vm.number).await }),
    }
}

/// Up to MAX_VM_FAILS attempts; what can never succeed is not tried again.
///
/// # Errors
/// What each of them met.
async fn attempts<T, F>(services: &Services, mut call: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, ConnectorError>>,
{
    let mut messages = Vec::new();
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
                if error.class.is_final() {
                    break;
                }
            }
        }
    }
    Err(messages.join("\n"))
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

fn intent(services: &Services, model: &Infrastructure, vm: &Vm) -> Option<VmIntent> {
    let system = vm.info.systems.first()?.clone();
    let connected: BTreeSet<&str> = system.interfaces().map(|interface| interface.connection).collect();
    let networks = vm.info.networks.iter().filter(|network| connected.contains(network.id.as_str())).cloned().collect();
    Some(VmIntent {
        infrastructure: model.id.clone(),
        uid: vm.uid.clone(),
        number: vm.number,
        fqdn: services.fqdn(&system, vm.number),
        system,
        networks,
        tags: services.tags(model),
        user_data: user_data(services, model, vm),
    })
}

fn user_data(services: &Services, model: &Infrastructure, vm: &Vm) -> UserData {
    let recipe = model.radl.cloud_init(&vm.system).and_then(|configure| configure.recipe.clone());
    match tunnel::boot_command(services, model, vm) {
        Some(tunnel) => {
            let packages = ["curl", "openssh-client"].map(str::to_owned).to_vec();
            UserData { recipe, packages, commands: vec![tunnel] }
        }
        None => UserData { recipe, ..UserData::default() },
    }
}

fn used_networks(model: &Infrastructure, vms: &[u32]) -> Vec<radl::Network> {
    let systems = vms.iter().filter_map(|number| model.vm(*number)?.info.systems.first());
    let used: BTreeSet<&str> = systems.flat_map(|system| system.interfaces().map(|i| i.connection)).collect();
    model.radl.networks.iter().filter(|network| used.contains(network.id.as_str())).cloned().collect()
}
