//! Sessions and leases of daemons that share the database, without transactions: every decision is one change of one
//! document.
//!
//! * A *session* is a document that its daemon renews. It is over when its time has come, by the server's clock. Before
//!   anybody takes something from it, it is made to be over for good: its document is removed on condition that its time
//!   has come, and the daemon renews it on condition that it is there. Of the two, one takes place.
//! * A *lease* stands in the document of the infrastructure. Who takes it over sets session and token, on condition that
//!   they are those of the session that is over; every commit is on condition that they are the writer's. So a commit of the
//!   former holder, however long it was under way, takes place before the lease changes hands or not at all, and who has
//!   taken it over reads the state afterwards.
//! * A session that is over and from which nobody took anything is refused by a look at it before the commit: at this
//!   process's own clock while that says that the session lasts, as it says for no longer than the server's, otherwise at its
//!   document. That look and the commit are two steps. A daemon that stands still in between writes after the end of
//!   its session, and that does no harm: as long as session and token are its own nobody else has read the state in order to
//!   write or to act, and whoever does so later finds that commit. Calls to a cloud do not depend on it, they begin only
//!   while the session is good.
//! * The copies of machines and events into their collections ([`super::document`]) carry no lease. They are copies of a
//!   commit that took place, the next commit is made after all of them are there, and a machine or event that is there from
//!   the same or a later commit stays. So a copy that comes late, from whichever daemon, finds its work done.
//! * What a former session holds passes to the next one of the same daemon one infrastructure after the other, on condition
//!   that nobody else took it. Where that is cut short, the rest is the former session's, which is over, and anybody may
//!   take it; the next attempt of the same daemon takes what the one before got as well.
//!
//! The server's clock is that of the answer to `hello`. It is read before it is used, so that nothing is taken to be over
//! too early. All of it is decided by the server that is written, with a majority of the servers. Where another one with
//! another clock becomes that server sessions end earlier or later by the difference: leases are as safe as before.

use super::{
    ATTEMPTS, Db, MongoStore,
    document::{Daemon, collection, count},
    read,
    write::{CommitState, state},
};
use crate::store::{
    IndexRow, Lease, StoreError,
    leases::{Acquired, Head, Holder, Leases, Member},
};
use async_trait::async_trait;
use futures::TryStreamExt;
use mongodb::{
    Collection,
    bson::{DateTime, Document, doc},
    options::{Acknowledgment, CollectionOptions, ReadConcern, ReturnDocument, WriteConcern},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Until when the sessions that this process began last at least.
#[derive(Default)]
pub(super) struct Sessions {
    ends: Mutex<HashMap<String, Instant>>,
}

impl Sessions {
    fn prolong(&self, session: &str, until: Instant) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(session.to_owned(), until);
    }

    fn end(&self, session: &str) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
    }

    fn is_good(&self, session: &str) -> bool {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(session).is_some_and(|end| Instant::now() < *end)
    }
}

/// Refuses to write under a session that is over.
pub(super) async fn check(db: &Db, lease: Option<&Lease>) -> Result<(), StoreError> {
    let Some(Lease { session, .. }) = lease else { return Ok(()) };
    if db.sessions.is_good(session) || !living(db, &[session], now(db).await?).await?.is_empty() {
        return Ok(());
    }
    Err(StoreError::Fenced)
}

/// The time of the server that is written, a moment ago.
async fn now(db: &Db) -> Result<DateTime, StoreError> {
    let hello = db.ask_again(|| db.database.run_command(doc! { "hello": 1 })).await?;
    hello.get_datetime("localTime").copied().map_err(|_| StoreError::Corrupt("the server tells no time".to_owned()))
}

fn after(now: DateTime, length: Duration) -> DateTime {
    let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_millis(now.timestamp_millis().saturating_add(length))
}

/// A collection as decisions need it: what was decided stays, and is read where it was decided.
fn deciding<T: Send + Sync>(db: &Db, name: &str) -> Collection<T> {
    let write = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    let options = CollectionOptions::builder().write_concern(write).read_concern(ReadConcern::local()).build();
    db.database.collection_with_options(name, options)
}

