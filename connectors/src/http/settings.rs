//! Time limits and certificates: those of the daemon, and what a credential line says otherwise.

use super::trust::{Trust, TrustError};
use crate::{CloudAccount, ConnectorError, ErrorClass};
use reqwest::{ClientBuilder, Proxy, redirect};
use std::time::Duration;

/// Key of a line: certificates of authorities (PEM) that are trusted besides those of the system.
const CA_CERT: &str = "ca_cert";
/// Key of a line: whether the cloud's certificate is verified, in place of `VERIFI_SSL`.
const VERIFY_SSL: &str = "verify_ssl";
/// Key of a line: URL of the HTTP proxy that leads to the cloud, in place of that of the daemon's environment.
const HTTP_PROXY: &str = "http_proxy";

/// What the configuration says of requests to clouds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// `VERIFI_SSL`: whether certificates are verified where the credential line does not say.
    pub verify: bool,
    /// The longest that a connection may take to be there.
    pub connect_timeout: Duration,
    /// The longest from a request to the end of its reply, its body included.
    pub read_timeout: Duration,
    /// Whether the proxy that the environment of the daemon names (`https_proxy`, `no_proxy`, ...) is used where the
    /// credential line names none.
    pub environment_proxy: bool,
    /// The certificates that are trusted, shared by all accounts of the daemon.
    pub trust: Trust,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            verify: true,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            environment_proxy: true,
            trust: Trust::default(),
        }
    }
}

impl HttpSettings {
    /// The connections of one account.
    ///
    /// # Errors
    /// `Invalid`, naming the key of the line that cannot be used.
    pub(super) fn open(&self, account: &CloudAccount) -> Result<reqwest::Client, ConnectorError> {
        let verify = match account.field(VERIFY_SSL) {
            None => self.verify,
            Some(text) => truth(text).ok_or_else(|| invalid(account, VERIFY_SSL, "must be yes or no"))?,
        };
        let trust = self.trust.of(verify, account.field(CA_CERT)).map_err(|error| match error {
            TrustError::NoCertificate => invalid(account, CA_CERT, "has no certificate in PEM form"),
            TrustError::Library(error) => unusable(account, &error),
        })?;
        let mut builder = ClientBuilder::new()
            .user_agent(concat!("imd/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect_timeout)
            .timeout(self.read_timeout)
            .tls_backend_preconfigured(trust)
            // The client follows those that keep a request on its server.
            .redirect(redirect::Policy::none())
            .referer(false);
        match account.field(HTTP_PROXY) {
            Some(url) => {
                let proxy = Proxy::all(url).map_err(|_| invalid(account, HTTP_PROXY, "is no URL of a proxy"))?;
                builder = builder.proxy(proxy);
            }
            None if !self.environment_proxy => builder = builder.no_proxy(),
            None => {}
        }
        builder.build().map_err(|error| unusable(account, &error))
    }
}

fn unusable(account: &CloudAccount, error: &dyn std::error::Error) -> ConnectorError {
    let text = format!("The credentials of the cloud {} cannot be used: {error}", account.id);
    ConnectorError::new(ErrorClass::Invalid, text)
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Some(true),
        "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// The value of the key is not repeated: it may be a secret in the wrong place.
fn invalid(account: &CloudAccount, key: &str, what: &str) -> ConnectorError {
    ConnectorError::new(ErrorClass::Invalid, format!("Auth item {}: {key} {what}", account.id))
}
