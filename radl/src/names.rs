//! Names: of machines in the network, at the provider, in DNS; tags and proxies.

use crate::interfaces::interface_feature;
use crate::model::System;
use indexmap::IndexMap;
use std::fmt;

/// The placeholder of templates: the number of the machine in its infrastructure.
const NUMBER: &str = "#N#";

/// Replaces every `#N#` by the number, if there is one.
#[must_use]
pub fn fill_in(template: &str, number: Option<u64>) -> String {
    number.map_or_else(|| template.to_owned(), |number| template.replace(NUMBER, &number.to_string()))
}

/// A template filled in and split at the first dot in host and domain; none for an empty one.
#[must_use]
pub fn split(template: &str, number: Option<u64>) -> Option<(String, Option<String>)> {
    let name = fill_in(template, number);
    match name.split_once('.') {
        _ if name.is_empty() => None,
        Some((host, domain)) => Some((host.to_owned(), Some(domain.to_owned()))),
        None => Some((name, None)),
    }
}

/// What machines are called when the document does not say (`DEFAULT_VM_NAME`, `DEFAULT_DOMAIN`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Defaults<'a> {
    /// Host template; a domain in it is ignored.
    pub host: Option<&'a str>,
    /// Domain.
    pub domain: Option<&'a str>,
}

/// Marks a name whose host has a secret of its own at the dynamic DNS service: `dydns:<secret>@<host>.<domain>`.
const SECRET: &str = "dydns:";

/// A name that a document gives to an interface in a domain.
#[derive(Clone, PartialEq, Eq)]
pub struct DnsName {
    /// Number of the interface.
    pub interface: usize,
    /// Name inside the domain.
    pub host: String,
    /// Domain with its final dot.
    pub domain: String,
    /// The host's own secret at the dynamic DNS service.
    pub secret: Option<String>,
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.interface, self.host, self.domain)
    }
}

/// A record to create in a DNS service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsEntry {
    /// The name.
    pub name: DnsName,
    /// Address.
    pub address: String,
}

/// A name without the secret in front of it, and the secret.
fn without_secret(name: &str) -> (&str, Option<&str>) {
    match name.strip_prefix(SECRET).and_then(|rest| rest.split_once('@')) {
        Some((secret, name)) => (name, Some(secret)),
        None => (name, None),
    }
}

impl System {
    /// Host and domain requested for an interface; `number` fills in `#N#`. None without a name and a default host.
    #[must_use]
    pub fn requested_name(
        &self,
        interface: usize,
        number: Option<u64>,
        defaults: Defaults<'_>,
    ) -> Option<(String, Option<String>)> {
        let requested = self.name_template(interface).and_then(|name| split(without_secret(name).0, number));
        let default_host = || Some((split(defaults.host?, number)?.0, None));
        let (host, domain) = requested.or_else(default_host)?;
        let domain = domain.filter(|domain| !domain.is_empty()).or_else(|| defaults.domain.map(str::to_owned));
        Some((host, domain))
    }

    /// The name that the document gives to an interface, with its placeholder: `net_interface.N.dns.0.name`, else
    /// `net_interface.N.dns_name`.
    fn name_template(&self, interface: usize) -> Option<&str> {
        let text = |key: &str| self.features.text(&interface_feature(interface, key));
        text("dns.0.name").or_else(|| text("dns_name"))
    }

    /// Writes the names of machine `number`: `#N#` filled in on every connected interface, in both forms of a name, and
    /// `default_host` on interface 0 if it has no name.
    pub fn fill_in_names(&mut self, number: u64, default_host: &str) {
        let interfaces: Vec<usize> = self.interfaces().map(|interface| interface.index).collect();
        for interface in interfaces {
            let mut named = self.numbered_names(interface);
            let name = interface_feature(interface, "dns_name");
            match self.features.text(&name) {
                Some(template) => named.push((name, template.to_owned())),
                None if interface == 0 && named.is_empty() => named.push((name, default_host.to_owned())),
                None => {}
            }
            for (feature, template) in named {
                self.features.set_text(&feature, &fill_in(&template, Some(number)));
            }
        }
    }

