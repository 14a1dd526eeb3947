//! From a credential line to the engine: TCP with or without TLS, or a socket of the daemon's host.

use super::DockerSettings;
use crate::{
    CloudAccount, ConnectorError, ErrorClass,
    http::{Route, Url, base_url},
};
use std::{net::IpAddr, path::PathBuf};

/// Key of a line: certificate (PEM) that the engine knows the daemon by.
const CERTIFICATE: &str = "public_key";
/// Key of a line: private key (PEM) of that certificate.
const PRIVATE_KEY: &str = "private_key";

/// Where the engine is.
pub(super) struct Place {
    /// Base of its API.
    pub url: Url,
    /// How to get there.
    pub route: Route,
    /// Host whose public ports are the containers'; none when it is the daemon's own.
    pub host: Option<String>,
}

/// Where the engine of a line is: `http://host:2375`, `https://host:2376`, `unix:///var/run/docker.sock`.
pub(super) fn place(account: &CloudAccount, settings: &DockerSettings) -> Result<Place, ConnectorError> {
    let endpoint = &account.endpoint;
    let invalid = |text: &str| ConnectorError::new(ErrorClass::Invalid, format!("Auth item {}: {text}", account.id));
    if endpoint.protocol == "unix" {
        if !settings.sockets {
            let text = "host: sockets of the daemon's own host are not allowed: whoever may use one is root there. Its \
                        operator allows them by UNIX_SOCKETS in the section [Docker] of im.cfg";
            return Err(ConnectorError::new(ErrorClass::Denied, format!("Auth item {}: {text}", account.id)));
        }
        // Both `unix://var/run/docker.sock` and `unix:///var/run/docker.sock` are written.
        let server = if endpoint.server.is_empty() { String::new() } else { format!("/{}", endpoint.server) };
        let socket = PathBuf::from(format!("{server}{}", endpoint.path));
        let url = Url::parse("http://docker/").map_err(|_| invalid("host cannot be used"))?;
        return Ok(Place { url, route: Route { socket: Some(socket), identity: None }, host: None });
    }
    let identity = match (account.field(CERTIFICATE), account.field(PRIVATE_KEY)) {
        (Some(certificate), Some(key)) => Some((certificate.to_owned(), key.to_owned())),
        (None, None) => None,
        _ => return Err(invalid("public_key (a certificate) and private_key go together")),
    };
    let scheme = if identity.is_some() { "https" } else { "http" };
    let is_plain = if endpoint.protocol.is_empty() { scheme == "http" } else { endpoint.protocol == "http" };
    let url = base_url(account, scheme, Some(if is_plain { 2375 } else { 2376 }))?;
    let host = Some(endpoint.server.clone());
    Ok(Place { url, route: Route { socket: None, identity: identity.filter(|_| !is_plain) }, host })
}

/// The address at which ports of the engine's host are reached.
pub(super) async fn address(host: Option<&str>) -> Option<IpAddr> {
    let own;
    let host = match host {
        Some(host) => host,
        None => {
            own = nix::unistd::gethostname().ok()?.into_string().ok()?;
            &own
        }
    };
    let mut found = tokio::net::lookup_host((host, 0)).await.ok()?.map(|address| address.ip()).collect::<Vec<_>>();
    found.sort_by_key(IpAddr::is_ipv6);
    found.first().copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Endpoint;

    fn line(protocol: &str, server: &str, port: Option<u16>, path: &str, keys: &[&str]) -> CloudAccount {
        let endpoint =
            Endpoint { protocol: protocol.to_owned(), server: server.to_owned(), port, path: path.to_owned() };
        let fields = keys.iter().map(|key| ((*key).to_owned(), "pem".to_owned())).collect();
        CloudAccount { id: "docker".to_owned(), kind: "Docker".to_owned(), endpoint, fields }
    }

    #[test]
    fn engines_have_places() {
        let settings = DockerSettings { sockets: true };
        let at = |line: &CloudAccount| {
            let place = place(line, &settings).unwrap();
            place.route.socket.map_or(place.url.to_string(), |socket| socket.display().to_string())
        };
        assert_eq!(at(&line("http", "host", Some(2375), "", &[])), "http://host:2375/");
        assert_eq!(at(&line("", "host", None, "", &[])), "http://host:2375/");
        assert_eq!(at(&line("https", "host", None, "/engine", &[])), "https://host:2376/engine");
        assert_eq!(at(&line("", "host", None, "", &["public_key", "private_key"])), "https://host:2376/");
        assert_eq!(at(&line("unix", "", None, "/var/run/docker.sock", &[])), "/var/run/docker.sock");
        assert_eq!(at(&line("unix", "var", None, "/run/docker.sock", &[])), "/var/run/docker.sock");
        let refused = |line: &CloudAccount, settings| place(line, &settings).err().unwrap();
        let socket = line("unix", "", None, "/var/run/docker.sock", &[]);
        assert_eq!(refused(&socket, DockerSettings::default()).class, ErrorClass::Denied);
        let half = line("https", "host", None, "", &["public_key"]);
        assert!(refused(&half, DockerSettings::default()).message.contains("private_key"));
    }
}
