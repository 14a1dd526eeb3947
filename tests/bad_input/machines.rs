//! What goes wrong on real machines: images that are not there, recipes that fail on one of three, a machine whose SSH
//! never comes up, full disks. The others are configured, the one says why in its own log, nothing is lost.

use crate::lab::{Lab, machines};
use reqwest::{Method, StatusCode};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

fn recipe(text: &str) -> String {
    format!("configure work (\n@begin\n{text}\n@end\n)\ncontextualize ( system node configure work )\n")
}

const FAILS_ON_ONE: &str = "
- tasks:
    - name: Somebody is missing
      fail: {msg: 'the licence server does not answer'}
      when: IM_NODE_NUM == '1'
    - name: Leave a trace
      command: touch /var/tmp/done
";

const FILLS_ONE: &str = "
- tasks:
    - name: A small disk
      shell: mkdir -p /small && (mountpoint -q /small || mount -t tmpfs -o size=64k small /small)
    - name: Copy the data
      command: dd if=/dev/zero of=/small/data bs=1k count=1000
      when: IM_NODE_NUM == '1'
";

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_that_fails_on_one_of_three_machines() {
    let lab = Lab::start(0, None).await;
    let document = machines(&(recipe(FAILS_ON_ONE) + "deploy node 3\n"));
    let path = lab.create(&document).await;
    let reconfigure = format!("{path}/reconfigure");

    for (text, words) in [
        (FAILS_ON_ONE, ["[TASK_FAILED]", "Somebody is missing", "the licence server does not answer"]),
        (FILLS_ONE, ["[DISK_FULL]", "Copy the data", "No space left on device"]),
    ] {
        if text != FAILS_ON_ONE {
            let answer = lab.send(Method::PUT, &reconfigure, &recipe(text)).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        }
        assert_eq!(lab.until(&path, "unconfigured").await, ["configured", "unconfigured", "configured"]);
        let log = lab.log(&path, 1).await;
        for word in words {
            assert!(log.contains(word), "no {word} in {log}");
        }
        for vm in [0, 2] {
            let log = lab.log(&path, vm).await;
            assert!(!log.contains(words[0]) && !log.contains(words[2]), "VM {vm}: {log}");
            assert!(log.contains("Task work_node finished successfully"), "VM {vm}: {log}");
        }
        lab.summary(&path, "2 configured, 1 failed (ids: 1)").await;
        lab.is_untouched(&[&path]).await;
    }

    // YAML, but nothing that Ansible could run: refused with the name of the recipe, and nothing changes.
    for text in ["just some words", "tasks:\n  - debug:"] {
        let answer = lab.send(Method::PUT, &reconfigure, &recipe(text)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert!(answer.text.contains("configure work: expected a list of plays"), "{}", answer.text);
        assert_eq!(lab.until(&path, "unconfigured").await, ["configured", "unconfigured", "configured"]);
    }

    // A list, but not of plays: said for every machine.
    let answer = lab.send(Method::PUT, &reconfigure, &recipe("- just some words")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(lab.until(&path, "unconfigured").await, ["unconfigured"; 3]);
    for vm in 0..3 {
        let log = lab.log(&path, vm).await;
        assert!(log.contains("[RECIPE_INVALID] configure work: expected a list of plays"), "{log}");
    }

    // And all is well again with a good one.
    let good = recipe("- tasks:\n    - command: 'true'");
    assert_eq!(lab.send(Method::PUT, &reconfigure, &good).await.status, StatusCode::OK);
    assert_eq!(lab.until(&path, "configured").await, ["configured"; 3]);
    lab.is_untouched(&[&path]).await;
    lab.close(&[&path]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_that_never_comes_up() {
    let lab = Lab::start(1, None).await;
    // An image whose port 22 is open, with nobody who speaks SSH behind it.
    let sshd = lab.file("/usr/sbin/sshd");
    fs::remove_file(&sshd).unwrap();
    let mute = "import socket, time; s = socket.create_server((\"\", 22)); time.sleep(86400)";
    fs::write(&sshd, format!("#!/bin/sh\npython3 -c '{mute}' &\n")).unwrap();
    fs::set_permissions(&sshd, Permissions::from_mode(0o755)).unwrap();
    let snapshot = format!("{}/vms/0/disks/0/snapshot?image_name=mute&auto_delete=yes", lab.healthy);
    let image = lab.send(Method::PUT, &snapshot, "").await;
    assert_eq!((image.status, image.text.as_str()), (StatusCode::OK, "local://mute"));

    let mute = machines("").replace("system node", "system mute").replace("local://host", "local://mute");
    let mute = &mute[mute.find("system").unwrap()..];
    let text = recipe("- tasks:\n    - command: 'true'");
    let path = lab.create(&machines(&format!("{mute}{text}deploy node 2\ndeploy mute 1\n"))).await;
    assert_eq!(lab.until(&path, "unconfigured").await, ["configured", "configured", "unconfigured"]);
    let log = lab.log(&path, 2).await;
    for word in ["Error Waiting access to VM: 2", "[SSH_TIMEOUT]", "cannot reach", ":22 by SSH"] {
        assert!(log.contains(word), "no {word} in {log}");
    }
    for vm in [0, 1] {
        let log = lab.log(&path, vm).await;
        assert!(!log.contains("Cause") && log.contains("Task work_node finished successfully"), "VM {vm}: {log}");
    }
    lab.summary(&path, "2 configured, 1 failed (ids: 2)").await;
    lab.is_untouched(&[&path]).await;
    lab.close(&[&path]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_on_the_machine_that_runs_ansible() {
    let lab = Lab::start(2, Some(8 << 20)).await;
    let text = recipe("- tasks:\n    - command: 'true'");
    let path = lab.create(&machines(&(text + "deploy node 2\n"))).await;
    assert_eq!(lab.until(&path, "unconfigured").await, ["unconfigured"; 2]);
    let log = lab.header(&path).await;
    for word in ["Error configuring master node: VM 0: [DISK_FULL]", "/var/tmp/.im/", "No space left on device"] {
        assert!(log.contains(word), "no {word} in {log}");
    }
    let log = lab.log(&path, 0).await;
    assert!(log.contains("Cause: [DISK_FULL] Error") && log.matches("[DISK_FULL]").count() == 1, "{log}");
    lab.is_untouched(&[&path]).await;
    lab.close(&[&path]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_places_that_are_not_there() {
    let lab = Lab::start(3, None).await;
    let cases = [
        ("local://host", "local://nothing-of-this-name", "disk.0.image.url is local://nothing-of-this-name"),
        ("local://host", "local://../etc", "disk.0.image.url is local://../etc"),
        ("local://host", "ost://cloud.example/1234", "disk.0.image.url is ost://cloud.example/1234"),
        ("'linux'", "'windows'", "run Linux"),
        ("cpu.count >= 1", "gpu.count >= 4", "have no GPU"),
    ];
    for (what, other, words) in cases {
        let document = machines("deploy node 2\n").replace(what, other);
        for path in ["/infrastructures", lab.healthy.as_str()] {
            let answer = lab.send(Method::POST, path, &document).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
            for words in ["no concrete system to deploy: node in cloud: here", words] {
                assert!(answer.text.contains(words), "no {words:?} in {}", answer.text);
            }
        }
        lab.is_untouched(&[]).await;
        assert_eq!(lab.machines(), 1);
    }
    lab.close(&[]).await;
}
