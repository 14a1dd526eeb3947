//! The state directory: one mark per node and network, written before anything is made, and the locks around them.
//!
//! ```text
//! lock                  held while addresses and subnets are given out
//! vms/<uid>.json        mark of a node      vms/<uid>.lock   held while the node is changed
//! networks/<bridge>.json
//! store/nodes/<uid>/    disks, keys and console log of a node
//! store/images/<name>/  copy of the writable layer of a node
//! ```

use super::{
    outports::Opening,
    tool::{During, Result},
};
use crate::{
    contract::VmUid,
    error::{ConnectorError, ErrorClass},
};
use ipnetwork::Ipv4Network;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::ErrorKind,
    net::Ipv4Addr,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// How far a node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Intended; whatever exists of it may be thrown away.
    Planned,
    /// Its disk is complete and it was started.
    Made,
}

/// The first process of a node. The start time tells it from a later process with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub pid: i32,
    /// Clock ticks since the host booted (proc(5), field 22 of stat).
    pub start_time: u64,
    /// Boot of the host.
    pub boot_id: String,
}

/// One network card of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Card {
    /// RADL network; none for the network of machines that name none.
    pub network: Option<String>,
    pub bridge: String,
    pub ip: Ipv4Addr,
    pub cidr: Ipv4Network,
    pub public: bool,
    /// What may come in from outside the network.
    pub openings: Vec<Opening>,
}

/// A data disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DataDisk {
    /// N of `disk.N`.
    pub index: usize,
    /// Bytes.
    pub size: u64,
    /// Name below `/dev` in the node.
    pub device: String,
}

/// All that is durable of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub uid: VmUid,
    pub infrastructure: String,
    pub number: u32,
    pub fqdn: String,
    pub user: String,
    pub phase: Phase,
    /// Whether it was stopped on request.
    pub stopped: bool,
    pub cards: Vec<Card>,
    pub disks: Vec<DataDisk>,
    pub cpu_count: Option<f64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Image name; none for the host's root.
    pub image: Option<String>,
    pub process: Option<Process>,
    /// Control groups made for it.
    pub control_groups: Vec<PathBuf>,
    /// Marks of the user's, for whoever looks at the state directory.
    pub tags: Vec<(String, String)>,
    /// The database of the daemon that made it.
    #[serde(default)]
    pub database: Option<String>,
}

/// A network that was given a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reservation {
    /// Whom it was made for, or who had it from him.
    pub infrastructure: String,
    /// RADL network; empty for the network of machines that name none.
    pub network: String,
    pub bridge: String,
    pub cidr: Ipv4Network,
    pub public: bool,
    /// Whether a user demanded this very subnet; else it was chosen here.
    #[serde(default)]
    pub demanded: bool,
    /// Whose infrastructures may use it as well.
    #[serde(default)]
    pub owners: BTreeSet<String>,
    /// The other infrastructures that use it.
    #[serde(default)]
    pub guests: BTreeSet<String>,
    /// The database of the daemon that made it.
    #[serde(default)]
    pub database: Option<String>,
}

impl Reservation {
    /// Whether it is one of the infrastructure's networks.
    pub fn is_of(&self, infrastructure: &str) -> bool {
        self.infrastructure == infrastructure || self.guests.contains(infrastructure)
    }

    /// Takes the infrastructure off. False when nobody is left who uses it.
    pub fn leave(&mut self, infrastructure: &str) -> bool {
        self.guests.remove(infrastructure);
        if self.infrastructure == infrastructure {
            let Some(heir) = self.guests.pop_first() else { return false };
            self.infrastructure = heir;
        }
        true
    }
}

/// The state directory.
#[derive(Debug, Clone)]
pub(super) struct State {
    root: PathBuf,
}

impl State {
    /// Makes the directory, readable by root alone.
    pub fn open(root: &Path) -> Result<Self> {
        let state = Self { root: root.to_owned() };
        for folder in [state.root.clone(), state.vms(), state.networks(), state.store()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .during(format_args!("making {}", folder.display()))?;
        }
        Ok(state)
    }

    fn vms(&self) -> PathBuf {
        self.root.join("vms")
    }

    fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }

    /// Where files of nodes and images live.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub fn nodes(&self) -> PathBuf {
        self.store().join("nodes")
    }

    pub fn images(&self) -> PathBuf {
        self.store().join("images")
    }

    /// Directory of a node's files.
    pub fn folder(&self, uid: &str) -> PathBuf {
        self.nodes().join(uid)
    }

    /// Held while addresses and subnets are given out, across processes.
    pub fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let file = open_lock(&path)?;
        file.lock().during(format_args!("locking {}", path.display()))?;
        Ok(file)
    }

    /// Held while a node is changed, across processes.
    pub fn lock_vm(&self, uid: &str) -> Result<File> {
        let path = self.vms().join(format!("{uid}.lock"));
        loop {
            let file = open_lock(&path)?;
            file.lock().during(format_args!("locking {}", path.display()))?;
            // Whoever deletes the node removes the file: a lock on the removed one protects nothing.
            if is_at(&file, &path) {
                return Ok(file);
            }
        }
    }

    /// The mark of a node.
    pub fn vm(&self, uid: &str) -> Result<Option<Mark>> {
        // The id of a machine comes from outside and becomes a file name.
        if !is_uid(uid) {
            return Ok(None);
        }
        read(&self.vms().join(format!("{uid}.json")))
    }

    /// The marks of all nodes.
    pub fn all_vms(&self) -> Result<Vec<Mark>> {
        read_all(&self.vms())
    }

    /// Refuses a uid that could not be a file name.
    pub fn check_uid(uid: &str) -> Result<()> {
        if is_uid(uid) {
            return Ok(());
        }
        Err(ConnectorError::new(ErrorClass::Invalid, format!("'{uid}' is no machine uid ([a-z0-9-], at most 36)")))
    }

    pub fn save_vm(&self, mark: &Mark) -> Result<()> {
        write(&self.vms().join(format!("{}.json", mark.uid)), mark)
    }

    /// Removes the mark and the lock of a node, in this order; the caller holds the lock.
    pub fn forget_vm(&self, uid: &str) -> Result<()> {
        ["json", DRAFT, "lock"].iter().try_for_each(|kind| remove(&self.vms().join(format!("{uid}.{kind}"))))
    }

    /// Removes what a killed daemon left that belongs to nothing: locks without a mark, half-written copies.
    pub fn sweep(&self) -> Result<()> {
        for path in list(&self.vms())? {
            let Some(uid) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let marked = || path.with_extension("json").exists();
            if path.extension().is_some_and(|kind| kind == "lock")
                && !marked()
                && let Ok(file) = File::options().write(true).open(&path)
                && file.try_lock().is_ok()
                && is_at(&file, &path)
                && !marked()
            {
                self.forget_vm(uid)?;
            }
        }
        // Whoever writes one holds the lock.
        let _lock = self.lock()?;
        for path in
            list(&self.networks())?.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == DRAFT))
        {
            remove(&path)?;
        }
        for path in [list(&self.store())?, list(&self.images()).unwrap_or_default()].concat() {
            if draft_owner(&path).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                fs::remove_dir_all(&path).during(format_args!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// A name in `folder` for something in the making; [`State::sweep`] removes it when this process has ended.
    pub fn draft(folder: &Path) -> PathBuf {
        folder.join(format!(".draft-{}-{:016x}", std::process::id(), rand::random::<u64>()))
    }

    pub fn network(&self, bridge: &str) -> Result<Option<Reservation>> {
        read(&self.networks().join(format!("{bridge}.json")))
    }

    pub fn all_networks(&self) -> Result<Vec<Reservation>> {
        read_all(&self.networks())
    }

    pub fn save_network(&self, reservation: &Reservation) -> Result<()> {
        write(&self.networks().join(format!("{}.json", reservation.bridge)), reservation)
    }

    pub fn forget_network(&self, bridge: &str) -> Result<()> {
        ["json", DRAFT].iter().try_for_each(|kind| remove(&self.networks().join(format!("{bridge}.{kind}"))))
    }
}

fn is_uid(text: &str) -> bool {
    (1..=36).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_at(file: &File, path: &Path) -> bool {
    let inode = |metadata: std::io::Result<fs::Metadata>| metadata.map(|m| m.ino()).ok();
    inode(file.metadata()) == inode(fs::metadata(path))
}

/// The process that a name made by [`State::draft`] belongs to.
fn draft_owner(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_prefix(".draft-")?.split('-').next()
}

fn open_lock(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .during(format_args!("opening {}", path.display()))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.during(format_args!("reading {}", path.display()))?,
    };
    serde_json::from_slice(&bytes).map(Some).during(format_args!("reading {}", path.display()))
}

fn read_all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>> {
    let marks = list(folder)?.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    marks.filter_map(|path| read(&path).transpose()).collect()
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .during(format_args!("listing {}", folder.display()))
}

/// Extension of a mark that is being written.
const DRAFT: &str = "new";

/// Replaces the file in one step; the caller holds the lock that belongs to it. It is not synchronised to the device:
/// what it describes dies with the host as well.
fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(value).during("writing a mark")?;
    let draft = path.with_extension(DRAFT);
    fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path)).during(format_args!("writing {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.during(format_args!("removing {}", path.display())),
    }
}
