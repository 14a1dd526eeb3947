//! Proxy hosts: the network features `proxy_host = 'user[:password]@host[:port]'` and `proxy_key`.

use super::addresses::proxied_network;
use crate::{
    digest::digest,
    ssh::{ConnectRequest, Endpoint, HostKeyPolicy, Login, keys},
};
use radl::Radl;
use std::time::Duration;

/// A machine to go through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Login name.
    pub user: String,
    /// Its own credentials; nobody else's are ever offered to it.
    pub logins: Vec<Login>,
    /// Its host key (OpenSSH form) as seen first, none before.
    pub host_key: Option<String>,
}

/// Why a proxy cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// Not of the form `user[:password]@host[:port]`.
    #[error("proxy_host must have the form user[:password]@host[:port]")]
    Form,
    /// A user, a host or a password that could mean something else to the programs it is given to.
    #[error("proxy_host: the {0} holds characters that are not allowed there")]
    Characters(&'static str),
    /// Neither password nor key.
    #[error("no credentials for the proxy host: give a password in proxy_host, or proxy_key")]
    NoCredentials,
}

impl Proxy {
    /// The proxy of the machine's networks, if they name one.
    ///
    /// # Errors
    /// [`InvalidProxy`].
    pub fn of(info: &Radl) -> Result<Option<Self>, InvalidProxy> {
        let Some(features) = proxied_network(info) else { return Ok(None) };
        let text = features.text("proxy_host").unwrap_or_default();
        Self::parse(text, features.text("proxy_key")).map(Some)
    }

    fn parse(text: &str, key: Option<&str>) -> Result<Self, InvalidProxy> {
        let (account, place) = text.rsplit_once('@').ok_or(InvalidProxy::Form)?;
        let (user, password) = account.split_once(':').map_or((account, None), |(user, pw)| (user, Some(pw)));
        let endpoint = endpoint(place)?;
        if user.is_empty() {
            return Err(InvalidProxy::Form);
        }
        let plain = |c: char| c.is_alphanumeric() || "._+@-".contains(c);
        if user.starts_with('-') || !user.chars().all(plain) {
            return Err(InvalidProxy::Characters("user"));
        }
        if password.is_some_and(|password| password.contains(char::is_control)) {
            return Err(InvalidProxy::Characters("password"));
        }
        let password = password.filter(|text| !text.is_empty()).map(|text| Login::Password(text.to_owned()));
        let key = key.filter(|text| !text.trim().is_empty()).map(|text| Login::PrivateKey(text.to_owned()));
        let logins: Vec<Login> = password.into_iter().chain(key).collect();
        if logins.is_empty() {
            return Err(InvalidProxy::NoCredentials);
        }
        Ok(Self { endpoint, user: user.to_owned(), logins, host_key: None })
    }

    /// Recalls a key that was [remembered](Self::remember), unless it was another server's.
    #[must_use]
    pub fn recall(mut self, remembered: Option<&str>) -> Self {
        let key = remembered.and_then(|text| text.strip_prefix(&format!("{} ", self.endpoint)));
        self.host_key = key.map(str::to_owned);
        self
    }

    /// A host key as it is kept with a machine behind the proxy, with the server it belongs to.
    #[must_use]
    pub fn remember(&self, host_key: &str) -> String {
        format!("{} {host_key}", self.endpoint)
    }

    /// A name for files and the like, the same for all machines behind the same account of the same server.
    #[must_use]
    pub fn name(&self) -> String {
        digest(&[format!("{}@{}", self.user, self.endpoint).as_bytes()], 8)
    }

    /// What the runner needs to connect to it; secrets are in it.
    #[must_use]
    pub fn for_runner(&self, host_key: Option<&str>) -> serde_json::Value {
        let password = self.logins.iter().find_map(|login| match login {
            Login::Password(password) => Some(password),
            Login::PrivateKey(_) => None,
        });
        let key = self.logins.iter().find_map(|login| match login {
            Login::Password(_) => None,
            Login::PrivateKey(text) => keys::normalize(text).ok(),
        });
        serde_json::json!({
            "host": self.endpoint.host, "port": self.endpoint.port, "user": self.user,
            "password": password, "key": key, "host_key": host_key,
        })
    }

    pub(super) fn request(&self, check_host_key: bool, timeout: Duration) -> ConnectRequest {
        ConnectRequest {
            endpoint: self.endpoint.clone(),
            user: self.user.clone(),
            logins: self.logins.clone(),
            host_key: HostKeyPolicy { expected: self.host_key.clone(), check: check_host_key },
            timeout,
        }
    }
}

/// `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
fn endpoint(place: &str) -> Result<Endpoint, InvalidProxy> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(InvalidProxy::Form)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| InvalidProxy::Form)?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(InvalidProxy::Form)?) };
            (host, port)
        }
        None => {
            let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if host.is_empty() {
                return Err(InvalidProxy::Form);
            }
            if host.starts_with('-') || !host.chars().all(plain) {
                return Err(InvalidProxy::Characters("host"));
            }
            (host, port)
        }
    };
    let port = port.map_or(Ok(22), str::parse).ok().filter(|port| *port != 0).ok_or(InvalidProxy::Form)?;
    Ok(Endpoint::new(host, port))
}
