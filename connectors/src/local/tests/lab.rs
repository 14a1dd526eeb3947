//! What the tests have in common: a cloud of their own, and logins to its nodes.

use super::super::{
    LocalCloud, LocalConnector, LocalSettings,
    mark::{Phase, State},
    network::cable,
};
use crate::{
    account::{CloudAccount, Endpoint},
    contract::{
        Connector, InfrastructureIntent, InfrastructureMark, Location, Observation, PowerState, ProviderId, VmIntent,
        VmMark, VmUid,
    },
};
use keypair::{KeyPair, KeyType};
use radl::{Network, System};
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// How long something may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Shared by all tests: a private subnet shows in the host's routes as taken.
pub(super) const PRIVATE_POOL: &str = "172.16.0.0/12";

/// What the daemon makes for machines whose documents have no login.
pub(super) static KEY: LazyLock<KeyPair> = LazyLock::new(|| keypair::generate(KeyType::Ed25519, "imd").unwrap());

/// A cloud with a state directory and a public pool that no other test uses.
pub(super) struct Lab {
    pub(super) folder: tempfile::TempDir,
    pub(super) settings: LocalSettings,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) infrastructure: String,
}

impl Lab {
    pub(super) fn new(number: u8) -> Self {
        Self::with(number, |_| {})
    }

    pub(super) fn with(number: u8, change: impl FnOnce(&mut LocalSettings)) -> Self {
        let folder = tempfile::Builder::new().prefix("imd-local-").tempdir_in("/var/tmp").unwrap();
        // Tests and test processes run side by side: each takes a /21 by its numbers.
        let process = std::process::id();
        let block = (process.wrapping_mul(8) + u32::from(number)) % 4096;
        let pool = |first: u8| format!("{first}.{}.{}.0/21", 128 + block / 32, block % 32 * 8).parse().unwrap();
        let mut settings = LocalSettings {
            enabled: true,
            state_dir: folder.path().join("state"),
            public_pool: pool(10),
            private_pool: PRIVATE_POOL.parse().unwrap(),
            hide: vec![folder.path().join("secret")],
            ..LocalSettings::default()
        };
        fs::create_dir(folder.path().join("secret")).unwrap();
        fs::write(folder.path().join("secret/file"), "").unwrap();
        change(&mut settings);
        let infrastructure = format!("i{process}-{number}");
        Self { infrastructure, folder, connector: open(&settings), settings }
    }

    pub(super) fn shared(&self) -> InfrastructureMark {
        InfrastructureMark::in_whole_cloud(&self.infrastructure)
    }

    pub(super) fn intent(&self, number: u32) -> VmIntent {
        intent(&self.infrastructure, number)
    }

    pub(super) fn mark(&self, id: &ProviderId) -> VmMark {
        let (infrastructure, location) = (self.infrastructure.clone(), Location::default());
        VmMark { infrastructure, location, uid: VmUid(id.0.clone()), id: Some(id.clone()) }
    }

    /// The node once it runs; none when it does not run any more or was never started.
    pub(super) async fn settled(&self, id: &ProviderId) -> Option<Observation> {
        let state = State::open(&self.settings.state_dir).unwrap();
        let mark = state.vm(&id.0).unwrap()?;
        if mark.phase == Phase::Planned || !mark.process?.alive() {
            return None;
        }
        Some(self.until(id, PowerState::Running).await)
    }

    pub(super) async fn launch(&self, intent: &VmIntent) -> Observation {
        let id = self.connector.create_vm(intent).await.unwrap();
        self.until(&id, PowerState::Running).await
    }

    pub(super) async fn until(&self, id: &ProviderId, state: PowerState) -> Observation {
        let started = Instant::now();
        loop {
            let seen = self.connector.observe(&Location::default(), std::slice::from_ref(id)).await.unwrap().remove(0);
            if seen.state == state {
                return seen;
            }
            assert!(started.elapsed() < PATIENCE, "{:?}: {}", seen.state, self.console(id));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn console(&self, id: &ProviderId) -> String {
        let nodes = self.settings.state_dir.join("store/nodes");
        fs::read_to_string(nodes.join(&id.0).join("console.log")).unwrap_or_default()
    }

    /// The login that the daemon made for a node.
    pub(super) fn login(&self, seen: &Observation) -> Login {
        let key = self.folder.path().join(format!("key-{}", seen.id));
        fs::write(&key, &KEY.private).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        Login { key, ip: public_ip(seen) }
    }

    /// Deletes everything, twice, and looks for what could have stayed.
    pub(super) async fn delete_all(&self) {
        let networks = State::open(&self.settings.state_dir).unwrap().all_networks().unwrap();
        let mut names: BTreeSet<String> = networks.iter().map(|network| network.bridge.clone()).collect();
        let found = self.connector.find(&self.shared()).await.unwrap();
        for machine in &found {
            names.extend((0..2).map(|index| cable(&machine.uid.0, index)));
        }
        for _ in 0..2 {
            let marks: Vec<_> = found.iter().map(|machine| machine.mark(&self.infrastructure)).collect();
            let deleted = marks.iter().map(|vm| self.connector.delete_vm(vm));
            futures::future::try_join_all(deleted).await.unwrap();
            self.connector.delete_shared(&self.shared()).await.unwrap();
        }
        assert_eq!(self.connector.find(&self.shared()).await.unwrap(), []);

        for name in &names {
            assert!(!Path::new("/sys/class/net").join(name).exists(), "interface {name} stayed");
        }
        let routes = output(Command::new("ip").arg("route"));
        assert!(!networks.iter().any(|network| routes.contains(&network.cidr.to_string())), "{routes}");
        let tables = output(Command::new("nft").args(["list", "tables"]));
        assert!(!names.iter().any(|name| tables.contains(name.as_str())), "{tables}");
        let state = self.settings.state_dir.to_str().unwrap();
        assert!(!output(Command::new("losetup").arg("--all")).contains(state), "a loop device stayed");
        // A living process or mount namespace of a node would show its overlay. One that was never let go ends by itself.
        let holder = || {
            let mut processes = fs::read_dir("/proc").unwrap().flatten().map(|process| process.path());
            processes.find(|path| fs::read_to_string(path.join("mountinfo")).is_ok_and(|mounts| mounts.contains(state)))
        };
        let started = Instant::now();
        while let Some(process) = holder() {
            assert!(started.elapsed() < PATIENCE, "{} still has {state} mounted", process.display());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let groups = output(Command::new("find").args(["/sys/fs/cgroup", "-name", "imd-*"]));
        assert!(!found.iter().any(|machine| groups.contains(&machine.uid.0)), "{groups}");
        let files = output(Command::new("find").args([state, "-type", "f"]));
        assert_eq!(files.trim(), format!("{state}/lock"));
    }
}

impl Drop for Lab {
    /// Leaves no node behind when a test fails.
    fn drop(&mut self) {
        let (connector, shared) = (Arc::clone(&self.connector), self.shared());
        let cleaning = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                for machine in connector.find(&shared).await.unwrap_or_default() {
                    let _ = connector.delete_vm(&machine.mark(&shared.infrastructure)).await;
                }
                let _ = connector.delete_shared(&shared).await;
            });
        });
        let _ = cleaning.join();
    }
}