    /// The features `net_interface.N.dns.<i>.name` of an interface, from 0 to the first that is missing, and their values.
    fn numbered_names(&self, interface: usize) -> Vec<(String, String)> {
        let name = |index: usize| {
            let feature = interface_feature(interface, &format!("dns.{index}.name"));
            let value = self.features.text(&feature)?.to_owned();
            Some((feature, value))
        };
        (0..).map_while(name).collect()
    }

    /// The names that the document gives to machine `number` in domains other than `localdomain`: for each interface the one
    /// of [`System::requested_name`], then the further ones of `dns.<i>.name` and `additional_dns_names` (`host@domain`, or
    /// split at the first dot). Malformed names are left out.
    #[must_use]
    pub fn dns_names(&self, number: u64, defaults: Defaults<'_>) -> Vec<DnsName> {
        let mut names: Vec<DnsName> = Vec::new();
        for interface in self.interfaces().map(|interface| interface.index) {
            let mut add = |host: &str, domain: &str, secret: Option<&str>| {
                let domain = domain.trim_end_matches('.');
                if !host.is_empty() && !domain.is_empty() && domain != "localdomain" {
                    let (host, domain) = (host.to_owned(), format!("{domain}."));
                    let name = DnsName { interface, host, domain, secret: secret.map(str::to_owned) };
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            };
            let numbered = self.numbered_names(interface);
            if numbered.is_empty()
                && let Some((host, Some(domain))) = self.requested_name(interface, Some(number), defaults)
            {
                add(&host, &domain, self.name_template(interface).and_then(|name| without_secret(name).1));
            }
            let mut add_name = |name: &str, default_domain: Option<&str>| {
                let name = fill_in(name, Some(number));
                let (name, secret) = without_secret(&name);
                let parts = name.split_once('@').or_else(|| name.split_once('.'));
                let parts = parts.or_else(|| Some((name, default_domain?)));
                if let Some((host, domain)) = parts.filter(|(_, domain)| !domain.contains('@')) {
                    add(host, domain, secret);
                }
            };
            numbered.iter().for_each(|(_, name)| add_name(name, defaults.domain));
            let additional = interface_feature(interface, "additional_dns_names");
            self.features.texts(&additional).for_each(|name| add_name(name, None));
        }
        names
    }

    /// The DNS records of machine `number`: one for each of its names and each address of the name's interface.
    #[must_use]
    pub fn dns_entries(&self, number: u64, defaults: Defaults<'_>) -> Vec<DnsEntry> {
        let interfaces: Vec<_> = self.interfaces().collect();
        let addresses = |name: &DnsName| {
            let interface = interfaces.get(name.interface);
            interface.into_iter().flat_map(|interface| [interface.ip, interface.ipv6]).flatten()
        };
        let entry = |name: &DnsName, address: &str| DnsEntry { name: name.clone(), address: address.to_owned() };
        let names = self.dns_names(number, defaults);
        names.iter().flat_map(|name| addresses(name).map(move |address| entry(name, address))).collect()
    }

    /// Base of the name at the provider: `instance_name`, else the image name, else the system; lower case, no `_`.
    #[must_use]
    pub fn instance_name(&self) -> String {
        let named = self.features.text("instance_name").or_else(|| self.features.text("disk.0.image.name"));
        named.unwrap_or(&self.name).to_lowercase().replace('_', "-")
    }

    /// The tags of `instance_tags`: `key=value` pairs split on commas. What has no `=` is left out.
    #[must_use]
    pub fn instance_tags(&self) -> IndexMap<String, String> {
        self.features.text("instance_tags").map(tags).unwrap_or_default()
    }
}

fn tags(text: &str) -> IndexMap<String, String> {
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    text.split(',').filter_map(pair).collect()
}

/// The parts of `proxy_host`: `[user[:password]@]host[:port]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// User.
    pub user: Option<String>,
    /// Password; may hold `:` and `@`.
    pub password: Option<String>,
    /// Host name or address (IPv6 without its brackets).
    pub host: String,
    /// Port; none means 22.
    pub port: Option<u16>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Parses a `proxy_host` feature; none without a host or with an invalid port.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (login, place) = match text.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, text),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            Some((user, "")) => (Some(user.to_owned()), None),
            Some((user, password)) => (Some(user.to_owned()), Some(password.to_owned())),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = port.map(str::parse).transpose().ok()?;
        (!host.is_empty()).then(|| Self { user, password, host: host.to_owned(), port })
    }
}
