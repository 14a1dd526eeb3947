//! The queries. Each is one round trip and sees one state of the database.

use super::{
    ANSWER, ATTEMPTS, CONNECT, Kind,
    error::Failure,
    sql::{Literal, statement},
};
use crate::store::{
    IndexRow, Keyring, StoreError, StoredEvent, StoredInfrastructure,
    rows::{Row, SealedEvent, kind_of},
};
use mysql_async::{
    Conn, Pool, QueryResult, TextProtocol,
    prelude::{FromRow, Queryable},
};
use std::collections::BTreeMap;

/// A connection of the pool that was not found broken.
async fn connection(pool: &Pool) -> Result<Conn, Failure> {
    Ok(tokio::time::timeout(ANSWER, pool.get_conn()).await.map_err(|_| Failure::silence())??)
}

/// Asks one question and takes its answer apart.
pub(super) async fn ask<T>(
    pool: &Pool,
    question: Vec<u8>,
    take: impl AsyncFnOnce(&mut QueryResult<'_, '_, TextProtocol>) -> Result<T, Failure>,
) -> Result<T, StoreError> {
    let asked = bounded(pool, async |connection| {
        let mut result = connection.query_iter(question).await?;
        take(&mut result).await
    });
    asked.await.map_err(Failure::into_error)
}

/// Uses a connection for as long as an answer may take.
async fn bounded<T>(pool: &Pool, work: impl AsyncFnOnce(&mut Conn) -> Result<T, Failure>) -> Result<T, Failure> {
    let mut connection = connection(pool).await?;
    let done = tokio::time::timeout(ANSWER, work(&mut connection)).await;
    let done = done.unwrap_or_else(|_| Err(Failure::silence()));
    if done.is_err() {
        // It may stand in the middle of an answer or of a transaction.
        tokio::spawn(tokio::time::timeout(CONNECT, connection.disconnect()));
    }
    done
}

/// Runs statements without rows in a transaction, again when another one was in the way.
pub(super) async fn execute(pool: &Pool, kind: Kind, statements: Vec<u8>) -> Result<(), StoreError> {
    let mut attempts = ATTEMPTS;
    loop {
        attempts -= 1;
        let statements = [b"START TRANSACTION;", &statements[..]].concat();
        let executed = commit(pool, kind, statements, async |result| {
            loop {
                // See the writer's.
                let is_last = result.is_empty();
                rows::<mysql_async::Row>(result).await?;
                if is_last {
                    return Ok(());
                }
            }
        });
        match executed.await {
            Err(Failure::Busy(_)) if attempts > 0 => {}
            executed => return executed.map_err(Failure::into_error),
        }
    }
}

/// Asks the statements of a transaction, and commits it: with them, or alone where that is needed.
pub(super) async fn commit<T>(
    pool: &Pool,
    kind: Kind,
    mut statements: Vec<u8>,
    take: impl AsyncFnOnce(&mut QueryResult<'_, '_, TextProtocol>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if kind == Kind::Alone {
        statements.extend(b";COMMIT");
    }
    bounded(pool, async |connection| {
        let mut result = connection.query_iter(statements).await?;
        let taken = take(&mut result).await?;
        while !result.is_empty() {
            rows::<mysql_async::Row>(&mut result).await?;
        }
        // What came last may have failed.
        rows::<mysql_async::Row>(&mut result).await?;
        if kind == Kind::Replicated {
            connection.query_drop("COMMIT").await?;
        }
        Ok(taken)
    })
    .await
}

/// The rows of the next result.
pub(super) async fn rows<T: FromRow + Send + 'static>(
    result: &mut QueryResult<'_, '_, TextProtocol>,
) -> Result<Vec<T>, Failure> {
    result.try_collect().await?.into_iter().collect::<Result<_, _>>().map_err(|_| Failure::row(&"its types differ"))
}

/// Statements that see the same state of the database.
fn snapshot(statements: &[Vec<u8>]) -> Vec<u8> {
    let mut text = b"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY".to_vec();
    for statement in statements {
        text.push(b';');
        text.extend(statement);
    }
    text.extend(b";COMMIT");
    text
}

/// See [`Store::load`](crate::store::Store::load).
pub(super) async fn load(pool: &Pool, keyring: &Keyring, id: &str) -> Result<Option<StoredInfrastructure>, StoreError> {
    let question = snapshot(&[
        statement("SELECT version, data FROM infrastructures WHERE id = ?", &[id.into()]),
        statement(
            "SELECT vms.number, vms.data FROM vms JOIN infrastructures i ON i.number = vms.infrastructure WHERE i.id = ?
             ORDER BY vms.number",
            &[id.into()],
        ),
        statement(
            "SELECT p.data FROM progress p JOIN infrastructures i ON i.number = p.infrastructure WHERE i.id = ?",
            &[id.into()],
        ),
    ]);
    let (mut infrastructures, vms, mut progress) = ask(pool, question, async |result| {
        rows::<mysql_async::Row>(result).await?;
        let infrastructures: Vec<(u64, Vec<u8>)> = rows(result).await?;
        let vms: Vec<(u32, Vec<u8>)> = rows(result).await?;
        let progress: Vec<Vec<u8>> = rows(result).await?;
        rows::<mysql_async::Row>(result).await?;
        Ok((infrastructures, vms, progress))
    })
    .await?;
    let Some((version, sealed)) = infrastructures.pop() else { return Ok(None) };
    Ok(Some(StoredInfrastructure {
        version,
        infrastructure: Row::Infrastructure.open(keyring, id, &sealed)?,
        vms: vms
            .into_iter()
            .map(|(number, sealed)| Ok((number, Row::Vm(number).open(keyring, id, &sealed)?)))
            .collect::<Result<_, StoreError>>()?,
        progress: progress.pop().map(|sealed| Row::Progress.open(keyring, id, &sealed)).transpose()?,
    }))
}

