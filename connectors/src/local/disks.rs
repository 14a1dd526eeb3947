//! Data disks: sparse files behind loop devices.

use super::{
    mark::DataDisk,
    tool::{During, Result, run},
};
use crate::error::{ConnectorError, ErrorClass};
use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The name below `/dev` of data disk N: `vdb` for 1, `vdc` for 2, ... (`vda` would be the boot disk).
pub(super) fn device_name(index: usize) -> Result<String> {
    match u8::try_from(index) {
        Ok(index @ 1..=25) => Ok(format!("vd{}", char::from(b'a' + index))),
        _ => Err(ConnectorError::new(ErrorClass::Invalid, format!("There can be no disk {index} (1 to 25)"))),
    }
}

fn file(folder: &Path, disk: &DataDisk) -> PathBuf {
    folder.join(format!("disk{}.img", disk.index))
}

/// Whether the host can give files the face of block devices.
pub(super) fn available() -> bool {
    Path::new("/dev/loop-control").exists() && super::tool::installed("losetup")
}

/// Makes the disk's file, or grows it.
pub(super) fn make(folder: &Path, disk: &DataDisk) -> Result<()> {
    let path = file(folder, disk);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .during(format_args!("making {}", path.display()))?;
    let size = file.metadata().during("reading the size of a disk")?.len();
    if size < disk.size {
        file.set_len(disk.size).during(format_args!("making {}", path.display()))?;
    }
    Ok(())
}

/// A disk's face on the host: `loop3` and the number of that device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attached {
    pub name: String,
    pub number: u64,
}

impl Attached {
    /// Where sysfs describes it.
    pub fn sysfs(&self) -> PathBuf {
        Path::new("/sys/devices/virtual/block").join(&self.name)
    }
}

/// Attaches the disk to a loop device that may have partitions, or finds it attached.
pub(super) fn attach(folder: &Path, disk: &DataDisk) -> Result<Attached> {
    let path = file(folder, disk);
    let text = path.to_string_lossy();
    let device = match attached(&text)?.into_iter().next() {
        Some(device) => device,
        None => run("losetup", &["--find", "--show", "--partscan", "--", &text], "")?.trim().to_owned(),
    };
    let number = fs::metadata(&device).during(format_args!("looking at {device}"))?.rdev();
    Ok(Attached { name: device.trim_start_matches("/dev/").to_owned(), number })
}

/// Detaches all disks of a node.
pub(super) fn detach(folder: &Path, disks: &[DataDisk]) -> Result<()> {
    for disk in disks {
        let path = file(folder, disk);
        if !path.exists() {
            continue;
        }
        for device in attached(&path.to_string_lossy())? {
            run("losetup", &["--detach", &device], "")?;
        }
    }
    Ok(())
}

fn attached(path: &str) -> Result<Vec<String>> {
    let list = run("losetup", &["--noheadings", "--output", "NAME", "--associated", path], "")?;
    Ok(list.split_whitespace().map(str::to_owned).collect())
}
