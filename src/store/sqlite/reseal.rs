//! Sealing anew what is not sealed with the newest key. Runs inside the writer's transaction, so that no other writer's
//! change is lost, whichever process it is in.

use super::{error::store_error, write::execute};
use crate::store::{
    Keyring, StoreError,
    rows::{Row, kind_of},
};
use rusqlite::{Connection, OptionalExtension, Params, params};

/// See [`Store::reseal`](crate::store::Store::reseal).
pub(super) fn reseal(
    connection: &Connection,
    keyring: &Keyring,
    id: Option<&str>,
    limit: i64,
) -> Result<u64, StoreError> {
    let newest = keyring.newest_mark();
    let Some(id) = id else {
        let resealing = Resealing { connection, keyring, id: "" };
        let select = "SELECT rowid, key_check FROM schema_version WHERE substr(key_check, 1, 5) <> ?1 LIMIT ?2";
        let update = "UPDATE schema_version SET key_check = ?3 WHERE rowid = ?2";
        return resealing.part((select, params![newest, limit]), (update, 0), |_| Ok(Row::KeyCheck));
    };
    let number: Option<i64> = connection
        .query_row("SELECT number FROM infrastructures WHERE id = ?", [id], |row| row.get(0))
        .optional()
        .map_err(|error| store_error(&error))?;
    let Some(number) = number else {
        return Ok(0);
    };
    let resealing = Resealing { connection, keyring, id };
    let mut done = 0;
    let left = |done: u64| limit.saturating_sub_unsigned(done);
    done += resealing.part(
        (
            "SELECT number, data FROM infrastructures WHERE number = ?1 AND substr(data, 1, 5) <> ?2 LIMIT ?3",
            params![number, newest, left(done)],
        ),
        ("UPDATE infrastructures SET data = ?3 WHERE number = ?1 AND number = ?2", number),
        |_| Ok(Row::Infrastructure),
    )?;
    done += resealing.part(
        (
            "SELECT number, data FROM vms WHERE infrastructure = ?1 AND substr(data, 1, 5) <> ?2 ORDER BY number LIMIT ?3",
            params![number, newest, left(done)],
        ),
        ("UPDATE vms SET data = ?3 WHERE infrastructure = ?1 AND number = ?2", number),
        |row| Ok(Row::Vm(get(row, 0)?)),
    )?;
    done += resealing.part(
        (
            "SELECT infrastructure, data FROM progress WHERE infrastructure = ?1 AND substr(data, 1, 5) <> ?2 LIMIT ?3",
            params![number, newest, left(done)],
        ),
        ("UPDATE progress SET data = ?3 WHERE infrastructure = ?1 AND infrastructure = ?2", number),
        |_| Ok(Row::Progress),
    )?;
    done += resealing.part(
        (
            "SELECT sequence, text, vm, kind, at FROM events
             WHERE infrastructure = ?1 AND substr(text, 1, 5) <> ?2 ORDER BY sequence LIMIT ?3",
            params![number, newest, left(done)],
        ),
        ("UPDATE events SET text = ?3 WHERE infrastructure = ?1 AND sequence = ?2", number),
        |row| {
            Ok(Row::Event { sequence: get(row, 0)?, vm: get(row, 2)?, kind: kind_of(get(row, 3)?)?, at: get(row, 4)? })
        },
    )?;
    Ok(done)
}

struct Resealing<'a> {
    connection: &'a Connection,
    keyring: &'a Keyring,
    id: &'a str,
}

impl Resealing<'_> {
    /// Seals anew what the query finds: a key in its first column, the value in its second one. The statement that
    /// writes takes the infrastructure, that key and the new value.
    fn part(
        &self,
        (select, wanted): (&str, impl Params),
        (update, number): (&str, i64),
        row_of: impl Fn(&rusqlite::Row<'_>) -> Result<Row, StoreError>,
    ) -> Result<u64, StoreError> {
        let failed = |error| store_error(&error);
        let mut statement = self.connection.prepare_cached(select).map_err(failed)?;
        let mut rows = statement.query(wanted).map_err(failed)?;
        let mut found: Vec<(i64, Row, Vec<u8>)> = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push((get(row, 0)?, row_of(row)?, get(row, 1)?));
        }
        for (key, row, sealed) in &found {
            let sealed = row.reseal(self.keyring, self.id, sealed)?;
            execute(self.connection, update, params![number, key, sealed])?;
        }
        Ok(found.len() as u64)
    }
}

fn get<T: rusqlite::types::FromSql>(row: &rusqlite::Row<'_>, column: usize) -> Result<T, StoreError> {
    row.get(column).map_err(|error| store_error(&error))
}
