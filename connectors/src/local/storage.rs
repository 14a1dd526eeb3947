//! Where the files of nodes and images live: the state directory, or a tmpfs mounted there while there are any.

use super::{
    mark::State,
    tool::{During, Result},
};
use crate::{
    error::{ConnectorError, ErrorClass},
    settings::DiskStorage,
};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// The storage in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    Disk,
    /// Option of the tmpfs: bytes, or a share of the memory.
    Memory(Option<u64>),
}

/// Decides, trying an overlay in the state directory.
pub(super) fn choose(state: &State, wish: DiskStorage) -> Result<Storage> {
    match wish {
        DiskStorage::Memory(bytes) => Ok(Storage::Memory(Some(bytes))),
        _ if mounted(state)? => Ok(Storage::Memory(None)),
        _ => match try_overlay(&state.store()) {
            Ok(()) => Ok(Storage::Disk),
            Err(error) if wish == DiskStorage::Auto => {
                tracing::info!(%error, "nodes of the local cloud live in memory");
                Ok(Storage::Memory(None))
            }
            Err(error) => Err(ConnectorError::new(
                ErrorClass::Invalid,
                format!("[Local] STATE_DIR: its file system cannot carry an overlay: {error}"),
            )),
        },
    }
}

fn try_overlay(store: &Path) -> Result<()> {
    let draft = State::draft(store);
    let [upper, work, root] = ["upper", "work", "root"].map(|part| draft.join(part));
    for folder in [&upper, &work, &root] {
        fs::create_dir_all(folder).during(format_args!("making {}", folder.display()))?;
    }
    let options = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    // In a mount namespace that ends with the thread.
    let tried = std::thread::spawn(move || {
        let none: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
        // An upper layer without the attributes an overlay needs is mounted read-only.
        fs::write(root.join("probe"), "")
    });
    let tried = tried.join().unwrap_or_else(|_| Err(std::io::Error::other("thread failed")));
    fs::remove_dir_all(&draft).during("removing the probe")?;
    tried.during("mounting an overlay")
}

fn mounted(state: &State) -> Result<bool> {
    let device =
        |path: &Path| fs::metadata(path).map(|m| m.dev()).during(format_args!("looking at {}", path.display()));
    let store = state.store();
    Ok(device(&store)? != device(store.parent().unwrap_or(&store))?)
}

impl Storage {
    /// Makes sure that files can be put there. The caller holds the state's lock until it has put one.
    pub fn occupy(self, state: &State) -> Result<()> {
        if let Self::Memory(size) = self
            && !mounted(state)?
        {
            let size = size.map_or("50%".to_owned(), |bytes| bytes.to_string());
            let options = format!("mode=700,size={size}");
            mount(Some("imd-local"), &state.store(), Some("tmpfs"), MsFlags::MS_NOSUID, Some(options.as_str()))
                .during("mounting memory for nodes")?;
        }
        for folder in [state.nodes(), state.images()] {
            fs::create_dir_all(&folder).during(format_args!("making {}", folder.display()))?;
        }
        Ok(())
    }

    /// Gives the memory back when nothing is left. The caller holds the state's lock.
    pub fn release(self, state: &State) -> Result<()> {
        let empty = |folder: &Path| fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
        if matches!(self, Self::Memory(_)) && mounted(state)? && empty(&state.nodes()) && empty(&state.images()) {
            umount2(&state.store(), MntFlags::empty()).during("unmounting the memory of nodes")?;
        }
        Ok(())
    }
}
