//! Real nodes on this host, reached with the system's SSH client. Needs root, as the cloud does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{
    DiskStorage, LocalCloud, LocalSettings,
    mark::{Mark, Phase, State},
    network::{cable, remove_interface},
};
use crate::{
    account::{CloudAccount, Endpoint},
    conformance::{Case, Subject},
    contract::{
        Connector, DiskSource, ImageIntent, ImageUid, InfrastructureIntent, InfrastructureMark, Location, NewDisk,
        Observation, PowerOperation, PowerState, ProviderId, PublicAddress, Resize, VmIntent, VmMark, VmUid,
    },
    error::ErrorClass,
};
use keypair::{KeyPair, KeyType};
use radl::{Network, System};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shared by all tests: a private subnet shows in the host's routes as taken.
const PRIVATE_POOL: &str = "172.16.0.0/12";

/// What the daemon makes for machines whose documents have no login.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| keypair::generate(KeyType::Ed25519, "imd").unwrap());

/// A cloud with a state directory and a public pool that no other test uses.
struct Lab {
    folder: tempfile::TempDir,
    settings: LocalSettings,
    connector: Arc<dyn Connector>,
    infrastructure: String,
}

impl Lab {
    fn new(number: u8) -> Self {
        Self::with(number, |_| {})
    }

