//! Commits: one change of one document each, and then the machines and events of it on their way to their collections.

use super::{
    ATTEMPTS, Db,
    document::{Event, Head, Machine, binary, collection, count, key_of, number},
    error::{DUPLICATE, code, is_worth_another_try, leaves_in_doubt, store_error},
    leases, read,
};
use crate::store::{
    IndexRow, Lease, StoreError, Version,
    rows::{SealedChanges, SealedEvent},
};
use mongodb::{
    bson::{Bson, Document, doc, oid::ObjectId, serialize_to_bson, serialize_to_document},
    options::ReadConcern,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio::task::JoinHandle;

/// How many bytes of machines and events go into one document; a document has 16 MiB.
const CHUNK: usize = 6 << 20;
/// How many documents go into one command, besides the bytes.
const COMMAND: usize = 1000;

/// Machines and events of a commit.
#[derive(Default)]
struct Parts {
    vms: Vec<Machine>,
    events: Vec<Event>,
}

/// A commit whose machines and events are to be copied.
#[derive(Clone, Copy)]
struct Commit {
    /// Of its infrastructure.
    made: ObjectId,
    /// The version that it made.
    version: i64,
    mark: i64,
    /// Log events up to this sequence are removed.
    cleared: i64,
    /// Whether its machines and events are in chunks, which may go when they are copied.
    in_chunks: bool,
}

/// Which commits were followed by the copy of their machines and events into the collections: the last one of each
/// infrastructure that this process wrote.
#[derive(Default)]
pub(super) struct Settling {
    copies: Mutex<HashMap<String, JoinHandle<Option<i64>>>>,
}

impl Settling {
    fn begin(&self, id: &str, copy: impl Future<Output = Result<i64, StoreError>> + Send + 'static) {
        let copy = tokio::spawn(async { copy.await.ok() });
        self.copies.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), copy);
    }

    /// Another process may write from here on: what is known of the last copy says nothing of what comes.
    pub(super) fn forget(&self, id: &str) {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Waits for the last copy; tells whether it is known to have been that of this version.
    async fn has_settled(&self, id: &str, version: i64) -> bool {
        let copy = self.copies.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        match copy {
            Some(copy) => copy.await.is_ok_and(|copied| copied == Some(version)),
            None => false,
        }
    }
}

/// See [`Store::create`](crate::store::Store::create).
pub(super) async fn create(db: &Db, row: IndexRow, changes: SealedChanges) -> Result<(), StoreError> {
    leases::check(db, changes.lease.as_ref()).await?;
    let (made, mark) = (ObjectId::new(), rand::random::<i64>());
    let (id, lease) = (row.id, changes.lease);
    let sequence = changes.events.last().map_or(0, |event| number(event.sequence));
    let mut parts = split(changes.vms, changes.events);
    let chunks = write_chunks(db, made, mark, &parts).await?;
    let here = if chunks == 0 { parts.pop().unwrap_or_default() } else { Parts::default() };
    let Parts { vms, events } = here;
    let head = Head { made, version: 1, mark, sequence, cleared: 0, chunks, vms, events };
    let mut new = serialize_to_document(&head).map_err(|error| store_error(&error.into()))?;
    new.extend(doc! {
        "_id": &id,
        "owners": changes.owners.unwrap_or(row.owners),
        "created": row.created,
        "deleted": changes.deleted.unwrap_or(row.deleted),
        "pending": changes.pending.unwrap_or(row.pending),
        "data": binary(changes.infrastructure.unwrap_or_default()),
        "progress": changes.progress.flatten().map(binary),
        "session": lease.as_ref().map(|lease| &*lease.session),
        "token": lease.as_ref().map_or(0, |lease| number(lease.token)),
    });
    let infrastructures = db.database.collection::<Document>(collection::INFRASTRUCTURES);
    let (mut attempts, mut in_doubt) = (ATTEMPTS, false);
    loop {
        match db.try_ask(infrastructures.insert_one(&new)).await.map_err(StoreError::in_doubt)? {
            Ok(_) => break,
            Err(error) if code(&error) == Some(DUPLICATE) => {
                match state(db, &id).await.map_err(StoreError::in_doubt)? {
                    Some(found) if found.mark == mark => break,
                    _ => return Err(StoreError::AlreadyExists),
                }
            }
            Err(error) => {
                attempts -= 1;
                in_doubt |= leaves_in_doubt(&error);
                if attempts == 0 || !is_worth_another_try(&error) {
                    let error = store_error(&error);
                    return Err(if in_doubt { error.in_doubt() } else { error });
                }
            }
        }
    }
    if chunks == 0 {
        parts.push(Parts { vms: head.vms, events: head.events });
    }
    db.settling
        .begin(&id, copy(db.clone(), Commit { made, version: 1, mark, cleared: 0, in_chunks: chunks > 0 }, parts));
    Ok(())
}

