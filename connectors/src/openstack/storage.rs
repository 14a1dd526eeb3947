//! Cinder and Glance: volumes and images.

use super::client::{Api, Service};
use crate::{ConnectorError, http::Method};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A volume.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Volume {
    pub id: String,
    pub status: String,
    /// GiB.
    pub size: u64,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    pub volume_type: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Attachment {
    pub server_id: String,
    pub device: Option<String>,
}

/// An image. Properties of users stand beside its own.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Image {
    pub id: String,
    pub name: Option<String>,
    pub status: String,
    /// GiB.
    pub min_disk: Option<u64>,
    /// MiB.
    pub min_ram: Option<u64>,
    #[serde(flatten)]
    pub properties: BTreeMap<String, Value>,
}

impl Image {
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_str()
    }
}

#[derive(Deserialize)]
struct One {
    volume: Volume,
}

impl Api {
    pub async fn volume(&self, id: &str) -> Result<Option<Volume>, ConnectorError> {
        Ok(self.look::<One>(Service::Volume, &["volumes", id]).await?.map(|one| one.volume))
    }

    /// The volumes of the project; none in a cloud without them.
    pub async fn volumes(&self) -> Result<Vec<Volume>, ConnectorError> {
        if !self.has(Service::Volume).await? {
            return Ok(Vec::new());
        }
        self.list(Service::Volume, &["volumes", "detail"], "volumes", &[]).await
    }

    pub async fn make_volume(&self, body: &Value) -> Result<Volume, ConnectorError> {
        let reply = self.send(Service::Volume, Method::POST, &["volumes"], &json!({ "volume": body })).await?;
        Ok(reply.json::<One>()?.volume)
    }

    pub async fn delete_volume(&self, id: &str) -> Result<(), ConnectorError> {
        self.delete(Service::Volume, &["volumes", id]).await
    }

    pub async fn delete_volume_snapshot(&self, id: &str) -> Result<(), ConnectorError> {
        self.delete(Service::Volume, &["snapshots", id]).await
    }

    pub async fn image(&self, id: &str) -> Result<Option<Image>, ConnectorError> {
        self.look(Service::Image, &["images", id]).await
    }

    pub async fn images(&self, query: &[(&str, &str)]) -> Result<Vec<Image>, ConnectorError> {
        self.list(Service::Image, &["images"], "images", query).await
    }

    pub async fn delete_image(&self, id: &str) -> Result<(), ConnectorError> {
        self.delete(Service::Image, &["images", id]).await
    }
}
