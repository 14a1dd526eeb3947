//! Which infrastructures a caller has.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::{
            engine::Engine,
            filter::{self, Filter},
        },
        state::{model::Infrastructure, rights::Right},
    },
};
use std::sync::Arc;

impl Engine {
    /// Ids of the infrastructures of the caller, newest first; with `filter` those in the text of whose documents this
    /// regular expression is found.
    ///
    /// # Errors
    /// A filter that is none or takes too long; the store, when a filter needs it.
    pub async fn list(&self, caller: &Caller, filter: Option<&str>) -> Result<Vec<String>, OperationError> {
        let filter = match filter.map(str::to_owned) {
            Some(filter) => Some(self.apart(caller.user(), move || Filter::new(&filter, filter::TIME)).await??),
            None => None,
        };
        self.listed(caller, filter).await.map_err(OperationError::of_reading)
    }

    async fn listed(&self, caller: &Caller, filter: Option<Filter>) -> Result<Vec<String>, OperationError> {
        let mut ids = Vec::new();
        if self.services.cluster.is_some() {
            let is_filtered = filter.is_some();
            match self.list_of_all(caller, filter).await {
                // While the database is away, what is known here is told.
                Err(OperationError::Unavailable(_)) if !is_filtered => return Ok(self.keepers.known(caller)),
                listed => return listed,
            }
        }
        let mut models = Vec::new();
        for (id, slot) in self.keepers.directory.newest_first() {
            let is_owned = match slot.handle.get() {
                Some(handle) => caller.may_access(&handle.snapshot().owners),
                None => caller.may_access_keys(&slot.owners),
            };
            if !is_owned {
                continue;
            }
            match filter {
                Some(_) => match self.keepers.load(&id).await {
                    Ok(handle) => models.push(handle.snapshot()),
                    // Named in the log; or deleted meanwhile.
                    Err(OperationError::Damaged(_) | OperationError::UnknownInfrastructure) => {}
                    Err(error) => return Err(error),
                },
                None => ids.push(id),
            }
        }
        match filter {
            Some(filter) => self.found(caller, filter, models).await,
            None => Ok(ids),
        }
    }

    /// Ids of those of the infrastructures in whose documents the filter is found.
    async fn found(
        &self,
        caller: &Caller,
        mut filter: Filter,
        models: Vec<Arc<Infrastructure>>,
    ) -> Result<Vec<String>, OperationError> {
        let find = move || {
            let mut ids = Vec::new();
            for model in models {
                let is_in_tosca = match model.extra_info.tosca() {
                    Some(text) => filter.matches(|| text.to_owned())?,
                    None => false,
                };
                if is_in_tosca || filter.matches(|| model.radl.without_internal().to_text())? {
                    ids.push(model.id.clone());
                }
            }
            Ok(ids)
        };
        self.apart(caller.user(), find).await?
    }

    /// Ids of the infrastructures of the caller where several daemons keep them.
    async fn list_of_all(&self, caller: &Caller, filter: Option<Filter>) -> Result<Vec<String>, OperationError> {
        let keys: Vec<String> = caller.users().map(|who| who.key.clone()).collect();
        let Some(cluster) = &self.services.cluster else { return Ok(Vec::new()) };
        let rows = cluster.owned((!caller.is_administrator()).then_some(keys)).await?;
        let Some(filter) = filter else { return Ok(rows.into_iter().map(|row| row.id).collect()) };
        let mut models = Vec::new();
        for row in rows {
            match self.keepers.view(caller, &row.id, Right::Use).await {
                Ok((_, model)) => models.push(model),
                // Named in the log; or deleted meanwhile.
                Err(OperationError::Damaged(_) | OperationError::UnknownInfrastructure) => {}
                Err(error) => return Err(error),
            }
        }
        self.found(caller, filter, models).await
    }
}
