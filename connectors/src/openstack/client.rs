//! The services of one OpenStack cloud as one project sees them: where they are, their lists and their errors.

use super::{
    keystone::{CurrentScope, Login, Scope},
    line::Line,
};
use crate::{
    CloudAccount, ConnectorError, ErrorClass,
    http::{Client, Fault, HttpSettings, Method, Page, Refusal, Reply, RequestBuilder, Url, all_pages},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::OnceCell;

/// The newest version of the compute API that is spoken here.
const NEWEST: u32 = 79;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Compute,
    Network,
    Image,
    Volume,
}

impl Service {
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Compute => &["compute"],
            Self::Network => &["network"],
            Self::Image => &["image"],
            Self::Volume => &["volumev3", "block-storage", "block-store", "volume", "volumev2"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Network => "network",
            Self::Image => "image",
            Self::Volume => "volume",
        }
    }
}

/// The APIs of a cloud.
pub(super) struct Api {
    keystone: Client,
    scope: CurrentScope,
    line: Line,
    microversion: OnceCell<u32>,
}

impl Api {
    pub fn new(settings: &HttpSettings, account: &CloudAccount) -> Result<Self, ConnectorError> {
        let line = Line::of(account)?;
        let client = Client::new(settings, account, line.identity.clone())?.reading_faults(read_fault);
        let scope = CurrentScope::default();
        let login = Login { client: client.clone(), line: line.clone(), scope: scope.clone() };
        Ok(Self { keystone: client.with_authority(login), scope, line, microversion: OnceCell::new() })
    }

    /// What the current token is good for; logs in where nobody did.
    async fn scope(&self) -> Result<Scope, ConnectorError> {
        if let Some(scope) = self.scope.get() {
            return Ok(scope);
        }
        // Any question to Keystone will do: the session logs in before it.
        let outcome = self.keystone.send(self.keystone.request(Method::GET, ["v3"])).await;
        match (self.scope.get(), outcome) {
            (Some(scope), _) => Ok(scope),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(ConnectorError::new(ErrorClass::Transient, "Keystone answers without a catalogue")),
        }
    }

    /// Id of the project.
    pub async fn project(&self) -> Result<Option<String>, ConnectorError> {
        Ok(self.scope().await?.project)
    }

    /// A service, at its version.
    async fn service(&self, service: Service) -> Result<Client, ConnectorError> {
        Ok(self.keystone.at(self.endpoint(service).await?))
    }

    /// Where a service is, with its version.
    async fn endpoint(&self, service: Service) -> Result<Url, ConnectorError> {
        let line = &self.line;
        let (own, types, name) = match service {
            Service::Compute => (&line.compute, &[line.service_type.as_str()][..], line.service_name.as_deref()),
            Service::Network => (&line.network, service.types(), None),
            Service::Image => (&line.image, service.types(), None),
            Service::Volume => (&line.volume, service.types(), None),
        };
        let found = match own {
            Some(url) => Some(url.clone()),
            None => self.scope().await?.endpoint(types, name, line),
        };
        let mut url = found.ok_or_else(|| {
            let region = line.region.as_deref().map(|region| format!(" in region {region}")).unwrap_or_default();
            let text = format!("The catalogue of the cloud has no {} service{region}", service.name());
            ConnectorError::new(ErrorClass::Unsupported, text)
        })?;
        let version = match service {
            Service::Network => "v2.0",
            Service::Image => "v2",
            Service::Compute | Service::Volume => return Ok(url),
        };
        let mut path: Vec<_> = url.path().split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if path.last().is_some_and(|last| is_version(last)) {
            path.pop();
        }
        path.push(version.to_owned());
        url.set_path(&path.join("/"));
        Ok(url)
    }

