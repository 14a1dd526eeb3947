//! What a store knows of machines that were found by their marks, without an engine.

use crate::{
    engine::state::{
        model::{Lifecycle, Vm},
        rows,
    },
    store::{Store, StoreError},
};
use connectors::VmUid;

/// How a machine, or an infrastructure, stands in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is kept.
    Live,
    /// It was deleted: what is left of it is left over.
    Deleted,
    /// It was exported and given away: others may keep it.
    GivenAway,
    /// There is no record of it.
    Unknown,
}

/// How a machine stands, or the infrastructure as a whole with `uid` none. A cloud whose ids are our marks, as those of
/// the local cloud, also tells by them of machines whose marks were lost on the way here.
///
/// # Errors
/// The store.
pub async fn standing(store: &dyn Store, infrastructure: &str, uid: Option<&VmUid>) -> Result<Standing, StoreError> {
    let loaded = store.load(infrastructure).await.and_then(|stored| stored.map(rows::model).transpose());
    let model = match loaded {
        Ok(Some(model)) => model,
        Ok(None) => return Ok(Standing::Unknown),
        // There is a record, whatever it says: nothing of it may be cleaned.
        Err(StoreError::Corrupt(_)) => return Ok(Standing::Live),
        Err(error) => return Err(error),
    };
    let is_it = |vm: &Vm, uid: &VmUid| vm.uid == *uid || vm.provider_id().is_some_and(|id| id.0 == uid.0);
    let mut vms = model.vms.iter().filter(|vm| uid.is_none_or(|uid| is_it(vm, uid)));
    let has = vms.any(|vm| vm.lifecycle != Lifecycle::Gone);
    Ok(match (model.deleted, uid) {
        (false, None) => Standing::Live,
        (false, Some(_)) if has => Standing::Live,
        // Its machines are gone when it was deleted; one that was given away has them still.
        (true, _) if has => Standing::GivenAway,
        _ => Standing::Deleted,
    })
}
