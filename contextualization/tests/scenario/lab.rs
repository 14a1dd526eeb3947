//! A private lab with real SSH nodes; everything in it vanishes with the process that made it. Needs root.

use contextualization::{KeyPair, VmFacts, VmPower, ssh::keys};
use radl::{Features, Network, Radl, System};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use tempfile::TempDir;

/// Runs the test of this name (with its module) again inside a lab, unless this is that run. False in the outer process,
/// which is done.
pub fn inside(test: &str) -> bool {
    if std::env::var_os("IM_LAB").is_some() {
        return true;
    }
    bundle_dir();
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c"])
        .args([include_str!("lab.sh"), "lab"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("IM_LAB", "1")
        .status()
        .unwrap();
    assert!(status.success(), "the test failed inside the lab");
    false
}

/// The offline bundle, built once.
pub fn bundle_dir() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let directory = workspace.join("target/bundles");
    if std::env::var_os("IM_LAB").is_none() {
        let script = workspace.join("scripts/make-bundle");
        let status = Command::new(script).arg("--output").arg(&directory).status().unwrap();
        assert!(status.success(), "make-bundle failed");
    }
    directory
}

/// What a node is; `..Node::new(name, octet)` for the rest.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name of its namespace.
    pub name: &'static str,
    /// Its addresses 10.77.NET.OCTET as `(NET, OCTET)`; net 0 is the public one, 1 and 2 are private.
    pub links: Vec<(u8, u8)>,
    /// Login name.
    pub user: &'static str,
    /// Password, none: it has none.
    pub password: Option<&'static str>,
    /// Whether it accepts the lab's key.
    pub key: bool,
    /// Line of sudoers.
    pub sudoers: &'static str,
    /// Port of sshd.
    pub port: u16,
    /// Further lines of sshd_config.
    pub sshd: &'static str,
    /// Shell commands run before it starts; its files lie below `$root`.
    pub setup: &'static str,
}

impl Node {
    /// A node on the public network: user `cloud` with the lab's key, sudo without a password.
    pub fn new(name: &'static str, octet: u8) -> Self {
        Self {
            name,
            links: vec![(0, octet)],
            user: "cloud",
            password: None,
            key: true,
            sudoers: "cloud ALL=(ALL) NOPASSWD:ALL",
            port: 22,
            sshd: "",
            setup: "",
        }
    }

    /// The same with a password instead of the key, which sudo asks for.
    pub fn with_password(name: &'static str, octet: u8, password: &'static str) -> Self {
        Self { password: Some(password), key: false, sudoers: "cloud ALL=(ALL) ALL", ..Self::new(name, octet) }
    }

    /// The address of its first link.
    pub fn ip(&self) -> String {
        let (net, octet) = self.links[0];
        format!("10.77.{net}.{octet}")
    }
}

/// Nodes of one test.
pub struct Lab {
    dir: TempDir,
    /// Key that nodes accept.
    pub key: KeyPair,
}