    /// Whether the cloud has this service.
    pub async fn has(&self, service: Service) -> Result<bool, ConnectorError> {
        match self.endpoint(service).await {
            Ok(_) => Ok(true),
            Err(error) if error.class == ErrorClass::Unsupported => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Minor number of the version of the compute API that is spoken: what the line says, or the best that both know.
    pub async fn microversion(&self) -> Result<u32, ConnectorError> {
        if let Some(version) = self.line.microversion {
            return Ok(version);
        }
        let newest = self.microversion.get_or_try_init(async || {
            let mut url = self.endpoint(Service::Compute).await?;
            let mut path: Vec<_> = url.path().split('/').map(str::to_owned).collect();
            while path.len() > 1 && !path.last().is_some_and(|last| is_version(last)) {
                path.pop();
            }
            url.set_path(&format!("{}/", path.join("/")));
            let client = self.keystone.at(url.clone());
            let offered = client.send(client.request_url(Method::GET, url)).await?.json::<Versions>()?.version.version;
            let minor = offered.strip_prefix("2.").and_then(|minor| minor.parse().ok()).unwrap_or(1);
            Ok::<_, ConnectorError>(NEWEST.min(minor))
        });
        newest.await.copied()
    }

    /// A request to a service.
    pub async fn request(
        &self,
        service: Service,
        method: Method,
        path: &[&str],
    ) -> Result<(Client, RequestBuilder), ConnectorError> {
        let client = self.service(service).await?;
        let mut request = client.request(method, path.iter().copied());
        if service == Service::Compute {
            request = request.header("OpenStack-API-Version", format!("compute 2.{}", self.microversion().await?));
        }
        Ok((client, request))
    }

    /// One thing.
    pub async fn get<T: DeserializeOwned>(&self, service: Service, path: &[&str]) -> Result<T, ConnectorError> {
        let (client, request) = self.request(service, Method::GET, path).await?;
        client.send(request).await?.json()
    }

    /// One thing that may not be there.
    pub async fn look<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &[&str],
    ) -> Result<Option<T>, ConnectorError> {
        match self.get(service, path).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.class == ErrorClass::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a body.
    pub async fn send(
        &self,
        service: Service,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<Reply, ConnectorError> {
        let (client, request) = self.request(service, method, path).await?;
        client.send(request.json(body)).await
    }

    /// Deletes one thing; that it is not there is a success.
    pub async fn delete(&self, service: Service, path: &[&str]) -> Result<(), ConnectorError> {
        let (client, request) = self.request(service, Method::DELETE, path).await?;
        match client.send(request).await {
            Err(error) if error.class != ErrorClass::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All things of a list, whose body has them under `key`.
    pub async fn list<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &[&str],
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, ConnectorError> {
        let first = self.service(service).await?.url(path.iter().copied());
        let links = format!("{key}_links");
        all_pages(async |next: Option<Url>| {
            let (client, request) = self.request(service, Method::GET, path).await?;
            let mut request = request.build().map_err(|_| unreadable())?;
            match next {
                Some(next) => *request.url_mut() = next,
                None => {
                    let mut pairs = request.url_mut().query_pairs_mut();
                    pairs.extend_pairs(query);
                    drop(pairs);
                    if query.is_empty() {
                        request.url_mut().set_query(None);
                    }
                }
            }
            let url = request.url().clone();
            let headers = request.headers().clone();
            let reply = client.send(client.request_url(Method::GET, url).headers(headers)).await?;
            let mut body: Value = reply.json()?;
            let items = body.get_mut(key).map(Value::take).ok_or_else(unreadable)?;
            let items = serde_json::from_value(items).map_err(|_| unreadable())?;
            Ok(Page { items, next: next_page(&body, &links, &first) })
        })
        .await
    }
}

/// The next page: the query of the link counts. Behind a proxy, clouds know their own place by another name.
fn next_page(body: &Value, links: &str, first: &Url) -> Option<Url> {
    let linked = body.get(links).and_then(Value::as_array).into_iter().flatten();
    let linked = linked.filter(|link| link["rel"] == "next").find_map(|link| link["href"].as_str());
    let linked = first.join(linked.or_else(|| body.get("next")?.as_str())?).ok()?;
    let mut url = first.clone();
    url.set_query(linked.query());
    Some(url)
}

fn unreadable() -> ConnectorError {
    ConnectorError::new(ErrorClass::Transient, "The cloud answers with a list of another form than expected")
}

#[derive(Deserialize)]
struct Versions {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    version: String,
}

/// Whether a part of a path is the version of an API (`v3`, `v2.1`).
fn is_version(part: &str) -> bool {
    let number = part.strip_prefix('v').unwrap_or_default();
    number.starts_with(|first: char| first.is_ascii_digit()) && number.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// What the services say besides the status.
fn read_fault(refusal: &Refusal<'_>) -> Fault {
    let text = refusal.json_message();
    let body: Value = serde_json::from_slice(refusal.body).unwrap_or_default();
    let kind = body["NeutronError"]["type"].as_str().unwrap_or_default();
    let said = text.as_deref().unwrap_or_default();
    let limited = ["Quota exceeded", "Maximum number of", "exceeds allowed", "VolumeLimitExceeded"];
    let class = match (refusal.status.as_u16(), kind) {
        (_, "OverQuota") => Some(ErrorClass::Quota),
        (_, "IpAddressGenerationFailure" | "NoMoreFixedIps" | "ExternalIpAddressExhausted") => {
            Some(ErrorClass::Capacity)
        }
        (403 | 413, _) if limited.iter().any(|limit| said.contains(limit)) => Some(ErrorClass::Quota),
        (400, _) if is_no_room(said) => Some(ErrorClass::Capacity),
        _ => None,
    };
    Fault { class, text }
}

/// Whether the scheduler says that no host has room.
pub(super) fn is_no_room(text: &str) -> bool {
    text.contains("No valid host was found") || text.contains("Exhausted all hosts")
}
