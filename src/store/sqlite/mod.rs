//! The embedded store: one SQLite file in WAL mode, one writing thread, a few readers, one daemon per file unless it is
//! opened as shared.

mod error;
mod file;
mod leases;
mod read;
mod reseal;
mod schema;
mod write;
mod writer;

use self::{
    file::{DatabaseFile, Watch},
    read::Readers,
    write::Task,
    writer::Writer,
};
use super::{
    Changes, IndexRow, Keyring, Leases, Store, StoreError, StoredEvent, StoredInfrastructure, Version, change::Change,
    rows::SealedChanges, sealing::directory_of,
};
use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long a statement waits for a lock that another program holds.
const PATIENCE: Duration = Duration::from_secs(2);

/// A store in an SQLite database.
pub(super) struct SqliteStore {
    // In the order of dropping: the writer ends, then the readers close, then another daemon may have the file.
    writer: Writer,
    readers: Arc<Readers>,
    keyring: Arc<Keyring>,
    id: String,
    /// Whether other daemons may use the file as well.
    shared: bool,
    _file: Option<Owned>,
}

/// A file that this daemon has for itself, or shares with those that say so.
struct Owned {
    database: Arc<DatabaseFile>,
    /// The lock of its name.
    _name: File,
}

impl SqliteStore {
    /// Opens a file, or makes it with mode 0600.
    pub(super) fn at(path: &Path, shared: bool, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        Self::open_file(path, shared, keyring).map_err(|error| error.about(&path.display().to_string()))
    }

    fn open_file(path: &Path, shared: bool, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        let path = resolve(path).map_err(|error| StoreError::Unavailable(format!("it cannot be reached: {error}")))?;
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let name = lock(Path::new(&name), shared)?;
        let made = !path.exists();
        // The file has a lock as well, whatever other names lead to it and whatever becomes of the lock beside it. SQLite gives
        // its WAL and its shared memory the mode of the file.
        let file = lock(&path, shared)?;
        let database = DatabaseFile::new(path.clone(), file);
        let database =
            Arc::new(database.map_err(|error| StoreError::Unavailable(format!("it cannot be looked at: {error}")))?);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // Locked until it is certain that it stays.
        let held = database.clone();
        let started = Self::start(path.clone(), flags, shared, keyring, Some(Owned { database, _name: name }));
        if let (true, Err(StoreError::Corrupt(_))) = (made, &started) {
            // Nothing is in it. If it stays all the same, it is refused again.
            let _ = fs::remove_file(&path);
        }
        drop(held);
        started
    }

    /// Opens a file that exists, also while a daemon has it: SQLite keeps their transactions apart.
    pub(super) fn beside(path: &Path, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Unavailable(format!("{}: there is no such file", path.display())));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::start(path.to_owned(), flags, false, keyring, None)
            .map_err(|error| error.about(&path.display().to_string()))
    }

    /// A database of this process that ends with the store.
    pub(super) fn in_memory(keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // The slash makes it one database for all connections of the process (https://www.sqlite.org/memvfs.html).
        let name = format!("file:/imd-{}?vfs=memdb", COUNT.fetch_add(1, Ordering::Relaxed));
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::start(name.into(), flags, false, keyring, None)
    }

    fn start(
        path: PathBuf,
        flags: OpenFlags,
        shared: bool,
        keyring: Arc<Keyring>,
        file: Option<Owned>,
    ) -> Result<Self, StoreError> {
        let connect_writer = {
            let path = path.clone();
            move || {
                connect(&path, flags, |connection| {
                    // A commit that returned has been flushed to the disk (https://www.sqlite.org/pragma.html).
                    connection.pragma_update(None, "synchronous", "full")?;
                    connection.pragma_update(None, "foreign_keys", true)?;
                    // The writer copies the WAL into the file after it has answered.
                    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
                    // What a savepoint needs to roll back is worth no file.
                    connection.pragma_update(None, "temp_store", "memory")?;
                    // Kibibytes, as the sign says: a commit touches few pages, and the page cache of the system has the rest.
                    connection.pragma_update(None, "cache_size", -1024)?;
                    // After a large transaction the WAL file shrinks back to this many bytes.
                    connection.pragma_update(None, "journal_size_limit", 16 << 20)
                })
            }
        };
        let mut first = connect_writer()?;
        let id = schema::prepare(&mut first, &keyring, file.is_some())?;
        if shared {
            schema::prepare_leases(&mut first)?;
        }
        let connect_reader: read::Connect = Box::new(move || {
            connect(&path, flags, |connection| {
                connection.pragma_update(None, "cache_size", -256)?;
                connection.pragma_update(None, "query_only", true)
            })
        });
        let database = || file.as_ref().map(|file| file.database.clone());
        let readers = Readers::new(connect_reader, database());
        let watch = database().map(|database| Watch::new(database, shared));
        let writer = Writer::start(first, Box::new(connect_writer), watch)
            .map_err(|error| StoreError::Unavailable(format!("no thread for writing: {error}")))?;
        Ok(Self { writer, readers: Arc::new(readers), keyring, id, shared, _file: file })
    }

    async fn read<T: Send + 'static>(
        &self,
        id: &str,
        query: impl FnOnce(&Connection, &Keyring, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (keyring, id) = (Arc::clone(&self.keyring), id.to_owned());
        self.readers.read(move |connection| query(connection, &keyring, &id)).await
    }
}

