//! Machines that change.

use super::{
    Subject,
    subject::{class, left_out, must},
};
use crate::{ErrorClass, NewDisk, PowerState, PublicAddress, Resize, VmIntent};
use tokio::time::{Instant, sleep};

/// Cores and memory are as they were asked for, also when they are asked for twice.
pub async fn changes_sizes(subject: &Subject) {
    if !subject.connector.capabilities().resize {
        left_out("sizes of its machines cannot be changed");
        return;
    }
    let ids = subject.launch("sizes", 1).await;
    subject.reach(&ids, PowerState::Running).await;
    let vm = subject.mark("sizes", 0, &ids[0]);
    let [first, second] = subject.sizes;
    for (cores, memory) in [first, first, second] {
        let resize = Resize { cpu_count: Some(cores), memory: Some(memory), ..Resize::default() };
        must("change sizes", subject.connector.resize(&vm, &resize).await);
        let seen = subject.reach(&ids, PowerState::Running).await;
        let number = |name: &str| seen[0].features.number(name, "");
        assert_eq!((number("cpu.count"), number("memory.size")), (Some(cores), Some(memory as f64)));
    }
    subject.clear("sizes").await;
}

/// A disk that is added, twice, is there once; another size of it is refused, and the disk stays.
pub async fn adds_disks_as_asked_or_refuses(subject: &Subject) {
    if !subject.connector.capabilities().attach_disk {
        left_out("its machines take no further disks");
        return;
    }
    let ids = subject.launch("disks", 1).await;
    subject.reach(&ids, PowerState::Running).await;
    let (connector, vm) = (&subject.connector, subject.mark("disks", 0, &ids[0]));
    let index = NewDisk::all_of(&subject.system).count() + 1;
    let disk =
        |size| Resize { disks: vec![NewDisk { index, size: Some(size), ..NewDisk::default() }], ..Resize::default() };
    must("add a disk", connector.resize(&vm, &disk(16_000_000)).await);
    must("add it again", connector.resize(&vm, &disk(16_000_000)).await);
    assert_eq!(class(connector.resize(&vm, &disk(32_000_000)).await), ErrorClass::Invalid);
    must("add it once more", connector.resize(&vm, &disk(16_000_000)).await);
    subject.clear("disks").await;
}

/// A public address is added, which may take until the machine was reconciled, and taken off again; both also twice.
pub async fn adds_and_takes_a_public_address(subject: &Subject) {
    if !subject.connector.capabilities().public_address {
        left_out("public addresses of its machines cannot be changed");
        return;
    }
    let ids = subject.launch("address", 1).await;
    subject.reach(&ids, PowerState::Running).await;
    let (connector, vm) = (&subject.connector, subject.mark("address", 0, &ids[0]));
    let before = subject.seen(&ids).await;
    let change = |address| Resize { public_address: Some(address), ..Resize::default() };
    let add = change(PublicAddress::Add { network: "conformance".to_owned(), pool: None });
    for _ in 0..2 {
        must("add an address", connector.resize(&vm, &add).await);
        reconcile(subject, &subject.intent("address", 0)).await;
        let addresses = subject.seen(&ids).await.remove(0).addresses;
        let new: Vec<_> = addresses.iter().filter(|address| !before[0].addresses.contains(address)).collect();
        assert!(matches!(new[..], [address] if address.public), "one public address more: {addresses:?}");
    }
    for _ in 0..2 {
        must("take it off", connector.resize(&vm, &change(PublicAddress::Remove)).await);
        reconcile(subject, &subject.intent("address", 0)).await;
        assert_eq!(subject.seen(&ids).await, before);
    }
    subject.clear("address").await;
}

/// Does what follows a boot or a change until the cloud says that nothing is missing.
async fn reconcile(subject: &Subject, intent: &VmIntent) {
    let found = subject.found(&intent.infrastructure).await;
    let (_, id) = found.into_iter().find(|(uid, _)| *uid == intent.uid).unwrap_or_else(|| panic!("no machine"));
    let start = Instant::now();
    loop {
        must("reconcile", subject.connector.reconcile(intent, &id).await);
        let missing = subject.seen(std::slice::from_ref(&id)).await.remove(0).missing;
        if missing.is_empty() {
            return;
        }
        assert!(start.elapsed() < subject.patience, "still missing: {missing:?}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}
