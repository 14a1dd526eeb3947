//! Changing a machine in its cloud: sizes and disks.

use super::{
    Inner,
    keeper::Handle,
    model::{Infrastructure, WorkKind},
    refresh,
    removal::insist,
    transitions::Event,
};
use std::sync::Arc;

/// Does what a work asks for, looks at the machine, and reports.
pub async fn run(inner: Arc<Inner>, handle: Handle, model: Arc<Infrastructure>, work: u64) {
    let kind = model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind);
    let Some(WorkKind::Altering { vm: number, resize }) = kind else { return };
    let Some(vm) = model.vm(*number) else { return };
    let result = match inner.connector(model.credentials.as_deref(), &vm.cloud) {
        Ok(connector) => {
            let mark = vm.mark(&model.id);
            insist(&inner, || connector.resize(&mark, resize)).await
        }
        Err(error) => Err(error),
    };
    if result.is_ok() {
        refresh::observe(&inner, &handle, &model, [*number], None).await;
    }
    handle.report(Event::Altered { work, vm: *number, result: result.map_err(|error| error.message) });
}
