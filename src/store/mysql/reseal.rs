//! Sealing anew what is not sealed with the newest key. A value is replaced only while it is the one that was read, so no
//! other writer's change is lost, whichever process it is in.

use super::{
    Kind,
    read::{ask, execute, rows},
    sql::{packets, statement},
};
use crate::store::{
    Keyring, StoreError,
    rows::{Row, kind_of},
};
use mysql_async::Pool;

/// Bytes of statements that go into one transaction.
const PACKET: usize = 1 << 20;

/// Infrastructure, sequence, machine, kind, time and sealed text of an event.
type EventColumns = (u64, u64, Option<u32>, u8, i64, Vec<u8>);

/// A value to be sealed anew: which table and row it is in, what it is.
struct Found {
    table: &'static str,
    column: &'static str,
    /// Condition of its row.
    condition: String,
    row: Row,
    sealed: Vec<u8>,
}

/// See [`Store::reseal`](crate::store::Store::reseal).
pub(super) async fn reseal(
    pool: &Pool,
    kind: Kind,
    keyring: &Keyring,
    id: Option<&str>,
    limit: usize,
) -> Result<u64, StoreError> {
    let found = match id {
        Some(id) => of_infrastructure(pool, &keyring.newest_mark(), id, limit).await?,
        None => key_check(pool, &keyring.newest_mark(), limit).await?,
    };
    let mut statements = Vec::new();
    for Found { table, column, condition, row, sealed } in &found {
        let anew = row.reseal(keyring, id.unwrap_or_default(), sealed)?;
        let template = format!("UPDATE {table} SET {column} = ? WHERE {condition} AND {column} = ?");
        statements.push(statement(&template, &[anew[..].into(), sealed[..].into()]));
    }
    for packet in packets(statements, PACKET) {
        execute(pool, kind, packet).await?;
    }
    Ok(found.len() as u64)
}

async fn key_check(pool: &Pool, newest: &[u8], limit: usize) -> Result<Vec<Found>, StoreError> {
    let question = "SELECT key_check FROM schema_version WHERE LEFT(key_check, 5) <> ? LIMIT ?";
    let values: Vec<Vec<u8>> =
        ask(pool, statement(question, &[newest.into(), (limit as u64).into()]), async |result| rows(result).await)
            .await?;
    let (table, column, row) = ("schema_version", "key_check", Row::KeyCheck);
    let found = |sealed| Found { table, column, condition: "only_row = 1".to_owned(), row, sealed };
    Ok(values.into_iter().map(found).collect())
}

async fn of_infrastructure(pool: &Pool, newest: &[u8], id: &str, limit: usize) -> Result<Vec<Found>, StoreError> {
    let mut found: Vec<Found> = Vec::new();
    let question = |columns: &str, table: &str, key: &str, column: &str, left: usize| {
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE {key} = (SELECT number FROM infrastructures WHERE id = ?)
             AND LEFT({column}, 5) <> ? LIMIT ?"
        );
        statement(&sql, &[id.into(), newest.into(), (left as u64).into()])
    };
    let of_data = [
        ("infrastructures", "number", "number, 0, data"),
        ("vms", "infrastructure", "infrastructure, number, data"),
        ("progress", "infrastructure", "infrastructure, 0, data"),
    ];
    for (table, key, columns) in of_data {
        let question = question(columns, table, key, "data", limit - found.len());
        let values: Vec<(u64, u32, Vec<u8>)> = ask(pool, question, async |result| rows(result).await).await?;
        found.extend(values.into_iter().map(|(infrastructure, vm, sealed)| {
            let condition = format!("{key} = {infrastructure}");
            let (condition, row) = match table {
                "infrastructures" => (condition, Row::Infrastructure),
                "progress" => (condition, Row::Progress),
                _ => (format!("{condition} AND number = {vm}"), Row::Vm(vm)),
            };
            Found { table, column: "data", condition, row, sealed }
        }));
    }
    let columns = "infrastructure, sequence, vm, kind, at, text";
    let question = question(columns, "events", "infrastructure", "text", limit - found.len());
    let events: Vec<EventColumns> = ask(pool, question, async |result| rows(result).await).await?;
    for (infrastructure, sequence, vm, kind, at, sealed) in events {
        let row = Row::Event { sequence, vm, kind: kind_of(kind)?, at };
        let condition = format!("infrastructure = {infrastructure} AND sequence = {sequence}");
        found.push(Found { table: "events", column: "text", condition, row, sealed });
    }
    Ok(found)
}
