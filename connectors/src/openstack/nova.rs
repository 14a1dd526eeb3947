//! Nova: servers, flavors, zones and limits.

use super::client::{Api, Service};
use crate::{ConnectorError, http::Method};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A server.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Server {
    pub id: String,
    pub status: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub addresses: BTreeMap<String, Vec<ServerAddress>>,
    pub flavor: ServerFlavor,
    pub fault: Option<ServerFault>,
    #[serde(rename = "hostId", default)]
    pub host: String,
    #[serde(default)]
    pub created: String,
    #[serde(rename = "OS-EXT-STS:task_state")]
    pub task: Option<String>,
    /// Nothing, or an empty text, of a server whose root disk is a volume.
    #[serde(default)]
    pub image: Value,
    #[serde(rename = "os-extended-volumes:volumes_attached", default)]
    pub volumes: Vec<Id>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Id {
    pub id: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ServerAddress {
    pub addr: String,
    #[serde(rename = "OS-EXT-IPS:type")]
    pub kind: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ServerFault {
    #[serde(default)]
    pub message: String,
}

/// The flavor of a server: itself since version 2.47 of the API, its id before.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ServerFlavor {
    pub id: Option<String>,
    pub original_name: Option<String>,
    pub vcpus: Option<u32>,
    pub ram: Option<u64>,
    pub disk: Option<u64>,
}

/// A flavor.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Flavor {
    pub id: String,
    pub name: String,
    /// MiB.
    pub ram: u64,
    /// GiB of the root disk.
    pub disk: u64,
    pub vcpus: u32,
    /// GiB.
    #[serde(rename = "OS-FLV-EXT-DATA:ephemeral", default)]
    pub ephemeral: u64,
    #[serde(rename = "OS-FLV-DISABLED:disabled", default)]
    pub disabled: bool,
    /// With the flavor since version 2.61 of the API.
    pub extra_specs: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct One<T> {
    #[serde(alias = "server", alias = "volumeAttachment")]
    value: T,
}

#[derive(Deserialize)]
struct Specs {
    extra_specs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Zones {
    #[serde(rename = "availabilityZoneInfo")]
    zones: Vec<Zone>,
}

#[derive(Deserialize)]
struct Zone {
    #[serde(rename = "zoneName")]
    name: String,
    #[serde(rename = "zoneState")]
    state: ZoneState,
}

#[derive(Deserialize)]
struct ZoneState {
    available: bool,
}

/// Use and limit of a service's resource.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Usage {
    #[serde(alias = "used", default)]
    pub in_use: i64,
    #[serde(default)]
    pub reserved: i64,
    pub limit: i64,
}

/// The version of the API from which on servers take tags when they are made.
const TAGS_AT_CREATION: u32 = 52;

impl Api {
    pub async fn server(&self, id: &str) -> Result<Option<Server>, ConnectorError> {
        Ok(self.look::<One<Server>>(Service::Compute, &["servers", id]).await?.map(|one| one.value))
    }

    /// All servers of the project, or those that a query finds.
    pub async fn servers(&self, query: &[(&str, &str)]) -> Result<Vec<Server>, ConnectorError> {
        self.list(Service::Compute, &["servers", "detail"], "servers", query).await
    }

    /// Whether servers take tags when they are made, and are found by them.
    pub async fn has_tags(&self) -> Result<bool, ConnectorError> {
        Ok(self.microversion().await? >= TAGS_AT_CREATION)
    }

    pub async fn make_server(&self, order: &Value) -> Result<String, ConnectorError> {
        let reply = self.send(Service::Compute, Method::POST, &["servers"], &json!({ "server": order })).await?;
        Ok(reply.json::<One<Id>>()?.value.id)
    }

    pub async fn delete_server(&self, id: &str) -> Result<(), ConnectorError> {
        self.delete(Service::Compute, &["servers", id]).await
    }

    pub async fn act(&self, id: &str, action: &Value) -> Result<crate::http::Reply, ConnectorError> {
        self.send(Service::Compute, Method::POST, &["servers", id, "action"], action).await
    }

    pub async fn attach_volume(&self, server: &str, volume: &str, device: Option<&str>) -> Result<(), ConnectorError> {
        let mut attachment = json!({ "volumeId": volume });
        if let Some(device) = device {
            attachment["device"] = device.into();
        }
        let path = ["servers", server, "os-volume_attachments"];
        let body = json!({ "volumeAttachment": attachment });
        self.send(Service::Compute, Method::POST, &path, &body).await.map(drop)
    }

    /// All flavors, with their extra specs.
    pub async fn flavors(&self) -> Result<Vec<Flavor>, ConnectorError> {
        let mut flavors: Vec<Flavor> = self.list(Service::Compute, &["flavors", "detail"], "flavors", &[]).await?;
        for flavor in flavors.iter_mut().filter(|flavor| flavor.extra_specs.is_none()) {
            let path = ["flavors", flavor.id.as_str(), "os-extra_specs"];
            let specs: Option<Specs> = self.look(Service::Compute, &path).await?;
            flavor.extra_specs = specs.map(|specs| specs.extra_specs);
        }
        Ok(flavors)
    }

    /// The zones that have room.
    pub async fn zones(&self) -> Result<Vec<String>, ConnectorError> {
        let found: Option<Zones> = self.look(Service::Compute, &["os-availability-zone"]).await?;
        let zones = found.into_iter().flat_map(|found| found.zones);
        Ok(zones.filter(|zone| zone.state.available).map(|zone| zone.name).collect())
    }

    pub async fn compute_limits(&self, project: &str) -> Result<BTreeMap<String, Value>, ConnectorError> {
        self.limits(Service::Compute, &["os-quota-sets", project, "detail"], "quota_set", &[]).await
    }

    /// Limits in the form that all services have in common.
    pub async fn limits(
        &self,
        service: Service,
        path: &[&str],
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<BTreeMap<String, Value>, ConnectorError> {
        let (client, request) = self.request(service, Method::GET, path).await?;
        let mut body: BTreeMap<String, BTreeMap<String, Value>> = client.send(request.query(query)).await?.json()?;
        Ok(body.remove(key).unwrap_or_default())
    }
}
