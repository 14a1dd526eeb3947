//! Settings of the local cloud and the checks that make them safe to act on.

use super::subnet::is_reserved;
use crate::error::{ConnectorError, ErrorClass};
use ipnetwork::Ipv4Network;
use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

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

impl LocalSettings {
    /// Refuses pools outside the reserved ranges and directories that cannot be given to the kernel.
    ///
    /// # Errors
    /// `Invalid`, naming the setting.
    pub(super) fn check(&self) -> Result<(), ConnectorError> {
        let invalid = |text: String| Err(ConnectorError::new(ErrorClass::Invalid, text));
        for (name, pool) in [("PUBLIC_POOL", self.public_pool), ("PRIVATE_POOL", self.private_pool)] {
            if !is_reserved(pool) {
                return invalid(format!(
                    "[Local] {name} = {pool} is not reserved for private use, documentation or benchmarks \
                     (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, \
                     198.18.0.0/15)"
                ));
            }
            if pool.prefix() > 24 {
                return invalid(format!("[Local] {name} = {pool} has no room for a /24 network"));
            }
        }
        if self.public_pool.overlaps(self.private_pool) {
            return invalid("[Local] PUBLIC_POOL and PRIVATE_POOL overlap".to_owned());
        }
        for (name, path) in
            std::iter::once(("STATE_DIR", &self.state_dir)).chain(self.hide.iter().map(|path| ("HIDE", path)))
        {
            if !is_plain(path) {
                return invalid(format!(
                    "[Local] {name} = {}: an absolute path without '..', colon, comma, backslash or blank is needed",
                    path.display()
                ));
            }
        }
        Ok(())
    }

    /// All directories that nodes see empty.
    pub(super) fn hidden(&self) -> impl Iterator<Item = &Path> {
        ["/root", "/home"]
            .into_iter()
            .map(Path::new)
            .chain([self.state_dir.as_path()])
            .chain(self.hide.iter().map(PathBuf::as_path))
    }
}

/// Whether the path can stand in the option list of an overlay mount as it is.
fn is_plain(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return false };
    path.is_absolute()
        && path != Path::new("/")
        && !path.components().any(|part| part == std::path::Component::ParentDir)
        && !text.contains(|c: char| ":,\\".contains(c) || c.is_whitespace() || c.is_control())
}
