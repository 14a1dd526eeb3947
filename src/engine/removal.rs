//! Deleting machines and shared resources. A deletion is repeated with back-off while the cloud may still give way, and
//! always ends.

use super::{Inner, children::by_cloud, keeper::Handle, model::Infrastructure, transitions::Event};
use connectors::{ConnectorError, ErrorClass};
use futures::{StreamExt, stream};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Rounds of a call before it is given up, with waits of 1, 2, 4, ... seconds between them.
const ROUNDS: u32 = 5;

/// Deletes machines and reports each.
pub async fn delete(inner: Arc<Inner>, handle: Handle, model: Arc<Infrastructure>, numbers: BTreeSet<u32>) {
    let deletions = by_cloud(&model, numbers).into_values().map(|vms| delete_in_cloud(&inner, &handle, &model, vms));
    futures::future::join_all(deletions).await;
}

async fn delete_in_cloud(inner: &Arc<Inner>, handle: &Handle, model: &Arc<Infrastructure>, vms: Vec<u32>) {
    let Some(first) = vms.first().and_then(|number| model.vm(*number)) else { return };
    let connector = match inner.connector(model.credentials.as_deref(), &first.cloud) {
        Ok(connector) => connector,
        Err(error) => {
            for vm in vms {
                handle.report(Event::Deleted { vm, result: Err(error.to_string()) });
            }
            return;
        }
    };
    stream::iter(vms.iter().rev())
        .for_each_concurrent(inner.launch_slots(), |&number| {
            let connector = &connector;
            async move {
                let result = match model.vm(number).map(|vm| vm.mark(&model.id)) {
                    Some(vm) => persist(inner, || connector.delete_vm(&vm)).await,
                    None => Ok(()),
                };
                handle.report(Event::Deleted { vm: number, result: result.map_err(|error| error.message) });
            }
        })
        .await;
}

/// Deletes the shared resources of every cloud the infrastructure used, the images it was to take with it, and reports.
pub async fn delete_shared(inner: Arc<Inner>, handle: Handle, model: Arc<Infrastructure>) {
    let mut clouds: Vec<_> = model.vms.iter().map(|vm| &vm.cloud).collect();
    clouds.sort_by(|a, b| a.id.cmp(&b.id));
    clouds.dedup_by(|a, b| a.id == b.id);
    let mut errors = Vec::new();
    for cloud in clouds {
        let images: Vec<_> = model.snapshots.iter().filter(|(id, _)| *id == cloud.id).collect();
        let unmade: Vec<_> = model.unmade_images.iter().filter(|(id, _)| *id == cloud.id).collect();
        let shared = model.shared.get(&cloud.id);
        if shared.is_none() && images.is_empty() && unmade.is_empty() {
            continue;
        }
        let is_certain = shared.is_some_and(Option::is_some);
        let result = match inner.connector(model.credentials.as_deref(), cloud) {
            Ok(connector) => {
                for (_, url) in images {
                    if let Err(error) = persist(&inner, || connector.delete_image(url)).await {
                        errors.push(format!("image {url}: {error}"));
                    }
                }
                for (_, image) in unmade {
                    if let Err(error) = persist(&inner, || connector.discard_snapshot(image)).await {
                        errors.push(format!("image {}: {error}", image.name));
                    }
                }
                match persist(&inner, || connector.delete_shared(&model.id)).await {
                    // Credentials that were never good made nothing.
                    Err(error) if !is_certain && matches!(error.class, ErrorClass::Auth | ErrorClass::Denied) => Ok(()),
                    result => result.map_err(|error| error.message),
                }
            }
            Err(error) => Err(error.to_string()),
        };
        errors.extend(result.err());
    }
    let result = if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) };
    handle.report(Event::SharedDeleted(result));
}

/// Deletes with [`insist`]; a missing thing is a success.
pub(super) async fn persist<F: Future<Output = Result<(), ConnectorError>>>(
    inner: &Inner,
    call: impl FnMut() -> F,
) -> Result<(), ConnectorError> {
    match insist(inner, call).await {
        Err(error) if error.class == ErrorClass::NotFound => Ok(()),
        result => result,
    }
}

/// Repeats what may still succeed.
pub(super) async fn insist<T, F: Future<Output = Result<T, ConnectorError>>>(
    inner: &Inner,
    call: impl FnMut() -> F,
) -> Result<T, ConnectorError> {
    repeat(inner, ErrorClass::is_final, call).await
}

/// Repeats what is not final.
pub(super) async fn repeat<T, F: Future<Output = Result<T, ConnectorError>>>(
    inner: &Inner,
    is_final: impl Fn(ErrorClass) -> bool,
    mut call: impl FnMut() -> F,
) -> Result<T, ConnectorError> {
    let mut round = 0;
    loop {
        let under_way = inner.cloud_call().await;
        let result = call().await;
        drop(under_way);
        match result {
            Err(error) if !is_final(error.class) && round + 1 < ROUNDS => {
                tracing::warn!(%error, round, "the cloud failed, trying again");
                tokio::time::sleep(Duration::from_secs(1 << round)).await;
                round += 1;
            }
            result => return result,
        }
    }
}
