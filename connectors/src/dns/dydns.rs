//! EGI's dynamic DNS service (docs/spec/connectors.md, 2.18): an `nsupdate` server with registration by token. A name with
//! a secret of its own was registered by somebody else, and is only updated.

use super::{DnsRecord, RecordName, RecordProvider};
use crate::{
    CloudAccount, ConnectorError, ErrorClass,
    http::{Client, HttpSettings, Method, Reply, RequestBuilder, Url, base_url},
};
use async_trait::async_trait;
use serde::Deserialize;
use std::{net::IpAddr, time::Duration};

/// The service as `driver` of a credential line.
pub const DRIVER: &str = "dydns";
/// Where it answers, unless the line says otherwise.
pub const SERVER: &str = "nsupdate.fedcloud.eu";
/// What tells the hosts that were registered here from those that their owner registered.
const COMMENT: &str = "IM created DNS entry";
/// The longest that a request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The service, as the bearer of a token, or as nobody.
pub struct DyDns {
    client: Client,
    token: Option<String>,
    zone: Option<String>,
}

#[derive(Deserialize)]
struct Domains {
    status: String,
    #[serde(default)]
    private: Vec<Domain>,
    #[serde(default)]
    public: Vec<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    name: String,
    #[serde(default)]
    available: bool,
}

#[derive(Deserialize)]
struct Hosts {
    #[serde(default)]
    hosts: Vec<Host>,
}

#[derive(Deserialize)]
struct Host {
    name: String,
    #[serde(default)]
    ipv4: Option<String>,
    #[serde(default)]
    ipv6: Option<String>,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
}

impl Host {
    /// What it leads to in the family of this address.
    fn address(&self, like: IpAddr) -> Option<IpAddr> {
        if like.is_ipv4() { self.ipv4.as_deref()?.parse().ok() } else { self.ipv6.as_deref()?.parse().ok() }
    }
}

/// The host that is registered for a name.
struct Registered {
    /// Its whole name.
    fqdn: String,
    /// The domain of the service that it is in.
    domain: String,
    /// Whether all names below it lead to it.
    wildcard: bool,
}

impl Registered {
    /// `*` in the domain `host.domain` is the host `host` of the domain, with everything below it.
    fn of(name: &RecordName) -> Self {
        let domain = name.domain.trim_end_matches('.');
        match domain.split_once('.') {
            Some((_, parent)) if name.host == "*" => {
                Self { fqdn: domain.to_owned(), domain: parent.to_owned(), wildcard: true }
            }
            _ => Self { fqdn: name.fqdn(), domain: domain.to_owned(), wildcard: false },
        }
    }
}

impl DyDns {
    /// The service that a credential line names.
    ///
    /// # Errors
    /// `Invalid`, naming the key of the line that cannot be used.
    pub fn new(settings: &HttpSettings, account: &CloudAccount) -> Result<Self, ConnectorError> {
        let base = match account.endpoint.server.as_str() {
            "" => Url::parse(&format!("https://{SERVER}"))
                .map_err(|error| ConnectorError::new(ErrorClass::Invalid, error.to_string()))?,
            _ => base_url(account, "https", None)?,
        };
        let settings = HttpSettings { read_timeout: settings.read_timeout.min(LIMIT), ..settings.clone() };
        let field = |key: &str| account.field(key).map(str::to_owned);
        Ok(Self { client: Client::new(&settings, account, base)?, token: field("token"), zone: field("zone") })
    }

    /// A request that reads or changes what the bearer of the token has.
    async fn ask(&self, action: &str, query: &[(&str, &str)]) -> Result<Reply, ConnectorError> {
        let missing = || {
            let text = "No auth data has been specified to DNS: the dynamic DNS service needs a token.";
            ConnectorError::new(ErrorClass::Auth, text)
        };
        let token = self.token.as_ref().ok_or_else(missing)?;
        self.client.send(self.request(action, query).bearer_auth(token)).await
    }

    fn request(&self, action: &str, query: &[(&str, &str)]) -> RequestBuilder {
        self.client.request(Method::GET, ["nic", action]).query(query)
    }

    /// The host, if the bearer of the token has registered it.
    async fn host(&self, wanted: &Registered) -> Result<Option<Host>, ConnectorError> {
        let Hosts { hosts } = self.ask("hosts", &[("domain", &wanted.domain)]).await?.json()?;
        let is_it = |host: &Host| {
            let name = host.name.trim_end_matches('.');
            name.eq_ignore_ascii_case(&wanted.fqdn)
                || format!("{name}.{}", wanted.domain).eq_ignore_ascii_case(&wanted.fqdn)
        };
        Ok(hosts.into_iter().find(is_it))
    }

