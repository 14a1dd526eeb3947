//! From the model to the document of an export.

use crate::engine::{
    error::OperationError,
    exchange::record::{CLOUD_EXTRA, CloudRecord, InClouds, InfrastructureRecord, VmRecord},
    state::{
        model::{CloudRef, Infrastructure, Lifecycle, Vm},
        render,
        states::{self, Clock},
    },
};
use radl::Radl;
use serde_json::{Map, Value};
use std::{collections::HashMap, sync::Arc};

/// Bytes of the documents of all machines, which an export tells for each.
#[must_use]
pub fn size(model: &Infrastructure) -> usize {
    let mut last: Option<(Arc<Radl>, usize)> = None;
    let mut requested = |vm: &Vm| match &last {
        Some((known, size)) if Arc::ptr_eq(known, &vm.requested) => *size,
        _ => last.insert((vm.requested.clone(), vm.requested.to_text().len())).1,
    };
    model.vms.iter().map(|vm| vm.info.to_text().len() + requested(vm)).sum()
}

/// The document of an infrastructure with its log and those of its machines.
///
/// # Errors
/// A text that could not be read again.
pub fn record(
    model: &Infrastructure,
    header: String,
    logs: &HashMap<u32, String>,
    clock: Clock,
) -> Result<InfrastructureRecord, OperationError> {
    let text = |radl: &Radl| radl.to_parsable_text().map_err(|error| OperationError::Invalid(error.to_string()));
    let vms = model.vms.iter().map(|vm| {
        let state = states::vm_state(model, vm, clock);
        let failure = match &vm.lifecycle {
            Lifecycle::Failed { why, .. } => Some(why.clone()),
            _ => None,
        };
        let mut foreign = vm.foreign.as_deref().cloned().unwrap_or_default();
        let mut cloud = cloud(&vm.cloud);
        if let Some(Value::Object(extra)) = foreign.shift_remove(CLOUD_EXTRA) {
            cloud.extra = extra;
        }
        Ok(VmRecord {
            id: vm.provider_id().map(ToString::to_string),
            im_id: vm.number,
            creation_im_id: Some(vm.number),
            state: state.name().to_owned(),
            destroy: vm.lifecycle == Lifecycle::Gone,
            deleting: matches!(vm.lifecycle, Lifecycle::Deleting(_)),
            creating: matches!(vm.lifecycle, Lifecycle::Planned | Lifecycle::Launching),
            last_update: clock.now,
            creation_date: Some(vm.created),
            cloud,
            info: text(&render::vm_info(vm, state))?,
            requested_radl: text(&vm.requested)?,
            cont_out: Some(logs.get(&vm.number).cloned().unwrap_or_default()),
            error_msg: failure,
            configured: vm.configured,
            ctxt_pid: None,
            ssh_connect_errors: 0,
            uid: Some(vm.uid.clone()),
            dns_records: vm.records.clone(),
            extra: foreign,
        })
    });
    Ok(InfrastructureRecord {
        id: model.id.clone(),
        vm_list: vms.collect::<Result<_, OperationError>>()?,
        auth: model.owners.iter().map(|owner| owner_item(&owner.username)).collect(),
        radl: text(&model.radl)?,
        private_networks: model.private_networks.clone(),
        system_counter: 0,
        deleted: false,
        vm_master: model.master,
        vm_id: 0,
        cont_out: header,
        ansible_configured: model.generation.as_ref().map(|generation| !generation.open),
        configured: model.configured,
        extra_info: model.extra_info.clone(),
        snapshots: model.snapshots.iter().map(|(_, url)| url.clone()).collect(),
        creation_date: Some(model.created),
        in_clouds: Some(InClouds {
            shared: model.shared.clone(),
            images: model.snapshots.clone(),
            unmade_images: model.unmade_images.clone(),
            full_clouds: model.full_clouds.clone(),
        }),
    })
}

fn owner_item(username: &str) -> Map<String, Value> {
    let pairs = [("type", "InfrastructureManager"), ("username", username)];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
}

fn cloud(cloud: &CloudRef) -> CloudRecord {
    CloudRecord {
        id: cloud.id.clone(),
        kind: cloud.kind.clone(),
        server: cloud.endpoint.server.clone(),
        port: cloud.endpoint.port.map_or(-1, i64::from),
        protocol: cloud.endpoint.protocol.clone(),
        path: cloud.endpoint.path.clone(),
        location: cloud.location.clone(),
        extra: Map::new(),
    }
}
