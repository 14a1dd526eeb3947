//! OpenStack: the simulator at each run, the real services (`real`) in `scripts/test --all`.

mod egi;
mod real;
mod simulated;

use connectors::{
    CloudAccount, ConnectContext, Connector, ConnectorSettings, Endpoint, conformance::Subject, http::HttpSettings,
    openstack,
};
use radl::Radl;
use std::sync::Arc;

/// Things on a page of a list.
pub const PAGE: usize = 3;

/// An account of the project `demo`.
pub fn account(keystone: &str, password: &str) -> CloudAccount {
    let (host, port) = keystone.trim_start_matches("http://").rsplit_once(':').unwrap();
    let fields = [
        ("username", "demo"),
        ("password", password),
        ("tenant", "demo"),
        ("auth_version", "3.x_password"),
        ("domain", "Default"),
    ];
    CloudAccount {
        id: "ost".to_owned(),
        kind: openstack::CLOUD.kind.to_owned(),
        endpoint: Endpoint {
            protocol: "http".to_owned(),
            server: host.to_owned(),
            port: Some(port.parse().unwrap()),
            path: String::new(),
        },
        fields: fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

pub fn connect(account: &CloudAccount) -> Arc<dyn Connector> {
    let http = HttpSettings { environment_proxy: false, ..HttpSettings::default() };
    let context = ConnectContext::new(ConnectorSettings { http, ..ConnectorSettings::default() });
    (openstack::CLOUD.connect)(&context, account).unwrap()
}

/// A machine on a network of its infrastructure's own, behind a router.
pub async fn subject(account: &CloudAccount, image: &str) -> Subject {
    let connector = connect(account);
    let document = format!(
        "network inner (create = 'yes' and outports = '8080,10.0.0.0/8-9000:9100/udp')
         system node (
            cpu.count >= 1 and memory.size >= 200M and net_interface.0.connection = 'inner' and
            disk.0.image.url = ['one://elsewhere/1', 'ost://127.0.0.1/{image}'] and
            disk.1.size = 1G and
            disk.0.os.credentials.public_key = 'ssh-ed25519 AAAA daemon'
         )"
    );
    let mut document = Radl::parse(&document).unwrap();
    let system = connector.candidates(&document.systems.remove(0)).await.unwrap().remove(0).system;
    Subject {
        expired: Some(connect(&CloudAccount { fields: expired(account), ..account.clone() })),
        ..Subject::new(connector, system, document.networks)
    }
}

fn expired(account: &CloudAccount) -> indexmap::IndexMap<String, String> {
    let mut fields = account.fields.clone();
    fields.insert("password".to_owned(), "no longer".to_owned());
    fields
}
