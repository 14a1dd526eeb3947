//! EC2 over moto, an emulator of AWS.

use clouds::{
    moto::{Moto, REGION},
    proxy::Refusal,
};
use connectors::{
    CloudAccount, ConnectContext, Connector, ConnectorSettings, Endpoint, Location,
    conformance::{Backstage, Case, Subject},
    ec2,
    http::HttpSettings,
};
use radl::{Radl, System};
use std::{net::SocketAddr, sync::Arc};

/// Things on a page, in the case about pages. DescribeInstances has at least five.
const PAGE: u32 = 5;
/// An access key that was good once.
const EXPIRED: &str = "ASIAEXPIRED";
/// What EC2 says to it.
const EXPIRED_BODY: &str = "<?xml version=\"1.0\"?><Response><Errors><Error><Code>RequestExpired</Code><Message>Request has \
                            expired.</Message></Error></Errors><RequestID>0</RequestID></Response>";

/// The account of an access key at a server.
fn account(address: SocketAddr, access_key: &str) -> CloudAccount {
    let fields = [("username", access_key), ("password", "secret"), ("token", "session"), ("region", REGION)];
    CloudAccount {
        id: "ec2".to_owned(),
        kind: ec2::CLOUD.kind.to_owned(),
        endpoint: Endpoint {
            protocol: "http".to_owned(),
            server: address.ip().to_string(),
            port: Some(address.port()),
            path: String::new(),
        },
        fields: fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

fn connect(moto: &Moto, access_key: &str) -> Arc<dyn Connector> {
    let http = HttpSettings { environment_proxy: false, ..HttpSettings::default() };
    let context = ConnectContext::new(ConnectorSettings { http, ..ConnectorSettings::default() });
    (ec2::CLOUD.connect)(&context, &account(moto.proxy.address(), access_key)).unwrap()
}

fn document(image: &str, features: &str) -> Radl {
    let text = format!(
        "network inside (create = 'yes')\n\
         system node (net_interface.0.connection = 'inside' and disk.0.image.url = 'aws://{REGION}/{image}' and\n\
         ec2.associate_public_ip_address = 'no' and {features})"
    );
    Radl::parse(&text).unwrap()
}

async fn concrete(connector: &dyn Connector, system: &System) -> System {
    connector.candidates(system).await.unwrap().remove(0).system
}

async fn conforms(name: &str, case: Case) {
    let moto = Arc::new(Moto::start().await.unwrap());
    let image = moto.make_image();
    let connector = connect(&moto, "AKIATEST");
    let document = document(&image, "instance_type = 't3.nano'");
    let mut system = concrete(&*connector, &document.systems[0]).await;
    system.features.set_text("disk.0.os.credentials.public_key", "ssh-ed25519 AAAA daemon");
    let refusal = Refusal {
        times: u32::MAX,
        about: EXPIRED.to_owned(),
        status: 400,
        retry_after: None,
        content_type: "text/xml",
        body: EXPIRED_BODY.to_owned(),
    };
    moto.proxy.refuse(refusal);
    let paged = name == "finds_more_than_a_page";
    if paged {
        moto.proxy.rewrite("MaxResults=1000", &format!("MaxResults={PAGE}"));
    }
    let before = moto.holdings();
    let backstage: Arc<dyn Backstage> = moto.clone();
    let subject = Subject {
        largest: 50,
        location: Location { region: Some(REGION.to_owned()), ..Location::default() },
        page: paged.then_some(PAGE),
        expired: Some(connect(&moto, EXPIRED)),
        successor: Some(connect(&moto, "AKIATEST")),
        unknown_image: Some(format!("aws://{REGION}/ami-00000000")),
        // Those of t3.small and t3.micro.
        sizes: [(2.0, 2_048_000_000), (2.0, 1_024_000_000)],
        backstage: Some(backstage),
        ..Subject::new(connector, system, document.networks)
    };
    case(&subject).await;
    assert_eq!(moto.holdings(), before, "nothing is left in the cloud");
}

mod conformance {
    connectors::conformance!(super::conforms);
}
