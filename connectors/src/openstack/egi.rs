//! EGI: sites of the federation, by the cloud-info API (`https://is.cloud.egi.eu`). A line of type EGI is one of type
//! OpenStack once its site is known.

use super::OpenStack;
use crate::{
    Candidate, Capabilities, CloudAccount, CloudImage, CloudType, ConnectContext, Connector, ConnectorError,
    ConnectorSettings, Endpoint, ErrorClass, Found, ImageIntent, InfrastructureIntent, InfrastructureMark, Location,
    Observation, PowerOperation, ProviderId, Quota, Resize, SharedResources, VmIntent, VmMark,
    http::{Client, HttpSettings, Method, Url},
};
use async_trait::async_trait;
use radl::System;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::OnceCell, time::Instant};

/// What the registry knows of this type of clouds.
pub const CLOUD: CloudType = CloudType {
    kind: "EGI",
    guests: super::CLOUD.guests,
    account_name: |account| {
        let vo = account.field("vo").unwrap_or_default();
        format!("{vo}@{}", account.endpoint.server)
    },
    connect: |context, account| Ok(Arc::new(Egi::new(&context.settings, account)?)),
};

const CLOUD_INFO: &str = "https://is.cloud.egi.eu";
/// Key of a line: another cloud-info API.
const CLOUD_INFO_KEY: &str = "cloud_info_url";
/// How long an answer is believed.
const KEPT: Duration = Duration::from_secs(300);

/// Whether a URL names an image of the federation.
pub(super) fn is_url(url: &str) -> bool {
    url.starts_with("egi://") || url.starts_with("appdb://")
}

/// Site, image and virtual organization of a URL: `egi://<site>/<image>?<vo>`.
fn parts(url: &str) -> Option<(&str, &str, Option<&str>)> {
    let rest = url.strip_prefix("egi://").or_else(|| url.strip_prefix("appdb://"))?;
    let (site, rest) = rest.split_once('/')?;
    Some(match rest.split_once('?') {
        Some((image, vo)) => (site, image, Some(vo).filter(|vo| !vo.is_empty())),
        None => (site, rest, None),
    })
}

