//! Sessions and leases of daemons that share the file.

use super::{
    SqliteStore,
    error::store_error,
    read::rows,
    write::{Task, execute},
};
use crate::store::{
    IndexRow, Lease, StoreError,
    leases::{Acquired, Head, Holder, Leases, Member},
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, params};
use std::{collections::BTreeSet, time::Duration};

/// Milliseconds since the epoch, by the clock of the host that all of them run on.
const NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// Sessions that ended so many milliseconds ago are forgotten.
const FORGET: i64 = 600_000;

/// A change of sessions or leases.
pub(super) enum Change {
    Register { member: Member, length: i64, former: Option<String> },
    Renew { session: String, length: i64 },
    Unregister { session: String },
    Acquire { id: String, session: String },
}

impl Change {
    /// Applies the change; the answer is the token, 0 where there is none.
    pub(super) fn apply(&self, connection: &Connection) -> Result<u64, StoreError> {
        match self {
            Self::Register { member, length, former } => {
                execute(
                    connection,
                    &format!("DELETE FROM daemons WHERE place = ?1 OR expires < {NOW} - ?2"),
                    params![member.place, FORGET],
                )?;
                execute(
                    connection,
                    &format!("INSERT INTO daemons VALUES (?, ?, ?, {NOW} + ?)"),
                    params![member.session, member.url, member.place, length],
                )?;
                if let Some(former) = former {
                    let pass = "UPDATE leases SET session = ?2 WHERE session = ?1";
                    execute(connection, pass, params![former, member.session])?;
                    execute(connection, "DELETE FROM daemons WHERE session = ?", [former])?;
                }
                Ok(0)
            }
            Self::Renew { session, length } => {
                let renew = format!("UPDATE daemons SET expires = {NOW} + ?2 WHERE session = ?1 AND expires > {NOW}");
                match execute(connection, &renew, params![session, length])? {
                    0 => Err(StoreError::Fenced),
                    _ => Ok(0),
                }
            }
            Self::Unregister { session } => {
                execute(connection, "DELETE FROM daemons WHERE session = ?", [session]).map(|_| 0)
            }
            Self::Acquire { id, session } => {
                let number = one(connection, "SELECT number FROM infrastructures WHERE id = ?", [id])?;
                let number = number.ok_or(StoreError::NotFound)?;
                alive(connection, session)?;
                let acquire = format!(
                    "INSERT INTO leases VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE SET session = ?2, token = token + 1
                     WHERE session = ?2 OR session NOT IN (SELECT session FROM daemons WHERE expires > {NOW})
                     RETURNING token"
                );
                Ok(one(connection, &acquire, params![number, session])?.map_or(0, i64::unsigned_abs))
            }
        }
    }
}

/// Gives a new infrastructure to the session that made it.
pub(super) fn grant(connection: &Connection, number: i64, lease: &Lease) -> Result<(), StoreError> {
    alive(connection, &lease.session)?;
    let grant = "INSERT INTO leases VALUES (?, ?, ?)";
    execute(connection, grant, params![number, lease.session, lease.token]).map(drop)
}

/// Refuses to write under a lease that is not good any more.
pub(super) fn check(connection: &Connection, number: i64, lease: &Lease) -> Result<(), StoreError> {
    alive(connection, &lease.session)?;
    let held = "SELECT 1 FROM leases WHERE infrastructure = ? AND session = ? AND token = ?";
    one(connection, held, params![number, lease.session, lease.token])?.map(drop).ok_or(StoreError::Fenced)
}

fn alive(connection: &Connection, session: &str) -> Result<(), StoreError> {
    let alive = format!("SELECT 1 FROM daemons WHERE session = ? AND expires > {NOW}");
    one(connection, &alive, [session])?.map(drop).ok_or(StoreError::Fenced)
}

fn one(connection: &Connection, sql: &str, params: impl Params) -> Result<Option<i64>, StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(params, |row| row.get(0)).optional())
        .map_err(|error| store_error(&error))
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 2)
}

