//! Daemons that share a database and a simulated cloud.

use crate::support::{Answer, Daemon, Setup};
use connectors::dummy::{Cloud, Inventory, system_clock};
use imd::store::{self, Keyring, Store, leases::Head};
use nix::sys::signal::{Signal, kill};
use reqwest::{Method, StatusCode};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// LEASE_TIME of these daemons, seconds: shorter than the default, for machines that are busy with other tests.
pub const LEASE: u64 = 4;
/// Within this time another daemon goes on.
pub const TAKEN_OVER: Duration = Duration::from_secs(10);

/// A simulated cloud whose launches take a moment each.
pub const SLOW: &str = "id = dummy; type = Dummy; latency_ms = 300-400";

/// A document with this many machines.
pub fn document(number: u32) -> String {
    format!(
        "network pub ( outbound = 'yes' )
system node (
cpu.count >= 1 and
memory.size >= 512m and
net_interface.0.connection = 'pub' and
disk.0.image.url = 'mock0://linux.for.ev.er/image1' and
disk.0.os.name = 'linux'
)
deploy node {number}
"
    )
}

/// Daemons that share a database and a simulated cloud.
pub struct Cluster {
    pub daemons: Vec<Daemon>,
    /// Port of each for the others.
    ports: Vec<u16>,
    store: Arc<dyn Store>,
    next: AtomicUsize,
    directory: TempDir,
}

impl Cluster {
    /// So many daemons, started, on an SQLite file.
    pub async fn start(number: usize, clouds: &str) -> Self {
        Self::with(number, clouds, "", None).await
    }

    /// With further lines of `im.cfg`, which end in another section than `[im]` or nothing; on the database of the URL.
    pub async fn with(number: usize, clouds: &str, options: &str, database: Option<&str>) -> Self {
        let directory = tempfile::Builder::new().prefix("imd-ha-").tempdir_in("/var/tmp").unwrap();
        let place = directory.path().display();
        let url = database.map_or_else(|| format!("sqlite://{place}/shared.dat?shared=yes"), str::to_owned);
        Self::on(directory, clouds, options, &vec![url; number]).await
    }

    /// One daemon for each of these URLs, by which they reach the same database.
    pub async fn over(urls: &[String], clouds: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("imd-ha-").tempdir_in("/var/tmp").unwrap();
        Self::on(directory, clouds, "", urls).await
    }

    async fn on(directory: TempDir, clouds: &str, options: &str, urls: &[String]) -> Self {
        let place = directory.path().display().to_string();
        let sockets: Vec<TcpListener> = urls.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        drop(sockets);
        let daemon = |(index, port): (usize, &u16)| {
            let url = &urls[index];
            let options = format!(
                "DATA_DB = {url}\nDATA_KEY_FILE = {place}/key\nLEASE_TIME = {LEASE}\nCLUSTER_PORT = {port}\n\
                 DELAY_BETWEEN_VM_RETRIES = 0\nVM_INFO_UPDATE_FREQUENCY = 1\nMAX_SIMULTANEOUS_LAUNCHES = 2\n\
                 [Dummy]\nSTATE_DIR = {place}/cloud\n{options}"
            );
            let own = Some(directory.path().join(format!("daemon{index}")));
            Daemon::new(Setup { options, clouds: clouds.to_owned(), xmlrpc: true, directory: own, ..Setup::default() })
        };
        let mut daemons: Vec<Daemon> = ports.iter().enumerate().map(daemon).collect();
        futures::future::join_all(daemons.iter_mut().map(Daemon::start)).await;
        let keyring = Arc::new(Keyring::load(&directory.path().join("key"), None).unwrap());
        let store = store::open(urls.last().unwrap(), keyring).await.unwrap();
        Self { daemons, ports, store, next: AtomicUsize::new(0), directory }
    }

