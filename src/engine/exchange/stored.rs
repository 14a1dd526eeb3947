//! Between the document of an export and the rows of the store, for whole databases and without an engine.

use crate::{
    auth::Identity,
    engine::{
        error::OperationError,
        exchange::{export, import, record::InfrastructureRecord},
        secrets,
        state::{draft::Terms, rows, states::Clock},
    },
    store::{Changes, IndexRow, Store},
};
use std::{collections::HashMap, time::Duration};

/// The rows of an infrastructure as it was exported, to be created in the store; `now` in seconds since the epoch.
///
/// # Errors
/// What is wrong with the document.
pub fn to_rows(
    record: InfrastructureRecord,
    owners: Vec<Identity>,
    now: i64,
) -> Result<(IndexRow, Changes), OperationError> {
    let (mut model, logs) = import::model(record, now)?;
    model.owners = owners;
    let terms = Terms {
        now: now.saturating_mul(1_000_000),
        steady: now,
        max_contextualization: Duration::ZERO,
        wait_running: Duration::ZERO,
        default_vm_name: "".into(),
        new_password: secrets::random_password,
    };
    let draft = import::whole(model, logs, terms);
    Ok((rows::index_row(&draft), rows::changes(&draft, 1)?))
}

/// A stored infrastructure as it is exported.
#[derive(Debug)]
pub struct Exported {
    /// The document; it names no owners.
    pub record: InfrastructureRecord,
    /// Its owners.
    pub owners: Vec<Identity>,
    /// Last change, seconds since the epoch.
    pub changed: i64,
}

/// The document of a stored infrastructure, none when there is no such one.
///
/// # Errors
/// The store; work that is pending, which the document cannot say.
pub async fn from_store(store: &dyn Store, id: &str, now: i64) -> Result<Option<Exported>, OperationError> {
    let Some(stored) = store.load(id).await? else {
        return Ok(None);
    };
    let model = rows::model(stored)?;
    if model.is_pending(now) {
        return Err(OperationError::Conflict("work or contextualization".to_owned()));
    }
    let header = store.log(id, None).await?;
    let logs: HashMap<u32, String> = store.vm_logs(id).await?.into_iter().collect();
    let last = store.last_sequence(id).await?;
    let events = store.events(id, last.saturating_sub(1), 1).await?;
    let changed = events.last().map_or(model.created, |event| event.event.at / 1_000_000);
    // Whoever reads the document asks the clouds by itself: no state is too old.
    let mut record = export::record(&model, header, &logs, Clock { now, grace: i64::MAX })?;
    record.auth.clear();
    record.deleted = model.deleted;
    Ok(Some(Exported { record, owners: model.owners, changed }))
}
