//! What is done to a database now and then: removing what was deleted, sealing anew, checking.

use super::{
    Db,
    document::{Event, Machine, Values, binary, collection, count, key_of, number},
    read, write,
};
use crate::store::{
    Keyring, StoreError,
    rows::{Row, SealedEvent},
};
use mongodb::bson::{Binary, Document, doc, oid::ObjectId};
use serde::Deserialize;

/// See [`Store::purge`](crate::store::Store::purge).
pub(super) async fn purge(db: &Db, created_before: i64, limit: usize) -> Result<u64, StoreError> {
    #[derive(Deserialize)]
    struct Deleted {
        #[serde(rename = "_id")]
        id: String,
        made: ObjectId,
    }
    if limit == 0 {
        return Ok(0);
    }
    let condition = doc! { "deleted": true, "created": { "$lt": created_before } };
    let order = doc! { "created": 1, "made": 1 };
    let found: Vec<Deleted> = read::all(db, collection::INFRASTRUCTURES, condition, order, Some(limit)).await?;
    let mut removed = 0;
    for Deleted { id, made } in found {
        // Its own document first: it may have come back since it was found. What is left of one that is gone is in nobody's
        // way.
        let infrastructures = db.database.collection::<Document>(collection::INFRASTRUCTURES);
        let condition = doc! { "_id": id, "made": made, "deleted": true };
        if db.ask(infrastructures.delete_one(condition)).await?.deleted_count == 0 {
            continue;
        }
        removed += 1;
        for name in [collection::VMS, collection::EVENTS, collection::CHUNKS] {
            db.ask(db.database.collection::<Document>(name).delete_many(doc! { "i": made })).await?;
        }
    }
    Ok(removed)
}

/// See [`Store::reseal`](crate::store::Store::reseal). A value is replaced only while it is the one that was read, so no
/// other writer's change is lost, whichever process it is in.
pub(super) async fn reseal(db: &Db, keyring: &Keyring, id: Option<&str>, limit: usize) -> Result<u64, StoreError> {
    let newest = binary(keyring.newest_mark().to_vec());
    let replace = async |name: &str, field: &str, mut filter: Document, row: Row, sealed: &Binary| {
        let anew = binary(row.reseal(keyring, id.unwrap_or_default(), &sealed.bytes)?);
        filter.insert(field, sealed.clone());
        let mut set = doc! { field: anew };
        if [collection::VMS, collection::EVENTS].contains(&name) {
            set.insert("key", newest.clone());
        }
        let documents = db.database.collection::<Document>(name);
        db.ask(documents.update_one(filter, doc! { "$set": set })).await.map(drop)
    };
    let mut left = limit;
    let mut done = 0;
    let mut is_due = |sealed: &Binary| {
        let due = left > 0 && key_of(sealed) != newest;
        left -= usize::from(due);
        due
    };
    let Some(id) = id else {
        #[derive(Deserialize)]
        struct Schema {
            key_check: Binary,
        }
        for Schema { key_check } in read::all(db, collection::SCHEMA, doc! {}, doc! {}, None).await? {
            if is_due(&key_check) {
                replace(collection::SCHEMA, "key_check", doc! { "_id": 1 }, Row::KeyCheck, &key_check).await?;
                done += 1;
            }
        }
        return Ok(done);
    };
    let Some((head, Values { data, progress })) = read::whole(db, id).await? else { return Ok(0) };
    // A second place of the same values, which the collections have once they are settled.
    if !(head.vms.is_empty() && head.events.is_empty() && head.chunks == 0) {
        match write::settle(db, id, count(head.version)).await {
            Ok(_) => {}
            // Others write: what they write is sealed with the newest key, and the rest comes next time.
            Err(StoreError::Stale { .. }) => return Ok(1),
            Err(error) => return Err(error),
        }
        let empty: [Document; 0] = [];
        let settled = doc! { "$set": { "vms": empty.as_slice(), "events": empty.as_slice(), "chunks": 0 } };
        let infrastructures = db.database.collection::<Document>(collection::INFRASTRUCTURES);
        db.ask(infrastructures.update_one(doc! { "_id": id, "version": head.version }, settled)).await?;
    }
    let this = doc! { "_id": id, "made": head.made };
    if is_due(&data) {
        replace(collection::INFRASTRUCTURES, "data", this.clone(), Row::Infrastructure, &data).await?;
        done += 1;
    }
    if let Some(progress) = progress.filter(&mut is_due) {
        replace(collection::INFRASTRUCTURES, "progress", this, Row::Progress, &progress).await?;
        done += 1;
    }
    let of_others = doc! { "i": head.made, "key": { "$ne": newest.clone() } };
    if left > 0 {
        let vms: Vec<Machine> = read::all(db, collection::VMS, of_others.clone(), doc! { "n": 1 }, Some(left)).await?;
        left -= vms.len();
        done += vms.len() as u64;
        for vm in vms {
            let filter = doc! { "i": head.made, "n": vm.n };
            replace(collection::VMS, "d", filter, Row::Vm(vm.number()?), &vm.d).await?;
        }
    }
    if left > 0 {
        let events: Vec<Event> = read::all(db, collection::EVENTS, of_others, doc! { "s": 1 }, Some(left)).await?;
        done += events.len() as u64;
        for event in events {
            let sealed = event.t.clone();
            let SealedEvent { sequence, vm, kind, at, .. } = event.try_into()?;
            let filter = doc! { "i": head.made, "s": number(sequence) };
            replace(collection::EVENTS, "t", filter, Row::Event { sequence, vm, kind, at }, &sealed).await?;
        }
    }
    Ok(done)
}

/// See [`Store::check`](crate::store::Store::check).
pub(super) async fn check(db: &Db) -> Result<(), StoreError> {
    let schemas = db.database.collection::<Document>(collection::SCHEMA);
    let written = db.ask(schemas.update_one(doc! { "_id": 1 }, doc! { "$inc": { "checks": 1 } })).await?;
    match written.matched_count {
        0 => Err(StoreError::Corrupt("its schema version is missing, restore it from a backup".to_owned())),
        _ => Ok(()),
    }
}