impl SqliteStore {
    async fn change(&self, change: Change) -> Result<u64, StoreError> {
        self.writer.write(Task::Lease(change)).await
    }
}

#[async_trait]
impl Leases for SqliteStore {
    async fn register(&self, member: &Member, length: Duration, former: Option<&str>) -> Result<(), StoreError> {
        let former = former.map(str::to_owned);
        self.change(Change::Register { member: member.clone(), length: millis(length), former }).await.map(drop)
    }

    async fn renew(&self, session: &str, length: Duration) -> Result<(), StoreError> {
        self.change(Change::Renew { session: session.to_owned(), length: millis(length) }).await.map(drop)
    }

    async fn unregister(&self, session: &str) -> Result<(), StoreError> {
        self.change(Change::Unregister { session: session.to_owned() }).await.map(drop)
    }

    async fn acquire(&self, id: &str, session: &str) -> Result<Acquired, StoreError> {
        loop {
            match self.change(Change::Acquire { id: id.to_owned(), session: session.to_owned() }).await? {
                0 => {
                    if let Some(holder) = self.head(id).await?.ok_or(StoreError::NotFound)?.holder {
                        return Ok(Acquired::By(holder));
                    }
                    // It let go in between.
                }
                token => return Ok(Acquired::Held(token)),
            }
        }
    }

    async fn held(&self, session: &str) -> Result<BTreeSet<String>, StoreError> {
        let held = "SELECT id FROM infrastructures JOIN leases ON infrastructure = number WHERE session = ?";
        let ids = self.read(session, move |connection, _, session| rows(connection, held, [session], |row| row.get(0)));
        ids.await.map(|ids| ids.into_iter().collect())
    }

    async fn orphans(&self) -> Result<Vec<String>, StoreError> {
        let orphans = format!(
            "SELECT id FROM infrastructures LEFT JOIN leases ON infrastructure = number WHERE pending = 1 AND deleted = 0
             AND (session IS NULL OR session NOT IN (SELECT session FROM daemons WHERE expires > {NOW}))"
        );
        self.readers.read(move |connection| rows(connection, &orphans, [], |row| row.get(0))).await
    }

    async fn head(&self, id: &str) -> Result<Option<Head>, StoreError> {
        let head = format!(
            "SELECT version, sequence, deleted, daemons.session, url FROM infrastructures
             LEFT JOIN leases ON infrastructure = number
             LEFT JOIN daemons ON daemons.session = leases.session AND expires > {NOW} WHERE id = ?"
        );
        let read = move |connection: &Connection, _: &_, id: &str| {
            rows(connection, &head, [id], |row| {
                let session: Option<String> = row.get(3)?;
                let holder = match session {
                    Some(session) => Some(Holder { session: session.into(), url: row.get(4)? }),
                    None => None,
                };
                Ok(Head { version: row.get(0)?, sequence: row.get(1)?, deleted: row.get(2)?, holder })
            })
            .map(|mut heads| heads.pop())
        };
        self.read(id, read).await
    }

    async fn owned(&self, owners: Option<&[String]>) -> Result<Vec<IndexRow>, StoreError> {
        let Some(owners) = owners else {
            let index = self.readers.read(super::read::index).await?;
            return Ok(index.into_iter().filter(|row| !row.deleted).collect());
        };
        let owners = serde_json::to_string(owners).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        self.readers
            .read(move |connection| {
                let owned = "SELECT id, created, pending, (SELECT group_concat(owner) FROM owners WHERE infrastructure = number)
                     FROM infrastructures WHERE deleted = 0
                     AND number IN (SELECT infrastructure FROM owners WHERE owner IN (SELECT value FROM json_each(?)))
                     ORDER BY created DESC, number DESC";
                rows(connection, owned, [owners], |row| {
                    let owners: Option<String> = row.get(3)?;
                    Ok(IndexRow {
                        id: row.get(0)?,
                        owners: owners.unwrap_or_default().split(',').map(str::to_owned).collect(),
                        created: row.get(1)?,
                        deleted: false,
                        pending: row.get(2)?,
                    })
                })
            })
            .await
    }
}
