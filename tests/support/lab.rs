//! A daemon with the cloud of this host, inside a sandbox.

use crate::support::{Daemon, PATIENCE, Setup};
use reqwest::Method;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A daemon with the cloud of this host.
pub struct Lab {
    pub daemon: Daemon,
    state: PathBuf,
    _directory: TempDir,
}

impl Lab {
    /// With more options of `[im]`.
    pub fn with(options: &str) -> Self {
        // Nodes are overlays: their upper layer does not lie on another overlay or in memory.
        let directory = tempfile::Builder::new().prefix("imd-crash-").tempdir_in("/var/tmp").unwrap();
        let state = directory.path().join("nodes");
        let options = format!(
            "DELAY_BETWEEN_VM_RETRIES = 1\nVM_INFO_UPDATE_FREQUENCY = 1\n{options}\n\
             [Local]\nENABLED = True\nLIMITS = False\nSTATE_DIR = {}",
            state.display()
        );
        let clouds = "id = local; type = Local".to_owned();
        let setup = Setup { options, clouds, directory: Some(directory.path().to_owned()), ..Setup::default() };
        Self { daemon: Daemon::new(setup), state, _directory: directory }
    }

    pub async fn dies_after(&mut self, time: Duration) {
        self.daemon.die_after(time).await;
        self.daemon.kill();
    }

    pub async fn machines(&self, path: &str) -> usize {
        self.daemon.text(Method::GET, path, "").await.lines().count()
    }

    /// The first process of every node: it has mounted its own root and its parent has not.
    pub fn nodes(&self) -> BTreeSet<String> {
        let state = self.state.to_str().unwrap();
        let mut namespaces = BTreeSet::new();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let mounts = fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
            if mounts.contains(state) {
                let namespace = fs::read_link(process.path().join("ns/mnt"));
                namespaces.extend(namespace.map(|link| link.display().to_string()));
            }
        }
        namespaces
    }

    pub fn cables(&self) -> usize {
        output("ip", &["-o", "link", "show", "type", "veth"]).lines().count()
    }

    /// SSH of the machine that the outside reaches.
    pub async fn front(&self, path: &str) -> SocketAddr {
        let ip = self.daemon.text(Method::GET, &format!("{path}/vms/0/net_interface.0.ip"), "").await;
        format!("{}:22", ip.trim()).parse().unwrap()
    }

    /// Directory of the root of a machine of the only infrastructure, once it is there.
    pub fn root(&self, number: u32) -> Option<PathBuf> {
        let marks = fs::read_dir(self.state.join("vms")).ok()?.flatten().map(|entry| entry.path());
        let of_machine = |path: PathBuf| {
            let mark: Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
            (mark["number"] == number).then(|| mark["process"]["pid"].as_i64()).flatten()
        };
        let pid = marks.filter(|path| path.extension().is_some_and(|end| end == "json")).find_map(of_machine)?;
        Some(PathBuf::from(format!("/proc/{pid}/root")))
    }

    pub fn nothing_is_left(&self) {
        let deadline = Instant::now() + PATIENCE;
        // What is killed takes a moment to end.
        while !self.nodes().is_empty() {
            assert!(Instant::now() < deadline, "left: {:?}", self.nodes());
            std::thread::sleep(Duration::from_millis(20));
        }
        let links = output("ip", &["-o", "link"]);
        assert_eq!(links.lines().filter(|line| !line.starts_with("1: lo:")).count(), 0, "{links}");
        let routes = output("ip", &["route"]);
        assert_eq!(routes.trim(), "");
        let tables = output("nft", &["list", "tables"]);
        assert_eq!(tables.trim(), "");
        let state = self.state.to_str().unwrap();
        assert!(!output("losetup", &["--all"]).contains(state));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(state), "{mounts}");
        assert_eq!(output("find", &[state, "-type", "f"]).trim(), format!("{state}/lock"));
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Whether an SSH server greets there.
pub fn answers(address: SocketAddr) -> bool {
    let mut greeting = [0; 4];
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(10)).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    connection.read_exact(&mut greeting).is_ok() && greeting == *b"SSH-"
}
