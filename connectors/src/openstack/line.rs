//! What a credential line of an OpenStack cloud says.

use crate::{CloudAccount, ConnectorError, ErrorClass, http::Url, http::base_url};

/// How somebody logs in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// User and password, for a project.
    Password { user: String, password: String, legacy: bool },
    /// An application credential, which belongs to a project by itself.
    ApplicationCredential { id: String, secret: String },
    /// An access token of an identity provider that Keystone trusts.
    AccessToken { provider: String, protocol: String, token: String },
    /// A token of Keystone.
    Issued { token: String },
}

/// A credential line, read.
#[derive(Clone)]
pub(super) struct Line {
    /// Keystone, without the version.
    pub identity: Url,
    pub proof: Proof,
    /// Project: its name, or of an access token also its id; none for the first one.
    pub project: Option<String>,
    /// Name of the domain of the user.
    pub user_domain: String,
    /// Id of the domain of the project.
    pub project_domain: String,
    pub region: Option<String>,
    pub interface: String,
    /// Name of the compute service, where there are several.
    pub service_name: Option<String>,
    /// Type of the compute service.
    pub service_type: String,
    /// Minor number of the version of the compute API; none for the best that both sides know.
    pub microversion: Option<u32>,
    pub compute: Option<Url>,
    pub network: Option<Url>,
    pub image: Option<Url>,
    pub volume: Option<Url>,
}

impl Line {
    /// # Errors
    /// `Auth` for a line that lacks a key, `Invalid` for one with a value that cannot be used.
    pub fn of(account: &CloudAccount) -> Result<Self, ConnectorError> {
        let text = |key: &str| account.field(key).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let lacking = |keys: &str| {
            let text = format!("No correct auth data has been specified to OpenStack.: {keys}");
            ConnectorError::new(ErrorClass::Auth, text)
        };
        let invalid = |key: &str, what: &str| {
            ConnectorError::new(ErrorClass::Invalid, format!("Auth item {}: {key} {what}", account.id))
        };
        let pair = || text("username").zip(text("password")).ok_or_else(|| lacking("username and password"));
        let domain = text("domain").filter(|domain| domain != "Default");
        let (proof, project) = match (text("auth_token"), account.field("auth_version").unwrap_or("2.0_password")) {
            (Some(token), _) => {
                text("base_url").ok_or_else(|| lacking("auth_token needs base_url"))?;
                (Proof::Issued { token }, None)
            }
            (None, version @ ("2.0_password" | "3.x_password")) => {
                let (user, password) = pair()?;
                let project = text("tenant").ok_or_else(|| lacking("username, password and tenant"))?;
                (Proof::Password { user, password, legacy: version == "2.0_password" }, Some(project))
            }
            (None, "3.x_appcred") => {
                let (id, secret) = pair()?;
                (Proof::ApplicationCredential { id, secret }, None)
            }
            (None, "3.x_oidc_access_token") => {
                let (provider, token) = pair()?;
                let protocol = text("tenant").ok_or_else(|| lacking("tenant (protocol of the identity provider)"))?;
                (Proof::AccessToken { provider, protocol, token }, domain.clone())
            }
            (None, "2.0_voms") => {
                let why = "2.0_voms ended with version 2.0 of Keystone: use 3.x_oidc_access_token";
                return Err(ConnectorError::new(ErrorClass::Unsupported, why));
            }
            (None, _) => return Err(invalid("auth_version", "is none of this version")),
        };
        let url = |key: &str| {
            let read = |text: String| Url::parse(&text).map_err(|_| invalid(key, "is no URL"));
            text(key).map(read).transpose()
        };
        let microversion = text("microversion").map(|text| {
            let minor = text.rsplit(' ').next().and_then(|version| version.strip_prefix("2.")?.parse().ok());
            minor.ok_or_else(|| invalid("microversion", "must be 2.N"))
        });
        let mut identity = base_url(account, "http", None)?;
        let path = identity.path().trim_end_matches('/');
        let path = path.strip_suffix("/v3").or_else(|| path.strip_suffix("/v2.0")).unwrap_or(path).to_owned();
        identity.set_path(&path);
        Ok(Self {
            identity,
            proof,
            project,
            user_domain: domain.unwrap_or_else(|| "Default".to_owned()),
            project_domain: text("tenant_domain_id").unwrap_or_else(|| "default".to_owned()),
            region: text("service_region"),
            interface: text("interface").unwrap_or_else(|| "public".to_owned()),
            service_name: text("service_name").filter(|name| name != "None"),
            service_type: text("service_type").unwrap_or_else(|| "compute".to_owned()),
            microversion: microversion.transpose()?,
            compute: url("base_url")?,
            network: url("network_url")?,
            image: url("image_url")?,
            volume: url("volume_url")?,
        })
    }
}
