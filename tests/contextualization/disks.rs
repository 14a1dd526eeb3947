//! Disks that a machine gets later: made as asked for, or refused; formatted and mounted by the next contextualization, on
//! this machine and no other.

use crate::{lab::Lab, options, sandbox};
use reqwest::{Method, StatusCode};
use std::{fs, process::Command};

const DOCUMENT: &str = "network pub ( outbound = 'yes' )
system node (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'pub'
)
deploy node 2
";

#[tokio::test]
async fn disks_that_are_added_later_are_mounted() {
    let options = options();
    if !sandbox::inside("disks::disks_that_are_added_later_are_mounted") {
        return;
    }
    let mut lab = Lab::with(&options);
    lab.daemon.start().await;
    let daemon = &lab.daemon;
    let path = daemon.create(DOCUMENT, "").await;
    daemon.until_state(&path, "configured").await;
    let alter = async |features: &str| {
        let document = format!("system node (\n{features}\n)\n");
        daemon.ask(Method::PUT, &format!("{path}/vms/0"), document).await.unwrap()
    };

    let first = alter("disk.1.size = 64M and disk.1.fstype = 'ext4' and disk.1.mount_path = '/data'").await;
    assert!(first.status == StatusCode::OK && first.text.contains("disk.1.mount_path = '/data'"), "{}", first.text);
    assert_eq!(alter("disk.2.size = 32M").await.status, StatusCode::OK);
    for (features, said) in [
        ("disk.4.size = 32M", "disk.4: the next data disk of the machine is disk.3"),
        ("disk.1.size = 128M", "disk.1.size: the disk is there and has 64000000 bytes"),
        ("disk.3.image.url = 'local://host'", "disk.3.image.url: data disks from images are not offered"),
        ("gpu.count = 1", "gpu.count: nodes of the local cloud have none"),
        ("memory.size = 1G and instance_type = 'big'", "instance_type: nodes of the local cloud have none"),
    ] {
        let refused = alter(features).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{features}: {}", refused.text);
        let prefix = "Error modifying the information about the VM 0: ";
        assert!(refused.text.contains(&format!("{prefix}{said}")), "{features}: {}", refused.text);
    }
    let sizes = async |number: u32| {
        let text = daemon.text(Method::GET, &format!("{path}/vms/{number}"), "").await;
        ["disk.1.size", "disk.2.size", "disk.3.size"].map(|name| text.contains(&format!("{name} = ")))
    };
    assert_eq!((sizes(0).await, sizes(1).await), ([true, true, false], [false; 3]));

    // Not every kernel looks for partitions itself: this one is told.
    let disk = lab.root(0).unwrap().join("dev/vdb");
    assert!(Command::new("addpart").arg(disk).args(["1", "2048", "100000"]).status().unwrap().success());
    daemon.text(Method::PUT, &format!("{path}/reconfigure"), "").await;
    daemon.until_idle().await;
    let log = daemon.get(&format!("{path}/contmsg")).await.text;
    assert_eq!(daemon.state(&path).await, "configured", "{log}");
    let mounted = |number: u32| {
        let root = lab.root(number).unwrap();
        fs::read_to_string(root.with_file_name("mountinfo")).unwrap().contains(" /data ")
    };
    assert!(mounted(0), "{log}");
    assert!(!mounted(1), "it has no disk");
    daemon.text(Method::DELETE, &path, "").await;
    lab.nothing_is_left();
}