/// Which of these sessions are alive, and where their daemons are reached.
async fn living(db: &Db, sessions: &[&str], now: DateTime) -> Result<Vec<Holder>, StoreError> {
    let alive = doc! { "_id": { "$in": sessions }, "expires": { "$gt": now } };
    let found: Vec<Daemon> = found(db, &deciding(db, collection::DAEMONS), alive, doc! {}).await?;
    Ok(found.into_iter().map(|Daemon { session, url, .. }| Holder { session: session.into(), url }).collect())
}

/// Ends a session whose time has come; tells whether it is over for good.
async fn end(db: &Db, session: &str, now: DateTime) -> Result<bool, StoreError> {
    let daemons = deciding::<Daemon>(db, collection::DAEMONS);
    let over = || doc! { "_id": session, "expires": { "$lte": now } };
    db.ask_again(|| daemons.delete_one(over())).await?;
    Ok(db.ask(daemons.find_one(doc! { "_id": session })).await?.is_none())
}

async fn found<T: DeserializeOwned + Send + Sync>(
    db: &Db,
    documents: &Collection<T>,
    condition: Document,
    fields: Document,
) -> Result<Vec<T>, StoreError> {
    let find = documents.find(condition).projection(fields);
    db.ask(async { find.await?.try_collect().await }).await
}

#[async_trait]
impl Leases for MongoStore {
    async fn register(&self, member: &Member, length: Duration, former: Option<&str>) -> Result<(), StoreError> {
        let db = &self.db;
        let daemons = deciding::<Daemon>(db, collection::DAEMONS);
        let (session, place) = (&*member.session, member.place.as_str());
        let started = Instant::now();
        let now = now(db).await?;
        let mut passing: Vec<String> = former.iter().map(|&former| former.to_owned()).collect();
        if let Some(former) = former {
            // Of an attempt that was cut short.
            for daemon in found(db, &daemons, doc! { "place": place, "former": former }, doc! {}).await? {
                passing.push(daemon.session);
                passing.extend(daemon.former);
            }
        }
        let new = doc! {
            "url": &member.url,
            "place": place,
            "expires": after(now, length),
            "former": &passing,
        };
        db.ask_again(|| daemons.update_one(doc! { "_id": session }, doc! { "$set": new.clone() }).upsert(true)).await?;
        let of_place = doc! { "place": place, "_id": { "$ne": session } };
        let over = doc! { "$or": [of_place, { "_id": { "$in": &passing } }, { "expires": { "$lte": now } }] };
        db.ask_again(|| daemons.delete_many(over.clone())).await?;
        if let Some(former) = former {
            db.sessions.end(former);
            let infrastructures = deciding::<Document>(db, collection::INFRASTRUCTURES);
            let held = || doc! { "session": { "$in": &passing } };
            let pass = || doc! { "$set": { "session": session } };
            db.ask_again(|| infrastructures.update_many(held(), pass())).await?;
        }
        db.sessions.prolong(session, started + length);
        Ok(())
    }

    async fn renew(&self, session: &str, length: Duration) -> Result<(), StoreError> {
        let db = &self.db;
        let daemons = deciding::<Daemon>(db, collection::DAEMONS);
        let started = Instant::now();
        let now = now(db).await?;
        let alive = || doc! { "_id": session, "expires": { "$gt": now } };
        let longer = || doc! { "$set": { "expires": after(now, length) } };
        if db.ask_again(|| daemons.update_one(alive(), longer())).await?.matched_count == 0 {
            db.sessions.end(session);
            return Err(StoreError::Fenced);
        }
        db.sessions.prolong(session, started + length);
        Ok(())
    }

    async fn unregister(&self, session: &str) -> Result<(), StoreError> {
        self.db.sessions.end(session);
        let daemons = deciding::<Daemon>(&self.db, collection::DAEMONS);
        self.db.ask_again(|| daemons.delete_one(doc! { "_id": session })).await.map(drop)
    }

