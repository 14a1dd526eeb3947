//! Changing a machine in its cloud: sizes, disks, public addresses.

use crate::engine::{
    keeper::handle::Handle,
    services::Services,
    state::model::{Infrastructure, Vm, WorkKind},
    transitions::Event,
    work::rounds::insist,
};
use connectors::{Connector, ConnectorError, Resize};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Does what a work asks for, looks at the machine, and reports. It has its turn with other changes of the machine.
pub async fn run(services: Arc<Services>, handle: Handle, model: Arc<Infrastructure>, work: u64, turn: Arc<Mutex<()>>) {
    let kind = model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind);
    let Some(WorkKind::Altering { vm: number, resize, .. }) = kind else { return };
    let Some(vm) = model.vm(*number) else { return };
    let _turn = turn.lock().await;
    let result = match services.connector(model.accounts.as_deref(), &vm.cloud) {
        Ok(connector) => alter(&services, &handle, &*connector, (&model, vm), resize).await,
        Err(error) => Err(error),
    };
    handle.report(Event::Altered { work, vm: *number, result: result.map_err(|error| error.message) });
}

/// A change counts when it was seen: the next one begins from what is known of the machine.
async fn alter(
    services: &Services,
    handle: &Handle,
    connector: &dyn Connector,
    (model, vm): (&Infrastructure, &Vm),
    resize: &Resize,
) -> Result<(), ConnectorError> {
    let mark = vm.mark(&model.id);
    insist(services, || connector.resize(&mark, resize)).await?;
    if let Some(id) = vm.provider_id() {
        let answer = insist(services, || connector.observe(&vm.cloud.location, std::slice::from_ref(id))).await?;
        let is_incomplete = answer.iter().any(|seen| !seen.missing.is_empty());
        handle.report_and_wait(Event::Observed { asked: vec![vm.number], answer: Ok(answer), account: None }).await;
        if is_incomplete {
            handle.report(Event::Incomplete { vms: vec![vm.number], accounts: None });
        }
    }
    Ok(())
}
