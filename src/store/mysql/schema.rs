//! The tables: made when the database is new, brought to this version when they are older.

use super::{error::Failure, sql::statement};
use crate::store::{
    Keyring, StoreError,
    rows::{database_id, new_key_check},
};
use mysql_async::{Conn, prelude::Queryable};

/// What brings the tables from one version to the next; the first step makes them. The server cannot take back a change
/// of tables, so each statement may be repeated: a step that was cut short is done again from its beginning.
const STEPS: &[&[&str]] = &[MADE, SHARED_PARTS];

/// Rows of machines say what they share, which an older daemon cannot read; it reads older rows as they are.
const SHARED_PARTS: &[&str] = &[];

const MADE: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS infrastructures (
        number BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        id VARBINARY(255) NOT NULL UNIQUE,
        version BIGINT UNSIGNED NOT NULL,
        mark BIGINT UNSIGNED NOT NULL,
        created BIGINT NOT NULL,
        deleted BOOLEAN NOT NULL,
        pending BOOLEAN NOT NULL,
        sequence BIGINT UNSIGNED NOT NULL,
        data LONGBLOB NOT NULL,
        session VARBINARY(64) NOT NULL DEFAULT '',
        token BIGINT UNSIGNED NOT NULL DEFAULT 0,
        KEY held (session),
        KEY unfinished (pending, deleted)
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS daemons (
        session VARBINARY(64) NOT NULL PRIMARY KEY,
        url VARBINARY(255) NOT NULL,
        place VARBINARY(255) NOT NULL,
        expires BIGINT NOT NULL
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS owners (
        infrastructure BIGINT UNSIGNED NOT NULL,
        position INT UNSIGNED NOT NULL,
        owner VARBINARY(255) NOT NULL,
        PRIMARY KEY (infrastructure, position),
        KEY owned (owner),
        FOREIGN KEY (infrastructure) REFERENCES infrastructures (number) ON DELETE CASCADE
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS vms (
        infrastructure BIGINT UNSIGNED NOT NULL,
        number INT UNSIGNED NOT NULL,
        data LONGBLOB NOT NULL,
        PRIMARY KEY (infrastructure, number),
        FOREIGN KEY (infrastructure) REFERENCES infrastructures (number) ON DELETE CASCADE
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS progress (
        infrastructure BIGINT UNSIGNED NOT NULL PRIMARY KEY,
        data LONGBLOB NOT NULL,
        FOREIGN KEY (infrastructure) REFERENCES infrastructures (number) ON DELETE CASCADE
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS events (
        infrastructure BIGINT UNSIGNED NOT NULL,
        sequence BIGINT UNSIGNED NOT NULL,
        vm INT UNSIGNED,
        kind TINYINT UNSIGNED NOT NULL,
        at BIGINT NOT NULL,
        text LONGBLOB NOT NULL,
        PRIMARY KEY (infrastructure, sequence),
        KEY logs (infrastructure, kind, vm, sequence),
        FOREIGN KEY (infrastructure) REFERENCES infrastructures (number) ON DELETE CASCADE
    ) ENGINE = InnoDB",
];

/// The table that is made before all others, with its only row: version 0 while the others are made. `checks` is what a
/// check of the store writes.
const SCHEMA_VERSION: &str = "CREATE TABLE IF NOT EXISTS schema_version (
        only_row TINYINT NOT NULL PRIMARY KEY,
        version INT UNSIGNED NOT NULL,
        key_check LONGBLOB NOT NULL,
        checks BIGINT UNSIGNED NOT NULL
    ) ENGINE = InnoDB";

/// Makes or migrates the tables of a database; proves that they are ours, of this version, and sealed with a key of the
/// keyring. Nothing is written to a database that is not ours, nor to any without `make`. Daemons may do it at the same
/// time. Tells the id of the database.
pub(super) async fn prepare(connection: &mut Conn, keyring: &Keyring, make: bool) -> Result<String, Failure> {
    let tables: Vec<String> = connection
        .query("SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE()")
        .await?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    if !tables.is_empty() && !has("schema_version") {
        return Err(Failure::Refused(StoreError::foreign(has("inf_list"), "database")));
    }
    let not_made = || Failure::Refused(StoreError::Unavailable("imd has not made its tables there yet".to_owned()));
    if tables.is_empty() {
        if !make {
            return Err(not_made());
        }
        if !keyring.fits(None) {
            return Err(Failure::Refused(StoreError::not_ours(None)));
        }
        connection.query_drop(SCHEMA_VERSION).await?;
    }
    let mut version = match version(connection).await? {
        Some(version) => version,
        None if !make => return Err(not_made()),
        None => {
            // Of two daemons, one's row stands.
            let check = new_key_check(keyring).map_err(Failure::Refused)?;
            let row = statement("INSERT IGNORE INTO schema_version VALUES (1, 0, ?, 0)", &[check[..].into()]);
            connection.query_drop(row).await?;
            version(connection).await?.unwrap_or_default()
        }
    };
    let known = STEPS.len();
    if version > known {
        return Err(Failure::Refused(StoreError::newer_schema(version, known, "database")));
    }
    if version < known && !make {
        return Err(not_made());
    }
    let id = match stored_id(connection, keyring).await? {
        (_, Some(id)) if make && !keyring.fits(Some(&id)) => {
            return Err(Failure::Refused(StoreError::not_ours(Some(&id))));
        }
        (_, Some(id)) => id,
        (former, None) => {
            // Of two daemons, one's id stands.
            let check = new_key_check(keyring).map_err(Failure::Refused)?;
            let update = "UPDATE schema_version SET key_check = ? WHERE key_check = ?";
            connection.query_drop(statement(update, &[check[..].into(), former[..].into()])).await?;
            let missing = || StoreError::Corrupt("its id is missing; restore it from a backup".to_owned());
            stored_id(connection, keyring).await?.1.ok_or_else(|| Failure::Refused(missing()))?
        }
    };
    for step in &STEPS[version..] {
        for sql in *step {
            connection.query_drop(*sql).await?;
        }
        let next = version + 1;
        connection.query_drop(format!("UPDATE schema_version SET version = {next} WHERE version = {version}")).await?;
        version = next;
    }
    Ok(id)
}

/// The key check and the id that it seals.
async fn stored_id(connection: &mut Conn, keyring: &Keyring) -> Result<(Vec<u8>, Option<String>), Failure> {
    let check: Option<Vec<u8>> = connection.query_first("SELECT key_check FROM schema_version").await?;
    let check = check.unwrap_or_default();
    let id = database_id(keyring, &check).map_err(Failure::Refused)?;
    Ok((check, id))
}

async fn version(connection: &mut Conn) -> Result<Option<usize>, Failure> {
    Ok(connection.query_first("SELECT version FROM schema_version").await?)
}