    async fn register(&self, wanted: &Registered) -> Result<(), ConnectorError> {
        let mut query = vec![("fqdn", wanted.fqdn.as_str()), ("comment", COMMENT)];
        if wanted.wildcard {
            query.push(("wildcard", "true"));
        }
        let Status { status } = self.ask("register", &query).await?.json()?;
        if status == "ok" {
            return Ok(());
        }
        let text = format!("The dynamic DNS service does not register {}; somebody else may have it", wanted.fqdn);
        Err(ConnectorError::new(ErrorClass::Conflict, text))
    }

    async fn check_domain(&self, domain: &str) -> Result<(), ConnectorError> {
        let domains: Domains = self.ask("domains", &[]).await?.json()?;
        let mut known = domains.private.iter().chain(&domains.public);
        let fits = |known: &Domain| known.available && known.name.trim_end_matches('.').eq_ignore_ascii_case(domain);
        if domains.status == "ok" && known.any(fits) {
            return Ok(());
        }
        let text = format!("Domain {domain} not found in DyDNS service");
        Err(ConnectorError::new(ErrorClass::NotFound, text))
    }
}

/// What the update says in its body: its status is always that of a success.
fn updated(reply: &Reply, fqdn: &str) -> Result<(), ConnectorError> {
    let body = String::from_utf8_lossy(&reply.body);
    let (class, why) = match body.split_whitespace().next().unwrap_or_default() {
        "good" | "nochg" => return Ok(()),
        "nohost" => (ErrorClass::NotFound, "it has no such host (nohost)"),
        "badauth" => (ErrorClass::Auth, "it does not take the token or secret (badauth)"),
        "notfqdn" => (ErrorClass::Invalid, "the name is not whole (notfqdn)"),
        "abuse" => (ErrorClass::Denied, "the host is blocked for abuse (abuse)"),
        "dnserr" => (ErrorClass::Transient, "its name server failed (dnserr)"),
        "911" => (ErrorClass::Transient, "it is out of order (911)"),
        _ => (ErrorClass::Transient, "it answers something else than expected"),
    };
    Err(ConnectorError::new(class, format!("The dynamic DNS service does not update {fqdn}: {why}")))
}

#[async_trait]
impl RecordProvider for DyDns {
    fn serves(&self, name: &RecordName) -> bool {
        self.zone.as_ref().is_none_or(|zone| name.is_in(zone))
    }

    async fn ensure(&self, record: &DnsRecord) -> Result<(), ConnectorError> {
        let (wanted, address) = (Registered::of(&record.name), record.address.to_string());
        let update = [("hostname", wanted.fqdn.as_str()), ("myip", &address)];
        if let Some(secret) = &record.name.secret {
            let request = self.request("update", &update).basic_auth(&wanted.fqdn, Some(secret));
            return updated(&self.client.send(request).await?, &wanted.fqdn);
        }
        self.check_domain(&wanted.domain).await?;
        match self.host(&wanted).await? {
            Some(host) if host.address(record.address) == Some(record.address) => return Ok(()),
            Some(_) => {}
            None => self.register(&wanted).await?,
        }
        updated(&self.ask("update", &update).await?, &wanted.fqdn)
    }

    async fn delete(&self, record: &DnsRecord) -> Result<(), ConnectorError> {
        // Who has a secret alone cannot unregister the host.
        if record.name.secret.is_some() {
            return Ok(());
        }
        let wanted = Registered::of(&record.name);
        let Some(host) = self.host(&wanted).await? else { return Ok(()) };
        let leads_elsewhere = host.address(record.address) != Some(record.address);
        let is_owners = host.comment.as_deref().is_some_and(|comment| !comment.is_empty() && comment != COMMENT);
        // A host goes with both of its addresses: the second one goes with the first.
        let keeps_first = record.address.is_ipv6() && host.ipv4.as_deref().is_some_and(|ip| !ip.is_empty());
        if leads_elsewhere || is_owners || keeps_first {
            return Ok(());
        }
        match self.ask("unregister", &[("fqdn", &wanted.fqdn)]).await {
            Err(error) if error.class != ErrorClass::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