#[derive(Debug, Clone, Deserialize)]
struct Site {
    url: String,
    hostname: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Project {
    id: String,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Image {
    egi_id: Option<String>,
    id: Option<String>,
    version: Option<String>,
}

/// The cloud-info API, whose answers are kept for a while.
pub(super) struct CloudInfo {
    client: Client,
    kept: Mutex<HashMap<String, (Instant, serde_json::Value)>>,
}

impl CloudInfo {
    pub fn new(settings: &HttpSettings, account: &CloudAccount) -> Result<Self, ConnectorError> {
        let invalid = |_| {
            ConnectorError::new(ErrorClass::Invalid, format!("Auth item {}: {CLOUD_INFO_KEY} is no URL", account.id))
        };
        let base = Url::parse(account.field(CLOUD_INFO_KEY).unwrap_or(CLOUD_INFO)).map_err(invalid)?;
        Ok(Self { client: Client::new(settings, account, base)?, kept: Mutex::default() })
    }

    /// An answer: a fresh one, or where the service fails the one that was kept. None where there is no such thing.
    async fn ask<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, ConnectorError> {
        let key = path.join("\n");
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let fresh = kept.as_ref().filter(|(since, _)| since.elapsed() < KEPT).map(|(_, value)| value.clone());
        let value = match fresh {
            Some(value) => value,
            None => match self.client.send(self.client.request(Method::GET, path.iter().copied())).await {
                Ok(reply) => {
                    let value: serde_json::Value = reply.json()?;
                    let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.retain(|_, (since, _)| since.elapsed() < 12 * KEPT);
                    kept.insert(key, (Instant::now(), value.clone()));
                    value
                }
                Err(error) if error.class == ErrorClass::NotFound => return Ok(None),
                Err(error) => kept.map(|(_, value)| value).ok_or(error)?,
            },
        };
        let unreadable =
            |_| ConnectorError::new(ErrorClass::Transient, "The cloud-info API answers something unexpected");
        serde_json::from_value(value).map(Some).map_err(unreadable)
    }

    async fn site(&self, name: &str) -> Result<Option<Site>, ConnectorError> {
        // The API wants the slash at the end.
        self.ask(&["site", name, ""]).await
    }

    /// Id of the image that a URL names at the site on this server; none where the URL is of another site.
    pub async fn image(&self, url: &str, server: &str, vo: Option<&str>) -> Result<Option<String>, ConnectorError> {
        let Some((name, path, own_vo)) = parts(url) else { return Ok(None) };
        if url.starts_with("appdb://") {
            tracing::warn!("{url}: appdb:// is an old name of egi://");
        }
        let Some(vo) = own_vo.or(vo) else {
            let text = format!("{url}: the virtual organization is missing: append ?<vo>");
            return Err(ConnectorError::new(ErrorClass::Invalid, text));
        };
        let Some(site) = self.site(name).await? else {
            tracing::info!("No site URL returned from EGI FedcloudInfo for site: {name}.");
            return Ok(None);
        };
        if !site.hostname.eq_ignore_ascii_case(server) {
            return Ok(None);
        }
        let images: Vec<Image> = self.ask(&["site", name, vo, "images"]).await?.unwrap_or_default();
        let named = images.iter().filter(|image| image.egi_id.as_deref() == Some(path));
        let complete = named.filter_map(|image| Some((image.version.as_deref()?, image.id.as_deref()?)));
        let newest = complete.max_by(|(one, _), (other, _)| version_order(one, other));
        if newest.is_none() {
            tracing::info!("No image ID returned from EGI FedcloudInfo for image: {name}/{path}/{vo}.");
        }
        Ok(newest.map(|(_, id)| id.rsplit_once('#').map_or(id, |(_, id)| id).to_owned()))
    }
}

/// Numbers in versions count as numbers.
fn version_order(one: &str, other: &str) -> Ordering {
    let parts = |version: &str| {
        let split = version.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned);
        split.map(|part| (part.parse::<u64>().unwrap_or_default(), part)).collect::<Vec<_>>()
    };
    parts(one).cmp(&parts(other))
}

/// A line of type EGI: the OpenStack of its site, from the first call on.
struct Egi {
    settings: ConnectorSettings,
    account: CloudAccount,
    vo: String,
    token: String,
    cloud_info: CloudInfo,
    site: OnceCell<OpenStack>,
}

impl Egi {
    fn new(settings: &ConnectorSettings, account: &CloudAccount) -> Result<Self, ConnectorError> {
        let text = |key: &str| account.field(key).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let (Some(vo), Some(token), false) = (text("vo"), text("token"), account.endpoint.server.is_empty()) else {
            let text = "No correct auth data has been specified to EGI.: host (name of the site), vo and token";
            return Err(ConnectorError::new(ErrorClass::Auth, text));
        };
        let cloud_info = CloudInfo::new(&settings.http, account)?;
        Ok(Self { settings: settings.clone(), account: account.clone(), vo, token, cloud_info, site: OnceCell::new() })
    }

    async fn site(&self) -> Result<&OpenStack, ConnectorError> {
        self.site
            .get_or_try_init(async || {
                let account = self.rewritten().await?;
                OpenStack::new(&ConnectContext::new(self.settings.clone()), &account)
            })
            .await
    }

