//! A daemon over the local cloud, with a healthy machine on it: real nodes, real sshd, real Ansible. Needs root.

use crate::support::{Answer, Server};
use connectors::{
    CloudAccount, ConnectorSettings, InfrastructureMark, Location,
    account::Endpoint,
    local::{DiskStorage, LocalSettings},
    registry::Registry,
};
use imd::api::rest::RestSettings;
use reqwest::{Method, StatusCode};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Credentials of the user, with the local cloud.
pub const LOCAL: &str = "type = InfrastructureManager; username = user; password = pass\\nid = here; type = Local";

/// Longest wait for a state.
const PATIENCE: Duration = Duration::from_secs(120);

/// The daemon, its cloud's directory, and the healthy infrastructure.
pub struct Lab {
    pub server: Server,
    pub healthy: String,
    settings: LocalSettings,
    seen: Vec<String>,
    _folder: TempDir,
}

/// The offline bundle of Ansible, built once.
fn bundle_dir() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let directory = root.join("target/bundles");
        let script = root.join("scripts/make-bundle");
        let status = Command::new(script).arg("--output").arg(&directory).status().unwrap();
        assert!(status.success(), "make-bundle failed");
        directory
    })
}

impl Lab {
    /// A lab whose addresses no other test of this binary uses; `memory` is all the disk space of the nodes, bytes.
    pub async fn start(number: u8, memory: Option<u64>) -> Self {
        let folder = tempfile::Builder::new().prefix("imd-bad-input-").tempdir_in("/var/tmp").unwrap();
        let block = (std::process::id().wrapping_mul(8) + u32::from(number)) % 4096;
        let settings = LocalSettings {
            enabled: true,
            state_dir: folder.path().join("state"),
            public_pool: format!("10.{}.{}.0/21", 128 + block / 32, block % 32 * 8).parse().unwrap(),
            private_pool: "172.16.0.0/12".parse().unwrap(),
            storage: memory.map_or(DiskStorage::Auto, DiskStorage::Memory),
            ..LocalSettings::default()
        };
        let options = format!(
            "CTXT_BUNDLE_DIR = {}\nPLAYBOOK_RETRIES = 1\nWAIT_SSH_ACCCESS_TIMEOUT = 4\nMAX_VM_FAILS = 1\n\
             [Local]\nENABLED = True\nSTATE_DIR = {}\nPUBLIC_POOL = {}\nPRIVATE_POOL = {}\nMAX_VMS = 6\nSTORAGE = {}\n",
            bundle_dir().display(),
            settings.state_dir.display(),
            settings.public_pool,
            settings.private_pool,
            memory.map_or("auto".to_owned(), |bytes| bytes.to_string()),
        );
        let server = Server::configured(RestSettings::default(), &options).await;
        let mut lab = Self { server, healthy: String::new(), settings, seen: Vec::new(), _folder: folder };
        lab.healthy = lab.create(&machines("contextualize ()\ndeploy node 1\n")).await;
        lab.until(&lab.healthy, "configured").await;
        lab.seen = lab.look().await;
        lab
    }

    pub async fn send(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = self.server.client.request(method, self.server.url(path));
        Answer::of(request.header("authorization", LOCAL).body(body.to_owned())).await
    }