pub(super) fn open(settings: &LocalSettings) -> Arc<dyn Connector> {
    Arc::new(LocalConnector { cloud: LocalCloud::open(settings.clone()).unwrap(), account: account() })
}

pub(super) fn account() -> CloudAccount {
    CloudAccount {
        id: "local".to_owned(),
        kind: "Local".to_owned(),
        endpoint: Endpoint::default(),
        fields: indexmap::IndexMap::new(),
    }
}

pub(super) fn intent(infrastructure: &str, number: u32) -> VmIntent {
    let mut system = System { name: "node".to_owned(), ..System::default() };
    system.features.set_text("disk.0.os.credentials.public_key", &KEY.public);
    VmIntent {
        infrastructure: infrastructure.to_owned(),
        uid: VmUid(format!("vm-{infrastructure}-{number}")),
        number,
        fqdn: format!("vnode-{number}.localdomain"),
        location: Location::default(),
        requested: system.clone(),
        system,
        networks: Vec::new(),
        tags: Vec::new(),
        user_data: Default::default(),
    }
}

pub(super) fn network(id: &str, features: &[(&str, &str)]) -> Network {
    let mut network = Network { id: id.to_owned(), ..Network::default() };
    for (name, value) in features {
        network.features.set_text(name, value);
    }
    network
}

/// Connects the machine to networks, in order.
pub(super) fn connect(intent: &mut VmIntent, networks: &[&Network]) {
    for (index, network) in networks.iter().enumerate() {
        intent.system.features.set_text(&format!("net_interface.{index}.connection"), &network.id);
        intent.networks.push((*network).clone());
    }
}

pub(super) fn public_ip(seen: &Observation) -> IpAddr {
    seen.addresses.iter().find(|address| address.public).unwrap().ip
}

pub(super) fn ip_on(seen: &Observation, network: &str) -> IpAddr {
    seen.addresses.iter().find(|address| address.network.as_deref() == Some(network)).unwrap().ip
}

/// Whether this host gets a connection.
pub(super) fn connects(ip: IpAddr, port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::new(ip, port), Duration::from_millis(700)).is_ok()
}

pub(super) fn output(command: &mut Command) -> String {
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

pub(super) const SSH: [&str; 5] = [
    "-oStrictHostKeyChecking=no",
    "-oUserKnownHostsFile=/dev/null",
    "-oLogLevel=ERROR",
    "-oConnectTimeout=5",
    "-oIdentitiesOnly=yes",
];

/// A key that opens a node.
pub(super) struct Login {
    pub(super) key: PathBuf,
    pub(super) ip: IpAddr,
}

impl Login {
    pub(super) fn ssh(&self, command: &str) -> Output {
        let mut ssh = Command::new("ssh");
        ssh.args(SSH).arg("-n").arg("-i").arg(&self.key).arg(format!("cloudadm@{}", self.ip)).arg(command);
        ssh.output().unwrap()
    }

    /// The output of a command that must succeed.
    pub(super) fn run(&self, command: &str) -> String {
        let output = self.ssh(command);
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether the node gets a connection.
    pub(super) fn connects(&self, ip: IpAddr, port: u16) -> bool {
        self.ssh(&format!("timeout 0.7 bash -c '</dev/tcp/{ip}/{port}'")).status.success()
    }

    /// Answers on a port of the node from now on.
    pub(super) fn listen(&self, port: u16) {
        self.run(&format!(
            "sudo setsid python3 -m http.server {port} >/dev/null 2>&1 </dev/null & \
             for i in $(seq 50); do timeout 1 bash -c '</dev/tcp/127.0.0.1/{port}' 2>/dev/null && exit 0; sleep 0.1; done; exit 1"
        ));
    }
}

pub(super) fn shared(infrastructure: &str, owner: &str, networks: Vec<Network>) -> InfrastructureIntent {
    InfrastructureIntent {
        infrastructure: infrastructure.to_owned(),
        location: Location::default(),
        owners: vec![owner.to_owned()],
        networks,
        used_cidrs: Vec::new(),
    }
}
