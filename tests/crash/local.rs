//! The same with real nodes on this host: three of them, whenever the daemon dies, and nothing at all after a deletion.

use crate::{
    sandbox,
    support::{Daemon, PATIENCE, Setup},
};
use reqwest::{Method, StatusCode};
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

const DOCUMENT: &str = "network pub ( outbound = 'yes' )
network inner ()
system front (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'pub' and
net_interface.1.connection = 'inner'
)
system worker (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'inner'
)
contextualize ()
deploy front 1
deploy worker 2
";

#[test]
fn nodes_are_made_once_kept_and_deleted_whenever_the_daemon_dies() {
    sandbox::run("local::inside");
}

#[tokio::test]
#[ignore = "runs in the sandbox of nodes_are_made_once_kept_and_deleted_whenever_the_daemon_dies"]
async fn inside() {
    if !sandbox::is_inside() {
        return;
    }
    let mut lab = Lab::new();
    // From before the first node to after the last one, twice each.
    for milliseconds in [5, 40, 90, 150, 220, 300, 450, 700] {
        let delay = Duration::from_millis(milliseconds);
        lab.daemon.start().await;
        let path = lab.daemon.create(DOCUMENT, "?async=true").await;
        lab.dies_after(delay).await;
        lab.daemon.start().await;
        lab.dies_after(delay).await;
        lab.daemon.start().await;
        lab.daemon.until_state(&path, "configured").await;
        lab.daemon.until_idle().await;
        assert_eq!(lab.machines(&path).await, 3, "{delay:?}");
        let nodes = lab.nodes();
        assert_eq!(nodes.len(), 3, "{delay:?}");
        assert_eq!(lab.cables(), 4, "two of the front, one of each worker; {delay:?}");

        // Nodes live on without the daemon and are found again.
        let front = lab.front(&path).await;
        lab.daemon.kill();
        assert!(answers(front), "{delay:?}");
        lab.daemon.start().await;
        lab.daemon.until_state(&path, "configured").await;
        assert_eq!((lab.nodes(), lab.front(&path).await), (nodes, front), "{delay:?}");

        lab.daemon.text(Method::DELETE, &format!("{path}?async=true"), "").await;
        lab.dies_after(delay / 2).await;
        lab.daemon.start().await;
        let gone = async |daemon: &Daemon| daemon.get(&path).await.status == StatusCode::NOT_FOUND;
        lab.daemon.until("deleted", gone).await;
        lab.nothing_is_left();
        lab.daemon.kill();
    }
}

struct Lab {
    daemon: Daemon,
    state: PathBuf,
    _directory: TempDir,
}

impl Lab {
    fn new() -> Self {
        // Nodes are overlays: their upper layer does not lie on another overlay or in memory.
        let directory = tempfile::Builder::new().prefix("imd-crash-").tempdir_in("/var/tmp").unwrap();
        let state = directory.path().join("nodes");
        let options = format!(
            "DELAY_BETWEEN_VM_RETRIES = 1\nVM_INFO_UPDATE_FREQUENCY = 1\n\
             [Local]\nENABLED = True\nLIMITS = False\nSTATE_DIR = {}",
            state.display()
        );
        let clouds = "id = local; type = Local".to_owned();
        let setup = Setup { options, clouds, directory: Some(directory.path().to_owned()), ..Setup::default() };
        Self { daemon: Daemon::new(setup), state, _directory: directory }
    }

    async fn dies_after(&mut self, time: Duration) {
        self.daemon.die_after(time).await;
        self.daemon.kill();
    }

    async fn machines(&self, path: &str) -> usize {
        self.daemon.text(Method::GET, path, "").await.lines().count()
    }

    /// The first process of every node: it has mounted its own root and its parent has not.
    fn nodes(&self) -> BTreeSet<String> {
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

    fn cables(&self) -> usize {
        output("ip", &["-o", "link", "show", "type", "veth"]).lines().count()
    }

    /// SSH of the machine that the outside reaches.
    async fn front(&self, path: &str) -> SocketAddr {
        let ip = self.daemon.text(Method::GET, &format!("{path}/vms/0/net_interface.0.ip"), "").await;
        format!("{}:22", ip.trim()).parse().unwrap()
    }

    fn nothing_is_left(&self) {
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
fn answers(address: SocketAddr) -> bool {
    let mut greeting = [0; 4];
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(10)).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    connection.read_exact(&mut greeting).is_ok() && greeting == *b"SSH-"
}