/// See [`Store::index`](crate::store::Store::index).
pub(super) async fn index(pool: &Pool) -> Result<Vec<IndexRow>, StoreError> {
    let question = snapshot(&[
        b"SELECT infrastructure, owner FROM owners ORDER BY infrastructure, position".to_vec(),
        b"SELECT number, id, created, deleted, pending FROM infrastructures ORDER BY created DESC, number DESC"
            .to_vec(),
    ]);
    let (pairs, infrastructures) = ask(pool, question, async |result| {
        rows::<mysql_async::Row>(result).await?;
        let pairs: Vec<(u64, String)> = rows(result).await?;
        let infrastructures: Vec<(u64, String, i64, bool, bool)> = rows(result).await?;
        rows::<mysql_async::Row>(result).await?;
        Ok((pairs, infrastructures))
    })
    .await?;
    let mut owners: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (number, owner) in pairs {
        owners.entry(number).or_default().push(owner);
    }
    let row = |(number, id, created, deleted, pending)| IndexRow {
        id,
        owners: owners.remove(&number).unwrap_or_default(),
        created,
        deleted,
        pending,
    };
    Ok(infrastructures.into_iter().map(row).collect())
}

/// See [`Store::events`](crate::store::Store::events).
pub(super) async fn events(
    pool: &Pool,
    keyring: &Keyring,
    id: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    let condition = "sequence > ? ORDER BY sequence LIMIT ?";
    let found = sealed_events(pool, id, condition, &[after.into(), (limit as u64).into()]).await?;
    Ok(found.iter().map(|event| event.open(keyring, id)).collect())
}

/// See [`Store::last_sequence`](crate::store::Store::last_sequence).
pub(super) async fn last_sequence(pool: &Pool, id: &str) -> Result<u64, StoreError> {
    let question = statement("SELECT sequence FROM infrastructures WHERE id = ?", &[id.into()]);
    let found: Vec<u64> = ask(pool, question, async |result| rows(result).await).await?;
    Ok(found.first().copied().unwrap_or_default())
}

/// See [`Store::version`](crate::store::Store::version).
pub(super) async fn version(pool: &Pool, id: &str) -> Result<Option<u64>, StoreError> {
    let question = statement("SELECT version FROM infrastructures WHERE id = ?", &[id.into()]);
    let found: Vec<u64> = ask(pool, question, async |result| rows(result).await).await?;
    Ok(found.first().copied())
}

/// See [`Store::log`](crate::store::Store::log).
pub(super) async fn log(pool: &Pool, keyring: &Keyring, id: &str, vm: Option<u32>) -> Result<String, StoreError> {
    let found = sealed_events(pool, id, "kind = 1 AND vm <=> ? ORDER BY sequence", &[vm.into()]).await?;
    Ok(found.iter().map(|event| event.text(keyring, id)).collect())
}

/// See [`Store::vm_logs`](crate::store::Store::vm_logs).
pub(super) async fn vm_logs(pool: &Pool, keyring: &Keyring, id: &str) -> Result<Vec<(u32, String)>, StoreError> {
    let mut logs: BTreeMap<u32, String> = BTreeMap::new();
    for event in sealed_events(pool, id, "kind = 1 AND vm IS NOT NULL ORDER BY vm, sequence", &[]).await? {
        if let Some(vm) = event.vm {
            logs.entry(vm).or_default().push_str(&event.text(keyring, id));
        }
    }
    Ok(logs.into_iter().collect())
}

/// Proves that the database answers.
pub(super) async fn check(pool: &Pool) -> Result<(), StoreError> {
    ask(pool, b"SELECT version FROM schema_version".to_vec(), async |result| rows::<u64>(result).await).await.map(drop)
}

async fn sealed_events(
    pool: &Pool,
    id: &str,
    condition: &str,
    values: &[Literal<'_>],
) -> Result<Vec<SealedEvent>, StoreError> {
    let template = format!(
        "SELECT sequence, vm, kind, at, text FROM events
         WHERE infrastructure = (SELECT number FROM infrastructures WHERE id = ?) AND {condition}"
    );
    let values: Vec<Literal<'_>> = std::iter::once(id.into()).chain(values.iter().copied()).collect();
    type Columns = (u64, Option<u32>, u8, i64, Vec<u8>);
    let found: Vec<Columns> = ask(pool, statement(&template, &values), async |result| rows(result).await).await?;
    found
        .into_iter()
        .map(|(sequence, vm, kind, at, text)| Ok(SealedEvent { sequence, vm, kind: kind_of(kind)?, at, text }))
        .collect()
}
