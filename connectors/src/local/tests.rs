//! Real nodes on this host, reached with the system's SSH client.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{DiskStorage, LocalCloud, LocalSettings};
use crate::{
    account::{CloudAccount, Endpoint},
    contract::{
        Connector, InfrastructureIntent, Observation, PowerOperation, PowerState, ProviderId, Resize, VmIntent, VmUid,
    },
};
use radl::{Network, System};
use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

/// A cloud with a state directory and pools that no other test process uses.
struct Lab {
    folder: tempfile::TempDir,
    connector: Arc<dyn Connector>,
    infrastructure: String,
}

impl Lab {
    fn new(number: u8) -> Self {
        Self::with(number, |_| {})
    }

    fn with(number: u8, change: impl FnOnce(&mut LocalSettings)) -> Self {
        let folder = tempfile::Builder::new().prefix("imd-local-").tempdir_in("/var/tmp").unwrap();
        // Test processes run side by side: each takes subnets by its own number.
        let process = std::process::id();
        let (a, b) = (process / 256 % 64, process % 256);
        let mut settings = LocalSettings {
            enabled: true,
            state_dir: folder.path().join("state"),
            public_pool: format!("10.{}.{b}.0/24", 64 + a / 2 * 2).parse().unwrap(),
            private_pool: format!("172.{}.0.0/16", 16 + number % 16).parse().unwrap(),
            hide: vec![folder.path().join("secret")],
            ..LocalSettings::default()
        };
        settings.public_pool =
            format!("198.{}.{}.0/24", 18 + number / 128, (process as u8).wrapping_add(number.wrapping_mul(8)))
                .parse()
                .unwrap();
        change(&mut settings);
        let account = CloudAccount {
            id: "local".to_owned(),
            kind: "Local".to_owned(),
            endpoint: Endpoint::default(),
            fields: indexmap::IndexMap::new(),
        };
        let connector = LocalCloud::open(settings).unwrap().connector(&account);
        Self { infrastructure: format!("inf-{process}-{number}"), folder, connector }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn intent(&self, number: u32) -> VmIntent {
        VmIntent {
            infrastructure: self.infrastructure.clone(),
            uid: VmUid(format!("vm-{}-{number}", self.infrastructure)),
            number,
            fqdn: format!("vnode-{number}.localdomain"),
            system: System { name: "node".to_owned(), ..System::default() },
            networks: Vec::new(),
            tags: Vec::new(),
        }
    }

    async fn observe(&self, id: &ProviderId) -> Observation {
        self.connector.observe(std::slice::from_ref(id)).await.unwrap().remove(0)
    }

    async fn running(&self, id: &ProviderId) -> Observation {
        let started = Instant::now();
        loop {
            let seen = self.observe(id).await;
            if seen.state == PowerState::Running {
                return seen;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{:?} {}", seen.state, self.console(id));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn console(&self, id: &ProviderId) -> String {
        fs::read_to_string(self.state().join("store/nodes").join(&id.0).join("console.log")).unwrap_or_default()
    }

    /// Writes the private key that the cloud made for a node.
    fn key(&self, seen: &Observation) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(format!("key-{}", seen.id));
        fs::write(&path, seen.features.text("disk.0.os.credentials.private_key").unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

const SSH: [&str; 8] = [
    "-oStrictHostKeyChecking=no",
    "-oUserKnownHostsFile=/dev/null",
    "-oLogLevel=ERROR",
    "-oConnectTimeout=5",
    "-oIdentitiesOnly=yes",
    "-oServerAliveInterval=2",
    "-oGlobalKnownHostsFile=/dev/null",
    "-n",
];

fn public_ip(seen: &Observation) -> IpAddr {
    seen.addresses.iter().find(|address| address.public).unwrap().ip
}

fn ssh(key: &Path, user: &str, ip: IpAddr, command: &str) -> Output {
    Command::new("ssh").args(SSH).arg("-i").arg(key).arg(format!("{user}@{ip}")).arg(command).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_credentials_gets_a_key() {
    let lab = Lab::new(1);
    let id = lab.connector.create_vm(&lab.intent(0)).await.unwrap();
    let seen = lab.running(&id).await;
    let key = lab.key(&seen);
    let said = ssh(
        &key,
        "cloudadm",
        public_ip(&seen),
        "hostname; hostname -f; sudo id -un; cat /proc/sys/kernel/random/boot_id; ps ax; mount; ls -la /root /home; ip a",
    );
    println!("{}", text(&said));
    lab.connector.delete_vm(&id).await.unwrap();
    lab.connector.delete_shared(&lab.infrastructure).await.unwrap();
}
