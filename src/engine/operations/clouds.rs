//! Images and limits of the caller's own clouds (docs/spec/api.md 6.3).

use crate::{
    auth::Caller,
    engine::{error::OperationError, operations::engine::Engine},
};
use connectors::{CloudImage, Connector};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

impl Engine {
    /// Images of a cloud; `filters` are those of its connector.
    ///
    /// # Errors
    /// No such cloud among the credentials; the cloud.
    pub async fn cloud_images(
        &self,
        caller: &Caller,
        cloud: &str,
        filters: &BTreeMap<String, String>,
    ) -> Result<Vec<CloudImage>, OperationError> {
        Ok(self.cloud(caller, cloud)?.images(filters).await?)
    }

    /// Limits of the caller's account in a cloud, in a region where they differ: `{"cores": {"used": 1, "limit": 10}, ...}`.
    ///
    /// # Errors
    /// No such cloud among the credentials; the cloud.
    pub async fn cloud_quotas(
        &self,
        caller: &Caller,
        cloud: &str,
        region: Option<&str>,
    ) -> Result<Value, OperationError> {
        let quotas = self.cloud(caller, cloud)?.quotas(region).await?;
        let entry = |used: f64, limit: f64| json!({"used": number(used), "limit": number(limit)});
        let quotas = quotas.into_iter().map(|(name, quota)| (name, entry(quota.used, quota.limit)));
        Ok(Value::Object(quotas.collect::<Map<_, _>>()))
    }

    fn cloud(&self, caller: &Caller, id: &str) -> Result<Arc<dyn Connector>, OperationError> {
        let accounts = caller.credentials.clouds().map_err(|error| OperationError::Invalid(error.to_string()))?;
        let account = accounts.into_iter().find(|account| account.id == id);
        let account = account.ok_or_else(|| OperationError::Invalid(format!("Cloud ID {id} not found.")))?;
        Ok(self.services.registry.connector(&account)?)
    }
}

/// Whole numbers without a point.
fn number(value: f64) -> Value {
    let whole = value.round();
    if whole == value && whole.abs() < 9e15 { Value::from(whole as i64) } else { Value::from(value) }
}
