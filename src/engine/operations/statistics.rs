//! What was used when (docs/spec/api.md 6.1): one row per infrastructure, deleted ones too.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::engine::Engine,
        state::{
            model::{Infrastructure, Vm},
            rows,
        },
    },
    store::IndexRow,
};
use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, NaiveTime};
use radl::Amount;
use serde::Serialize;

/// Statistics of an infrastructure, with the names of the wire, in their order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatisticsRow {
    /// Creation, `YYYY-MM-DD HH:MM:SS` in local time.
    pub creation_date: String,
    /// Name of the TOSCA template it was made from; empty when there is none.
    pub tosca_name: String,
    /// Machines ever.
    pub vm_count: usize,
    /// Their cores.
    pub cpu_count: Amount,
    /// Their memory, decimal megabytes.
    pub memory_size: Amount,
    /// Type of the first machine's cloud; empty without machines.
    pub cloud_type: String,
    /// The first host of a cloud; empty when no cloud has one.
    pub cloud_host: String,
    /// Whether machines after the first one with a host live elsewhere.
    pub hybrid: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// The first owner's name.
    pub im_user: String,
    /// The infrastructure.
    pub inf_id: String,
    /// Last change, `YYYY-MM-DD HH:MM:SS` in local time.
    pub last_date: String,
}

impl Engine {
    /// Statistics of the caller's infrastructures created from the day `from` on and before the day `to`, newest first;
    /// of everybody's for an administrator.
    ///
    /// # Errors
    /// The store.
    pub async fn statistics(
        &self,
        caller: &Caller,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
    ) -> Result<Vec<StatisticsRow>, OperationError> {
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN);
        let (from, to) = (from.map(midnight), to.map(midnight));
        let wanted = |row: &IndexRow| {
            let created = local(row.created);
            caller.may_access_keys(&row.owners)
                && from.is_none_or(|from| created >= from)
                && to.is_none_or(|to| created <= to)
        };
        let mut statistics = Vec::new();
        let index = self.services.store.index().await.map_err(|error| OperationError::from(error).of_reading())?;
        for row in index.iter().filter(|row| wanted(row)) {
            match self.statistics_of(caller, row).await {
                Ok(found) => statistics.extend(found),
                Err(OperationError::Damaged(why)) => self.services.tell_damaged(&row.id, &why),
                Err(error) => return Err(error.of_reading()),
            }
        }
        Ok(statistics)
    }

    /// None of what is not the caller's, or was purged meanwhile.
    async fn statistics_of(&self, caller: &Caller, row: &IndexRow) -> Result<Option<StatisticsRow>, OperationError> {
        let model = match self.keepers.directory.handle(&row.id) {
            Some(handle) => handle.snapshot(),
            None => match self.services.store.load(&row.id).await? {
                Some(stored) => rows::model(stored)?.into(),
                None => return Ok(None),
            },
        };
        // An owner that needs a token is not matched by the index alone.
        if !caller.may_access(&model.owners) {
            return Ok(None);
        }
        let last = self.services.store.last_sequence(&row.id).await?;
        let events = self.services.store.events(&row.id, last.saturating_sub(1), 1).await?;
        let changed = events.last().map_or(row.created, |event| event.event.at / 1_000_000);
        Ok(Some(of(&model, changed)))
    }
}

fn of(model: &Infrastructure, changed: i64) -> StatisticsRow {
    let sum = |name: &str, unit: &str| {
        let of_vm = |vm: &Vm| vm.info.systems.first().and_then(|system| system.features.amount(name, Some(unit)));
        model.vms.iter().filter_map(|vm| of_vm(vm)).sum()
    };
    let mut hosts =
        model.vms.iter().map(|vm| vm.cloud.endpoint.server.as_str()).skip_while(|host: &&str| host.is_empty());
    let first_host = hosts.next().unwrap_or_default();
    StatisticsRow {
        creation_date: date(model.created),
        tosca_name: tosca_name(model),
        vm_count: model.vms.len(),
        cpu_count: sum("cpu.count", ""),
        memory_size: sum("memory.size", "M"),
        cloud_type: model.vms.first().map(|vm| vm.cloud.kind.clone()).unwrap_or_default(),
        cloud_host: first_host.to_owned(),
        hybrid: hosts.any(|host| host != first_host),
        deleted: model.deleted,
        im_user: model.owners.first().map(|owner| owner.username.clone()).unwrap_or_default(),
        inf_id: model.id.clone(),
        last_date: date(changed),
    }
}

/// The file name of the icon of its TOSCA document, without directory and its last four characters.
fn tosca_name(model: &Infrastructure) -> String {
    let Some(text) = model.extra_info.tosca().filter(|text| text.contains("icon")) else { return String::new() };
    let document = tosca::yaml::parse(text).ok();
    let icon = document.as_ref().and_then(|document| document.get("metadata")?.get("icon")?.as_text());
    let file = icon.and_then(|icon| icon.rsplit('/').next()).unwrap_or_default();
    file.char_indices().rev().nth(3).map_or(String::new(), |(end, _)| file[..end].to_owned())
}

fn local(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().with_timezone(&Local).naive_local()
}

fn date(seconds: i64) -> String {
    local(seconds).format("%Y-%m-%d %H:%M:%S").to_string()
}