/// See [`Store::commit`](crate::store::Store::commit).
pub(super) async fn commit(
    db: &Db,
    id: &str,
    expected: Version,
    changes: SealedChanges,
) -> Result<Version, StoreError> {
    let lease = changes.lease.clone();
    match try_commit(db, id, expected, changes).await {
        // Whether the writer has no right to it any more, or missed what was written.
        Err(error @ StoreError::Stale { .. }) => match state(db, id).await? {
            Some(state) if !state.is_held_under(lease.as_ref()) => Err(StoreError::Fenced),
            _ => Err(error),
        },
        result => result,
    }
}

async fn try_commit(db: &Db, id: &str, expected: Version, changes: SealedChanges) -> Result<Version, StoreError> {
    let before = number(expected);
    // What the last commit took along must be in its place before this one takes its place.
    if !db.settling.has_settled(id, before).await {
        settle(db, id, expected).await?;
    }
    let mark = rand::random::<i64>();
    let mut filter = doc! { "_id": id, "version": before };
    if let Some(lease) = &changes.lease {
        // Who took it over has changed that.
        filter.extend(doc! { "session": &*lease.session, "token": number(lease.token) });
    }
    let mut set = doc! { "version": before.saturating_add(1), "mark": mark };
    let first = changes.events.first().map(|event| number(event.sequence));
    if let (Some(first), Some(last)) = (first, changes.events.last()) {
        // The mark of the events used so far decides, not the events still there: cleared logs give no number back.
        filter.insert("sequence", doc! { "$lt": first });
        set.insert("sequence", number(last.sequence));
    }
    let mut cleared = 0;
    if changes.clear_logs {
        cleared = match first {
            Some(first) => first - 1,
            None => expect(db, id, expected).await?.sequence,
        };
        set.insert("cleared", cleared);
    }
    let values = [
        ("owners", changes.owners.map(Bson::from)),
        ("deleted", changes.deleted.map(Bson::from)),
        ("pending", changes.pending.map(Bson::from)),
        ("data", changes.infrastructure.map(|data| binary(data).into())),
        ("progress", changes.progress.map(|progress| progress.map_or(Bson::Null, |data| binary(data).into()))),
    ];
    set.extend(values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let parts = split(changes.vms, changes.events);
    let chunks = match parts.len() {
        0 | 1 => 0,
        _ => write_chunks(db, expect(db, id, expected).await?.made, mark, &parts).await?,
    };
    set.insert("chunks", chunks);
    let none = Parts::default();
    let here = if chunks == 0 { parts.first().unwrap_or(&none) } else { &none };
    for (name, value) in [("vms", serialize_to_bson(&here.vms)), ("events", serialize_to_bson(&here.events))] {
        set.insert(name, value.map_err(|error| store_error(&error.into()))?);
    }
    leases::check(db, changes.lease.as_ref()).await?;
    let made = change(db, id, expected, (mark, changes.lease.as_ref()), filter, set).await?;
    let commit = Commit { made, version: before + 1, mark, cleared, in_chunks: chunks > 0 };
    db.settling.begin(id, copy(db.clone(), commit, parts));
    Ok(expected + 1)
}

/// Changes the document if the filter still fits; tells what stands for the infrastructure in the other collections.
async fn change(
    db: &Db,
    id: &str,
    expected: Version,
    (mark, lease): (i64, Option<&Lease>),
    filter: Document,
    set: Document,
) -> Result<ObjectId, StoreError> {
    let infrastructures = db.database.collection::<CommitState>(collection::INFRASTRUCTURES);
    let update = doc! { "$set": set };
    let (mut attempts, mut in_doubt) = (ATTEMPTS, false);
    loop {
        let change =
            infrastructures.find_one_and_update(filter.clone(), update.clone()).projection(CommitState::fields());
        match db.try_ask(change).await.map_err(StoreError::in_doubt)? {
            Ok(Some(state)) => return Ok(state.made),
            Ok(None) => {
                let state = state(db, id).await.map_err(|error| if in_doubt { error.in_doubt() } else { error })?;
                let state = state.ok_or(StoreError::NotFound)?;
                return match state.mark == mark && state.is_held_under(lease) {
                    true => Ok(state.made),
                    false => Err(StoreError::Stale { expected, current: count(state.version) }),
                };
            }
            Err(error) => {
                attempts -= 1;
                in_doubt |= leaves_in_doubt(&error);
                if attempts == 0 || !is_worth_another_try(&error) {
                    let error = store_error(&error);
                    return Err(if in_doubt { error.in_doubt() } else { error });
                }
            }
        }
    }
}

/// What a commit needs to know of an infrastructure.
#[derive(Deserialize)]
pub(super) struct CommitState {
    pub(super) made: ObjectId,
    version: i64,
    mark: i64,
    sequence: i64,
    pub(super) session: Option<String>,
    #[serde(default)]
    pub(super) token: i64,
}

impl CommitState {
    pub(super) fn fields() -> Document {
        doc! { "made": 1, "version": 1, "mark": 1, "sequence": 1, "session": 1, "token": 1 }
    }

    /// Whether this is the lease, where one is needed.
    fn is_held_under(&self, lease: Option<&Lease>) -> bool {
        lease.is_none_or(|lease| self.session.as_deref() == Some(&*lease.session) && self.token == number(lease.token))
    }
}

/// The infrastructure as the next commit will find it, whether a majority of the servers has it or not.
pub(super) async fn state(db: &Db, id: &str) -> Result<Option<CommitState>, StoreError> {
    let infrastructures = db.database.collection::<CommitState>(collection::INFRASTRUCTURES);
    let find = infrastructures.find_one(doc! { "_id": id }).projection(CommitState::fields());
    db.ask(find.read_concern(ReadConcern::local())).await
}

async fn expect(db: &Db, id: &str, expected: Version) -> Result<CommitState, StoreError> {
    let state = state(db, id).await?.ok_or(StoreError::NotFound)?;
    match count(state.version) {
        version if version == expected => Ok(state),
        current => Err(StoreError::Stale { expected, current }),
    }
}

/// Copies the machines and events that the last commit took along, whoever made it, if that was this version.
pub(super) async fn settle(db: &Db, id: &str, expected: Version) -> Result<Head, StoreError> {
    let head: Head = read::find(db, id, read::without_values()).await?.ok_or(StoreError::NotFound)?;
    let current = count(head.version);
    if current != expected {
        return Err(StoreError::Stale { expected, current });
    }
    let (mut vms, mut events) = read::last_commit(db, &head).await?;
    vms.extend(head.vms);
    events.extend(head.events);
    let Head { made, version, mark, cleared, .. } = head;
    let commit = Commit { made, version, mark, cleared, in_chunks: head.chunks > 0 };
    copy(db.clone(), commit, vec![Parts { vms, events }]).await?;
    Ok(Head { vms: Vec::new(), events: Vec::new(), ..head })
}

/// Copies machines and events of a commit into their collections; may be done again, and late. Their durability is that of
/// the next commit, which comes after them in the server's journal.
async fn copy(db: Db, commit: Commit, parts: Vec<Parts>) -> Result<i64, StoreError> {
    let Commit { made, version, mark, cleared, in_chunks } = commit;
    for Parts { vms, events } in parts {
        let update = |Machine { n, d, .. }: Machine| {
            let key = key_of(&d);
            // A machine that a later commit wrote stays: the insertion that this leads to meets it and fails.
            let of_earlier = doc! { "i": made, "n": n, "w": { "$lt": version } };
            let written = doc! { "$set": { "d": d, "w": version, "key": key } };
            doc! { "q": of_earlier, "u": written, "upsert": true }
        };
        let insert = |Event { s, v, k, a, t }: Event| {
            let key = key_of(&t);
            doc! { "i": made, "s": s, "v": v, "k": k, "a": a, "t": t, "key": key }
        };
        let vms = vms.into_iter().map(update).collect();
        let events = events.into_iter().map(insert).collect();
        tokio::try_join!(
            run(&db, "update", collection::VMS, "updates", vms),
            run(&db, "insert", collection::EVENTS, "documents", events)
        )?;
    }
    if cleared > 0 {
        let logs = doc! { "i": made, "k": 1, "s": { "$lte": cleared } };
        db.ask(db.database.collection::<Document>(collection::EVENTS).delete_many(logs)).await?;
    }
    if in_chunks {
        let condition = doc! { "i": made, "mark": mark };
        db.ask(db.database.collection::<Document>(collection::CHUNKS).delete_many(condition)).await?;
    }
    Ok(version)
}

/// Runs one command for many documents. Documents that are there already are passed over.
async fn run(
    db: &Db,
    command: &str,
    collection: &str,
    field: &str,
    documents: Vec<Document>,
) -> Result<(), StoreError> {
    let mut documents = documents.into_iter().peekable();
    while documents.peek().is_some() {
        let batch: Vec<Document> = documents.by_ref().take(COMMAND).collect();
        let answer =
            db.ask(db.database.run_command(doc! { command: collection, field: batch, "ordered": false })).await?;
        let errors = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        for error in errors.iter().filter_map(Bson::as_document) {
            if !error.get_i32("code").is_ok_and(|code| code == DUPLICATE) {
                let text = error.get_str("errmsg").unwrap_or("without a message");
                return Err(StoreError::Unavailable(format!("the database server did not write: {text}")));
            }
        }
    }
    Ok(())
}

/// Machines and events in portions that fit into a document. No portion for nothing.
fn split(vms: Vec<(u32, Vec<u8>)>, events: Vec<SealedEvent>) -> Vec<Parts> {
    let mut portions: Vec<Parts> = Vec::new();
    let mut room = 0;
    let mut portion = |portions: &mut Vec<Parts>, size: usize| {
        // Names of fields and numbers come on top.
        let size = size + 128;
        if portions.is_empty() || size > room {
            portions.push(Parts::default());
            room = CHUNK;
        }
        room = room.saturating_sub(size);
    };
    for (number, data) in vms {
        portion(&mut portions, data.len());
        if let Some(last) = portions.last_mut() {
            last.vms.push(Machine { w: 0, n: number.into(), d: binary(data) });
        }
    }
    for event in events {
        portion(&mut portions, event.text.len());
        if let Some(last) = portions.last_mut() {
            last.events.push(event.into());
        }
    }
    portions
}

/// Writes portions that are too many for one document; tells how many.
async fn write_chunks(db: &Db, made: ObjectId, mark: i64, portions: &[Parts]) -> Result<i32, StoreError> {
    if portions.len() < 2 {
        return Ok(0);
    }
    #[derive(Serialize)]
    struct Chunk<'a> {
        i: ObjectId,
        mark: i64,
        vms: &'a [Machine],
        events: &'a [Event],
    }
    let chunks = db.database.collection::<Chunk<'_>>(collection::CHUNKS);
    for Parts { vms, events } in portions {
        db.ask(async { chunks.insert_one(Chunk { i: made, mark, vms, events }).await }).await?;
    }
    Ok(i32::try_from(portions.len()).unwrap_or(i32::MAX))
}
