//! The queries, and the few connections they run on. Reads never wait for the writer.

use super::{error::store_error, file::DatabaseFile};
use crate::store::{
    IndexRow, Keyring, StoreError, StoredEvent, StoredInfrastructure,
    rows::{Row, SealedEvent, kind_of},
};
use rusqlite::{Connection, OptionalExtension, Params, params};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// How many reads run at once.
const CONNECTIONS: usize = 3;

/// Opens a connection for reading.
pub(super) type Connect = Box<dyn Fn() -> Result<Connection, StoreError> + Send + Sync>;

/// The reading side of a database: connections are opened when first needed and kept.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    connect: Connect,
    database: Option<Arc<DatabaseFile>>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        let Some(database) = &self.database else { return };
        let idle = self.idle.get_mut().unwrap_or_else(PoisonError::into_inner);
        idle.iter().for_each(|connection| database.leave(connection));
    }
}

impl Readers {
    /// A pool of connections made by `connect`, to this file of a database.
    pub(super) fn new(connect: Connect, database: Option<Arc<DatabaseFile>>) -> Self {
        Self { idle: Mutex::default(), turns: Arc::new(Semaphore::new(CONNECTIONS)), connect, database }
    }

    /// Runs a query on a blocking thread. It sees one state of the database, however many statements it has.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopped = |error: &dyn std::fmt::Display| StoreError::Unavailable(format!("a read was stopped: {error}"));
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| stopped(&error))?;
        let readers = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            readers.database.as_ref().map_or(Ok(()), |database| database.check())?;
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = idle.map_or_else(&readers.connect, Ok)?;
            let result = connection.unchecked_transaction().map_err(|error| store_error(&error)).and_then(|snapshot| {
                let result = query(&snapshot);
                // Nothing was written: however it ends, the snapshot is let go.
                snapshot.finish().map_err(|error| store_error(&error)).and(result)
            });
            // A connection that met an error may stand on a file that is gone: the next read opens a new one.
            if result.is_ok() {
                readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            result
        })
        .await
        .map_err(|error| stopped(&error))?
    }
}

