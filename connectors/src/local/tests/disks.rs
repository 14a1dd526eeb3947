//! Disks, changes of size and images.

use super::super::{mark::State, network::remove_interface};
use super::lab::{Lab, Login, connects, open, output};
use crate::{
    contract::{
        DiskSource, ImageIntent, ImageUid, Location, NewDisk, PowerOperation, PowerState, PublicAddress, Resize,
    },
    error::ErrorClass,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread")]
async fn disks_outlive_power_and_become_images() {
    let lab = Lab::new(3);
    let mut intent = lab.intent(0);
    intent.system.features.set_number("disk.1.size", 64, "M");
    intent.system.features.set_number("memory.size", 256, "M");
    intent.system.features.set_number("cpu.count", 1, "");
    let recipe = "#cloud-config\npackages: [jq]\nruncmd: [[sh, -c, 'id -u >> /opt/booted']]\n";
    intent.user_data.recipe = Some(recipe.to_owned());
    let first = lab.launch(&intent).await;
    let id = &first.id;
    let node = lab.login(&first);
    let boot = |node: &Login| node.run("cat /proc/sys/kernel/random/boot_id");
    let device = first.features.text("disk.1.device").unwrap();
    assert_eq!(node.run("ls /sys/block"), device);
    // The user data are done once, by root; what a node cannot do is said.
    node.run("for i in $(seq 50); do test -s /opt/booted && break; sleep 0.1; done");
    let log = node.run("cat /var/log/cloud-init-output.log");
    assert_eq!(log, "imd: nodes of the local cloud have no cloud-init; left out: packages");
    node.run(&format!("sudo mkfs.ext4 -q /dev/{device} && sudo mount /dev/{device} /mnt && sudo touch /mnt/data"));
    node.run("echo kept > ~/file; sudo rm /etc/motd; sync");
    let first_boot = boot(&node);

    let started = Instant::now();
    lab.connector.power(&lab.mark(id), PowerOperation::Stop).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "everything ends when asked: {:?}", started.elapsed());
    lab.connector.power(&lab.mark(id), PowerOperation::Stop).await.unwrap();
    lab.until(id, PowerState::Stopped).await;
    assert!(!connects(node.ip, 22));
    // Bridges go when the host is started again; nodes bring them back.
    for network in State::open(&lab.settings.state_dir).unwrap().all_networks().unwrap() {
        remove_interface(&network.bridge).unwrap();
    }
    // Another daemon on the same state goes on with it.
    let other = open(&lab.settings);
    other.power(&lab.mark(id), PowerOperation::Start).await.unwrap();
    other.power(&lab.mark(id), PowerOperation::Start).await.unwrap();
    let started = lab.until(id, PowerState::Running).await;
    assert_eq!((&started.addresses, &started.features), (&first.addresses, &first.features));
    assert_eq!(node.run(&format!("cat file; sudo mount /dev/{device} /mnt && ls /mnt/data")), "kept\n/mnt/data");
    let second_boot = boot(&node);
    lab.connector.power(&lab.mark(id), PowerOperation::Reboot).await.unwrap();
    lab.until(id, PowerState::Running).await;
    assert_eq!(BTreeSet::from([first_boot, second_boot, boot(&node)]).len(), 3, "each boot is visible");
    assert_eq!(node.run("cat /opt/booted"), "0");

    let disk = |size| NewDisk { index: 2, size: Some(size), ..NewDisk::default() };
    let resize =
        Resize { cpu_count: Some(2.0), memory: Some(512_000_000), disks: vec![disk(32_000_000)], ..Resize::default() };
    let found = lab.connector.find(&lab.shared()).await.unwrap();
    let vm = found.iter().find(|found| found.id == *id).unwrap().mark(&lab.infrastructure);
    lab.connector.resize(&vm, &resize).await.unwrap();
    lab.connector.resize(&vm, &resize).await.unwrap();
    // What a node cannot have is refused with its name, and nothing of the rest is done.
    let image = NewDisk { source: DiskSource::Image("local://golden".to_owned()), ..disk(1) };
    let volume = NewDisk { source: DiskSource::Volume("ost://cloud/volume/1".to_owned()), ..disk(1) };
    let fast = NewDisk { disk_type: Some("fast".to_owned()), ..disk(1) };
    let elsewhere = NewDisk { device: Some("vdz".to_owned()), ..disk(1) };
    let address = Some(PublicAddress::Add { network: "pub".to_owned(), pool: None });
    for (property, wrong) in [
        ("gpu.count", Resize { gpu_count: Some(1.0), ..Resize::default() }),
        ("instance_type", Resize { instance_type: Some("big".to_owned()), ..Resize::default() }),
        ("disk.2.size", Resize { disks: vec![disk(64_000_000)], ..Resize::default() }),
        ("disk.2.image.url", Resize { disks: vec![image], ..Resize::default() }),
        ("disk.2.image.url", Resize { disks: vec![volume], ..Resize::default() }),
        ("disk.2.type", Resize { disks: vec![fast], ..Resize::default() }),
        ("disk.2.device", Resize { disks: vec![elsewhere], ..Resize::default() }),
        ("net_interface", Resize { public_address: address, ..Resize::default() }),
        ("disk 26", Resize { disks: vec![NewDisk { index: 26, ..disk(1) }], ..Resize::default() }),
    ] {
        let refused = lab.connector.resize(&vm, &Resize { memory: Some(300_000_000), ..wrong }).await.unwrap_err();
        assert!(refused.class.is_final() && refused.message.contains(property), "{refused}");
    }
    let resized = lab.until(id, PowerState::Running).await;
    assert_eq!(resized.features.number("memory.size", "M"), Some(512.0));
    let added = resized.features.text("disk.2.device").unwrap();
    assert_eq!(
        node.run(&format!("sudo blockdev --getsize64 /dev/{added}; ls /sys/block")),
        format!("32000000\n{device}\n{added}")
    );
    node.run(&format!(
        "sudo addpart /dev/{added} 1 2048 32768
         for i in $(seq 50); do test -b /dev/{added}1 && break; sleep 0.1; done
         sudo mkfs.ext4 -q /dev/{added}1 && sudo mount /dev/{added}1 /srv"
    ));
    let limit = output(Command::new("find").args(["/sys/fs/cgroup", "-path", &format!("*imd-{id}/memory.*")]));
    for file in limit.lines().filter(|f| f.ends_with("memory.limit_in_bytes") || f.ends_with("memory.max")) {
        let bytes: u64 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
        assert_eq!(bytes, 512_000_000 / 4096 * 4096);
        let processes = fs::read_to_string(Path::new(file).with_file_name("cgroup.procs")).unwrap();
        assert!(processes.lines().count() >= 3, "the node is in its group");
    }

    let image = |uid: &str| ImageIntent {
        infrastructure: "inf".to_owned(),
        location: Location::default(),
        uid: ImageUid(uid.to_owned()),
        disk: 0,
        name: "golden".to_owned(),
    };
    let url = lab.connector.snapshot(&lab.mark(id), &image("a")).await.unwrap();
    assert_eq!(lab.connector.snapshot(&lab.mark(id), &image("a")).await.unwrap(), url, "made once");
    assert_eq!(lab.connector.snapshot(&lab.mark(id), &image("b")).await.unwrap_err().class, ErrorClass::Conflict);
    lab.connector.discard_snapshot(&image("b")).await.unwrap();
    let images = lab.connector.images(&BTreeMap::new()).await.unwrap();
    assert!(images.iter().any(|image| image.uri == url), "{images:?}");
    let mut copy = lab.intent(1);
    copy.system.features.set_text("disk.0.image.url", &url);
    let candidates = lab.connector.candidates(&copy.system).await.unwrap();
    assert_eq!(candidates.len(), 1);
    copy.system = candidates[0].system.clone();
    let copied = lab.launch(&copy).await;
    let copied = lab.login(&copied);
    assert_eq!(
        copied.run("cat file; hostname; ls /etc/motd 2>&1 | wc -l; ls /etc/motd >/dev/null 2>&1 || echo gone"),
        { "kept\nvnode-1\n1\ngone" }
    );
    for _ in 0..2 {
        lab.connector.delete_image(&url, &Location::default()).await.unwrap();
    }
    assert_eq!(copied.run("cat file"), "kept", "an image may go before its machines");
    assert_eq!(lab.connector.candidates(&copy.system).await.unwrap(), []);
    assert_eq!(lab.connector.snapshot(&lab.mark(id), &image("c")).await.unwrap(), url, "the name is free again");
    lab.connector.discard_snapshot(&image("c")).await.unwrap();
    assert_eq!(lab.connector.candidates(&copy.system).await.unwrap(), []);
    lab.delete_all().await;
}
