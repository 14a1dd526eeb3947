//! A private lab with real SSH nodes; everything in it vanishes with the process that made it. Needs root.

use contextualization::{KeyPair, VmFacts, VmPower, ssh::keys};
use radl::{Features, Network, Radl, System};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use tempfile::TempDir;

/// Runs the test of this name again inside a lab, unless this is that run. False in the outer process, which is done.
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

/// Nodes of one test.
pub struct Lab {
    dir: TempDir,
    /// Key that nodes accept unless they are made with a password.
    pub key: KeyPair,
}

impl Lab {
    /// An empty lab.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), key: keys::generate().unwrap() }
    }

    /// Starts a node; with a password it has no key, and sudo asks for the password.
    pub fn node(&self, name: &str, octet: u8, password: Option<&str>) {
        let (key, sudo) = match password {
            None => (self.key.public.as_str(), "cloud ALL=(ALL) NOPASSWD:ALL"),
            Some(_) => ("", "cloud ALL=(ALL) ALL"),
        };
        let output = Command::new("bash")
            .args(["-c", include_str!("node.sh"), "node"])
            .arg(self.dir.path())
            .args([name, &octet.to_string(), key, password.unwrap_or(""), sudo])
            .output()
            .unwrap();
        assert!(output.status.success(), "node {name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A path inside a node.
    pub fn path(&self, node: &str, path: &str) -> PathBuf {
        let pid = Command::new("ip").args(["netns", "pids", node]).output().unwrap();
        let pids = String::from_utf8(pid.stdout).unwrap();
        let inner = pids
            .lines()
            .find(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "tini"));
        PathBuf::from(format!("/proc/{}/root{path}", inner.expect("the node runs")))
    }

    /// Facts of a machine on such a node.
    pub fn facts(&self, id: u32, system: &str, octet: u8, password: Option<&str>) -> VmFacts {
        let mut network = Network { id: "public".to_owned(), ..Network::default() };
        network.features.set_text("outbound", "yes");
        let mut features = Features::new();
        features.set_text("net_interface.0.connection", "public");
        features.set_text("net_interface.0.ip", &format!("10.77.0.{octet}"));
        features.set_text("net_interface.0.dns_name", &format!("{system}-#N#"));
        features.set_text("disk.0.os.name", "linux");
        features.set_text("disk.0.os.credentials.username", "cloud");
        match password {
            Some(password) => features.set_text("disk.0.os.credentials.password", password),
            None => features.set_text("disk.0.os.credentials.private_key", &self.key.private),
        }
        let system = System { name: system.to_owned(), features, ..System::default() };
        let info = Radl { networks: vec![network], systems: vec![system], ..Radl::default() };
        VmFacts {
            id,
            provider_id: format!("i-{id} {{{{ 1 + 1 }}}}"),
            cloud_type: "Test".to_owned(),
            cloud_server: String::new(),
            power: VmPower::Running,
            info: Arc::new(info),
            host_key: None,
            creation_id: id,
        }
    }
}
