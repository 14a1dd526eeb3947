//! Whether the file of the database is still there. SQLite goes on with a file that was removed or replaced, and does not
//! notice when another content is copied over it: what it then stores is lost with the process. So the file is looked at
//! before something is read or stored, and again before it is acknowledged.

use super::error::store_error;
use crate::store::StoreError;
use rusqlite::{Connection, config::DbConfig};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Where the header of a database file has its user version, four bytes, the highest first
/// (<https://www.sqlite.org/fileformat.html>).
const USER_VERSION: u64 = 60;

/// The file under its name.
pub(super) struct DatabaseFile {
    path: PathBuf,
    file: File,
    identity: (u64, u64),
    /// Whether another content was found in it.
    is_foreign: AtomicBool,
}

impl DatabaseFile {
    /// Of an open file. It is closed after all connections: closing it lets go of the locks that SQLite has on it.
    pub(super) fn new(path: PathBuf, file: File) -> io::Result<Self> {
        let identity = identity(&file.metadata()?);
        Ok(Self { path, file, identity, is_foreign: AtomicBool::new(false) })
    }

    /// Whether the name still leads to the file.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => Ok(()),
            Ok(_) => Err(lost("another file is in its place")),
            Err(error) => Err(lost(&format!("it is gone: {error}"))),
        }
    }

    /// Before a connection is closed: the last one copies the WAL into the file, which is not to happen to another content.
    pub(super) fn leave(&self, connection: &Connection) {
        if self.is_foreign.load(Ordering::Relaxed)
            && let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::error!(%error, "the WAL may be copied into the file");
        }
    }

    fn user_version(&self) -> Option<i32> {
        let mut bytes = [0; 4];
        self.file.read_exact_at(&mut bytes, USER_VERSION).ok()?;
        Some(i32::from_be_bytes(bytes))
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn lost(what: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "the SQLite file was changed under the running daemon, {what}. Nothing is stored until it is back. If it was restored \
         on purpose, stop imd, remove the files -wal and -shm beside it, and start imd"
    ))
}

/// The file as the writer knows it.
pub(super) struct Watch {
    file: Arc<DatabaseFile>,
    /// Marks of the content that may be found in the file. The mark grows with every checkpoint, so that a backup has an older
    /// one. None where other daemons make checkpoints as well.
    marks: Option<(i32, i32)>,
    told: bool,
}

impl Watch {
    /// Begins to watch.
    pub(super) const fn new(file: Arc<DatabaseFile>, shared: bool) -> Self {
        Self { file, marks: if shared { None } else { Some((0, 0)) }, told: false }
    }

    /// Whether the file is where and what it was. Says in the log when that has changed.
    pub(super) fn check(&mut self) -> Result<(), StoreError> {
        let mark_is_known = || match (self.marks, self.file.user_version()) {
            (Some((before, now)), Some(found)) => found == before || found == now,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let result = self.file.check().and_then(|()| {
            let is_known = mark_is_known();
            self.file.is_foreign.store(!is_known, Ordering::Relaxed);
            if is_known { Ok(()) } else { Err(lost("another content is in its place")) }
        });
        match &result {
            Err(error) if !self.told => tracing::error!(%error, "changes are refused"),
            Ok(()) if self.told => tracing::info!("the SQLite file is back"),
            _ => {}
        }
        self.told = result.is_err();
        result
    }

    /// Before the writer's connection is closed.
    pub(super) fn leave(&mut self, connection: &Connection) {
        // Nothing may have been written since the content was exchanged.
        let _ = self.check();
        self.file.leave(connection);
    }

    /// Copies the WAL into the file, under a new mark. What is not copied now, for want of room or because of a reader, stays
    /// in the WAL and is copied next time.
    pub(super) fn checkpoint(&mut self, connection: &Connection) {
        if self.told {
            return;
        }
        if let Some(marks) = &mut self.marks {
            let marked = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).and_then(|mark: i32| {
                let next = mark.wrapping_add(1);
                // The header may still have the former one, and it may have this one from now on.
                *marks = (mark, next);
                connection.pragma_update(None, "user_version", next)
            });
            if let Err(error) = marked {
                tracing::debug!(error = %store_error(&error), "the file keeps its mark");
            }
        }
        let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        // A reader may have kept even the former mark from the file.
        if let (Some(marks), Some(found)) = (&mut self.marks, self.file.user_version())
            && found != marks.1
        {
            marks.0 = found;
        }
    }
}
