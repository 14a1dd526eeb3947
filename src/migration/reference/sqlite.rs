//! The reference's SQLite file. It is opened read-only for reading, so that not a byte of it changes.

use super::{FoundRow, ReferenceError, ReferenceRow, Source, TABLE, Target, at};
use async_trait::async_trait;
use chrono::DateTime;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params, types::ValueRef};
use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long it is waited while the reference writes.
const PATIENCE: Duration = Duration::from_secs(15);

fn unusable(error: &dyn std::fmt::Display) -> ReferenceError {
    ReferenceError::Unusable(error.to_string())
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, ReferenceError> {
    let named = |error| unusable(&format!("{}: {error}", path.display()));
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(named)?;
    connection.busy_timeout(PATIENCE).map_err(named)?;
    Ok(connection)
}

fn has_table(connection: &Connection, name: &str) -> Result<bool, ReferenceError> {
    let query = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?)";
    connection.query_row(query, [name], |row| row.get(0)).map_err(|error| unusable(&error))
}

/// A file that is only read.
pub(super) struct SqliteSource {
    connection: Mutex<Connection>,
}

impl SqliteSource {
    pub(super) fn open(path: &Path) -> Result<Self, ReferenceError> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        if !has_table(&connection, TABLE)? {
            return Err(ReferenceError::Foreign(format!("{} has no table {TABLE}", path.display())));
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Source for SqliteSource {
    async fn ids(&self) -> Result<Vec<String>, ReferenceError> {
        let connection = self.connection();
        connection
            .prepare("SELECT id FROM inf_list ORDER BY rowid")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .map_err(|error| unusable(&error))
    }

    async fn row(&self, id: &str) -> Result<Option<FoundRow>, ReferenceError> {
        let connection = self.connection();
        // The column of owners came with 1.15 and may hold nothing of use: the document names them as well.
        connection
            .prepare_cached("SELECT deleted, date, data FROM inf_list WHERE id = ?")
            .and_then(|mut statement| {
                statement
                    .query_row([id], |row| {
                        Ok(FoundRow {
                            deleted: row.get::<_, Option<i64>>(0)?.unwrap_or(0) != 0,
                            saved: saved(row.get_ref(1)?),
                            data: bytes(row.get_ref(2)?).to_vec(),
                        })
                    })
                    .optional()
            })
            .map_err(|error| unusable(&error))
    }
}

/// Bytes of a text: old columns are BLOBs. What is neither reads as no document.
fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => &[],
    }
}

/// A day, a day with a time, or a number of seconds; the epoch for anything else.
#[allow(clippy::cast_possible_truncation)]
fn saved(value: ValueRef<'_>) -> i64 {
    match value {
        ValueRef::Integer(seconds) => seconds,
        ValueRef::Real(seconds) => seconds as i64,
        other => std::str::from_utf8(bytes(other)).map_or(0, at),
    }
}

/// A file that is being written, in one transaction.
pub(super) struct SqliteTarget {
    connection: Mutex<Connection>,
}

impl SqliteTarget {
    pub(super) fn create(path: &Path, force: bool) -> Result<Self, ReferenceError> {
        // What goes there is not sealed: it is its owner's only.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(unusable(&format!("{} cannot be made: {error}", path.display())));
            }
            _ => {}
        }
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| unusable(&e));
        let in_use = |what: String| ReferenceError::InUse(format!("{} {what}", path.display()));
        if has_table(&connection, TABLE)? {
            let rows = count("SELECT count(*) FROM inf_list")?;
            if rows > 0 && !force {
                return Err(in_use(format!("holds {rows} infrastructures")));
            }
        } else if count("SELECT count(*) FROM sqlite_schema")? > 0 {
            return Err(ReferenceError::Foreign(format!("{} holds the tables of another program", path.display())));
        }
        connection
            .execute_batch(
                "BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS inf_list(
                     id VARCHAR(255) PRIMARY KEY, deleted INTEGER, date TIMESTAMP, data TEXT, auth TEXT);",
            )
            .map_err(|error| unusable(&error))?;
        Ok(Self { connection: Mutex::new(connection) })
    }
}

#[async_trait]
impl Target for SqliteTarget {
    async fn put(&self, row: ReferenceRow) -> Result<(), ReferenceError> {
        let day = DateTime::from_timestamp(row.saved, 0).unwrap_or_default().format("%Y-%m-%d").to_string();
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection
            .prepare_cached("REPLACE INTO inf_list (id, deleted, date, data, auth) VALUES (?, ?, ?, ?, ?)")
            .and_then(|mut statement| {
                statement.execute(params![row.id, i64::from(row.deleted), day, row.data, row.auth])
            })
            .map(drop)
            .map_err(|error| unusable(&error))
    }

    async fn finish(&self) -> Result<(), ReferenceError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.execute_batch("COMMIT").map_err(|error| unusable(&error))
    }
}