fn connect(
    path: &Path,
    flags: OpenFlags,
    configure: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<Connection, StoreError> {
    Connection::open_with_flags(path, flags)
        .and_then(|connection| {
            connection.busy_timeout(PATIENCE)?;
            connection.set_prepared_statement_cache_capacity(64);
            configure(&connection)?;
            Ok(connection)
        })
        .map_err(|error| error::store_error(&error))
}

/// The one name of a file that may not exist yet, whatever links lead to it: the lock goes by the name.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(directory_of(path).canonicalize()?.join(path.file_name().unwrap_or_default()))
        }
        found => found,
    }
}

/// Keeps other daemons out for as long as the file returned lives; the system lets go of it when the process dies. The file
/// is made with mode 0600 when it is not there.
fn lock(path: &Path, shared: bool) -> Result<File, StoreError> {
    let failed = |doing: &str, error: io::Error| {
        StoreError::Unavailable(format!("the file {} cannot be {doing}: {error}", path.display()))
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed("opened", error))?;
    match if shared { file.try_lock_shared() } else { file.try_lock() } {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(
            "another imd uses this SQLite database; stop it, or give this one another DATA_DB".to_owned(),
        )),
        Err(TryLockError::Error(error)) => Err(failed("locked", error)),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create(&self, row: IndexRow, mut changes: Changes) -> Result<(), StoreError> {
        // An infrastructure without a payload still gets a sealed one: every stored payload opens.
        changes.infrastructure.get_or_insert_default();
        let changes = SealedChanges::seal(&self.keyring, &row.id, changes)?;
        self.writer.write(Task::Change(Change::Create { row, changes })).await.map(drop)
    }

    async fn commit(&self, id: &str, expected: Version, changes: Changes) -> Result<Version, StoreError> {
        let changes = SealedChanges::seal(&self.keyring, id, changes)?;
        self.writer.write(Task::Change(Change::Commit { id: id.to_owned(), expected, changes })).await
    }

    fn id(&self) -> &str {
        &self.id
    }

    async fn version(&self, id: &str) -> Result<Option<Version>, StoreError> {
        self.read(id, |connection, _, id| read::version(connection, id)).await
    }

    async fn load(&self, id: &str) -> Result<Option<StoredInfrastructure>, StoreError> {
        self.read(id, read::load).await
    }

    async fn index(&self) -> Result<Vec<IndexRow>, StoreError> {
        self.readers.read(read::index).await
    }

    async fn events(&self, id: &str, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(id, move |connection, keyring, id| read::events(connection, keyring, id, after, limit)).await
    }

    async fn last_sequence(&self, id: &str) -> Result<u64, StoreError> {
        self.read(id, |connection, _, id| read::last_sequence(connection, id)).await
    }

    async fn log(&self, id: &str, vm: Option<u32>) -> Result<String, StoreError> {
        self.read(id, move |connection, keyring, id| read::log(connection, keyring, id, vm)).await
    }

    async fn vm_logs(&self, id: &str) -> Result<Vec<(u32, String)>, StoreError> {
        self.read(id, read::vm_logs).await
    }

    async fn purge(&self, created_before: i64, limit: usize) -> Result<u64, StoreError> {
        self.writer.write(Task::Change(Change::Purge { created_before, limit })).await
    }

    async fn reseal(&self, id: Option<&str>, limit: usize) -> Result<u64, StoreError> {
        let (keyring, id) = (Arc::clone(&self.keyring), id.map(str::to_owned));
        self.writer.write(Task::Reseal { keyring, id, limit }).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.writer.write(Task::Change(Change::Check)).await?;
        self.readers.read(read::check).await
    }

    fn leases(&self) -> Option<&dyn Leases> {
        self.shared.then_some(self)
    }
}
