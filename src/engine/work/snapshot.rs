//! Making images of disks in clouds.

use crate::engine::{
    keeper::handle::Handle,
    services::Services,
    state::model::{Infrastructure, WorkKind},
    transitions::{Event, SnapshotFailure},
    work::rounds::{persist, repeat},
};
use connectors::{Connector, ErrorClass, ImageIntent, VmMark};
use std::sync::Arc;

/// Makes the image of a work, or finds the one that an earlier attempt made, and reports.
pub async fn run(services: Arc<Services>, handle: Handle, model: Arc<Infrastructure>, work: u64) {
    let kind = model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind);
    let Some(WorkKind::Snapshotting { vm: number, image, .. }) = kind else { return };
    let Some(vm) = model.vm(*number) else { return };
    let mark = vm.mark(&model.id);
    let result = match (services.connector(model.accounts.as_deref(), &vm.cloud), vm.provider_id()) {
        (Ok(connector), Some(_)) => make(&services, &*connector, &mark, image).await,
        // An earlier attempt may have come further.
        (Err(error), _) => Err(SnapshotFailure { why: error.message, leftover: true }),
        (Ok(_), None) => Err(SnapshotFailure { why: "The VM is gone.".to_owned(), leftover: true }),
    };
    handle.report(Event::SnapshotEnded { work, vm: *number, result });
}

async fn make(
    services: &Services,
    connector: &dyn Connector,
    vm: &VmMark,
    image: &ImageIntent,
) -> Result<String, SnapshotFailure> {
    let gives_up = |class: ErrorClass| class.is_final() || class == ErrorClass::Conflict;
    match repeat(services, gives_up, || connector.snapshot(vm, image)).await {
        Ok(url) => Ok(url),
        Err(error) => {
            // The cloud may have made it all the same, and nobody is told of it. Whoever refuses to look for the reason
            // for which it refused to make it has none.
            let discarded = persist(services, || connector.discard_snapshot(image)).await;
            let leftover = discarded.is_err_and(|refusal| !(error.class == ErrorClass::Invalid && refusal == error));
            Err(SnapshotFailure { why: error.message, leftover })
        }
    }
}
