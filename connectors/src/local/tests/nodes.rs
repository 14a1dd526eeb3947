//! Nodes: machines of their own, with the login of their document.

use super::super::DiskStorage;
use super::lab::{Lab, SSH, connects, output, public_ip};
use crate::contract::VmIntent;
use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_a_machine_of_its_own() {
    let lab = Lab::new(0);
    let seen = lab.launch(&lab.intent(0)).await;
    assert_eq!(seen.addresses.len(), 1);
    assert!(seen.addresses[0].public && seen.addresses[0].network.is_none());
    assert_eq!(seen.features.text("disk.0.os.credentials.username"), Some("cloudadm"));
    let node = lab.login(&seen);

    assert_eq!(
        node.run("hostname; hostname -f; id -un; sudo -n id -un"),
        "vnode-0\nvnode-0.localdomain\ncloudadm\nroot"
    );
    assert_eq!(node.run("stat -c %a /dev/shm /tmp; echo x >/dev/null; getent hosts vnode-0"), {
        format!("1777\n1777\n{:<15} vnode-0.localdomain vnode-0", public_ip(&seen))
    });
    // Its processes are its own, and init outlives the sshd we came by.
    assert_eq!(node.run("cat /proc/1/comm"), "tini");
    node.run("sudo service ssh restart");
    node.run("(setsid sleep 1000 >/dev/null 2>&1 &); true");
    assert_eq!(node.run("pgrep -c -x sleep"), "2", "what was left running stays");
    let host_id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    assert_ne!(node.run("cat /etc/machine-id"), host_id.trim());
    // The host's secrets that are hidden, and the way out that is not there.
    let secret = lab.folder.path().join("secret");
    assert_eq!(node.run(&format!("sudo find /root {} {}", secret.display(), lab.settings.state_dir.display())), {
        format!("/root\n{}\n{}", secret.display(), lab.settings.state_dir.display())
    });
    assert_eq!(node.run("ls /etc/ssh/ssh_host_*"), "/etc/ssh/ssh_host_ed25519_key");
    assert!(node.ssh("ping -c1 -W1 203.0.113.1").status.code() != Some(0));
    assert_eq!(node.run("ip route show default"), "");
    lab.delete_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credentials_of_the_document_open_the_node() {
    let lab = Lab::new(1);
    let pair = keypair::generate(keypair::KeyType::Ed25519, "test").unwrap();
    let mut intent = lab.intent(0);
    intent.system.features.set_text("disk.0.os.credentials.username", "ubuntu");
    intent.system.features.set_text("disk.0.os.credentials.password", "pa'ss \"$wörd");
    intent.system.features.set_text("disk.0.os.credentials.public_key", &pair.public);
    let seen = lab.launch(&intent).await;

    let login = |password: Option<&str>| {
        let mut command = Command::new("sshpass");
        match password {
            Some(password) => {
                command.arg("-e").env("SSHPASS", password).arg("ssh").arg("-oPubkeyAuthentication=no");
            }
            None => {
                let key = lab.folder.path().join("key");
                fs::write(&key, &pair.private).unwrap();
                fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
                command = Command::new("ssh");
                command.arg("-oBatchMode=yes").arg("-i").arg(key);
            }
        }
        command.args(SSH).arg(format!("ubuntu@{}", public_ip(&seen))).arg("sudo -n id -u");
        command.stdin(Stdio::null());
        output(&mut command)
    };
    assert_eq!(login(Some("pa'ss \"$wörd")), "0\n");
    assert_eq!(login(Some("wrong")), "");
    assert_eq!(login(None), "0\n");

    // Whoever gives neither gets in by no password.
    let other = lab.launch(&lab.intent(1)).await;
    let config = lab.login(&other).run("grep PasswordAuthentication /etc/ssh/sshd_config");
    assert_eq!(config, "PasswordAuthentication no");
    lab.delete_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_nodes_in_memory_are_up_at_once() {
    let lab = Lab::with(5, |settings| settings.storage = DiskStorage::Memory(1 << 30));
    let intents: Vec<VmIntent> = (0..30).map(|number| lab.intent(number)).collect();
    let started = Instant::now();
    let seen = futures::future::join_all(intents.iter().map(|intent| lab.launch(intent))).await;
    let up = started.elapsed();
    let addresses: BTreeSet<IpAddr> = seen.iter().map(public_ip).collect();
    assert_eq!(addresses.len(), 30);
    assert!(addresses.iter().all(|ip| connects(*ip, 22)));
    let started = Instant::now();
    lab.delete_all().await;
    println!("30 nodes up in {up:?}, gone in {:?}", started.elapsed());
    assert!(up < Duration::from_secs(15), "{up:?}");
}
