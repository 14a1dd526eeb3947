//! The names of machines in the DNS: their records are made when the addresses are known, follow them, and go with the machine.
//! Records bear no mark, so each is stored with its machine before it is asked for, and until after it is deleted.

use crate::engine::{
    keeper::handle::Handle,
    services::Services,
    state::{
        accounts::Accounts,
        model::{Infrastructure, Lifecycle, Vm},
    },
    transitions::Event,
    work::rounds::persist,
};
use connectors::{
    Connector, ConnectorError,
    dns::{Chain, DnsRecord, Plan},
};
use radl::{System, names::fill_in};

/// Whether somebody makes records of the names of a machine that is about to be made, once its addresses are known.
pub fn is_to_be_named(services: &Services, model: &Infrastructure, connector: &dyn Connector, vm: &Vm) -> bool {
    let Some(system) = named_system(services, vm) else { return false };
    let chain = chain(services, connector, model.accounts.as_deref());
    let names = DnsRecord::names(&system, vm.number, default_domain(services));
    names.iter().any(|name| chain.choose(name).is_some())
}

/// Whether records of a machine that runs are to be made or deleted, and nobody is at that already.
pub fn is_misnamed(
    services: &Services,
    model: &Infrastructure,
    connector: &dyn Connector,
    accounts: &Accounts,
    vm: u32,
) -> bool {
    let Some(vm) = model.vm(vm).filter(|vm| vm.is_running() && !vm.is_to_be_completed()) else { return false };
    let wanted = wanted(services, vm);
    // Most machines have no name in the DNS.
    let has_names = !wanted.is_empty() || !vm.records.is_empty();
    has_names && {
        let chain = chain(services, connector, Some(accounts));
        !Plan::new(&vm.records, wanted, |name| chain.choose(name)).is_done()
    }
}

/// Makes the records of a machine that are missing, then deletes those that are of no use any more. All are tried; the error is
/// the one of the first that failed, final if all of them are.
pub async fn complete(
    services: &Services,
    handle: &Handle,
    connector: &dyn Connector,
    number: u32,
) -> Result<(), ConnectorError> {
    let model = handle.snapshot();
    let Some(vm) = model.vm(number) else { return Ok(()) };
    let chain = chain(services, connector, model.accounts.as_deref());
    let plan = Plan::new(&vm.records, wanted(services, vm), |name| chain.choose(name));
    if plan.is_done() {
        return Ok(());
    }
    let mut kept = plan.entries();
    handle.report_and_wait(Event::Records { vm: number, records: kept.clone() }).await;
    let is_kept = |model: &Infrastructure| {
        model.vm(number).is_some_and(|vm| matches!(vm.lifecycle, Lifecycle::Present(_)) && vm.records == kept)
    };
    if !is_kept(&handle.snapshot()) {
        // It is to be deleted.
        return Ok(());
    }
    let (mut failed, mut refused) = (Vec::new(), Vec::new());
    for entry in kept.iter_mut().take(plan.wanted.len()).filter(|entry| !entry.made) {
        let call = services.cloud_call().await;
        match chain.ensure(&entry.provider, &entry.record).await {
            Ok(()) => entry.made = true,
            Err(error) => {
                if error.class.is_final() && !vm.records.iter().any(|known| known.record == entry.record) {
                    refused.push(entry.record.clone());
                }
                failed.push(error);
            }
        }
        drop(call);
    }
    // What was never asked for before, and was refused, is not there.
    kept.retain(|entry| !refused.contains(&entry.record));
    for entry in plan.stale {
        let call = services.cloud_call().await;
        match chain.delete(&entry.provider, &entry.record).await {
            Ok(()) => kept.retain(|kept| *kept != entry),
            Err(error) => failed.push(error),
        }
        drop(call);
    }
    handle.report_and_wait(Event::Records { vm: number, records: kept }).await;
    let temporary = failed.iter().position(|error| !error.class.is_final());
    match failed.into_iter().nth(temporary.unwrap_or_default()) {
        Some(error) => Err(ConnectorError { message: format!("Error in add DNS entries {}", error.message), ..error }),
        None => Ok(()),
    }
}

/// Deletes all records that were made, or begun, for a machine.
pub async fn delete(
    services: &Services,
    model: &Infrastructure,
    connector: &dyn Connector,
    vm: &Vm,
) -> Result<(), String> {
    let chain = chain(services, connector, model.accounts.as_deref());
    let mut errors = Vec::new();
    for entry in &vm.records {
        match persist(services, || chain.delete(&entry.provider, &entry.record)).await {
            Ok(()) => {}
            Err(error) => errors.push(format!("Error in del DNS entries {}: {}", entry.record, error.message)),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

fn chain<'a>(services: &Services, connector: &'a dyn Connector, accounts: Option<&'a Accounts>) -> Chain<'a> {
    services.registry.record_providers(connector, accounts.into_iter().flat_map(Accounts::iter))
}

/// The records that a machine is to have, as far as its addresses are known.
fn wanted(services: &Services, vm: &Vm) -> Vec<DnsRecord> {
    let system = named_system(services, vm);
    system.map(|system| DnsRecord::all_of(&system, vm.number, default_domain(services))).unwrap_or_default()
}

fn default_domain(services: &Services) -> &str {
    &services.settings.contextualization.default_domain
}

/// The system of a machine with the names that its user asked for: the one that it is called by otherwise is not theirs, and
/// other machines have it as well.
fn named_system(services: &Services, vm: &Vm) -> Option<System> {
    let mut system = vm.info.systems.first()?.clone();
    let default = fill_in(&services.settings.contextualization.default_vm_name, Some(u64::from(vm.number)));
    let feature = "net_interface.0.dns_name";
    let is_requested = vm.requested.systems.first().is_some_and(|system| system.features.has(feature));
    if !is_requested && system.features.text(feature) == Some(default.as_str()) {
        system.features.remove(feature);
    }
    Some(system)
}
