//! The inventory on disk: one line of JSON per change, shared by every daemon that opens it.

use super::inventory::Entry;
use crate::{ConnectorError, ErrorClass};
use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The journal, and how far it was read.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    read: u64,
}

/// The journal is ours alone while this lives.
pub(super) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing the file releases the lock as well, so there is nothing to do about a failure.
        let _ = self.0.unlock();
    }
}

impl Journal {
    /// Opens `inventory.journal` in `directory`; both are made when missing.
    pub(super) fn open(directory: &Path) -> Result<Self, ConnectorError> {
        let path = directory.join("inventory.journal");
        let open = || {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
            // One that an earlier version made, too: documents, with what is secret in them, are nobody else's business.
            if file.metadata()?.mode() & 0o077 != 0 {
                file.set_permissions(Permissions::from_mode(0o600))?;
            }
            Ok(file)
        };
        let unusable = |error: std::io::Error| {
            let message =
                format!("The simulated cloud cannot use {}: {error}; check [Dummy] STATE_DIR", path.display());
            ConnectorError::new(ErrorClass::Invalid, message)
        };
        let file = open().map_err(unusable)?;
        Ok(Self { file, path, read: 0 })
    }

    /// Waits until no other daemon uses the journal, which takes microseconds.
    pub(super) fn hold(&self) -> Result<Held, ConnectorError> {
        let lock = || {
            let file = self.file.try_clone()?;
            file.lock()?;
            Ok(Held(file))
        };
        lock().map_err(|error| self.failed(&error))
    }

    /// Entries since the last look. Holds the journal.
    pub(super) fn news(&mut self) -> Result<Vec<Entry>, ConnectorError> {
        let mut read = || {
            if self.file.metadata()?.len() == self.read {
                return Ok(Vec::new());
            }
            let mut text = Vec::new();
            self.file.seek(SeekFrom::Start(self.read))?;
            self.file.read_to_end(&mut text)?;
            // A daemon that died while writing leaves half a line, which never happened.
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let entries = lines.map(serde_json::from_slice).collect::<Result<Vec<Entry>, _>>()?;
            self.read += whole as u64;
            if whole < text.len() {
                self.file.set_len(self.read)?;
            }
            Ok(entries)
        };
        read().map_err(|error| self.failed(&error))
    }

    /// Adds an entry at the end. Holds the journal, all news read.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), ConnectorError> {
        let mut write = || {
            let mut line = serde_json::to_vec(entry)?;
            line.push(b'\n');
            self.file.write_all(&line)?;
            self.read += line.len() as u64;
            Ok(())
        };
        write().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> ConnectorError {
        let message = format!("The simulated cloud cannot use its journal {}: {error}", self.path.display());
        ConnectorError::new(ErrorClass::Transient, message)
    }
}
