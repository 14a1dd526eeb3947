//! Limits of a project.

use super::{OpenStack, client::Service, nova::Usage};
use crate::{ConnectorError, ErrorClass, Quota};
use serde_json::Value;
use std::collections::BTreeMap;

/// Megabytes of memory in a GB of limits.
const MEGABYTES: f64 = 1024.0;

/// A service's word for a limit, ours, and how many of its units are one of ours.
type Names = [(&'static str, &'static str, f64)];

const COMPUTE: &Names = &[("cores", "cores", 1.0), ("ram", "ram", MEGABYTES), ("instances", "instances", 1.0)];
const NETWORK: &Names = &[("floatingip", "floating_ips", 1.0), ("security_group", "security_groups", 1.0)];
const VOLUME: &Names = &[("volumes", "volumes", 1.0), ("gigabytes", "volume_storage", 1.0)];

impl OpenStack {
    /// The limits of a project: by its id, or the one of the credentials.
    pub(super) async fn limits_of(&self, project: Option<&str>) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        let own = self.account.field("tenant_id").map(str::to_owned);
        let project = match project.map(str::to_owned).or(own) {
            Some(project) => project,
            None => self.api.project().await?.ok_or_else(|| {
                ConnectorError::new(
                    ErrorClass::Invalid,
                    "The project is not known: tenant_id of the auth item tells it",
                )
            })?,
        };
        let mut quotas = BTreeMap::new();
        let mut add = |limits: BTreeMap<String, Value>, names: &Names| {
            for (theirs, ours, unit) in names {
                let usage = limits.get(*theirs).and_then(|value| serde_json::from_value::<Usage>(value.clone()).ok());
                let Some(Usage { in_use, reserved, limit }) = usage else { continue };
                let limit = if limit < 0 { -1.0 } else { limit as f64 / unit };
                quotas.insert((*ours).to_owned(), Quota { used: (in_use + reserved).max(0) as f64 / unit, limit });
            }
        };
        add(self.api.compute_limits(&project).await?, COMPUTE);
        let path = ["quotas", project.as_str(), "details.json"];
        add(tolerated(self.api.limits(Service::Network, &path, "quota", &[]).await)?, NETWORK);
        if self.api.has(Service::Volume).await? {
            let path = ["os-quota-sets", project.as_str()];
            let query = [("usage", "True")];
            add(tolerated(self.api.limits(Service::Volume, &path, "quota_set", &query).await)?, VOLUME);
        }
        Ok(quotas)
    }
}

/// Limits of a service that does not tell them are left out.
fn tolerated(
    limits: Result<BTreeMap<String, Value>, ConnectorError>,
) -> Result<BTreeMap<String, Value>, ConnectorError> {
    match limits {
        Err(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::Denied | ErrorClass::Unsupported) => {
            Ok(BTreeMap::new())
        }
        limits => limits,
    }
}
