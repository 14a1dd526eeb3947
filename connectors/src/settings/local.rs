//! Section `[Local]`: the cloud of nodes on this host.

use ipnetwork::Ipv4Network;
use std::{net::Ipv4Addr, path::PathBuf};

/// Where the disks of nodes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskStorage {
    /// In the state directory when its file system can carry an overlay, else in memory (half of the host's).
    Auto,
    /// In the state directory.
    Disk,
    /// In one tmpfs of this many bytes, mounted while there are nodes or images; its content dies with the host.
    Memory(u64),
}

/// What the `[Local]` section of the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSettings {
    /// Whether the cloud may be used at all. Whoever may call the API becomes root on the host's data through it.
    pub enabled: bool,
    /// Directory of marks, disks and images; made when missing. Daemons may share one.
    pub state_dir: PathBuf,
    /// Where public networks (reachable from the host) take their /24 from.
    pub public_pool: Ipv4Network,
    /// Where private networks (reachable only from their members) take their /24 from.
    pub private_pool: Ipv4Network,
    /// Directories of the host that nodes see empty, besides the state directory and `/root`, `/home`.
    pub hide: Vec<PathBuf>,
    /// Whether `cpu.count` and `memory.size` limit a node, where control groups can be written.
    pub limits: bool,
    /// How many nodes there may be at once.
    pub max_vms: usize,
    /// Where the disks of nodes live.
    pub storage: DiskStorage,
    /// What the database is called that has the records of what is made, for the marks: an operator who cleans a state
    /// directory that several daemons share must know whose record is missing.
    pub database: String,
}

impl Default for LocalSettings {
    fn default() -> Self {
        let pool = |a, b, c, d, prefix| Ipv4Network::new_checked(Ipv4Addr::new(a, b, c, d), prefix);
        let any = Ipv4Network::from(Ipv4Addr::UNSPECIFIED);
        Self {
            enabled: false,
            state_dir: PathBuf::from("/var/lib/imd/local"),
            public_pool: pool(198, 18, 0, 0, 16).unwrap_or(any),
            private_pool: pool(10, 160, 0, 0, 11).unwrap_or(any),
            hide: ["/srv", "/mnt", "/media", "/var/lib/imd", "/var/lib/docker", "/etc/imd"].map(PathBuf::from).into(),
            limits: true,
            max_vms: 200,
            storage: DiskStorage::Auto,
            database: String::new(),
        }
    }
}
