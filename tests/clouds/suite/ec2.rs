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
        backstage: Some(backstage),
        ..Subject::new(connector, system, document.networks)
    };
    case(&subject).await;
    assert_eq!(moto.holdings(), before, "nothing is left in the cloud");
}

mod conformance {
    connectors::conformance! { super::conforms =>
        launches_one_machine
        launches_five_machines
        launches_fifty_machines
        creates_one_machine_per_uid
        hands_over_user_data
        makes_one_machine_when_replies_are_lost
        waits_when_throttled
        finds_by_mark_and_keeps_infrastructures_apart
        finds_more_than_a_page
        observes_what_exists
        changes_power
        adds_disks_as_asked_or_refuses
        adds_and_takes_a_public_address
        makes_and_deletes_images
        lists_images_that_can_be_used
        tells_limits
        makes_another_of_a_document_that_comes_again
        deletes_what_is_there_and_what_is_not
        leaves_machines_of_others_alone
        leaves_volumes_of_users_alone
        says_that_credentials_expired
        refuses_what_it_does_not_offer
        cleans_up_what_it_refused
        goes_on_after_any_failed_request
        leaves_nothing_when_given_up_at_any_request
    }
}
