//! The HTTP client against servers on loopback that look at every request.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod lists;
mod refusals;
mod tls;
mod tokens;
mod transport;

use connectors::{
    CloudAccount, Endpoint,
    http::{Client, HttpSettings, base_url},
};
use std::{net::SocketAddr, time::Duration};

/// The credential line of a cloud at `address`.
fn account(protocol: &str, address: SocketAddr, fields: &[(&str, &str)]) -> CloudAccount {
    CloudAccount {
        id: "cloud".to_owned(),
        kind: "Example".to_owned(),
        endpoint: Endpoint {
            protocol: protocol.to_owned(),
            server: address.ip().to_string(),
            port: Some(address.port()),
            path: "/api/".to_owned(),
        },
        fields: fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

/// Limits short enough for a test, and no proxy of whoever runs it.
fn settings() -> HttpSettings {
    let timeout = Duration::from_millis(500);
    HttpSettings { connect_timeout: timeout, read_timeout: timeout, environment_proxy: false, ..Default::default() }
}

fn client(account: &CloudAccount) -> Client {
    Client::new(&settings(), account, base_url(account, "http", None).unwrap()).unwrap()
}
