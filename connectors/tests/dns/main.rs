//! The providers of records against what they talk to: a real name server, and a strict dynamic DNS service.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod dydns;
mod rfc2136;

use connectors::{
    CloudAccount, Endpoint,
    dns::{DnsRecord, RecordName},
};

/// A credential line of type `DNS` for a server on loopback.
fn line(protocol: &str, port: u16, fields: &[(&str, &str)]) -> CloudAccount {
    CloudAccount {
        id: "dns".to_owned(),
        kind: "DNS".to_owned(),
        endpoint: Endpoint {
            protocol: protocol.to_owned(),
            server: "127.0.0.1".to_owned(),
            port: Some(port),
            path: String::new(),
        },
        fields: fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

fn record(host: &str, domain: &str, address: &str) -> DnsRecord {
    let name = RecordName { host: host.to_owned(), domain: domain.to_owned(), secret: None };
    DnsRecord { name, address: address.parse().unwrap() }
}
