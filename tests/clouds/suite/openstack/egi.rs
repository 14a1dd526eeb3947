//! Sites of EGI: their lines are those of OpenStack, their images are found by the cloud-info API.

use super::PAGE;
use clouds::openstack::{ACCESS_TOKEN, SimulatedCloud};
use connectors::{
    CloudAccount, ConnectContext, Connector, ConnectorSettings, Endpoint, ErrorClass,
    conformance::{Backstage, Subject},
    http::HttpSettings,
    openstack,
};
use radl::{Radl, System};
use std::sync::Arc;

fn connect(cloud: &SimulatedCloud, site: &str, token: &str) -> Arc<dyn Connector> {
    let http = HttpSettings { environment_proxy: false, ..HttpSettings::default() };
    let context = ConnectContext::new(ConnectorSettings { http, ..ConnectorSettings::default() });
    let cloud_info = format!("{}/cloud-info", cloud.keystone());
    let fields = [("vo", "vo.example.eu"), ("token", token), ("cloud_info_url", cloud_info.as_str())];
    let account = CloudAccount {
        id: "egi".to_owned(),
        kind: openstack::EGI.kind.to_owned(),
        endpoint: Endpoint { server: site.to_owned(), ..Endpoint::default() },
        fields: fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    };
    (openstack::EGI.connect)(&context, &account).unwrap()
}

fn system(url: &str) -> System {
    let key = "disk.0.os.credentials.public_key = 'ssh-ed25519 AAAA daemon'";
    let document = format!(
        "network inner ()
         system node (disk.0.image.url = '{url}' and net_interface.0.connection = 'inner' and {key})"
    );
    Radl::parse(&document).unwrap().systems.remove(0)
}

#[tokio::test]
async fn a_site_is_an_openstack_and_its_images_resolve() {
    let cloud = SimulatedCloud::start(PAGE).await;
    let connector = connect(&cloud, "SIM", ACCESS_TOKEN);
    for url in
        ["egi://SIM/egi_vm_images/none?vo.example.eu", "egi://OTHER/egi_vm_images/debian:12", "egi://SIM/x?vo.none"]
    {
        assert!(connector.candidates(&system(url)).await.unwrap().is_empty(), "{url}");
    }
    let url = "egi://SIM/egi_vm_images/debian:12";
    let found = connector.candidates(&system(url)).await.unwrap().remove(0).system;
    assert_eq!(found.features.text("provider.type"), Some("OpenStack"));
    assert_eq!(found.features.text("provider.vo"), Some("vo.example.eu"));
    let networks = Radl::parse("network inner ()").unwrap().networks;
    let subject = Subject::new(connector, found, networks);
    let shared = subject.shared_intent("egi", &subject.networks);
    subject.connector.ensure_shared(&shared).await.unwrap();
    let intent = subject.intent("egi", 0);
    let id = subject.connector.create_vm(&intent).await.unwrap();
    assert_eq!(cloud.with(|cloud| cloud.image_of(&id.0)), Some("debian".to_owned()), "the newest version");
    subject.connector.delete_vm(&intent.mark()).await.unwrap();
    subject.connector.delete_shared(&shared.mark()).await.unwrap();
    assert_eq!(cloud.holdings(), Vec::<String>::new());
}

#[tokio::test]
async fn unknown_sites_and_old_tokens_are_told() {
    let cloud = SimulatedCloud::start(PAGE).await;
    let unknown = connect(&cloud, "NOWHERE", ACCESS_TOKEN).images(&Default::default()).await.unwrap_err();
    assert!(unknown.message.contains("Site name 'NOWHERE' not found"), "{unknown}");
    let old = connect(&cloud, "SIM", "0ld-token").images(&Default::default()).await.unwrap_err();
    assert_eq!(old.class, ErrorClass::Auth);
    assert!(!old.message.contains("0ld-token"), "{old}");
}