    fn with(number: u8, change: impl FnOnce(&mut LocalSettings)) -> Self {
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

    fn shared(&self) -> InfrastructureMark {
        InfrastructureMark::in_whole_cloud(&self.infrastructure)
    }

    fn intent(&self, number: u32) -> VmIntent {
        intent(&self.infrastructure, number)
    }

    fn mark(&self, id: &ProviderId) -> VmMark {
        let (infrastructure, location) = (self.infrastructure.clone(), Location::default());
        VmMark { infrastructure, location, uid: VmUid(id.0.clone()), id: Some(id.clone()) }
    }

    /// The node once it runs; none when it does not run any more or was never started.
    async fn settled(&self, id: &ProviderId) -> Option<Observation> {
        let state = State::open(&self.settings.state_dir).unwrap();
        let mark = state.vm(&id.0).unwrap()?;
        if mark.phase == Phase::Planned || !mark.process?.alive() {
            return None;
        }
        Some(self.until(id, PowerState::Running).await)
    }

    async fn launch(&self, intent: &VmIntent) -> Observation {
        let id = self.connector.create_vm(intent).await.unwrap();
        self.until(&id, PowerState::Running).await
    }

    async fn until(&self, id: &ProviderId, state: PowerState) -> Observation {
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

    fn console(&self, id: &ProviderId) -> String {
        let nodes = self.settings.state_dir.join("store/nodes");
        fs::read_to_string(nodes.join(&id.0).join("console.log")).unwrap_or_default()
    }

    /// The login that the daemon made for a node.
    fn login(&self, seen: &Observation) -> Login {
        let key = self.folder.path().join(format!("key-{}", seen.id));
        fs::write(&key, &KEY.private).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        Login { key, ip: public_ip(seen) }
    }

    /// Deletes everything, twice, and looks for what could have stayed.
    async fn delete_all(&self) {
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

fn open(settings: &LocalSettings) -> Arc<dyn Connector> {
    LocalCloud::open(settings.clone()).unwrap().connector(&account())
}

fn account() -> CloudAccount {
    CloudAccount {
        id: "local".to_owned(),
        kind: "Local".to_owned(),
        endpoint: Endpoint::default(),
        fields: indexmap::IndexMap::new(),
    }
}

fn intent(infrastructure: &str, number: u32) -> VmIntent {
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

fn network(id: &str, features: &[(&str, &str)]) -> Network {
    let mut network = Network { id: id.to_owned(), ..Network::default() };
    for (name, value) in features {
        network.features.set_text(name, value);
    }
    network
}

/// Connects the machine to networks, in order.
fn connect(intent: &mut VmIntent, networks: &[&Network]) {
    for (index, network) in networks.iter().enumerate() {
        intent.system.features.set_text(&format!("net_interface.{index}.connection"), &network.id);
        intent.networks.push((*network).clone());
    }
}

fn public_ip(seen: &Observation) -> IpAddr {
    seen.addresses.iter().find(|address| address.public).unwrap().ip
}

fn ip_on(seen: &Observation, network: &str) -> IpAddr {
    seen.addresses.iter().find(|address| address.network.as_deref() == Some(network)).unwrap().ip
}

/// Whether this host gets a connection.
fn connects(ip: IpAddr, port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::new(ip, port), Duration::from_millis(700)).is_ok()
}

fn output(command: &mut Command) -> String {
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

const SSH: [&str; 5] = [
    "-oStrictHostKeyChecking=no",
    "-oUserKnownHostsFile=/dev/null",
    "-oLogLevel=ERROR",
    "-oConnectTimeout=5",
    "-oIdentitiesOnly=yes",
];

/// A key that opens a node.
struct Login {
    key: PathBuf,
    ip: IpAddr,
}

impl Login {
    fn ssh(&self, command: &str) -> Output {
        let mut ssh = Command::new("ssh");
        ssh.args(SSH).arg("-n").arg("-i").arg(&self.key).arg(format!("cloudadm@{}", self.ip)).arg(command);
        ssh.output().unwrap()
    }

    /// The output of a command that must succeed.
    fn run(&self, command: &str) -> String {
        let output = self.ssh(command);
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether the node gets a connection.
    fn connects(&self, ip: IpAddr, port: u16) -> bool {
        self.ssh(&format!("timeout 0.7 bash -c '</dev/tcp/{ip}/{port}'")).status.success()
    }

    /// Answers on a port of the node from now on.
    fn listen(&self, port: u16) {
        self.run(&format!(
            "sudo setsid python3 -m http.server {port} >/dev/null 2>&1 </dev/null & \
             for i in $(seq 50); do timeout 1 bash -c '</dev/tcp/127.0.0.1/{port}' 2>/dev/null && exit 0; sleep 0.1; done; exit 1"
        ));
    }
}

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
async fn networks_reach_whom_they_should() {
    let lab = Lab::new(2);
    let front_net = network("front", &[("outbound", "yes"), ("outports", "8080,9090-8081")]);
    let back_net = network("back", &[("cidr", "192.168.*.0/24")]);
    let far_net = network("far", &[("outbound", "yes")]);
    let lonely_net = network("lonely", &[]);
    let all = [&front_net, &back_net, &far_net, &lonely_net].map(Clone::clone).to_vec();
    let intent = shared(&lab.infrastructure, "owner", all);
    let shared = lab.connector.ensure_shared(&intent).await.unwrap();
    assert_eq!(lab.connector.ensure_shared(&intent).await.unwrap(), shared, "safe to repeat");
    let subnets: BTreeSet<_> = shared.networks.values().map(|f| f.text("cidr").unwrap().to_owned()).collect();
    assert_eq!(subnets.len(), 4);
    let back_cidr: ipnetwork::IpNetwork = shared.networks["back"].text("cidr").unwrap().parse().unwrap();
    assert!(back_cidr.to_string().starts_with("192.168."));
    let mut again = intent.clone();
    again.networks[1].features.set_text("provider_id", shared.networks["back"].text("provider_id").unwrap());
    assert_eq!(lab.connector.ensure_shared(&again).await.unwrap(), shared, "what was written back is known again");
    again.networks[1].features.set_text("provider_id", "br0");
    assert_eq!(lab.connector.ensure_shared(&again).await.unwrap_err().class, ErrorClass::Invalid);

    let mut intents: Vec<VmIntent> = (0..4).map(|number| lab.intent(number)).collect();
    connect(&mut intents[0], &[&front_net, &back_net]);
    connect(&mut intents[1], &[&back_net]);
    let fixed = back_cidr.iter().nth(77).unwrap();
    intents[1].system.features.set_text("net_interface.0.ip", &fixed.to_string());
    connect(&mut intents[2], &[&far_net, &lonely_net]);
    connect(&mut intents[3], &[&front_net]);
    let seen = futures::future::join_all(intents.iter().map(|intent| lab.launch(intent))).await;
    let (front, worker) = (lab.login(&seen[0]), ip_on(&seen[1], "back"));
    let (far, member) = (lab.login(&seen[2]), lab.login(&seen[3]));
    assert_eq!(worker, fixed);
    assert!(!seen[1].addresses[0].public);

    // Private: from its members alone, even when a stranger pretends to be one.
    assert!(!connects(worker, 22), "host to private");
    assert!(front.connects(worker, 22), "member to member");
    assert!(!far.connects(worker, 22));
    far.run(&format!("sudo ip route replace {back_cidr} dev eth1"));
    assert!(!far.connects(worker, 22), "another private network");
    far.run(&format!("sudo ip route replace {back_cidr} via {}", gateway(&shared.networks["far"])));
    assert!(!far.connects(worker, 22), "through the host");
    far.run(&format!("sudo ip addr add 172.31.255.1/32 dev eth1; sudo ip route replace {} dev eth1", front.ip));
    assert!(!far.connects(front.ip, 22), "the host is no neighbour on a private network");
    far.run(&format!("sudo ip route delete {}", front.ip));

    // Public: what is open to everybody, everything to members.
    for port in [8080, 8081, 8082] {
        front.listen(port);
    }
    assert!(connects(front.ip, 22) && connects(front.ip, 8080));
    assert!(connects(front.ip, 9090), "mapped to 8081");
    assert!(!connects(front.ip, 8082), "not listed");
    assert!(member.connects(front.ip, 8082), "members reach each other freely");
    assert!(far.connects(front.ip, 22) && far.connects(front.ip, 8080), "between public networks");
    assert!(!far.connects(front.ip, 8082));
    far.listen(8080);
    assert!(!connects(far.ip, 8080), "without outports secure shell alone is open");

    // What cannot be.
    for ip in ["192.0.2.9", &*fixed.to_string()] {
        let mut wrong = lab.intent(9);
        connect(&mut wrong, &[&back_net]);
        wrong.system.features.set_text("net_interface.0.ip", ip);
        assert_eq!(lab.connector.create_vm(&wrong).await.unwrap_err().class, ErrorClass::Invalid, "{ip}");
    }
    assert_eq!(lab.connector.find(&lab.shared()).await.unwrap().len(), 4, "a failed launch leaves nothing");
    lab.delete_all().await;
}

fn gateway(network: &radl::Features) -> IpAddr {
    network.text("cidr").unwrap().parse::<ipnetwork::IpNetwork>().unwrap().iter().nth(1).unwrap()
}

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

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_made_twice() {
    let lab = Lab::with(4, |settings| settings.max_vms = 3);
    // The daemon died right after the mark of one node, and while it made the files of another.
    let state = State::open(&lab.settings.state_dir).unwrap();
    let intents: Vec<VmIntent> = (0..4).map(|number| lab.intent(number)).collect();
    for intent in &intents[..2] {
        state.save_vm(&planned(intent)).unwrap();
    }
    let half_made = state.folder(&intents[1].uid.0);
    fs::create_dir_all(half_made.join("upper/etc")).unwrap();
    let found = lab.connector.find(&lab.shared()).await.unwrap();
    assert_eq!(found.len(), 2);
    let observed = lab
        .connector
        .observe(&Location::default(), &[found[0].id.clone(), ProviderId("../lock".to_owned())])
        .await
        .unwrap();
    assert_eq!(observed.iter().map(|seen| seen.state).collect::<Vec<_>>(), [PowerState::Pending]);

    // Created again, three times at once: the same machine.
    let calls = (0..3).map(|_| lab.connector.create_vm(&intents[0]));
    let ids = futures::future::try_join_all(calls).await.unwrap();
    assert!(ids.iter().all(|id| *id == ids[0]));
    let node = lab.until(&ids[0], PowerState::Running).await;
    let login = lab.login(&node);
    // Another daemon finds it alive.
    let other = open(&lab.settings);
    assert_eq!(other.create_vm(&intents[0]).await.unwrap(), ids[0]);
    assert_eq!(login.run("hostname"), "vnode-0");
    // Given up instead of made.
    other.delete_vm(&intents[1].mark()).await.unwrap();
    assert!(!half_made.exists());

    // A node that dies by itself is off, and can be started.
    let pid = state.vm(&ids[0].0).unwrap().unwrap().process.unwrap().pid;
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    lab.until(&ids[0], PowerState::Off).await;
    lab.connector.power(&lab.mark(&ids[0]), PowerOperation::Start).await.unwrap();
    lab.until(&ids[0], PowerState::Running).await;

    lab.connector.create_vm(&intents[1]).await.unwrap();
    lab.connector.create_vm(&intents[2]).await.unwrap();
    assert_eq!(lab.connector.create_vm(&intents[3]).await.unwrap_err().class, ErrorClass::Quota);
    lab.delete_all().await;
    assert_eq!(
        lab.connector.power(&lab.mark(&ids[0]), PowerOperation::Start).await.unwrap_err().class,
        ErrorClass::NotFound
    );
}

fn planned(intent: &VmIntent) -> Mark {
    Mark {
        uid: intent.uid.clone(),
        infrastructure: intent.infrastructure.clone(),
        number: intent.number,
        fqdn: intent.fqdn.clone(),
        user: "cloudadm".to_owned(),
        phase: Phase::Planned,
        stopped: false,
        cards: Vec::new(),
        disks: Vec::new(),
        cpu_count: None,
        memory: None,
        image: None,
        process: None,
        control_groups: Vec::new(),
        tags: Vec::new(),
        database: None,
    }
}

/// A moment in the making of nodes: what is true of one of them.
type Moment = fn(&Mark) -> bool;

/// What is mounted in namespaces of a test's own, and the loopback interface.
const INSIDE: &str = "mount -t sysfs none /sys && ip link set lo up && exec \"$@\"";

/// Runs a case in a process of its own: the cases name their infrastructures, and those the bridges, so each has a network
/// namespace.
async fn conforms(name: &str, _case: Case) {
    let namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["sh", "-c", INSIDE, "sh"]).arg(std::env::current_exe().unwrap());
    let child = format!("local::tests::in_namespaces::{name}");
    command.args(["--exact", "--ignored", "--nocapture", &child]);
    let run = command.stdin(Stdio::null()).output().unwrap();
    let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(run.status.success() && said[0].contains("1 passed"), "{}\n{}", said[0], said[1]);
}

mod conformance_of_nodes {
    crate::conformance!(super::conforms);
}

async fn conforms_in_namespaces(_name: &str, case: Case) {
    let lab = Lab::new(8);
    let networks = vec![network("pub", &[("outbound", "yes"), ("outports", "80")]), network("inner", &[])];
    let mut system = lab.intent(0).system;
    for (index, network) in networks.iter().enumerate() {
        system.features.set_text(&format!("net_interface.{index}.connection"), &network.id);
    }
    case(&Subject { patience: PATIENCE, ..Subject::new(Arc::clone(&lab.connector), system, networks) }).await;
    lab.delete_all().await;
}

/// What the tests of the same names run.
mod in_namespaces {
    crate::conformance!(
        #[ignore = "runs only as a child of the test of its name"]
        super::conforms_in_namespaces
    );
}

/// The daemon that the next test kills: launches what the environment says, in the state that it names.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs only as a child of the test after it"]
async fn daemon_to_be_killed() {
    let variable = |name: &str| std::env::var(name).expect("set by the test that runs this one");
    let settings = LocalSettings {
        enabled: true,
        state_dir: variable("IMD_TEST_STATE").into(),
        public_pool: variable("IMD_TEST_POOL").parse().unwrap(),
        private_pool: PRIVATE_POOL.parse().unwrap(),
        ..LocalSettings::default()
    };
    let (connector, infrastructure) = (open(&settings), variable("IMD_TEST_INFRASTRUCTURE"));
    let mut intents: Vec<VmIntent> = (0..6).map(|number| intent(&infrastructure, number)).collect();
    for intent in &mut intents {
        intent.system.features.set_text("disk.0.os.credentials.public_key", &variable("IMD_TEST_KEY"));
    }
    futures::future::try_join_all(intents.iter().map(|intent| connector.create_vm(intent))).await.unwrap();
    println!("made");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_loses_and_leaks_nothing() {
    let lab = Lab::new(6);
    let intents: Vec<VmIntent> = (0..6).map(|number| lab.intent(number)).collect();
    let state = State::open(&lab.settings.state_dir).unwrap();
    // Killed when the first node is intended, has a process, is made, and at last after all was made.
    let moments: [Option<Moment>; 4] =
        [Some(|_| true), Some(|mark| mark.process.is_some()), Some(|mark| mark.phase == Phase::Made), None];
    for (number, moment) in moments.into_iter().enumerate() {
        let mut daemon = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "local::tests::daemon_to_be_killed"])
            .env("IMD_TEST_STATE", &lab.settings.state_dir)
            .env("IMD_TEST_POOL", lab.settings.public_pool.to_string())
            .env("IMD_TEST_INFRASTRUCTURE", &lab.infrastructure)
            .env("IMD_TEST_KEY", &KEY.public)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        match moment {
            Some(has_come) => {
                let started = Instant::now();
                while !state.all_vms().unwrap().iter().any(has_come) {
                    assert!(started.elapsed() < PATIENCE, "moment {number} does not come");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            None => {
                let lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
                assert!(lines.map_while(Result::ok).any(|line| line.ends_with("made")));
            }
        }
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        if number == 0 {
            // Nobody goes on with it: what is found is all there is.
            lab.delete_all().await;
            continue;
        }
        let made = lab.connector.find(&lab.shared()).await.unwrap();
        let before = futures::future::join_all(made.iter().map(|machine| lab.settled(&machine.id))).await;
        let seen = futures::future::join_all(intents.iter().map(|intent| lab.launch(intent))).await;
        assert_eq!(lab.connector.find(&lab.shared()).await.unwrap().len(), 6);
        assert_eq!(seen.iter().map(public_ip).collect::<BTreeSet<_>>().len(), 6);
        for node in before.into_iter().flatten() {
            assert!(seen.contains(&node), "what ran when the daemon died runs on: {node:?}");
        }
        if moment.is_none() {
            assert_eq!(made.len(), 6);
            assert_eq!(lab.login(&seen[5]).run("hostname"), "vnode-5");
        }
        lab.delete_all().await;
    }
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

#[test]
fn settings_that_would_do_harm_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut LocalSettings)| {
        let mut settings =
            LocalSettings { enabled: true, state_dir: folder.path().join("state"), ..LocalSettings::default() };
        change(&mut settings);
        LocalCloud::open(settings).unwrap_err()
    };
    assert_eq!(refused(|s| s.enabled = false).class, ErrorClass::Denied);
    assert!(refused(|s| s.public_pool = "8.8.0.0/16".parse().unwrap()).message.contains("PUBLIC_POOL"));
    assert!(refused(|s| s.private_pool = "10.0.0.0/25".parse().unwrap()).message.contains("PRIVATE_POOL"));
    assert_eq!(refused(|s| s.private_pool = s.public_pool).class, ErrorClass::Invalid);
    assert!(refused(|s| s.hide.push("/a,b".into())).message.contains("HIDE"));
    assert!(refused(|s| s.state_dir = "/var/../etc".into()).message.contains("STATE_DIR"));
    assert!(!folder.path().join("state").exists(), "refused before anything is made");
}

fn shared(infrastructure: &str, owner: &str, networks: Vec<Network>) -> InfrastructureIntent {
    InfrastructureIntent {
        infrastructure: infrastructure.to_owned(),
        location: Location::default(),
        owners: vec![owner.to_owned()],
        networks,
        used_cidrs: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_are_shared_by_name_and_documents_make_others() {
    let lab = Lab::new(7);
    let ensure = async |infrastructure: &str, owner: &str, network: Network| {
        let intent = shared(&format!("{}-{infrastructure}", lab.infrastructure), owner, vec![network]);
        let made = lab.connector.ensure_shared(&intent).await.map(|made| made.networks["net"].clone());
        made.map(|made| ["provider_id", "cidr"].map(|name| made.text(name).unwrap().to_owned()))
    };
    let net = |provider_id: &str, cidr: &str| {
        let features = [("outbound", "yes"), ("provider_id", provider_id), ("cidr", cidr)];
        network("net", &features.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>())
    };
    let gone = async |infrastructure: &str| {
        let mark = InfrastructureMark::in_whole_cloud(&format!("{}-{infrastructure}", lab.infrastructure));
        lab.connector.delete_shared(&mark).await.unwrap();
    };
    let exists = |bridge: &str| Path::new("/sys/class/net").join(bridge).exists();

    let [bridge, cidr] = ensure("a", "ann", net("", "")).await.unwrap();
    let written = || net(&bridge, &cidr);
    // The same user's: one network, which goes with the last who uses it.
    assert_eq!(ensure("b", "ann", written()).await.unwrap(), [bridge.clone(), cidr.clone()]);
    assert_eq!(ensure("b", "ann", net(&bridge, "")).await.unwrap(), [bridge.clone(), cidr.clone()]);
    // Somebody else's document makes a network of his own.
    let [foreign, elsewhere] = ensure("c", "bob", written()).await.unwrap();
    assert!(foreign != bridge && elsewhere != cidr);
    // So does one without the name: what was chosen here is a wish.
    let [other, moved] = ensure("d", "ann", net("", &cidr)).await.unwrap();
    assert!(other != bridge && moved != cidr);
    gone("b").await;
    assert!(exists(&bridge), "it is another infrastructure's");
    assert_eq!(ensure("b", "ann", written()).await.unwrap(), [bridge.clone(), cidr.clone()]);
    gone("a").await;
    assert!(exists(&bridge), "somebody uses it still");
    gone("b").await;
    assert!(!exists(&bridge), "nobody does");
    // The document comes again when all is gone.
    let [again, same] = ensure("e", "ann", written()).await.unwrap();
    assert!(again != bridge && same == cidr);

    // What a user demands he has, or is told for good.
    let free = format!("{}/29", lab.settings.public_pool.broadcast());
    let [demanded, _] = ensure("f", "ann", net("", &free)).await.unwrap();
    for (wrong, said) in [
        (net("", &free), "overlaps a network in use"),
        (net("public", ""), "provider_id 'public' is no network of the local cloud"),
        (net(&demanded, "192.0.2.0/30"), "is not that of provider_id"),
        (network("net", &[("provider_id", &demanded)]), "is a public network"),
    ] {
        let refused = ensure("g", "ann", wrong).await.unwrap_err();
        assert!(refused.class == ErrorClass::Invalid && refused.message.contains(said), "{refused}");
    }
    // A subnet that is chosen here is none that the infrastructure has elsewhere.
    let mut intent = shared(&format!("{}-g", lab.infrastructure), "ann", vec![network("net", &[("outbound", "yes")])]);
    let chosen = lab.connector.ensure_shared(&intent).await.unwrap().networks["net"].text("cidr").unwrap().to_owned();
    gone("g").await;
    intent.used_cidrs = vec![chosen.parse().unwrap()];
    let other = lab.connector.ensure_shared(&intent).await.unwrap().networks["net"].text("cidr").unwrap().to_owned();
    assert_ne!(other, chosen);
    for infrastructure in ["a", "b", "c", "d", "e", "f", "g"] {
        gone(infrastructure).await;
    }
    lab.delete_all().await;
}
