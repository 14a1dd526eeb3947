//! The clouds among the credential items (docs/spec/api.md 1.5, docs/spec/connectors.md 2.1).

use super::{AuthError, Credentials, Item, scoped};
use connectors::{
    account::{CloudAccount, Endpoint},
    dns,
};

impl Credentials {
    /// Every item that names a cloud, in the order of preference. Items without a type are left out.
    ///
    /// # Errors
    /// [`AuthError::Refused`]: a `host` that is none, an `id` used twice, or a `Vault` item, which would hold clouds
    /// that this version cannot read.
    pub fn clouds(&self) -> Result<Vec<CloudAccount>, AuthError> {
        let mut clouds: Vec<CloudAccount> = Vec::new();
        for (position, item) in self.items.iter().enumerate() {
            if item.kind().is_empty() || !connectors::is_cloud(item.kind()) {
                continue;
            }
            if item.kind() == "Vault" {
                return Err(AuthError::Refused("Credentials of type Vault are not available in this version.".into()));
            }
            let cloud = account(position, item)?;
            if clouds.iter().any(|other| other.id == cloud.id) {
                return Err(AuthError::Refused(format!("Auth item id used more than once: {}", cloud.id)));
            }
            clouds.push(cloud);
        }
        Ok(clouds)
    }
}

impl Credentials {
    /// Every item that makes records of names, in the order of preference: those of type `DNS`, then the token that the caller
    /// shows for the daemon itself, which is one for the dynamic DNS service as well, unless it is one of the daemon's own.
    ///
    /// # Errors
    /// [`AuthError::Refused`]: a `host` that is none.
    pub fn name_services(&self) -> Result<Vec<CloudAccount>, AuthError> {
        let lines = self.items.iter().enumerate().filter(|(_, item)| item.kind() == dns::KIND);
        let mut services = lines.map(|(position, item)| account(position, item)).collect::<Result<Vec<_>, _>>()?;
        let daemons = self.items.iter().filter(|item| item.kind() == "InfrastructureManager");
        let tokens = daemons.filter_map(|item| item.get("token"));
        let token = tokens.into_iter().find(|token| !token.is_empty() && !scoped::is_ours(token));
        services.extend(token.map(|token| dns::dydns_account(Some(token))));
        Ok(services)
    }
}

fn account(position: usize, item: &Item) -> Result<CloudAccount, AuthError> {
    let kind = item.kind().to_owned();
    let id = item.get("id").filter(|id| !id.is_empty()).map_or_else(|| format!("{kind}{position}"), str::to_owned);
    let endpoint = match item.get("host").filter(|host| !host.is_empty()) {
        Some(host) => endpoint(host).ok_or_else(|| {
            AuthError::Refused(format!("Incorrect host in auth item {id}: expected [scheme://]name[:port][/path]"))
        })?,
        None => Endpoint::default(),
    };
    let fields = item
        .0
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "id" | "type" | "host"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Ok(CloudAccount { id, kind, endpoint, fields })
}

/// The parts of `[scheme://]name[:port][/path]`; an IPv6 address stands in brackets when a port follows.
fn endpoint(host: &str) -> Option<Endpoint> {
    if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let (protocol, rest) = host.split_once("://").unwrap_or(("", host));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (server, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (server, rest) = bracketed.split_once(']')?;
            server.parse::<std::net::Ipv6Addr>().ok()?;
            (server, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None if authority.parse::<std::net::Ipv6Addr>().is_ok() => (authority, None),
        None => match authority.split_once(':') {
            Some((server, port)) => (server, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    (!server.is_empty() && (protocol.is_empty() != host.contains("://"))).then(|| Endpoint {
        protocol: protocol.to_owned(),
        server: server.to_owned(),
        port,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::parse_header;
    use super::*;

    fn parts(host: &str) -> Option<(String, String, Option<u16>, String)> {
        endpoint(host).map(|e| (e.protocol, e.server, e.port, e.path))
    }

    #[test]
    fn hosts_are_split_and_bad_ones_refused() {
        let expected = |protocol: &str, server: &str, port, path: &str| {
            Some((protocol.to_owned(), server.to_owned(), port, path.to_owned()))
        };
        assert_eq!(parts("https://k.example:5000/v3/x"), expected("https", "k.example", Some(5000), "/v3/x"));
        assert_eq!(parts("k.example:2633"), expected("", "k.example", Some(2633), ""));
        assert_eq!(parts("10.0.0.1/a:b"), expected("", "10.0.0.1", None, "/a:b"));
        assert_eq!(parts("http://[::1]:80"), expected("http", "::1", Some(80), ""));
        assert_eq!(parts("::1"), expected("", "::1", None, ""));
        for bad in ["http://", ":80", "h:x", "h:", "h:99999", "h:+1", "a b", "[::1", "[x]:1", "://h", "/p"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn services_of_names_are_no_clouds() {
        let lines =
            "type = InfrastructureManager; token = e.y.J\\nid = d; type = DNS; driver = rfc2136; host = ns:5353";
        let credentials = parse_header(lines).unwrap();
        assert!(credentials.clouds().unwrap().is_empty());
        let services = credentials.name_services().unwrap();
        let names: Vec<String> = services.iter().map(dns::account_name).collect();
        assert_eq!(names, ["rfc2136 ns:5353", "dydns nsupdate.fedcloud.eu"]);
        assert_eq!(services[1].field("token"), Some("e.y.J"));
        // What opens an infrastructure of this daemon is nobody else's business.
        let own = parse_header("type = InfrastructureManager; token = imd1.7f.hash").unwrap();
        assert_eq!(own.name_services().unwrap(), []);
    }

    #[test]
    fn clouds_keep_their_order_and_get_names_from_their_position() {
        let credentials = parse_header(
            "type = InfrastructureManager; username = u\\ntype = Dummy; host = h; k = v\\nusername = x\\nid = one; type = OpenNebula",
        )
        .unwrap();
        let clouds = credentials.clouds().unwrap();
        let names: Vec<(&str, &str)> = clouds.iter().map(|c| (c.id.as_str(), c.kind.as_str())).collect();
        assert_eq!(names, [("Dummy1", "Dummy"), ("one", "OpenNebula")]);
        assert_eq!(
            (clouds[0].endpoint.server.as_str(), clouds[0].field("k"), clouds[0].fields.len()),
            ("h", Some("v"), 1)
        );
        for refused in
            ["type = Dummy; host = h:x", "id = a; type = Dummy\\nid = a; type = Dummy", "type = Vault; token = t"]
        {
            let error = parse_header(refused).unwrap().clouds().unwrap_err();
            assert!(matches!(error, AuthError::Refused(_)), "{refused}");
        }
    }
}
