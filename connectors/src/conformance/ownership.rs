//! What belongs to others.

use super::{
    Subject,
    subject::{class, left_out, must},
};
use crate::{ConnectorError, DiskSource, ErrorClass, NewDisk, PowerOperation, PowerState, Resize};

/// Whoever names the id of a machine of another infrastructure does nothing to it.
pub async fn leaves_machines_of_others_alone(subject: &Subject) {
    let connector = &subject.connector;
    let ids = subject.launch("theirs", 1).await;
    let before = subject.reach(&ids, PowerState::Running).await;
    let marks: Vec<_> = before.iter().map(|seen| seen.infrastructure.as_deref()).collect();
    assert_eq!(marks, [Some("theirs")], "whose it is is told");
    let (offers, vm) = (connector.capabilities(), subject.mark("ours", 0, &ids[0]));
    let denied = |result: Result<(), ConnectorError>| assert_eq!(class(result), ErrorClass::Denied);
    denied(connector.delete_vm(&vm).await);
    if offers.stop_start {
        denied(connector.power(&vm, PowerOperation::Stop).await);
    }
    if offers.reboot {
        denied(connector.power(&vm, PowerOperation::Reboot).await);
    }
    if offers.resize {
        denied(connector.resize(&vm, &Resize { cpu_count: Some(2.0), ..Resize::default() }).await);
    }
    if offers.snapshot {
        denied(connector.snapshot(&vm, &subject.image("ours", "conformance", "theirs")).await.map(drop));
    }
    assert_eq!(subject.seen(&ids).await, before, "it is as it was");
    subject.clear("theirs").await;
}

/// Volumes that belong to the user are attached where a document names them, when the machine is made and later, and are
/// there when it is gone.
pub async fn leaves_volumes_of_users_alone(subject: &Subject) {
    if !subject.connector.capabilities().attach_disk {
        left_out("its machines take no further disks");
        return;
    }
    let Some(backstage) = subject.backstage() else { return };
    let volumes = [backstage.make_users_volume(), backstage.make_users_volume()];
    let before = backstage.holdings();
    subject.share("users").await;
    let mut intent = subject.intent("users", 0);
    let index = NewDisk::all_of(&subject.system).count() + 1;
    intent.system.features.set_text(&format!("disk.{index}.image.url"), &volumes[0]);
    let id = must("create with a volume", subject.connector.create_vm(&intent).await);
    subject.reach(std::slice::from_ref(&id), PowerState::Running).await;
    let disk = NewDisk { index: index + 1, source: DiskSource::Volume(volumes[1].clone()), ..NewDisk::default() };
    let resize = Resize { disks: vec![disk], ..Resize::default() };
    let vm = subject.mark("users", 0, &id);
    for _ in 0..2 {
        must("add a volume", subject.connector.resize(&vm, &resize).await);
    }
    assert!(volumes.iter().all(|url| !backstage.delete_users_volume(url)), "they are in use");
    subject.clear("users").await;
    assert_eq!(backstage.holdings(), before, "they are there, and nothing else");
    assert!(volumes.iter().all(|url| backstage.delete_users_volume(url)), "nobody uses them any more");
}

/// A network that the user names is used, and there when everything of ours is gone.
pub async fn leaves_networks_of_users_alone(subject: &Subject) {
    let Some(backstage) = subject.backstage() else { return };
    let Some(name) = backstage.make_users_network() else {
        left_out("its users have no networks of their own");
        return;
    };
    let before = backstage.holdings();
    let mut networks = subject.networks.clone();
    let Some(network) = networks.first_mut() else {
        left_out("its machines are on no network");
        return;
    };
    network.features.set_text("provider_id", &name);
    subject.share_networks("users-network", &networks).await;
    let mut intent = subject.intent("users-network", 0);
    intent.networks = networks;
    let id = must("create on it", subject.connector.create_vm(&intent).await);
    subject.reach(std::slice::from_ref(&id), PowerState::Running).await;
    subject.clear("users-network").await;
    assert_eq!(backstage.holdings(), before, "it is there, and nothing else");
}
