//! The tables: made when the database is new, verified when it is not.

use super::{PATIENCE, error::store_error};
use crate::store::{
    Keyring, StoreError,
    rows::{database_id, new_key_check},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use std::time::{Duration, Instant};

/// Version of the tables below. A change of them increases it and comes with a migration.
const VERSION: i64 = 2;

/// Events need no row id: they are found by infrastructure and sequence. Machines have one: a B-tree without row ids
/// keeps little of a large row in the page. The index of the logs leaves the state events out;
/// without statistics SQLite does not choose it by itself, so the queries name it.
const TABLES: &str = "
    CREATE TABLE schema_version (version INTEGER NOT NULL, key_check BLOB NOT NULL);
    CREATE TABLE infrastructures (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        created INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        pending INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE owners (
        infrastructure INTEGER NOT NULL REFERENCES infrastructures ON DELETE CASCADE,
        position INTEGER NOT NULL,
        owner TEXT NOT NULL,
        PRIMARY KEY (infrastructure, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE vms (
        infrastructure INTEGER NOT NULL REFERENCES infrastructures ON DELETE CASCADE,
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (infrastructure, number)
    ) STRICT;
    CREATE TABLE progress (
        infrastructure INTEGER PRIMARY KEY REFERENCES infrastructures ON DELETE CASCADE,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE events (
        infrastructure INTEGER NOT NULL REFERENCES infrastructures ON DELETE CASCADE,
        sequence INTEGER NOT NULL,
        vm INTEGER,
        kind INTEGER NOT NULL,
        at INTEGER NOT NULL,
        text BLOB NOT NULL,
        PRIMARY KEY (infrastructure, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX logs ON events (infrastructure, vm, sequence) WHERE kind = 1;
";

/// What daemons need that share the database. A file that has always been one daemon's is without.
const LEASES: &str = "
    CREATE TABLE IF NOT EXISTS daemons (
        session TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        place TEXT NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS leases (
        infrastructure INTEGER PRIMARY KEY REFERENCES infrastructures ON DELETE CASCADE,
        session TEXT NOT NULL,
        token INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS held ON leases (session);
    CREATE INDEX IF NOT EXISTS pending ON infrastructures (pending) WHERE pending = 1;
    CREATE INDEX IF NOT EXISTS owned ON owners (owner);
";

/// Makes the tables of leases where they are missing.
pub(super) fn prepare_leases(connection: &mut Connection) -> Result<(), StoreError> {
    let make = |connection: &mut Connection| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(LEASES)?;
        transaction.commit()
    };
    make(connection).map_err(|error| store_error(&error))
}

/// Makes the tables in an empty database; in another one proves that they are ours and sealed with a key of the keyring, and
/// brings them to this version. Nothing is written to a database that is not ours, nor, where it `must_fit`, to one that
/// the keys do not belong to. Tells the id of the database.
pub(super) fn prepare(connection: &mut Connection, keyring: &Keyring, must_fit: bool) -> Result<String, StoreError> {
    let failed = |error| store_error(&error);
    let fits = |id: Option<&str>| match must_fit && !keyring.fits(id) {
        true => Err(StoreError::not_ours(id)),
        false => Ok(()),
    };
    if is_empty(connection)? {
        fits(None)?;
    } else if let (VERSION, Some(id)) = verify(connection, keyring)? {
        fits(Some(&id))?;
        // Also for an existing database: a restored backup may have lost it.
        use_wal(connection).map_err(failed)?;
        return Ok(id);
    }
    use_wal(connection).map_err(failed)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another daemon may have been faster.
    if is_empty(&transaction)? {
        transaction.execute_batch(TABLES).map_err(failed)?;
        let check = new_key_check(keyring)?;
        transaction.execute("INSERT INTO schema_version VALUES (?, ?)", params![VERSION, check]).map_err(failed)?;
    } else if let (1, None) = verify(&transaction, keyring)? {
        // Rows of machines say from now on what they share, which an older daemon cannot read; it reads older rows as they are.
        let check = new_key_check(keyring)?;
        transaction
            .execute("UPDATE schema_version SET version = ?, key_check = ?", params![VERSION, check])
            .map_err(failed)?;
    }
    let (_, id) = verify(&transaction, keyring)?;
    transaction.commit().map_err(failed)?;
    id.ok_or_else(|| StoreError::Corrupt("its id is missing; restore it from a backup".to_owned()))
}

/// SQLite does not wait by itself for another daemon that does the same.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let started = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && started.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

/// The version of the tables and the id of the database, none before it has one.
fn verify(connection: &Connection, keyring: &Keyring) -> Result<(i64, Option<String>), StoreError> {
    let failed = |error| store_error(&error);
    if !has_table(connection, "schema_version")? {
        return Err(StoreError::foreign(has_table(connection, "inf_list")?, "file"));
    }
    // The version first: a newer one may hold the key check elsewhere.
    let version: Option<i64> =
        connection.query_row("SELECT version FROM schema_version", [], |row| row.get(0)).optional().map_err(failed)?;
    let version = match version {
        Some(newer) if newer > VERSION => return Err(StoreError::newer_schema(newer, VERSION, "file")),
        Some(version) if version > 0 => version,
        _ => return Err(StoreError::Corrupt("its schema version is missing; restore it from a backup".to_owned())),
    };
    let check: Vec<u8> =
        connection.query_row("SELECT key_check FROM schema_version", [], |row| row.get(0)).map_err(failed)?;
    Ok((version, database_id(keyring, &check)?))
}

fn is_empty(connection: &Connection) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
        .map_err(|error| store_error(&error))
}

fn has_table(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?)", [name], |row| {
            row.get(0)
        })
        .map_err(|error| store_error(&error))
}
