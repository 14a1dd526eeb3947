#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::DeployedNode;
use crate::{Connector, ErrorClass, PowerOperation, PowerState, ProviderId, VmIntent, VmMark, VmUid};
use radl::Radl;

fn system(features: &str) -> radl::System {
    Radl::parse(&format!("system node ({features})")).unwrap().systems.remove(0)
}

const ADDRESS: &str = "net_interface.0.ip = '10.0.0.7'";
const USER: &str = "disk.0.os.credentials.username = 'admin'";
const PASSWORD: &str = "disk.0.os.credentials.password = 'pw'";

#[tokio::test]
async fn a_machine_needs_an_address_and_a_login() {
    let candidates = |features: Vec<&str>| {
        let system = system(&features.join(" and "));
        async move { DeployedNode.candidates(&system).await }
    };
    for (given, missing) in [
        (vec![USER, PASSWORD], "net_interface.0.ip"),
        (vec![ADDRESS, PASSWORD], "disk.0.os.credentials.username"),
        (vec![ADDRESS, USER], "disk.0.os.credentials.private_key"),
        (vec![], "net_interface.0.ip"),
    ] {
        let error = candidates(given).await.unwrap_err();
        assert!(error.class == ErrorClass::Invalid && error.message.contains(missing), "{error}");
    }
    let key = "disk.0.os.credentials.private_key = 'k'";
    for complete in [vec![ADDRESS, USER, PASSWORD], vec![ADDRESS, USER, key]] {
        let found = candidates(complete).await.unwrap();
        assert_eq!(found[0].system.features.text("provider.type"), Some("DeployedNode"));
    }
}

#[tokio::test]
async fn a_record_is_the_same_however_often_it_is_made() {
    let intent = VmIntent {
        infrastructure: "inf".to_owned(),
        uid: VmUid("u-1".to_owned()),
        number: 0,
        fqdn: "node.localdomain".to_owned(),
        location: Default::default(),
        system: system(ADDRESS),
        requested: system(ADDRESS),
        networks: Vec::new(),
        tags: Vec::new(),
        user_data: Default::default(),
    };
    let id = DeployedNode.create_vm(&intent).await.unwrap();
    assert_eq!(DeployedNode.create_vm(&intent).await.unwrap(), id);
    let seen = DeployedNode.observe(&intent.location, &[id.clone(), ProviderId("imported".to_owned())]).await.unwrap();
    assert!(seen.len() == 2 && seen.iter().all(|machine| machine.state == PowerState::Running));
    DeployedNode.delete_vm(&intent.mark()).await.unwrap();
    DeployedNode.delete_vm(&intent.mark()).await.unwrap();
    let refused =
        DeployedNode.power(&VmMark { id: Some(id), ..intent.mark() }, PowerOperation::Stop).await.unwrap_err();
    assert_eq!((refused.class, refused.message.as_str()), (ErrorClass::Unsupported, "Operation not supported"));
}
