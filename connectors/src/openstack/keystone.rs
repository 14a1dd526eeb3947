//! Keystone: tokens, and the catalogue of services that comes with one.

use super::line::{Line, Proof};
use crate::{
    ConnectorError, ErrorClass,
    http::{Authority, Client, Method, Reply, Token, Url, header::HeaderName},
};
use async_trait::async_trait;
use chrono::{DateTime, FixedOffset};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

const SUBJECT: &str = "x-subject-token";

/// What a token is good for.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Id of the project.
    pub project: Option<String>,
    catalog: Vec<Service>,
}

#[derive(Debug, Clone, Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

/// An endpoint, in the form of version 3 or of version 2.0.
#[derive(Debug, Clone, Deserialize)]
struct Endpoint {
    region: Option<String>,
    interface: Option<String>,
    url: Option<String>,
    #[serde(rename = "publicURL")]
    public: Option<String>,
    #[serde(rename = "internalURL")]
    internal: Option<String>,
    #[serde(rename = "adminURL")]
    admin: Option<String>,
}

impl Endpoint {
    fn url(&self, interface: &str) -> Option<&str> {
        let legacy = match interface {
            "internal" => &self.internal,
            "admin" => &self.admin,
            _ => &self.public,
        };
        let current = self.url.as_deref().filter(|_| self.interface.as_deref() == Some(interface));
        current.or(legacy.as_deref())
    }
}

impl Scope {
    /// The endpoint of the first of these types that the catalogue has.
    pub fn endpoint(&self, kinds: &[&str], name: Option<&str>, line: &Line) -> Option<Url> {
        let of_kind = |kind: &&str| {
            let services = self.catalog.iter().filter(|service| service.kind == *kind);
            let services = services.filter(|service| name.is_none_or(|name| service.name == name));
            let here = |endpoint: &&Endpoint| line.region.is_none() || endpoint.region == line.region;
            services
                .flat_map(|service| service.endpoints.iter().filter(here))
                .find_map(|endpoint| endpoint.url(&line.interface).and_then(|url| Url::parse(url).ok()))
        };
        kinds.iter().find_map(of_kind)
    }
}

/// The scope of the current token; none before the first one.
#[derive(Clone, Default)]
pub(super) struct CurrentScope(Arc<Mutex<Option<Scope>>>);

impl CurrentScope {
    pub fn get(&self) -> Option<Scope> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, scope: Scope) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(scope);
    }
}

/// Trades the credentials of a line for tokens.
pub(super) struct Login {
    /// Keystone, without a token.
    pub client: Client,
    pub line: Line,
    pub scope: CurrentScope,
}

#[derive(Deserialize)]
struct Issued {
    token: IssuedToken,
}