impl Lab {
    /// An empty lab.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), key: keys::generate(Default::default()).unwrap() }
    }

    /// A lab with these nodes.
    pub fn with(nodes: &[&Node]) -> Self {
        let lab = Self::new();
        nodes.iter().for_each(|node| lab.start(node));
        lab
    }

    /// Starts a node.
    pub fn start(&self, node: &Node) {
        self.boot(node, false);
    }

    /// Ends everything on a node at once and boots it again, with the same disk.
    pub fn reboot(&self, node: &Node) {
        self.kill(node);
        self.start_again(node);
    }

    fn boot(&self, node: &Node, again: bool) {
        let links: Vec<String> = node.links.iter().map(|(net, octet)| format!("{net}.{octet}")).collect();
        let output = Command::new("bash")
            .args(["-c", include_str!("node.sh")])
            .env("DIR", self.dir.path())
            .env("NAME", node.name)
            .env("LINKS", links.join(" "))
            .env("LOGIN", node.user)
            .env("KEY", if node.key { self.key.public.as_str() } else { "" })
            .env("PASSWORD", node.password.unwrap_or_default())
            .env("SUDOERS", node.sudoers)
            .env("PORT", node.port.to_string())
            .env("SSHD", node.sshd)
            .env("SETUP", node.setup)
            .env("AGAIN", if again { "yes" } else { "" })
            .output()
            .unwrap();
        assert!(output.status.success(), "node {}: {}", node.name, String::from_utf8_lossy(&output.stderr));
    }

    /// Process number, as the lab sees it, of a node's first process.
    pub fn pid(&self, node: &Node) -> i32 {
        let pids = Command::new("ip").args(["netns", "pids", node.name]).output().unwrap();
        let pids = String::from_utf8(pids.stdout).unwrap();
        let inner = pids
            .lines()
            .find(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "tini"));
        inner.expect("the node runs").parse().unwrap()
    }

    /// Ends a node at once, as a power failure would.
    pub fn kill(&self, node: &Node) {
        Command::new("kill").args(["-9", &self.pid(node).to_string()]).status().unwrap();
    }

    /// Starts a node again that was killed: its disk is as it was, what it held in memory and in /tmp is gone.
    pub fn start_again(&self, node: &Node) {
        let pids = || Command::new("ip").args(["netns", "pids", node.name]).output().unwrap().stdout;
        while !pids().is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.boot(node, true);
    }

    /// What sshd of a node said.
    pub fn sshd_log(&self, node: &Node) -> String {
        std::fs::read_to_string(self.dir.path().join(node.name).join("log")).unwrap()
    }

    /// The same machine under one more address, as another machine of the infrastructure would be.
    pub fn alias(&self, node: &Node, octet: u8) -> Node {
        let device = format!("ip addr add 10.77.0.{octet}/24 dev eth0");
        let (done, text) = self.shell(node, &device);
        assert!(done, "{text}");
        Node { links: vec![(0, octet)], ..node.clone() }
    }

    /// A path inside a node.
    pub fn path(&self, node: &Node, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid(node)))
    }

    /// Runs a shell command inside a node as root; its output, and whether it succeeded.
    pub fn shell(&self, node: &Node, command: &str) -> (bool, String) {
        let pid = self.pid(node).to_string();
        let output = Command::new("nsenter").args(["-a", "-t", &pid, "sh", "-c", command]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// What a node's sshd has logged.
    pub fn log(&self, node: &Node) -> String {
        std::fs::read_to_string(self.dir.path().join(node.name).join("log")).unwrap()
    }

    /// Gives a running node another host key.
    pub fn change_host_key(&self, node: &Node) {
        let change = "cd /etc/ssh && rm ssh_host_ed25519_key && ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key \
                      && kill -HUP $(cat /run/sshd.pid)";
        let (changed, text) = self.shell(node, change);
        assert!(changed, "{text}");
    }

    /// Facts of a machine on such a node.
    pub fn facts(&self, id: u32, system: &str, node: &Node) -> VmFacts {
        let mut networks: Vec<Network> = Vec::new();
        let mut features = Features::new();
        for (i, (net, octet)) in node.links.iter().enumerate() {
            let name = if *net == 0 { "public".to_owned() } else { format!("private{net}") };
            features.set_text(&format!("net_interface.{i}.connection"), &name);
            features.set_text(&format!("net_interface.{i}.ip"), &format!("10.77.{net}.{octet}"));
            let mut network = Network { id: name, ..Network::default() };
            if *net == 0 {
                network.features.set_text("outbound", "yes");
            }
            networks.push(network);
        }
        features.set_text("net_interface.0.dns_name", &format!("{system}-#N#"));
        features.set_text("disk.0.os.name", "linux");
        features.set_text("disk.0.os.credentials.username", node.user);
        if let Some(password) = node.password {
            features.set_text("disk.0.os.credentials.password", password);
        }
        if node.key {
            features.set_text("disk.0.os.credentials.private_key", &self.key.private);
        }
        let system = System { name: system.to_owned(), features, ..System::default() };
        let info = Radl { networks, systems: vec![system], ..Radl::default() };
        VmFacts {
            id,
            provider_id: format!("i-{id} {{{{ 1 + 1 }}}}"),
            cloud_type: "Test".to_owned(),
            cloud_server: String::new(),
            power: VmPower::Running,
            info: Arc::new(info),
            host_key: None,
            proxy_host_key: None,
            creation_id: id,
            tunnel_key: None,
            former_secrets: Vec::new(),
        }
    }
}
