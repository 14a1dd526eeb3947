//! Proxy hosts: the network features `proxy_host = 'user[:password]@host[:port]'` and `proxy_key`.

use super::addresses::proxied_network;
use crate::ssh::{Endpoint, Login};
use radl::Radl;

/// A machine to go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Login name.
    pub user: String,
    /// Its own credentials; nobody else's are ever offered to it.
    pub logins: Vec<Login>,
}

/// Why a proxy cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// Not of the form `user[:password]@host[:port]`.
    #[error("proxy_host must have the form user[:password]@host[:port]")]
    Form,
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
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| InvalidProxy::Form)?),
            None => (place, 22),
        };
        if user.is_empty() || host.is_empty() {
            return Err(InvalidProxy::Form);
        }
        let password = password.map(|password| Login::Password(password.to_owned()));
        let key = key.map(|key| Login::PrivateKey(key.to_owned()));
        let logins: Vec<Login> = password.into_iter().chain(key).collect();
        if logins.is_empty() {
            return Err(InvalidProxy::NoCredentials);
        }
        Ok(Self { endpoint: Endpoint::new(host, port), user: user.to_owned(), logins })
    }
}
