//! Images of disks. One is made like a machine, so that it is written down before; its machine goes after it is made.

use crate::engine::state::{
    draft::{Done, Draft, Effect},
    model::{Lifecycle, Work, WorkKind},
};
use connectors::ImageIntent;
use std::collections::BTreeSet;

/// An image that could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFailure {
    /// Why, for users.
    pub why: String,
    /// Something of it may be left in the cloud.
    pub leftover: bool,
}

/// Starts an image of a disk of a machine that the cloud has; the number of the work.
pub fn snapshot(draft: &mut Draft, vm: u32, image: ImageIntent, auto_delete: bool) -> u64 {
    let work = draft.accept(WorkKind::Snapshotting { vm, image, auto_delete });
    draft.effects.push(Effect::Snapshot(work));
    work
}

pub(super) fn snapshot_ended(draft: &mut Draft, id: u64, vm: u32, result: Result<String, SnapshotFailure>) {
    let work = draft.work(id).cloned();
    let cloud = draft.model.vm(vm).map(|vm| vm.cloud.key());
    if let (Some(Work { kind: WorkKind::Snapshotting { image, auto_delete, .. }, .. }), Some(cloud)) = (work, cloud) {
        match result {
            Ok(url) => {
                if auto_delete {
                    draft.infrastructure().snapshots.push((cloud, url.clone()));
                }
                draft.finish(id, Ok(Done::Image(url)));
            }
            Err(SnapshotFailure { why, leftover }) => {
                if leftover {
                    draft.infrastructure().unmade_images.push((cloud, image));
                }
                draft.finish(id, Err(why));
            }
        }
    }
    if draft.model.vm(vm).is_some_and(|vm| matches!(vm.lifecycle, Lifecycle::Deleting(_))) {
        draft.effects.push(Effect::Delete(BTreeSet::from([vm])));
    }
}
