//! The queries. The document of the infrastructure is read first; what the collections have from a later commit shows by
//! its version, and then all is read again.

use super::{
    Db,
    document::{Chunk, Event, Head, Machine, Values, collection, count, number},
    error::store_error,
};
use crate::store::{
    IndexRow, Keyring, StoreError, StoredEvent, StoredInfrastructure,
    rows::{Row, SealedEvent},
};
use futures::TryStreamExt;
use mongodb::bson::{Binary, Document, RawDocumentBuf, deserialize_from_slice, doc};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// How often a state is read again when it changes under the reader.
const ATTEMPTS: usize = 100;

/// See [`Store::load`](crate::store::Store::load).
pub(super) async fn load(db: &Db, keyring: &Keyring, id: &str) -> Result<Option<StoredInfrastructure>, StoreError> {
    for _ in 0..ATTEMPTS {
        let Some((head, Values { data, progress })) = whole(db, id).await? else { return Ok(None) };
        let (latest, _) = last_commit(db, &head).await?;
        let stored: Vec<Machine> = all(db, collection::VMS, doc! { "i": head.made }, doc! { "n": 1 }, None).await?;
        if stored.iter().any(|vm| vm.w > head.version) {
            continue;
        }
        let vms: BTreeMap<u32, Binary> = stored
            .into_iter()
            .chain(head.vms)
            .chain(latest)
            .map(|vm| Ok((vm.number()?, vm.d)))
            .collect::<Result<_, StoreError>>()?;
        return Ok(Some(StoredInfrastructure {
            version: count(head.version),
            infrastructure: Row::Infrastructure.open(keyring, id, &data.bytes)?,
            vms: vms
                .into_iter()
                .map(|(number, sealed)| Ok((number, Row::Vm(number).open(keyring, id, &sealed.bytes)?)))
                .collect::<Result<_, StoreError>>()?,
            progress: progress.map(|sealed| Row::Progress.open(keyring, id, &sealed.bytes)).transpose()?,
        }));
    }
    Err(StoreError::Unavailable("the infrastructure changes faster than it can be read".to_owned()))
}

/// See [`Store::version`](crate::store::Store::version).
pub(super) async fn version(db: &Db, id: &str) -> Result<Option<u64>, StoreError> {
    #[derive(Deserialize)]
    struct Found {
        version: i64,
    }
    let found: Option<Found> = find(db, id, doc! { "version": 1 }).await?;
    Ok(found.map(|found| count(found.version)))
}

/// See [`Store::index`](crate::store::Store::index).
pub(super) async fn index(db: &Db) -> Result<Vec<IndexRow>, StoreError> {
    listed(db, doc! {}).await
}

/// The index of the infrastructures that meet a condition, newest first.
pub(super) async fn listed(db: &Db, condition: Document) -> Result<Vec<IndexRow>, StoreError> {
    #[derive(Deserialize)]
    struct Listed {
        #[serde(rename = "_id")]
        id: String,
        owners: Vec<String>,
        created: i64,
        deleted: bool,
        pending: bool,
    }
    let fields = doc! { "owners": 1, "created": 1, "deleted": 1, "pending": 1 };
    let infrastructures = db.database.collection::<Listed>(collection::INFRASTRUCTURES);
    let find = infrastructures.find(condition).projection(fields).sort(doc! { "created": -1, "made": -1 });
    let found: Vec<Listed> = db.ask(async { find.await?.try_collect().await }).await?;
    let row = |Listed { id, owners, created, deleted, pending }| IndexRow { id, owners, created, deleted, pending };
    Ok(found.into_iter().map(row).collect())
}

/// See [`Store::events`](crate::store::Store::events).
pub(super) async fn events(
    db: &Db,
    keyring: &Keyring,
    id: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    let after = number(after);
    let found = sealed_events(db, id, doc! { "s": { "$gt": after } }, Some(limit), |event| event.s > after).await?;
    Ok(found.iter().take(limit).map(|event| event.open(keyring, id)).collect())
}

/// See [`Store::last_sequence`](crate::store::Store::last_sequence).
pub(super) async fn last_sequence(db: &Db, id: &str) -> Result<u64, StoreError> {
    #[derive(Deserialize)]
    struct Sequence {
        sequence: i64,
    }
    let found: Option<Sequence> = find(db, id, doc! { "sequence": 1 }).await?;
    Ok(found.map_or(0, |found| count(found.sequence)))
}

