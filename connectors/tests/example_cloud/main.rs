//! A connector to a tiny cloud, complete, and the behaviour suite over it: what docs/adding-a-cloud.md is written along.
#![allow(clippy::unwrap_used)]

mod example;
mod server;
#[path = "../support/mod.rs"]
mod support;

use connectors::{
    CloudAccount, ConnectContext, Connector, ConnectorSettings, Endpoint, ErrorClass,
    conformance::{Backstage, Case, Subject},
    http::HttpSettings,
};
use radl::Radl;
use server::{PAGE, TinyCloud};
use std::sync::Arc;

/// The connector of a credential line with this password.
fn connect(cloud: &TinyCloud, password: &str) -> Arc<dyn Connector> {
    let http = HttpSettings { environment_proxy: false, ..HttpSettings::default() };
    let context = ConnectContext::new(ConnectorSettings { http, ..ConnectorSettings::default() });
    let fields = [("username", "joe"), ("password", password)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let endpoint = Endpoint {
        protocol: "http".to_owned(),
        server: cloud.address().ip().to_string(),
        port: Some(cloud.address().port()),
        path: String::new(),
    };
    let account = CloudAccount {
        id: "example".to_owned(),
        kind: example::CLOUD.kind.to_owned(),
        endpoint,
        fields: fields.into(),
    };
    (example::CLOUD.connect)(&context, &account).unwrap()
}

fn system(features: &str) -> radl::System {
    let image = "disk.0.image.url = ['one://elsewhere/1', 'example://127.0.0.1/linux']";
    Radl::parse(&format!("system node ({image} and {features})")).unwrap().systems.remove(0)
}

async fn conforms(_name: &str, case: Case) {
    let cloud = Arc::new(TinyCloud::start().await);
    let connector = connect(&cloud, "pa55word");
    let mut system = connector.candidates(&system("cpu.count >= 1")).await.unwrap().remove(0).system;
    system.features.set_text("disk.0.os.credentials.public_key", "ssh-ed25519 AAAA daemon");
    let backstage: Arc<dyn Backstage> = cloud.clone();
    let subject = Subject {
        largest: 50,
        page: Some(u32::try_from(PAGE).unwrap()),
        expired: Some(connect(&cloud, "no longer")),
        backstage: Some(backstage),
        ..Subject::new(connector, system, Vec::new())
    };
    case(&subject).await;
    assert_eq!(cloud.holdings(), Vec::<String>::new(), "nothing is left in the cloud");
}

mod conformance {
    connectors::conformance!(super::conforms);
}

#[tokio::test]
async fn candidates_are_the_smallest_machines_of_this_cloud() {
    let cloud = TinyCloud::start().await;
    let connector = connect(&cloud, "pa55word");
    for (asked, size) in [("cpu.count >= 1", "small"), ("memory.size >= 2G", "large")] {
        let found = connector.candidates(&system(asked)).await.unwrap();
        assert_eq!(found.len(), 1, "the image of another cloud is none");
        let features = &found[0].system.features;
        assert_eq!(features.text("instance_type"), Some(size));
        assert_eq!(features.text("provider.type"), Some("Example"));
        assert_eq!(features.text("disk.0.os.credentials.username"), Some("cloudadm"));
    }
    assert!(connector.candidates(&system("cpu.count >= 64")).await.unwrap().is_empty());
    let refused = connect(&cloud, "wrong").candidates(&system("cpu.count >= 1")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Auth);
    assert!(!refused.message.contains("wrong: {"), "the body that the cloud repeats has the password: {refused}");
}
