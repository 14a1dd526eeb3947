//! What is asked of a machine that exists.

use radl::System;
use serde::{Deserialize, Serialize};

/// A change of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerOperation {
    /// Boot a stopped machine.
    Start,
    /// Stop, disks kept.
    Stop,
    /// Hard reset.
    Reboot,
}

/// What a data disk has on it when it comes to its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskSource {
    /// Nothing.
    #[default]
    Empty,
    /// A copy of the image of this URL; the copy is ours.
    Image(String),
    /// It is the volume of this URL, which exists: it is attached, never made, and detached at the end, never deleted.
    Volume(String),
}

impl DiskSource {
    /// What a `disk.N.image.url` names: a volume where its name says so (`.../volume/<id>`, `.../vol-<id>`), else an image.
    #[must_use]
    pub fn of(url: &str) -> Self {
        let mut names = url.rsplit('/');
        let is_volume = names.next().is_some_and(|name| name.starts_with("vol-")) || names.next() == Some("volume");
        if is_volume { Self::Volume(url.to_owned()) } else { Self::Image(url.to_owned()) }
    }

    /// The URL; none of an empty disk.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Empty => None,
            Self::Image(url) | Self::Volume(url) => Some(url),
        }
    }
}

/// A data disk that a machine is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredDisk")]
pub struct NewDisk {
    /// N of `disk.N`, from 1.
    pub index: usize,
    /// Bytes; none for as many as its source has.
    pub size: Option<u64>,
    /// What it has on it.
    pub source: DiskSource,
    /// The cloud's name for a kind of disk (`disk.N.type`).
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub disk_type: Option<String>,
    /// Device that it is wanted at (`disk.N.device`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// A disk as it is stored. Earlier versions knew the URL of an image alone.
#[derive(Deserialize)]
struct StoredDisk {
    index: usize,
    size: Option<u64>,
    source: Option<DiskSource>,
    image: Option<String>,
    #[serde(rename = "type")]
    disk_type: Option<String>,
    device: Option<String>,
}

impl From<StoredDisk> for NewDisk {
    fn from(stored: StoredDisk) -> Self {
        let StoredDisk { index, size, source, image, disk_type, device } = stored;
        let source = source.unwrap_or_else(|| image.map(DiskSource::Image).unwrap_or_default());
        Self { index, size, source, disk_type, device }
    }
}

impl NewDisk {
    /// Data disk number `index` of a system; none where the system says neither its size nor what is on it.
    #[must_use]
    pub fn of(system: &System, index: usize) -> Option<Self> {
        let text = |property: &str| system.features.text(&format!("disk.{index}.{property}")).map(str::to_owned);
        let size = system.features.number(&format!("disk.{index}.size"), "").map(|bytes| bytes as u64);
        let source = text("image.url").map(|url| DiskSource::of(&url));
        if size.is_none() && source.is_none() {
            return None;
        }
        let source = source.unwrap_or_default();
        Some(Self { index, size, source, disk_type: text("type"), device: text("device") })
    }

    /// The data disks of a system, up to the first number without one.
    pub fn all_of(system: &System) -> impl Iterator<Item = Self> {
        (1..).map_while(|index| Self::of(system, index))
    }
}

/// A change of the public address of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicAddress {
    /// It gets one.
    Add {
        /// RADL network that it is on.
        network: String,
        /// The cloud's name of the pool that it is taken from (`provider_id` of the network).
        pool: Option<String>,
    },
    /// Those that were made for it go; addresses of the user are taken off and stay his.
    Remove,
}

/// New sizes and belongings of a machine; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// Cores.
    pub cpu_count: Option<f64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Accelerators.
    pub gpu_count: Option<f64>,
    /// Provider's size name.
    pub instance_type: Option<String>,
    /// Data disks to add.
    pub disks: Vec<NewDisk>,
    /// What becomes of its public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_address: Option<PublicAddress>,
}

impl Resize {
    /// Whether cores, memory, accelerators or the name of the size change.
    #[must_use]
    pub fn changes_size(&self) -> bool {
        self.cpu_count.is_some() || self.memory.is_some() || self.gpu_count.is_some() || self.instance_type.is_some()
    }
}