    async fn acquire(&self, id: &str, session: &str) -> Result<Acquired, StoreError> {
        let db = &self.db;
        let infrastructures = deciding::<CommitState>(db, collection::INFRASTRUCTURES);
        for _ in 0..ATTEMPTS {
            let held = state(db, id).await?.ok_or(StoreError::NotFound)?.session;
            let former = held.as_deref().filter(|&former| former != session);
            let now = now(db).await?;
            let asked: Vec<&str> = former.into_iter().chain([session]).collect();
            let living = living(db, &asked, now).await?;
            if living.iter().all(|holder| *holder.session != *session) {
                return Err(StoreError::Fenced);
            }
            if let Some(former) = former {
                if let Some(holder) = living.into_iter().find(|holder| *holder.session == *former) {
                    return Ok(Acquired::By(holder));
                }
                if !end(db, former, now).await? {
                    continue;
                }
            }
            let this = || doc! { "_id": id, "session": &held };
            let ours = || doc! { "$set": { "session": session }, "$inc": { "token": 1_i64 } };
            let acquire = || {
                let change = infrastructures.find_one_and_update(this(), ours()).projection(CommitState::fields());
                change.return_document(ReturnDocument::After)
            };
            // When an answer was lost it is ours, and the next attempt finds that.
            if let Some(state) = db.ask_again(acquire).await? {
                db.settling.forget(id);
                return Ok(Acquired::Held(count(state.token)));
            }
        }
        Err(StoreError::Unavailable("others take the same lease".to_owned()))
    }

    async fn held(&self, session: &str) -> Result<BTreeSet<String>, StoreError> {
        ids(&self.db, doc! { "session": session }).await
    }

    async fn orphans(&self) -> Result<Vec<String>, StoreError> {
        let db = &self.db;
        let alive = doc! { "expires": { "$gt": now(db).await? } };
        let living: Vec<Daemon> = found(db, &deciding(db, collection::DAEMONS), alive, doc! {}).await?;
        let living: Vec<String> = living.into_iter().map(|daemon| daemon.session).collect();
        // Those of a daemon that came in between are among them, and are refused to who asks for them.
        let orphans = doc! { "pending": true, "deleted": false, "session": { "$nin": living } };
        Ok(ids(db, orphans).await?.into_iter().collect())
    }

    async fn head(&self, id: &str) -> Result<Option<Head>, StoreError> {
        #[derive(Deserialize)]
        struct Found {
            version: i64,
            sequence: i64,
            deleted: bool,
            session: Option<String>,
        }
        let db = &self.db;
        let fields = doc! { "version": 1, "sequence": 1, "deleted": 1, "session": 1 };
        let (found, now) = tokio::try_join!(read::find::<Found>(db, id, fields), now(db))?;
        let Some(Found { version, sequence, deleted, session }) = found else { return Ok(None) };
        let holder = match &session {
            Some(session) => living(db, &[session], now).await?.pop(),
            None => None,
        };
        Ok(Some(Head { version: count(version), sequence: count(sequence), deleted, holder }))
    }

    async fn owned(&self, owners: Option<&[String]>) -> Result<Vec<IndexRow>, StoreError> {
        let mut condition = doc! { "deleted": false };
        if let Some(owners) = owners {
            condition.insert("owners", doc! { "$in": owners });
        }
        read::listed(&self.db, condition).await
    }
}

/// Ids of the infrastructures that meet a condition.
async fn ids(db: &Db, condition: Document) -> Result<BTreeSet<String>, StoreError> {
    #[derive(Deserialize)]
    struct Id {
        #[serde(rename = "_id")]
        id: String,
    }
    let infrastructures = deciding::<Id>(db, collection::INFRASTRUCTURES);
    let found = found(db, &infrastructures, condition, doc! { "_id": 1 }).await?;
    Ok(found.into_iter().map(|Id { id }| id).collect())
}