#[derive(Deserialize)]
struct IssuedToken {
    issued_at: Option<DateTime<FixedOffset>>,
    expires_at: Option<DateTime<FixedOffset>>,
    #[serde(default)]
    catalog: Vec<Service>,
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Projects {
    projects: Vec<Project>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyAccess {
    token: LegacyToken,
    #[serde(default)]
    service_catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct LegacyToken {
    id: String,
    issued_at: Option<DateTime<FixedOffset>>,
    expires: Option<DateTime<FixedOffset>>,
    tenant: Option<Project>,
}

#[derive(Deserialize)]
struct Legacy {
    access: LegacyAccess,
}

impl Login {
    /// Asks version 3 for a token.
    async fn token(&self, identity: Value, scope: Option<Value>) -> Result<Token, ConnectorError> {
        let mut auth = json!({ "identity": identity });
        if let Some(scope) = scope {
            auth["scope"] = scope;
        }
        let request = self.client.request(Method::POST, ["v3", "auth", "tokens"]).json(&json!({ "auth": auth }));
        let reply = self.client.send(request).await?;
        let secret = subject(&reply)?;
        let IssuedToken { issued_at, expires_at, catalog, project } = reply.json::<Issued>()?.token;
        self.scope.set(Scope { project: project.map(|project| project.id), catalog });
        Ok(Token { secret, lifetime: lifetime(issued_at, expires_at) })
    }

    /// Asks version 2.0 for a token, which only old clouds have.
    async fn legacy_token(&self, user: &str, password: &str) -> Result<Token, ConnectorError> {
        let credentials = json!({"username": user, "password": password});
        let body = json!({"auth": {"passwordCredentials": credentials, "tenantName": self.line.project}});
        let request = self.client.request(Method::POST, ["v2.0", "tokens"]).json(&body);
        let LegacyAccess { token, service_catalog } = self.client.send(request).await?.json::<Legacy>()?.access;
        self.scope.set(Scope { project: token.tenant.map(|tenant| tenant.id), catalog: service_catalog });
        Ok(Token { secret: token.id, lifetime: lifetime(token.issued_at, token.expires) })
    }

    async fn password(&self, user: &str, password: &str) -> Result<Token, ConnectorError> {
        let Line { user_domain, project_domain, project, .. } = &self.line;
        let user = json!({"name": user, "password": password, "domain": {"name": user_domain}});
        let scope = json!({"project": {"name": project, "domain": {"id": project_domain}}});
        self.token(json!({"methods": ["password"], "password": {"user": user}}), Some(scope)).await
    }

    /// The federation takes an access token for a token without a project, and that for one with a project.
    async fn access_token(&self, provider: &str, protocol: &str, token: &str) -> Result<Token, ConnectorError> {
        let path = ["v3", "OS-FEDERATION", "identity_providers", provider, "protocols", protocol, "auth"];
        let unscoped = subject(&self.client.send(self.client.request(Method::GET, path).bearer_auth(token)).await?)?;
        let projects = async |path: &[&str]| {
            let request = self.client.request(Method::GET, path.iter().copied());
            let reply = self.client.send(request.header("X-Auth-Token", &unscoped)).await?;
            Ok::<_, ConnectorError>(reply.json::<Projects>()?.projects)
        };
        let projects = match projects(&["v3", "auth", "projects"]).await {
            Err(error) if error.class == ErrorClass::NotFound => projects(&["v3", "OS-FEDERATION", "projects"]).await?,
            found => found?,
        };
        let wanted = self.line.project.as_deref();
        let is_wanted = |project: &Project| wanted.is_none_or(|wanted| project.name == wanted || project.id == wanted);
        let names = projects.iter().map(|project| project.name.as_str()).collect::<Vec<_>>().join(", ");
        let project = projects.iter().find(|project| is_wanted(project)).ok_or_else(|| {
            let text = format!("The access token opens no such project: domain of the auth item may be one of {names}");
            ConnectorError::new(ErrorClass::Auth, text)
        })?;
        let identity = json!({"methods": ["token"], "token": {"id": unscoped}});
        self.token(identity, Some(json!({"project": {"id": project.id}}))).await
    }
}

#[async_trait]
impl Authority for Login {
    async fn issue(&self) -> Result<Token, ConnectorError> {
        match &self.line.proof {
            Proof::Password { user, password, legacy } => match self.password(user, password).await {
                Err(error) if *legacy && error.class == ErrorClass::NotFound => self.legacy_token(user, password).await,
                result => result,
            },
            Proof::ApplicationCredential { id, secret } => {
                let credential = json!({"id": id, "secret": secret});
                let methods = ["application_credential"];
                self.token(json!({"methods": methods, "application_credential": credential}), None).await
            }
            Proof::AccessToken { provider, protocol, token } => self.access_token(provider, protocol, token).await,
            Proof::Issued { token } => {
                self.scope.set(Scope::default());
                Ok(Token { secret: token.clone(), lifetime: None })
            }
        }
    }

    fn header(&self, token: &str) -> (HeaderName, String) {
        (HeaderName::from_static("x-auth-token"), token.to_owned())
    }
}

fn subject(reply: &Reply) -> Result<String, ConnectorError> {
    let missing = || ConnectorError::new(ErrorClass::Transient, "Keystone answers without a token");
    reply.headers.get(SUBJECT).and_then(|value| value.to_str().ok()).map(str::to_owned).ok_or_else(missing)
}

/// By Keystone's own clock.
fn lifetime(
    issued: Option<DateTime<FixedOffset>>,
    expires: Option<DateTime<FixedOffset>>,
) -> Option<std::time::Duration> {
    (expires? - issued?).to_std().ok()
}
