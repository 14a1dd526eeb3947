//! The simulator: every case, with faults.

use super::{PAGE, account, connect, subject};
use clouds::openstack::{PASSWORD, SimulatedCloud};
use connectors::{
    ErrorClass,
    conformance::{Backstage, Case, Subject, keeps_the_quota},
};
use radl::Radl;
use std::sync::Arc;

async fn conforms(_name: &str, case: Case) {
    let cloud = Arc::new(SimulatedCloud::start(PAGE).await);
    let backstage: Arc<dyn Backstage> = cloud.clone();
    let subject = Subject {
        largest: 50,
        page: Some(u32::try_from(PAGE).unwrap()),
        backstage: Some(backstage),
        ..subject(&account(&cloud.keystone(), PASSWORD), "debian").await
    };
    case(&subject).await;
    assert_eq!(cloud.holdings(), Vec::<String>::new(), "nothing is left in the cloud");
}

mod conformance {
    connectors::conformance!(super::conforms);
}

#[tokio::test]
async fn keeps_to_the_quota() {
    let cloud = SimulatedCloud::start(PAGE).await;
    cloud.with(|cloud| cloud.limit(3));
    keeps_the_quota(&subject(&account(&cloud.keystone(), PASSWORD), "debian").await, 3).await;
    assert_eq!(cloud.holdings(), Vec::<String>::new());
}

/// A zone without room: the refusal says so, for the engine to take the next candidate, and no server is left.
#[tokio::test]
async fn no_host_with_room_is_a_matter_of_capacity() {
    let cloud = SimulatedCloud::start(PAGE).await;
    let subject = subject(&account(&cloud.keystone(), PASSWORD), "debian").await;
    let shared = subject.shared_intent("full", &subject.networks);
    subject.connector.ensure_shared(&shared).await.unwrap();
    let mut intent = subject.intent("full", 0);
    intent.tags.push(("no_room".to_owned(), "yes".to_owned()));
    let refused = subject.connector.create_vm(&intent).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Capacity, "{refused}");
    assert!(subject.connector.find(&shared.mark()).await.unwrap().is_empty());
    subject.connector.delete_vm(&intent.mark()).await.unwrap();
    subject.connector.delete_shared(&shared.mark()).await.unwrap();
    assert_eq!(cloud.holdings(), Vec::<String>::new());
}

/// A public interface beside a private one is a floating address that leads to the private one, from the beginning.
#[tokio::test]
async fn public_interfaces_are_floating_addresses() {
    let cloud = SimulatedCloud::start(PAGE).await;
    let subject = subject(&account(&cloud.keystone(), PASSWORD), "debian").await;
    let mut document = Radl::parse(
        "network outer (outbound = 'yes')
         network inner (outbound = 'no')
         system node (net_interface.0.connection = 'outer' and net_interface.1.connection = 'inner')",
    )
    .unwrap();
    let mut intent = subject.intent("public", 0);
    for (name, value) in document.systems.remove(0).features.iter() {
        intent.system.features.set(name, value.clone());
    }
    (intent.requested, intent.networks) = (intent.system.clone(), document.networks);
    let shared = subject.shared_intent("public", &intent.networks);
    let told = subject.connector.ensure_shared(&shared).await.unwrap();
    assert_eq!(told.networks["outer"].text("provider_id"), Some("public"));
    assert_eq!(told.networks["inner"].text("cidr"), Some("10.0.1.0/24"));
    let id = subject.connector.create_vm(&intent).await.unwrap();
    let seen = subject.connector.observe(&subject.location, std::slice::from_ref(&id)).await.unwrap().remove(0);
    let addresses: Vec<_> = seen.addresses.iter().map(|address| (address.public, address.network.as_deref())).collect();
    assert_eq!(addresses, [(false, Some("inner")), (true, Some("outer"))]);
    subject.connector.reconcile(&intent, &id).await.unwrap();
    subject.connector.delete_vm(&intent.mark()).await.unwrap();
    subject.connector.delete_shared(&shared.mark()).await.unwrap();
    assert_eq!(cloud.holdings(), Vec::<String>::new());
}

#[tokio::test]
async fn an_unknown_image_is_no_candidate_and_a_wrong_password_is_told() {
    let cloud = SimulatedCloud::start(PAGE).await;
    let line = account(&cloud.keystone(), PASSWORD);
    let system =
        |url: &str| Radl::parse(&format!("system node (disk.0.image.url = '{url}')")).unwrap().systems.remove(0);
    for url in ["ost://127.0.0.1/unknown", "ost://elsewhere/debian", "aws://region/ami"] {
        assert!(connect(&line).candidates(&system(url)).await.unwrap().is_empty(), "{url}");
    }
    let wrong = connect(&account(&cloud.keystone(), "wr0ng-secret"));
    let refused = wrong.candidates(&system("ost://127.0.0.1/debian")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Auth);
    assert!(!refused.message.contains("wr0ng-secret"), "{refused}");
}
