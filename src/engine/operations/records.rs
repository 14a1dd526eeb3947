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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        engine::{exchange::stored::to_rows, misfit},
        store::{self, Changes, Keyring},
    };
    use serde_json::json;
    use std::sync::Arc;

    /// The rows of an infrastructure with a machine that is kept (0), and one that is gone (1).
    fn rows_of(id: &str, damage: impl FnOnce(&mut Changes)) -> (crate::store::IndexRow, Changes) {
        let machine = |number: u32, is_gone: bool| {
            json!({
                "id": format!("node-{number}"), "im_id": number, "uid": format!("uid-{number}"), "destroy": is_gone,
                "cloud": {"type": "Local"}, "info": "system s ()",
            })
        };
        let vms = [machine(0, false), machine(1, true)];
        let record = misfit::typed(json!({"id": id, "radl": "", "cont_out": "", "vm_list": vms})).unwrap();
        let (index, mut changes) = to_rows(record, Vec::new(), 0).unwrap();
        damage(&mut changes);
        (index, changes)
    }

    #[tokio::test]
    async fn what_belongs_to_a_damaged_row_is_taken_for_live() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("im.dat").display());
        let store = store::open(&url, Arc::new(Keyring::new([7; 32], &[]))).await.unwrap();
        let ids = ["whole", "machine", "infrastructure"];
        for (index, changes) in [
            rows_of(ids[0], |_| {}),
            rows_of(ids[1], |changes| changes.vms[1].1 = b"{}".to_vec()),
            rows_of(ids[2], |changes| changes.infrastructure = Some(b"damaged".to_vec())),
        ] {
            store.create(index, changes).await.unwrap();
        }
        let of = async |id: &str, uid: Option<&str>| {
            let uid = uid.map(|uid| VmUid(uid.to_owned()));
            standing(&*store, id, uid.as_ref()).await.unwrap()
        };
        let known = [of(ids[0], None).await, of(ids[0], Some("uid-0")).await, of(ids[0], Some("node-0")).await];
        assert_eq!(known, [Standing::Live; 3]);
        let gone = [of(ids[0], Some("uid-1")).await, of(ids[0], Some("another")).await];
        assert_eq!(gone, [Standing::Deleted; 2]);
        assert_eq!(of("nowhere", Some("uid-0")).await, Standing::Unknown);
        // What cannot be read may name anything: `imd local clean` must not touch it.
        for id in &ids[1..] {
            for uid in [None, Some("uid-0"), Some("uid-1"), Some("another")] {
                assert_eq!(of(id, uid).await, Standing::Live, "{id}, {uid:?}");
            }
        }
    }
}
