//! Requests and replies of the engine's API (Docker Engine API 1.24 to 1.44); no RADL.

use super::image::Reference;
use crate::{
    ConnectorError, ErrorClass,
    http::{Client, Fault, Method, Refusal, Reply, RequestBuilder},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::OnceCell;

/// The newest version of the API that these requests were written for.
const NEWEST: (u32, u32) = (1, 44);
/// The longest that an image may take to arrive.
const PULL: Duration = Duration::from_secs(1800);
/// The longest that a container may take to stop before it is ended, in seconds.
const STOP_SECONDS: &str = "10";

/// The engine as one account sees it.
pub(super) struct Api {
    client: Client,
    version: OnceCell<String>,
}

/// Labels of a thing.
pub(super) type Labels = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    pub id: String,
    pub state: ContainerState,
    pub config: ContainerConfig,
    pub host_config: HostConfig,
    pub network_settings: NetworkSettings,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerState {
    pub status: String,
    #[serde(default)]
    pub error: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerConfig {
    #[serde(default)]
    pub labels: Option<Labels>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfig {
    #[serde(default)]
    pub nano_cpus: u64,
    #[serde(default)]
    pub memory: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NetworkSettings {
    pub ports: Option<BTreeMap<String, Option<Vec<Binding>>>>,
    pub networks: Option<BTreeMap<String, Attachment>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Binding {
    pub host_port: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attachment {
    #[serde(rename = "IPAddress")]
    pub address: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub address_v6: String,
}

/// A container of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub id: String,
    #[serde(default)]
    pub labels: Option<Labels>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Network {
    pub id: String,
    pub name: String,
    #[serde(rename = "IPAM", default)]
    pub addresses: AddressManagement,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct AddressManagement {
    pub config: Option<Vec<Range>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Range {
    pub subnet: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Volume {
    pub name: String,
    #[serde(default)]
    pub labels: Option<Labels>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volumes {
    volumes: Option<Vec<Volume>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    pub id: String,
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
}

/// What the engine says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    #[serde(rename = "NCPU")]
    pub cores: u32,
    #[serde(rename = "MemTotal")]
    pub memory: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

/// A line of what the engine tells while an image arrives.
#[derive(Deserialize)]
struct Arriving {
    error: Option<String>,
}

impl Api {
    pub fn new(client: Client) -> Self {
        Self { client: client.reading_faults(fault), version: OnceCell::new() }
    }

    /// A request in the version of the API that the engine speaks, up to the newest known.
    async fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, ConnectorError> {
        let version = self.version.get_or_try_init(|| self.negotiate()).await?;
        Ok(self.client.request(method, [version.as_str()].into_iter().chain(path.iter().copied())))
    }

    async fn negotiate(&self) -> Result<String, ConnectorError> {
        let reply = self.client.send(self.client.request(Method::GET, ["_ping"])).await?;
        let own = reply.headers.get("api-version").and_then(|value| {
            let (major, minor) = value.to_str().ok()?.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        let (major, minor) = own.map_or((1, 24), |own: (u32, u32)| own.min(NEWEST));
        Ok(format!("v{major}.{minor}"))
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ConnectorError> {
        self.client.send(self.request(Method::GET, path).await?).await?.json()
    }

    /// Like [`Api::get`]; none where there is no such thing.
    async fn look<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, ConnectorError> {
        match self.get(path).await {
            Err(error) if error.class == ErrorClass::NotFound => Ok(None),
            result => result.map(Some),
        }
    }

    async fn list<T: DeserializeOwned>(&self, path: &[&str], label: Option<&str>) -> Result<T, ConnectorError> {
        let mut request = self.request(Method::GET, path).await?.query(&[("all", "true")]);
        if let Some(label) = label {
            request = request.query(&[("filters", json!({"label": [label]}).to_string())]);
        }
        self.client.send(request).await?.json()
    }

    async fn post(&self, path: &[&str], query: &[(&str, &str)], body: &Value) -> Result<Reply, ConnectorError> {
        let request = self.request(Method::POST, path).await?.query(query).json(body);
        self.client.send(request).await
    }

    /// Deletes a thing; that there is none is a success.
    async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> Result<(), ConnectorError> {
        let request = self.request(Method::DELETE, path).await?.query(query);
        match self.client.send(request).await {
            Err(error) if error.class == ErrorClass::NotFound => Ok(()),
            result => result.map(drop),
        }
    }

    pub async fn info(&self) -> Result<Info, ConnectorError> {
        self.get(&["info"]).await
    }

    pub async fn container(&self, id: &str) -> Result<Option<Container>, ConnectorError> {
        self.look(&["containers", id, "json"]).await
    }

    /// Containers with a label, running or not.
    pub async fn containers(&self, label: &str) -> Result<Vec<Listed>, ConnectorError> {
        self.list(&["containers", "json"], Some(label)).await
    }

    pub async fn create_container(&self, name: &str, body: &Value) -> Result<String, ConnectorError> {
        Ok(self.post(&["containers", "create"], &[("name", name)], body).await?.json::<Made>()?.id)
    }

    /// Unpacks a tar archive at the root of a container, also of one that does not run.
    pub async fn unpack(&self, id: &str, archive: Vec<u8>) -> Result<(), ConnectorError> {
        let request = self.request(Method::PUT, &["containers", id, "archive"]).await?;
        let request = request.query(&[("path", "/")]).header("content-type", "application/x-tar").body(archive);
        self.client.send(request).await.map(drop)
    }

    pub async fn start(&self, id: &str) -> Result<(), ConnectorError> {
        self.post(&["containers", id, "start"], &[], &json!({})).await.map(drop)
    }

    pub async fn stop(&self, id: &str) -> Result<(), ConnectorError> {
        self.post(&["containers", id, "stop"], &[("t", STOP_SECONDS)], &json!({})).await.map(drop)
    }

    pub async fn restart(&self, id: &str) -> Result<(), ConnectorError> {
        self.post(&["containers", id, "restart"], &[("t", "0")], &json!({})).await.map(drop)
    }

    pub async fn update(&self, id: &str, limits: &Value) -> Result<(), ConnectorError> {
        self.post(&["containers", id, "update"], &[], limits).await.map(drop)
    }

    /// Ends and deletes a container, with the volumes that nobody named.
    pub async fn delete_container(&self, id: &str) -> Result<(), ConnectorError> {
        self.delete(&["containers", id], &[("force", "true"), ("v", "true")]).await
    }

    pub async fn network(&self, name: &str) -> Result<Option<Network>, ConnectorError> {
        self.look(&["networks", name]).await
    }

    pub async fn networks(&self, label: &str) -> Result<Vec<Network>, ConnectorError> {
        self.list(&["networks"], Some(label)).await
    }

    pub async fn create_network(&self, body: &Value) -> Result<(), ConnectorError> {
        self.post(&["networks", "create"], &[], body).await.map(drop)
    }

    pub async fn delete_network(&self, id: &str) -> Result<(), ConnectorError> {
        self.delete(&["networks", id], &[]).await
    }

    pub async fn connect(&self, network: &str, body: &Value) -> Result<(), ConnectorError> {
        self.post(&["networks", network, "connect"], &[], body).await.map(drop)
    }

    pub async fn volume(&self, name: &str) -> Result<Option<Volume>, ConnectorError> {
        self.look(&["volumes", name]).await
    }

    pub async fn volumes(&self, label: &str) -> Result<Vec<Volume>, ConnectorError> {
        Ok(self.list::<Volumes>(&["volumes"], Some(label)).await?.volumes.unwrap_or_default())
    }

    /// Makes a volume; one of this name that is there stays as it is.
    pub async fn create_volume(&self, body: &Value) -> Result<(), ConnectorError> {
        self.post(&["volumes", "create"], &[], body).await.map(drop)
    }

    pub async fn delete_volume(&self, name: &str) -> Result<(), ConnectorError> {
        self.delete(&["volumes", name], &[]).await
    }

    pub async fn images(&self, label: Option<&str>) -> Result<Vec<Image>, ConnectorError> {
        self.list(&["images", "json"], label).await
    }

    /// The labels of an image; none where the engine has no such image.
    pub async fn image(&self, name: &str) -> Result<Option<Labels>, ConnectorError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inspected {
            config: Option<ContainerConfig>,
        }
        let found: Option<Inspected> = self.look(&["images", name, "json"]).await?;
        Ok(found.map(|image| image.config.and_then(|config| config.labels).unwrap_or_default()))
    }

    /// Has the engine fetch an image, unless it has it.
    pub async fn pull(&self, image: &Reference) -> Result<(), ConnectorError> {
        if self.image(&image.text()).await?.is_some() {
            return Ok(());
        }
        let source = [("fromImage", image.name.as_str()), ("tag", image.version.as_str())];
        let request = self.request(Method::POST, &["images", "create"]).await?.query(&source).timeout(PULL);
        let named = |error: ConnectorError| {
            let message = format!("Error pulling the image {}: {}", image.text(), error.message);
            ConnectorError { message, ..error }
        };
        let reply = self.client.send(request).await.map_err(named)?;
        // What goes wrong on the way is told in the reply, whose status says that it began.
        let lines = serde_json::Deserializer::from_slice(&reply.body).into_iter::<Arriving>();
        match lines.map_while(Result::ok).find_map(|line| line.error) {
            Some(text) => Err(named(ConnectorError::new(class_of(&text).unwrap_or(ErrorClass::Transient), text))),
            None => Ok(()),
        }
    }

    /// Makes an image of a container.
    pub async fn commit(&self, container: &str, name: &str, tag: &str, body: &Value) -> Result<(), ConnectorError> {
        let query = [("container", container), ("repo", name), ("tag", tag), ("pause", "true")];
        self.post(&["commit"], &query, body).await.map(drop)
    }

    pub async fn delete_image(&self, name: &str) -> Result<(), ConnectorError> {
        self.delete(&["images", name], &[]).await
    }
}

/// What the engine's errors are, where its statuses do not tell: much is a 500.
fn fault(refusal: &Refusal<'_>) -> Fault {
    // What was asked for is so already: a container that runs is started, one that does not is stopped.
    if refusal.status.as_u16() == 304 {
        return Fault { class: Some(ErrorClass::Conflict), text: Some("it is in that state".to_owned()) };
    }
    let text = refusal.json_message();
    Fault { class: text.as_deref().and_then(class_of), text }
}

/// What the engine's texts are about, where its statuses do not tell.
const TEXTS: [(ErrorClass, &[&str]); 5] = [
    (ErrorClass::Throttled, &["toomanyrequests", "rate limit"]),
    (ErrorClass::NotFound, &["no such image", "manifest unknown", "manifest for", "repository does not exist"]),
    (
        ErrorClass::Conflict,
        &[
            "port is already allocated",
            "address already in use",
            "already in progress",
            "is already in use",
            "has active endpoints",
            "volume is in use",
        ],
    ),
    (ErrorClass::Capacity, &["no space left", "non-overlapping ipv4 address pool", "could not select device driver"]),
    (ErrorClass::Invalid, &["invalid reference format", "invalid mount config", "executable file not found"]),
];

fn class_of(text: &str) -> Option<ErrorClass> {
    let text = text.to_ascii_lowercase();
    TEXTS.into_iter().find(|(_, words)| words.iter().any(|word| text.contains(word))).map(|(class, _)| class)
}