/// See [`Store::load`](crate::store::Store::load).
pub(super) fn load(
    connection: &Connection,
    keyring: &Keyring,
    id: &str,
) -> Result<Option<StoredInfrastructure>, StoreError> {
    let row: Option<(i64, u64, Vec<u8>)> =
        rows(connection, "SELECT number, version, data FROM infrastructures WHERE id = ?", [id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .pop();
    let Some((number, version, sealed)) = row else {
        return Ok(None);
    };
    // Opened row by row: the sealed values of a large infrastructure are never in memory together.
    let vms =
        rows(connection, "SELECT number, data FROM vms WHERE infrastructure = ? ORDER BY number", [number], |row| {
            let (number, sealed): (u32, Vec<u8>) = (row.get(0)?, row.get(1)?);
            Ok(Row::Vm(number).open(keyring, id, &sealed).map(|plain| (number, plain)))
        })?;
    let progress: Option<Vec<u8>> =
        rows(connection, "SELECT data FROM progress WHERE infrastructure = ?", [number], |row| row.get(0))?.pop();
    Ok(Some(StoredInfrastructure {
        version,
        infrastructure: Row::Infrastructure.open(keyring, id, &sealed)?,
        vms: vms.into_iter().collect::<Result<_, StoreError>>()?,
        progress: progress.map(|sealed| Row::Progress.open(keyring, id, &sealed)).transpose()?,
    }))
}

/// See [`Store::version`](crate::store::Store::version).
pub(super) fn version(connection: &Connection, id: &str) -> Result<Option<u64>, StoreError> {
    Ok(rows(connection, "SELECT version FROM infrastructures WHERE id = ?", [id], |row| row.get(0))?.pop())
}

/// See [`Store::index`](crate::store::Store::index).
pub(super) fn index(connection: &Connection) -> Result<Vec<IndexRow>, StoreError> {
    let mut owners: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    let pairs: Vec<(i64, String)> =
        rows(connection, "SELECT infrastructure, owner FROM owners ORDER BY infrastructure, position", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    for (number, owner) in pairs {
        owners.entry(number).or_default().push(owner);
    }
    rows(
        connection,
        "SELECT number, id, created, deleted, pending FROM infrastructures ORDER BY created DESC, number DESC",
        [],
        |row| {
            Ok(IndexRow {
                owners: owners.remove(&row.get(0)?).unwrap_or_default(),
                id: row.get(1)?,
                created: row.get(2)?,
                deleted: row.get(3)?,
                pending: row.get(4)?,
            })
        },
    )
}

/// See [`Store::events`](crate::store::Store::events).
pub(super) fn events(
    connection: &Connection,
    keyring: &Keyring,
    id: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    let Some(number) = number(connection, id)? else {
        return Ok(Vec::new());
    };
    let largest = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let found = sealed_events(
        connection,
        "SELECT sequence, vm, kind, at, text FROM events WHERE infrastructure = ? AND sequence > ?
         ORDER BY sequence LIMIT ?",
        params![number, largest(after), largest(limit as u64)],
    )?;
    Ok(found.iter().map(|event| event.open(keyring, id)).collect())
}

/// See [`Store::last_sequence`](crate::store::Store::last_sequence).
pub(super) fn last_sequence(connection: &Connection, id: &str) -> Result<u64, StoreError> {
    let sequence = rows(connection, "SELECT sequence FROM infrastructures WHERE id = ?", [id], |row| row.get(0))?.pop();
    Ok(sequence.unwrap_or(0))
}

/// See [`Store::log`](crate::store::Store::log).
pub(super) fn log(connection: &Connection, keyring: &Keyring, id: &str, vm: Option<u32>) -> Result<String, StoreError> {
    let Some(number) = number(connection, id)? else {
        return Ok(String::new());
    };
    let found = sealed_events(
        connection,
        "SELECT sequence, vm, kind, at, text FROM events INDEXED BY logs WHERE infrastructure = ? AND vm IS ? AND kind = 1
         ORDER BY sequence",
        params![number, vm],
    )?;
    Ok(found.iter().map(|event| event.text(keyring, id)).collect())
}

/// See [`Store::vm_logs`](crate::store::Store::vm_logs).
pub(super) fn vm_logs(connection: &Connection, keyring: &Keyring, id: &str) -> Result<Vec<(u32, String)>, StoreError> {
    let Some(number) = number(connection, id)? else {
        return Ok(Vec::new());
    };
    let mut logs: BTreeMap<u32, String> = BTreeMap::new();
    for event in sealed_events(
        connection,
        "SELECT sequence, vm, kind, at, text FROM events INDEXED BY logs WHERE infrastructure = ? AND vm NOT NULL AND kind = 1
         ORDER BY vm, sequence",
        [number],
    )? {
        if let Some(vm) = event.vm {
            logs.entry(vm).or_default().push_str(&event.text(keyring, id));
        }
    }
    Ok(logs.into_iter().collect())
}

/// Proves that the database answers.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    rows(connection, "SELECT version FROM schema_version", [], |row| row.get::<_, i64>(0)).map(drop)
}

fn number(connection: &Connection, id: &str) -> Result<Option<i64>, StoreError> {
    connection
        .prepare_cached("SELECT number FROM infrastructures WHERE id = ?")
        .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
        .map_err(|error| store_error(&error))
}

fn sealed_events(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<SealedEvent>, StoreError> {
    rows(connection, sql, params, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
        .into_iter()
        .map(|(sequence, vm, kind, at, text)| Ok(SealedEvent { sequence, vm, kind: kind_of(kind)?, at, text }))
        .collect()
}

/// The rows of a query.
pub(super) fn rows<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(params, read)?.collect())
        .map_err(|error| store_error(&error))
}
