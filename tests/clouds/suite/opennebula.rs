//! OpenNebula, over a simulator of its XML-RPC API.

use clouds::opennebula::{PASSWORD, Simulator, USER};
use connectors::{
    CloudAccount, ConnectContext, Connector, ConnectorSettings, Endpoint,
    conformance::{Backstage, Case, Subject},
    http::HttpSettings,
    opennebula::CLOUD,
};
use radl::Radl;
use std::{sync::Arc, time::Duration};

fn connect(cloud: &Simulator, password: &str) -> Arc<dyn Connector> {
    let http = HttpSettings { environment_proxy: false, ..HttpSettings::default() };
    let context = ConnectContext::new(ConnectorSettings { http, ..ConnectorSettings::default() });
    let fields = [("username", USER), ("password", password)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let endpoint = Endpoint {
        server: cloud.address().ip().to_string(),
        port: Some(cloud.address().port()),
        ..Endpoint::default()
    };
    let account = CloudAccount { id: "one".to_owned(), kind: CLOUD.kind.to_owned(), endpoint, fields: fields.into() };
    (CLOUD.connect)(&context, &account).unwrap()
}

const DOCUMENT: &str = "network public (outbound = 'yes' and outports = '8080,9000:9100,8/icmp') network private ()
    system node (cpu.count = 1 and memory.size = 512M and disk.0.image.url = 'one://127.0.0.1/linux' and
    net_interface.0.connection = 'public' and net_interface.1.connection = 'private' and disk.1.size = 1GB and
    disk.0.os.credentials.username = 'cloudadm' and disk.0.os.credentials.public_key = 'ssh-ed25519 AAAA daemon')";

async fn conforms(_name: &str, case: Case) {
    let cloud = Arc::new(Simulator::start(Duration::from_millis(5), Duration::ZERO).await);
    let connector = connect(&cloud, PASSWORD);
    let radl = Radl::parse(DOCUMENT).unwrap();
    let system = connector.candidates(&radl.systems[0]).await.unwrap().remove(0).system;
    let backstage: Arc<dyn Backstage> = cloud.clone();
    let subject = Subject {
        largest: 50,
        expired: Some(connect(&cloud, "no longer")),
        wrong: Some(connect(&cloud, "never")),
        successor: Some(connect(&cloud, PASSWORD)),
        unknown_image: Some("one://127.0.0.1/4711".to_owned()),
        backstage: Some(backstage),
        ..Subject::new(connector, system, radl.networks)
    };
    case(&subject).await;
    let left: Vec<_> = cloud.holdings().into_iter().filter(|held| !held.starts_with("network users-")).collect();
    assert_eq!(left, Vec::<String>::new(), "nothing is left in the cloud");
}

mod conformance {
    connectors::conformance!(super::conforms);
}

#[tokio::test]
async fn lists_of_several_pages_are_read_whole() {
    let cloud = Simulator::start(Duration::ZERO, Duration::ZERO).await;
    cloud.add_images(1100);
    let images = connect(&cloud, PASSWORD).images(&Default::default()).await.unwrap();
    assert_eq!(images.len(), 1101);
}

#[tokio::test]
async fn fifty_machines_are_observed_by_one_list() {
    let cloud = Arc::new(Simulator::start(Duration::from_millis(5), Duration::ZERO).await);
    let connector = connect(&cloud, PASSWORD);
    let radl = Radl::parse(DOCUMENT).unwrap();
    let system = connector.candidates(&radl.systems[0]).await.unwrap().remove(0).system;
    let subject = Subject::new(Arc::clone(&connector), system, radl.networks);
    connector.ensure_shared(&subject.shared_intent("many", &subject.networks)).await.unwrap();
    cloud.fail(None);
    let intents: Vec<_> = (0..50).map(|number| subject.intent("many", number)).collect();
    let made = futures::future::try_join_all(intents.iter().map(|intent| connector.create_vm(intent)));
    let ids = made.await.unwrap();
    assert!(cloud.requests() <= 50 * 5, "{} requests for 50 machines", cloud.requests());
    cloud.fail(None);
    assert_eq!(connector.observe(&Default::default(), &ids).await.unwrap().len(), 50);
    assert_eq!(cloud.requests(), 1);
}
