//! Asking the clouds how the machines are: in the background while something is expected to change, and when a client
//! asks and the last answer is older than VM_INFO_UPDATE_FREQUENCY.

use crate::engine::{
    keeper::handle::Handle,
    services::Services,
    state::{
        accounts::{Accounts, is_unclaimed},
        model::{Infrastructure, Lifecycle, Vm},
    },
    transitions::Event,
    work::{children::by_cloud, names},
};
use connectors::{Observation, PowerState, ProviderId, account_name};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// First wait between two looks at machines that are coming up; it doubles up to VM_INFO_UPDATE_FREQUENCY.
const FIRST_LOOK: Duration = Duration::from_millis(200);

/// Asks the clouds about these machines, one call per cloud and account, and reports the answers. Without accounts the kept
/// ones are used. Returns when the reports are durable.
pub async fn observe(
    services: &Arc<Services>,
    handle: &Handle,
    model: &Infrastructure,
    numbers: impl IntoIterator<Item = u32>,
    accounts: Option<&Accounts>,
) {
    let asked = numbers
        .into_iter()
        .filter(|number| model.vm(*number).is_some_and(|vm| matches!(vm.lifecycle, Lifecycle::Present(_))));
    let calls = by_cloud(model, asked).into_values().map(|vms| async move {
        let Some(first) = vms.first().and_then(|number| model.vm(*number)) else { return };
        // A caller without the account that made them may read what is known; that says nothing about the cloud.
        let Some(used) = accounts.or(model.accounts.as_deref()) else { return };
        let Ok(account) = used.of(&first.cloud) else { return };
        let Ok(connector) = services.registry.connector(account) else { return };
        let ids: Vec<ProviderId> = vms.iter().filter_map(|number| model.vm(*number)?.provider_id().cloned()).collect();
        let answer = connector.observe(&first.cloud.location, &ids).await;
        let answer = answer.map_err(|error| tracing::warn!(%error, "the cloud did not answer"));
        let mut incomplete = answer.as_ref().map(|seen| incomplete(model, &vms, seen)).unwrap_or_default();
        let answered = if answer.is_ok() { vms.clone() } else { Vec::new() };
        handle.report_and_wait(Event::Observed { asked: vms, answer, account: account_name(account) }).await;
        // Names follow the addresses that are known by now.
        let model = handle.snapshot();
        let unnamed = |vm: &u32| names::is_misnamed(services, &model, &*connector, used, *vm);
        incomplete.extend(answered.into_iter().filter(unnamed));
        if !incomplete.is_empty() {
            let accounts = accounts.map(|shown| Arc::new(shown.clone()));
            handle.report_and_wait(Event::Incomplete { vms: incomplete, accounts }).await;
        }
    });
    futures::future::join_all(calls).await;
}

/// Machines of which something is missing, and which nobody is completing yet.
fn incomplete(model: &Infrastructure, asked: &[u32], seen: &[Observation]) -> Vec<u32> {
    let lacking: HashSet<&ProviderId> =
        seen.iter().filter(|machine| !machine.missing.is_empty()).map(|machine| &machine.id).collect();
    let is_lacking = |number: &&u32| {
        let id = model.vm(**number).filter(|vm| !vm.is_to_be_completed()).and_then(|vm| vm.provider_id());
        id.is_some_and(|id| lacking.contains(id))
    };
    asked.iter().filter(is_lacking).copied().collect()
}

/// Looks at the machines that are coming up until they are up.
pub struct Observer {
    services: Arc<Services>,
    handle: Handle,
    task: Option<JoinHandle<()>>,
}

impl Observer {
    /// Not looking yet.
    #[must_use]
    pub const fn new(services: Arc<Services>, handle: Handle) -> Self {
        Self { services, handle, task: None }
    }

    /// Starts looking when there is something to wait for.
    pub fn follow(&mut self, model: &Infrastructure) {
        let looking = self.task.as_ref().is_some_and(|task| !task.is_finished());
        let since = self.services.terms().awaited_since();
        if !looking && model.accounts.is_some() && coming_up(model, since).next().is_some() {
            let (services, handle) = (self.services.clone(), self.handle.clone());
            self.task = Some(tokio::spawn(tracing::Instrument::in_current_span(look(services, handle))));
        }
    }

    /// Stops looking.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn look(services: Arc<Services>, handle: Handle) {
    let mut wait = FIRST_LOOK;
    loop {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(services.settings.vm_info_update_frequency.max(FIRST_LOOK));
        let model = handle.snapshot();
        let numbers: Vec<u32> = coming_up(&model, services.terms().awaited_since()).collect();
        if numbers.is_empty() || model.accounts.is_none() {
            // With the last one that came up, or was given up, the credentials may go.
            return handle.report(Event::NothingAwaited);
        }
        observe(&services, &handle, &model, numbers, None).await;
    }
}

/// Machines whose next state is a matter of time: not up yet, or up without an address while one is waited for. Without a
/// contextualization those made before `awaited_since` are given up.
fn coming_up(model: &Infrastructure, awaited_since: i64) -> impl Iterator<Item = u32> {
    let open = model.generation.as_ref().is_some_and(|generation| generation.open);
    let waits = move |vm: &&Arc<Vm>| {
        let is_up = || vm.observed.is_some_and(|observed| observed.state == PowerState::Running);
        let is_present = || matches!(vm.lifecycle, Lifecycle::Present(_));
        vm.is_coming_up() && (open || vm.created > awaited_since)
            || open && is_present() && is_up() && lacks_address(vm)
    };
    model.vms.iter().filter(waits).map(|vm| vm.number)
}

fn lacks_address(vm: &Vm) -> bool {
    let Some(system) = vm.info.systems.first() else { return false };
    let mut connected = false;
    for interface in system.interfaces() {
        connected = true;
        if interface.ip.is_none() {
            return true;
        }
    }
    !connected && system.features.text("net_interface.0.ip").is_none()
}

/// Finds out with the accounts that are shown which of them unclaimed machines belong to; the infrastructure as it is
/// known then.
pub async fn claim(
    services: &Arc<Services>,
    handle: &Handle,
    model: Arc<Infrastructure>,
    accounts: &Accounts,
) -> Arc<Infrastructure> {
    let unclaimed: Vec<u32> = model.vms.iter().filter(|vm| is_unclaimed(vm)).map(|vm| vm.number).collect();
    if unclaimed.is_empty() {
        return model;
    }
    observe(services, handle, &model, unclaimed, Some(accounts)).await;
    handle.snapshot()
}