    /// The directory that goes with it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The key that they share.
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::new(Keyring::load(&self.directory().join("key"), None).unwrap())
    }

    /// Port of a daemon for the others.
    pub fn port(&self, daemon: usize) -> u16 {
        self.ports[daemon]
    }

    /// What the database says of an infrastructure.
    pub async fn head(&self, path: &str) -> Head {
        let id = path.rsplit('/').next().unwrap();
        self.store.leases().unwrap().head(id).await.unwrap().unwrap()
    }

    /// Which daemon keeps an infrastructure.
    pub async fn holder(&self, path: &str) -> Option<usize> {
        let url = self.head(path).await.holder?.url;
        Some(self.ports.iter().position(|port| url == format!("http://127.0.0.1:{port}")).unwrap())
    }

    /// Stops a daemon in the middle of its work: not in the middle of a write, when SQLite has no way for the others to go on
    /// and a server would end the transaction after a while; nor while it has the simulated cloud to itself.
    pub async fn put_to_sleep(&self, daemon: usize) {
        loop {
            kill(self.daemons[daemon].pid(), Signal::SIGSTOP).unwrap();
            let cloud = self.cloud();
            let look = move || Cloud::open(&cloud, system_clock).unwrap().inspect(|_| ()).unwrap();
            let looked = tokio::time::timeout(Duration::from_secs(2), tokio::task::spawn_blocking(look)).await;
            if looked.is_ok() && self.store.check().await.is_ok() {
                return;
            }
            self.wake(daemon);
        }
    }

    /// Lets it go on.
    pub fn wake(&self, daemon: usize) {
        kill(self.daemons[daemon].pid(), Signal::SIGCONT).unwrap();
    }

    /// Waits until another daemon keeps it.
    pub async fn until_taken_over(&self, path: &str, from: usize) -> (usize, Duration) {
        let started = Instant::now();
        loop {
            match self.holder(path).await {
                Some(holder) if holder != from => return (holder, started.elapsed()),
                _ => assert!(started.elapsed() < crate::support::PATIENCE, "nobody goes on: {}", self.log()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Logs of all.
    pub fn log(&self) -> String {
        self.daemons.iter().map(Daemon::log).collect::<Vec<_>>().join("\n--- and the next one:\n")
    }

    /// Daemons in turn, without one.
    pub fn another_than(&self, dead: usize) -> &Daemon {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % (self.daemons.len() - 1);
        &self.daemons[if next < dead { next } else { next + 1 }]
    }

    /// Reads an infrastructure from all daemons but one, in turn, until told to stop; how many reads there were. None may
    /// fail.
    pub async fn read_without(&self, dead: usize, path: &str, stop: &AtomicBool) -> usize {
        let mut reads = 0;
        while !stop.load(Ordering::Relaxed) {
            for path in
                [format!("{path}/state"), path.to_owned(), format!("{path}/contmsg"), "/infrastructures".to_owned()]
            {
                let answer = self.another_than(dead).get(&path).await;
                assert_eq!(answer.status, StatusCode::OK, "{path}: {}\n{}", answer.text, self.log());
                reads += 1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        reads
    }

    /// A change that succeeds, or is refused so that it may be tried again; then it is, until it succeeds.
    pub async fn change(&self, daemon: &Daemon, method: Method, path: &str, body: &str) -> Answer {
        let started = Instant::now();
        loop {
            let answer = daemon.ask(method.clone(), path, body.to_owned()).await.expect("it lives");
            if answer.status != StatusCode::SERVICE_UNAVAILABLE || started.elapsed() > crate::support::PATIENCE {
                assert_eq!(answer.status, StatusCode::OK, "{method} {path}: {}\n{}", answer.text, self.log());
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn cloud(&self) -> PathBuf {
        self.directory().join("cloud")
    }

    /// What the simulated cloud holds.
    pub fn inspect<T>(&self, look: impl FnOnce(&Inventory) -> T) -> T {
        Cloud::open(&self.cloud(), system_clock).unwrap().inspect(look).unwrap()
    }

    /// How many machines the simulated cloud holds.
    pub fn machines(&self) -> usize {
        self.inspect(|inventory| inventory.tenants().map(|(_, tenant)| tenant.len()).sum())
    }

    /// Nothing was ever made twice.
    pub fn nothing_was_made_twice(&self) {
        let journal = fs::read_to_string(self.cloud().join("inventory.journal")).unwrap();
        let mut made: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in journal.lines() {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            if let machine @ serde_json::Value::Object(_) = &entry["event"]["machine"] {
                made.entry(machine["uid"].to_string()).or_default().insert(machine["id"].to_string());
            }
        }
        assert!(!made.is_empty());
        for (uid, ids) in made {
            assert_eq!(ids.len(), 1, "{uid} was made twice: {}", self.log());
        }
    }
}
