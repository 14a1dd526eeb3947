//! The model as rows of the store.

use super::{
    draft::Draft,
    misfit::Misfit,
    model::{Infrastructure, Vm},
};
use crate::store::{Changes, IndexRow, StoreError, StoredInfrastructure};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// The changes of a draft; its events are numbered from `first_sequence`.
///
/// # Errors
/// A model that cannot be written as JSON.
pub fn changes(draft: &Draft, first_sequence: u64) -> Result<Changes, StoreError> {
    let model = &draft.model;
    let vms = draft.touched.iter().filter_map(|number| model.vm(*number));
    Ok(Changes {
        infrastructure: draft.infrastructure_touched.then(|| encode(model)).transpose()?,
        owners: draft.infrastructure_touched.then(|| owners(model)),
        deleted: draft.infrastructure_touched.then_some(model.deleted),
        pending: draft.infrastructure_touched.then(|| model.is_pending(draft.terms.awaited_since())),
        vms: vms.map(|vm| Ok((vm.number, encode(vm)?))).collect::<Result<_, StoreError>>()?,
        progress: match &draft.progress {
            None => None,
            Some(None) => Some(None),
            Some(Some(progress)) => Some(Some(encode(progress)?)),
        },
        clear_logs: draft.clear_logs,
        events: draft.events.clone(),
        first_sequence,
        lease: None,
    })
}

/// The index row of a new infrastructure.
#[must_use]
pub fn index_row(draft: &Draft) -> IndexRow {
    let model = &draft.model;
    IndexRow {
        id: model.id.clone(),
        owners: owners(model),
        created: model.created,
        deleted: model.deleted,
        pending: model.is_pending(draft.terms.awaited_since()),
    }
}

/// The model of stored rows, and the progress of its contextualization (null when there is none).
///
/// # Errors
/// Rows that are not of this daemon.
pub fn model(stored: &StoredInfrastructure) -> Result<(Infrastructure, serde_json::Value), StoreError> {
    let mut model: Infrastructure = decode(&stored.infrastructure)?;
    for (number, row) in &stored.vms {
        let mut vm: Vm = decode(row)?;
        if vm.number != *number || model.vms.len() != *number as usize {
            return Err(StoreError::Corrupt(format!("machine {number} of infrastructure {} is missing", model.id)));
        }
        if let Some(previous) = model.vms.last() {
            vm.share(previous);
        }
        model.vms.push(Arc::new(vm));
    }
    let progress = stored.progress.as_deref().map(decode).transpose()?.unwrap_or_default();
    Ok((model, progress))
}

fn owners(model: &Infrastructure) -> Vec<String> {
    model.owners.iter().map(|owner| owner.key.clone()).collect()
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut row =
        serde_json::to_vec(value).map_err(|error| StoreError::Corrupt(format!("a row cannot be written: {error}")))?;
    // A thousand rows may wait together.
    row.shrink_to_fit();
    Ok(row)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    let unreadable = |error| StoreError::Corrupt(format!("a row cannot be read: {}", Misfit::from(error)));
    serde_json::from_slice(bytes).map_err(unreadable)
}