    /// The line of type OpenStack that this one stands for.
    async fn rewritten(&self) -> Result<CloudAccount, ConnectorError> {
        let name = &self.account.endpoint.server;
        let unknown =
            || ConnectorError::new(ErrorClass::Invalid, format!("Site name '{name}' not found at fedcloud IS."));
        let site = self.cloud_info.site(name).await?.ok_or_else(unknown)?;
        let endpoint = keystone(&site.url).ok_or_else(unknown)?;
        let projects: Vec<Project> = self.cloud_info.ask(&["site", name, "projects"]).await?.unwrap_or_default();
        let project = projects.into_iter().find(|project| project.name == self.vo).map(|project| project.id);
        let mut fields = self.account.fields.clone();
        fields.shift_remove("token");
        let own = [
            ("username", "egi.eu".to_owned()),
            ("tenant", "openid".to_owned()),
            ("password", self.token.clone()),
            ("auth_version", "3.x_oidc_access_token".to_owned()),
            ("domain", project.unwrap_or_else(|| self.vo.clone())),
        ];
        fields.extend(own.map(|(key, value)| (key.to_owned(), value)));
        Ok(CloudAccount { id: self.account.id.clone(), kind: super::CLOUD.kind.to_owned(), endpoint, fields })
    }
}

/// Where Keystone is: the URL of a site without its last part.
fn keystone(url: &str) -> Option<Endpoint> {
    let url = Url::parse(url.trim_end_matches('/')).ok()?;
    let path = url.path().rsplit_once('/').map(|(path, _)| path).unwrap_or_default();
    Some(Endpoint {
        protocol: url.scheme().to_owned(),
        server: url.host_str()?.to_owned(),
        port: url.port(),
        path: path.to_owned(),
    })
}

#[async_trait]
impl Connector for Egi {
    fn capabilities(&self) -> Capabilities {
        super::CAPABILITIES
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        self.site().await?.candidates(system).await
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        self.site().await?.ensure_shared(intent).await
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        self.site().await?.create_vm(intent).await
    }

    fn is_completed_after_boot(&self, vm: &VmIntent) -> bool {
        super::has_routes(vm)
    }

    async fn reconcile(&self, vm: &VmIntent, id: &ProviderId) -> Result<(), ConnectorError> {
        self.site().await?.reconcile(vm, id).await
    }

    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        self.site().await?.find(mark).await
    }

    async fn observe(&self, location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        self.site().await?.observe(location, ids).await
    }

    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        self.site().await?.delete_vm(vm).await
    }

    async fn delete_shared(&self, mark: &InfrastructureMark) -> Result<(), ConnectorError> {
        self.site().await?.delete_shared(mark).await
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        self.site().await?.power(vm, operation).await
    }

    async fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        self.site().await?.resize(vm, resize).await
    }

    async fn snapshot(&self, vm: &VmMark, image: &ImageIntent) -> Result<String, ConnectorError> {
        self.site().await?.snapshot(vm, image).await
    }

    async fn discard_snapshot(&self, image: &ImageIntent) -> Result<(), ConnectorError> {
        self.site().await?.discard_snapshot(image).await
    }

    async fn delete_image(&self, url: &str, location: &Location) -> Result<(), ConnectorError> {
        self.site().await?.delete_image(url, location).await
    }

    async fn images(&self, filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        self.site().await?.images(filters).await
    }

    async fn quotas(&self, region: Option<&str>) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        self.site().await?.quotas(region).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_and_versions_are_read() {
        let url = "egi://CESGA/egi_vm_images/ubuntu:24.04?vo.access.egi.eu";
        assert_eq!(parts(url), Some(("CESGA", "egi_vm_images/ubuntu:24.04", Some("vo.access.egi.eu"))));
        assert_eq!(parts("appdb://CESGA/ubuntu"), Some(("CESGA", "ubuntu", None)));
        assert_eq!(version_order("2024.10.1", "2024.9.30"), Ordering::Greater);
        let endpoint = keystone("https://k.example:5000/identity/v3/").unwrap();
        assert_eq!(
            (endpoint.server.as_str(), endpoint.port, endpoint.path.as_str()),
            ("k.example", Some(5000), "/identity")
        );
    }
}