    pub async fn get(&self, path: &str) -> String {
        let answer = self.send(Method::GET, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }

    /// Makes an infrastructure; its path.
    pub async fn create(&self, document: &str) -> String {
        let answer = self.send(Method::POST, "/infrastructures", document).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        format!("/infrastructures/{}", answer.text.rsplit('/').next().unwrap())
    }

    /// Waits for a state of the infrastructure; the states of its machines, in order.
    pub async fn until(&self, path: &str, wanted: &str) -> Vec<String> {
        let started = Instant::now();
        loop {
            let answer = self.send(Method::GET, &format!("{path}/state"), "").await.json();
            let states = &answer["state"];
            if states["state"] == wanted {
                let vms = states["vm_states"].as_object().unwrap().values();
                return vms.map(|state| state.as_str().unwrap().to_owned()).collect();
            }
            if started.elapsed() > PATIENCE {
                panic!("not {wanted}: {answer}\n{}", self.get(&format!("{path}/contmsg")).await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The log of a machine.
    pub async fn log(&self, path: &str, vm: u32) -> String {
        self.get(&format!("{path}/vms/{vm}/contmsg")).await
    }

    /// Waits for the summary at the end of the log of the infrastructure.
    pub async fn summary(&self, path: &str, wanted: &str) {
        let started = Instant::now();
        let line = format!("Contextualization finished: {wanted}\n");
        loop {
            let log = self.header(path).await;
            if log.contains(&line) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The log of the infrastructure itself.
    pub async fn header(&self, path: &str) -> String {
        self.get(&format!("{path}/contmsg?headeronly=yes")).await
    }

    async fn look(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for part in ["", "/state", "/radl", "/contmsg", "/vms/0"] {
            seen.push(self.get(&format!("{}{part}", self.healthy)).await);
        }
        seen
    }

    /// A file of the healthy machine, as the host sees it.
    pub fn file(&self, path: &str) -> PathBuf {
        let marks = fs::read_dir(self.settings.state_dir.join("vms")).unwrap();
        let mark = marks.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "json"));
        let mark: serde_json::Value = serde_json::from_slice(&fs::read(mark.unwrap()).unwrap()).unwrap();
        PathBuf::from(format!("/proc/{}/root{path}", mark["process"]["pid"]))
    }

    /// The daemon is ready, and there are the healthy infrastructure, as it was, and these others.
    pub async fn is_untouched(&self, others: &[&str]) {
        assert_eq!(self.server.get("/readyz").await.text, "ok");
        let listed = self.get("/infrastructures").await;
        let listed: BTreeSet<&str> = listed.lines().map(|uri| &uri[uri.find("/infrastructures").unwrap()..]).collect();
        assert_eq!(listed, others.iter().copied().chain([self.healthy.as_str()]).collect());
        assert_eq!(self.look().await, self.seen);
    }

    /// Machines on the host.
    pub fn machines(&self) -> usize {
        let files = fs::read_dir(self.settings.state_dir.join("vms")).unwrap();
        files.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "json")).count()
    }

    /// Deletes these and the healthy infrastructure; nothing of any is left on the host.
    pub async fn close(self, infrastructures: &[&str]) {
        let bridges = self.names("networks");
        assert!(!bridges.is_empty());
        for path in infrastructures.iter().copied().chain([self.healthy.as_str()]) {
            let deleted = self.send(Method::DELETE, path, "").await;
            assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.text);
        }
        assert_eq!(self.get("/infrastructures").await, "");
        for bridge in bridges {
            assert!(!Path::new("/sys/class/net").join(&bridge).exists(), "bridge {bridge} stayed");
        }
        let state = self.settings.state_dir.to_str().unwrap();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let mounts = fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
            assert!(!mounts.contains(state), "{} still has {state} mounted", process.path().display());
        }
        let files = Command::new("find").args([state, "-type", "f"]).output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&files).trim(), format!("{state}/lock"));
    }

    /// Names of the marks of one kind.
    fn names(&self, kind: &str) -> Vec<String> {
        let files = fs::read_dir(self.settings.state_dir.join(kind)).unwrap();
        let name = |path: PathBuf| Some(path.to_str()?.rsplit('/').next()?.strip_suffix(".json")?.to_owned());
        files.filter_map(|entry| name(entry.unwrap().path())).collect()
    }
}

impl Drop for Lab {
    /// Leaves nothing behind when a test fails.
    fn drop(&mut self) {
        let settings = ConnectorSettings { local: self.settings.clone(), ..ConnectorSettings::default() };
        let marks = self.names("vms").into_iter().map(|name| self.settings.state_dir.join("vms").join(name + ".json"));
        let mark = |path: PathBuf| serde_json::from_slice::<serde_json::Value>(&fs::read(path).ok()?).ok();
        let infrastructures: BTreeSet<String> =
            marks.filter_map(|path| Some(mark(path)?["infrastructure"].as_str()?.to_owned())).collect();
        if infrastructures.is_empty() {
            return;
        }
        let cleaning = std::thread::spawn(move || {
            let account = CloudAccount {
                id: "here".to_owned(),
                kind: "Local".to_owned(),
                endpoint: Endpoint::default(),
                fields: indexmap::IndexMap::new(),
            };
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let cloud = Registry::new(settings).connector(&account).unwrap();
                for infrastructure in infrastructures {
                    let mark = InfrastructureMark::in_whole_cloud(&infrastructure);
                    for machine in cloud.find(&mark).await.unwrap_or_default() {
                        let _ = cloud.delete_vm(&machine.mark(&infrastructure)).await;
                    }
                    let _ = cloud.delete_shared(&mark).await;
                }
                for image in cloud.images(&Default::default()).await.unwrap_or_default() {
                    let _ = cloud.delete_image(&image.uri, &Location::default()).await;
                }
            });
        });
        let _ = cleaning.join();
    }
}

/// A document with the system `node`, and further sentences.
pub fn machines(sentences: &str) -> String {
    format!(
        "network pub ( outbound = 'yes' )
system node (
cpu.count >= 1 and
net_interface.0.connection = 'pub' and
disk.0.image.url = 'local://host' and
disk.0.os.name = 'linux'
)
{sentences}"
    )
}
