//! The statements that change the database. They run inside the writer's transaction.

use super::{error::store_error, leases, reseal::reseal};
use crate::store::{
    IndexRow, Keyring, StoreError, Version,
    change::Change,
    rows::{SealedChanges, kind_number},
};
use rusqlite::{Connection, OptionalExtension, Params, params};
use std::sync::Arc;

/// What the writing thread does in a transaction.
pub(super) enum Task {
    /// A change.
    Change(Change),
    /// Seals anew what was sealed with an older key.
    Reseal { keyring: Arc<Keyring>, id: Option<String>, limit: usize },
    /// Changes sessions or leases.
    Lease(leases::Change),
}

impl Task {
    /// Does it; the answer is the new version, or the number of rows removed or changed.
    pub(super) fn run(&self, connection: &Connection) -> Result<u64, StoreError> {
        match self {
            Self::Change(change) => apply(change, connection),
            Self::Reseal { keyring, id, limit } => reseal(connection, keyring, id.as_deref(), count(*limit)),
            Self::Lease(change) => change.apply(connection),
        }
    }
}

fn apply(change: &Change, connection: &Connection) -> Result<u64, StoreError> {
    match change {
        Change::Create { row, changes } => create(connection, row, changes),
        Change::Commit { id, expected, changes } => commit(connection, id, *expected, changes),
        Change::Purge { created_before, limit } => execute(
            connection,
            "DELETE FROM infrastructures WHERE number IN (
                 SELECT number FROM infrastructures WHERE deleted = 1 AND created < ? ORDER BY created, number LIMIT ?)",
            params![created_before, count(*limit)],
        )
        .map(|rows| rows as u64),
        Change::Check => execute(connection, "UPDATE schema_version SET version = version", []).map(|_| 0),
    }
}

fn create(connection: &Connection, row: &IndexRow, changes: &SealedChanges) -> Result<Version, StoreError> {
    let added = execute(
        connection,
        "INSERT INTO infrastructures (id, version, created, deleted, pending, sequence, data)
         VALUES (?, 1, ?, ?, ?, 0, ?) ON CONFLICT (id) DO NOTHING",
        params![
            row.id,
            row.created,
            changes.deleted.unwrap_or(row.deleted),
            changes.pending.unwrap_or(row.pending),
            changes.infrastructure.as_deref().unwrap_or_default(),
        ],
    )?;
    if added == 0 {
        return Err(StoreError::AlreadyExists);
    }
    let writer = InfrastructureWriter { connection, number: connection.last_insert_rowid(), version: 1 };
    writer.set_owners(changes.owners.as_ref().unwrap_or(&row.owners))?;
    writer.set_parts(changes, 0)?;
    if let Some(lease) = &changes.lease {
        leases::grant(connection, writer.number, lease)?;
    }
    Ok(1)
}

fn commit(
    connection: &Connection,
    id: &str,
    expected: Version,
    changes: &SealedChanges,
) -> Result<Version, StoreError> {
    let (number, current, sequence): (i64, Version, u64) = connection
        .prepare_cached("SELECT number, version, sequence FROM infrastructures WHERE id = ?")
        .and_then(|mut statement| {
            statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
        })
        .map_err(|error| store_error(&error))?
        .ok_or(StoreError::NotFound)?;
    if let Some(lease) = &changes.lease {
        leases::check(connection, number, lease)?;
    }
    if current != expected {
        return Err(StoreError::Stale { expected, current });
    }
    let writer = InfrastructureWriter { connection, number, version: current };
    writer.run(
        "UPDATE infrastructures SET version = ?2, deleted = coalesce(?3, deleted), pending = coalesce(?4, pending)
         WHERE number = ?1",
        params![number, current + 1, changes.deleted, changes.pending],
    )?;
    // A statement of its own: one that names the column rewrites the payload, changed or not.
    if let Some(data) = &changes.infrastructure {
        writer.run("UPDATE infrastructures SET data = ?2 WHERE number = ?1", params![number, data])?;
    }
    if let Some(owners) = &changes.owners {
        writer.run("DELETE FROM owners WHERE infrastructure = ?", [number])?;
        writer.set_owners(owners)?;
    }
    writer.set_parts(changes, sequence)?;
    Ok(current + 1)
}

/// The infrastructure that is being written.
struct InfrastructureWriter<'a> {
    connection: &'a Connection,
    number: i64,
    version: Version,
}

impl InfrastructureWriter<'_> {
    fn run(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        execute(self.connection, sql, params)
    }

    fn set_owners(&self, owners: &[String]) -> Result<(), StoreError> {
        for (position, owner) in owners.iter().enumerate() {
            self.run("INSERT INTO owners VALUES (?, ?, ?)", params![self.number, position, owner])?;
        }
        Ok(())
    }

    /// Machines, progress and events; `last` is the highest sequence used so far.
    fn set_parts(&self, changes: &SealedChanges, last: u64) -> Result<(), StoreError> {
        for (number, data) in &changes.vms {
            self.run(
                "INSERT INTO vms VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET data = excluded.data",
                params![self.number, number, data],
            )?;
        }
        match &changes.progress {
            Some(Some(data)) => {
                self.run("INSERT OR REPLACE INTO progress VALUES (?, ?)", params![self.number, data])?
            }
            Some(None) => self.run("DELETE FROM progress WHERE infrastructure = ?", [self.number])?,
            None => 0,
        };
        if changes.clear_logs {
            self.run("DELETE FROM events INDEXED BY logs WHERE infrastructure = ? AND kind = 1", [self.number])?;
        }
        let (Some(first), Some(newest)) = (changes.events.first(), changes.events.last()) else {
            return Ok(());
        };
        // The mark in the row, not the events still there, decides: cleared logs give no number back.
        if first.sequence <= last {
            return Err(StoreError::Stale { expected: self.version, current: self.version });
        }
        for event in &changes.events {
            self.run(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
                params![self.number, event.sequence, event.vm, kind_number(event.kind), event.at, event.text],
            )?;
        }
        self.run("UPDATE infrastructures SET sequence = ?2 WHERE number = ?1", params![self.number, newest.sequence])?;
        Ok(())
    }
}

/// A number of rows as SQLite counts them.
fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Runs a statement; how many rows it changed.
pub(super) fn execute(connection: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params))
        .map_err(|error| store_error(&error))
}