/// See [`Store::log`](crate::store::Store::log).
pub(super) async fn log(db: &Db, keyring: &Keyring, id: &str, vm: Option<u32>) -> Result<String, StoreError> {
    let vm = vm.map(i64::from);
    let found = sealed_events(db, id, doc! { "k": 1, "v": vm }, None, |event| event.k == 1 && event.v == vm).await?;
    Ok(found.iter().map(|event| event.text(keyring, id)).collect())
}

/// See [`Store::vm_logs`](crate::store::Store::vm_logs).
pub(super) async fn vm_logs(db: &Db, keyring: &Keyring, id: &str) -> Result<Vec<(u32, String)>, StoreError> {
    let condition = doc! { "k": 1, "v": { "$ne": null } };
    let mut logs: BTreeMap<u32, String> = BTreeMap::new();
    for event in sealed_events(db, id, condition, None, |event| event.k == 1 && event.v.is_some()).await? {
        if let Some(vm) = event.vm {
            logs.entry(vm).or_default().push_str(&event.text(keyring, id));
        }
    }
    Ok(logs.into_iter().collect())
}

/// The events that meet a condition, in order. Of the last commit's ones `is_wanted` decides.
async fn sealed_events(
    db: &Db,
    id: &str,
    condition: Document,
    limit: Option<usize>,
    is_wanted: impl Fn(&Event) -> bool,
) -> Result<Vec<SealedEvent>, StoreError> {
    if limit == Some(0) {
        return Ok(Vec::new());
    }
    let mut head: Option<Head> = find(db, id, without_values()).await?;
    for _ in 0..ATTEMPTS {
        let Some(before) = head else { return Ok(Vec::new()) };
        let (_, latest) = last_commit(db, &before).await?;
        let mut condition = condition.clone();
        condition.insert("i", before.made);
        condition.insert("$or", vec![doc! { "k": 0 }, doc! { "s": { "$gt": before.cleared } }]);
        let stored: Vec<Event> = all(db, collection::EVENTS, condition, doc! { "s": 1 }, limit).await?;
        head = find(db, id, without_values()).await?;
        // Logs may have been removed while they were read.
        if head.as_ref().is_some_and(|after| after.made == before.made && after.cleared == before.cleared) {
            let latest = before.events.into_iter().chain(latest).filter(is_wanted);
            let events: BTreeMap<i64, Event> = stored.into_iter().chain(latest).map(|event| (event.s, event)).collect();
            return events.into_values().map(SealedEvent::try_from).collect();
        }
    }
    Err(StoreError::Unavailable("the logs change faster than they can be read".to_owned()))
}

/// Machines and events of the last commit that are not in its document. What is missing is in the collections already.
pub(super) async fn last_commit(db: &Db, head: &Head) -> Result<(Vec<Machine>, Vec<Event>), StoreError> {
    let (mut vms, mut events) = (Vec::new(), Vec::new());
    if head.chunks > 0 {
        let condition = doc! { "i": head.made, "mark": head.mark };
        for chunk in all::<Chunk>(db, collection::CHUNKS, condition, doc! {}, None).await? {
            vms.extend(chunk.vms);
            events.extend(chunk.events);
        }
    }
    Ok((vms, events))
}

/// The whole document of an infrastructure.
pub(super) async fn whole(db: &Db, id: &str) -> Result<Option<(Head, Values)>, StoreError> {
    let Some(document) = find::<RawDocumentBuf>(db, id, doc! {}).await? else { return Ok(None) };
    let parsed = || Ok((deserialize_from_slice(document.as_bytes())?, deserialize_from_slice(document.as_bytes())?));
    parsed().map(Some).map_err(|error: mongodb::bson::error::Error| store_error(&error.into()))
}

/// The document of an infrastructure, or some of its fields.
pub(super) async fn find<T: DeserializeOwned + Send + Sync>(
    db: &Db,
    id: &str,
    fields: Document,
) -> Result<Option<T>, StoreError> {
    let infrastructures = db.database.collection::<T>(collection::INFRASTRUCTURES);
    db.ask(infrastructures.find_one(doc! { "_id": id }).projection(fields)).await
}

/// The fields of a [`Head`].
pub(super) fn without_values() -> Document {
    doc! { "data": 0, "progress": 0, "owners": 0 }
}

/// All documents that meet a condition.
pub(super) async fn all<T: DeserializeOwned + Send + Sync>(
    db: &Db,
    name: &str,
    condition: Document,
    order: Document,
    limit: Option<usize>,
) -> Result<Vec<T>, StoreError> {
    let documents = db.database.collection::<T>(name);
    // No limit is 0 for the server.
    let limit = limit.map_or(0, |limit| i64::try_from(limit).unwrap_or(0));
    let find = documents.find(condition).sort(order).limit(limit);
    db.ask(async { find.await?.try_collect().await }).await
}
