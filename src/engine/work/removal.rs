//! Deleting machines and shared resources. A deletion is repeated with back-off while the cloud may still give way, and
//! always ends.

use crate::engine::{
    keeper::handle::Handle,
    services::Services,
    state::model::{Infrastructure, Vm},
    transitions::Event,
    work::{
        children::by_cloud,
        names,
        rounds::{insist, persist},
    },
};
use connectors::{Connector, ConnectorError, ErrorClass, InfrastructureMark};
use futures::{StreamExt, stream};
use std::{collections::BTreeSet, sync::Arc};

/// Deletes machines and reports each.
pub async fn delete(services: Arc<Services>, handle: Handle, model: Arc<Infrastructure>, numbers: BTreeSet<u32>) {
    let deletions = by_cloud(&model, numbers).into_values().map(|vms| delete_in_cloud(&services, &handle, &model, vms));
    futures::future::join_all(deletions).await;
}

async fn delete_in_cloud(services: &Arc<Services>, handle: &Handle, model: &Arc<Infrastructure>, vms: Vec<u32>) {
    let Some(first) = vms.first().and_then(|number| model.vm(*number)) else { return };
    let connector = match services.connector(model.accounts.as_deref(), &first.cloud) {
        Ok(connector) => connector,
        Err(error) => {
            for vm in vms {
                handle.report(Event::Deleted { vm, result: Err(error.to_string()) });
            }
            return;
        }
    };
    stream::iter(vms.iter().rev())
        .for_each_concurrent(services.launch_slots(), |&number| {
            let connector = &connector;
            async move {
                let result = match model.vm(number) {
                    Some(vm) => delete_machine(services, &**connector, model, vm).await,
                    None => Ok(()),
                };
                handle.report(Event::Deleted { vm: number, result });
            }
        })
        .await;
}

/// Deletes the records of a machine's names, so that they do not lead to whoever gets its addresses next, and the machine. One
/// that cannot be deleted does not keep the other.
async fn delete_machine(
    services: &Services,
    connector: &dyn Connector,
    model: &Infrastructure,
    vm: &Vm,
) -> Result<(), String> {
    let records = names::delete(services, model, connector, vm).await;
    let mark = vm.mark(&model.id);
    let machine = persist(services, || connector.delete_vm(&mark)).await.map_err(|error| error.message);
    let errors: Vec<String> = [records, machine].into_iter().filter_map(Result::err).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

/// Deletes the shared resources of every cloud the infrastructure used, the images it was to take with it, and reports.
pub async fn delete_shared(services: Arc<Services>, handle: Handle, model: Arc<Infrastructure>) {
    let mut errors = Vec::new();
    for cloud in model.clouds() {
        let images: Vec<_> = model.snapshots.iter().filter(|(key, _)| cloud.is_keyed(key)).collect();
        let unmade: Vec<_> = model.unmade_images.iter().filter(|(key, _)| cloud.is_keyed(key)).collect();
        let shared: Vec<_> = model.shared.iter().filter(|(key, _)| cloud.is_keyed(key)).map(|(_, made)| made).collect();
        let is_certain = shared.iter().any(|made| made.is_some());
        let result = match services.connector(model.accounts.as_deref(), cloud) {
            Ok(connector) => {
                for (_, url) in images {
                    if let Err(error) = persist(&services, || connector.delete_image(url, &cloud.location)).await {
                        errors.push(format!("image {url}: {error}"));
                    }
                }
                for (_, image) in unmade {
                    if let Err(error) = persist(&services, || connector.discard_snapshot(image)).await {
                        errors.push(format!("image {}: {error}", image.name));
                    }
                }
                match delete_marked(&services, &connector, &cloud.mark(&model.id)).await {
                    // Credentials that were never good made nothing.
                    Err(error) if !is_certain && matches!(error.class, ErrorClass::Auth | ErrorClass::Denied) => Ok(()),
                    result => result.map_err(|error| error.message),
                }
            }
            // Nothing was asked of it.
            Err(_) if shared.is_empty() && images.is_empty() && unmade.is_empty() => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        errors.extend(result.err());
    }
    let result = if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) };
    handle.report(Event::SharedDeleted(result));
}

/// Deletes whatever carries the mark of the infrastructure in a cloud, also what nobody here knows of: machines that are in no
/// document that was imported, then what machines share.
async fn delete_marked(
    services: &Services,
    connector: &Arc<dyn Connector>,
    shared: &InfrastructureMark,
) -> Result<(), ConnectorError> {
    for found in insist(services, || connector.find(shared)).await? {
        tracing::warn!(uid = %found.uid, id = %found.id, "deleting a machine that only its mark tells of");
        let mark = found.mark(&shared.infrastructure);
        persist(services, || connector.delete_vm(&mark)).await?;
    }
    persist(services, || connector.delete_shared(shared)).await
}
