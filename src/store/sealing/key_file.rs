//! The file of the data keys: its text, its mode, and its changes, each of which is made as a whole.

use super::{KEY_LENGTH, KeyError, derive, newest_of};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A main key, from which the others are derived.
pub(super) type MainKey = [u8; KEY_LENGTH];

/// Start of the word that keys the hashes of owners.
const OWNERS: &str = "owners=";
/// Start of the word of a key that opens only: the next rotation puts it in front.
const NEXT: &str = "next=";
/// Start of the word that names a database which the keys belong to.
const DATABASE: &str = "database=";

/// What the file, or the variable, says: words, the main keys among them, the newest first.
#[derive(Clone)]
pub(super) struct KeyText {
    pub(super) newest: MainKey,
    pub(super) older: Vec<MainKey>,
    pub(super) next: Option<MainKey>,
    owners: Option<[u8; KEY_LENGTH]>,
    /// Ids of the databases that were sealed with these keys; none when none was seen yet.
    pub(super) databases: Vec<String>,
}

impl KeyText {
    pub(super) fn of(newest: MainKey, older: &[MainKey]) -> Self {
        Self { newest, older: older.to_vec(), next: None, owners: None, databases: Vec::new() }
    }

    pub(super) fn parse(text: &str, origin: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed { origin: origin.to_owned() };
        let key = |word: &str| decode(word).ok_or_else(malformed);
        let (mut keys, mut next, mut owners, mut databases) = (Vec::new(), None, None, Vec::new());
        for word in text.split_whitespace() {
            let twice = if let Some(word) = word.strip_prefix(NEXT) {
                next.replace(key(word)?).is_some()
            } else if let Some(word) = word.strip_prefix(OWNERS) {
                owners.replace(key(word)?).is_some()
            } else if let Some(id) = word.strip_prefix(DATABASE) {
                databases.push(id.to_owned());
                false
            } else {
                keys.push(key(word)?);
                false
            };
            if twice {
                return Err(malformed());
            }
        }
        let (newest, older) = keys.split_first().ok_or_else(malformed)?;
        Ok(Self { newest: *newest, older: older.to_vec(), next, owners, databases })
    }

    /// The key of the hashes of owners: written down, or derived from the oldest key, which is the first one ever.
    pub(super) fn owners(&self) -> [u8; KEY_LENGTH] {
        self.owners.unwrap_or_else(|| derive(self.older.last().unwrap_or(&self.newest), b"imd owners"))
    }

    /// The text with a new key in front. What it was derived from may go one day, so the key of owners is written down.
    fn rotated(mut self, key: MainKey) -> Self {
        self.owners = Some(self.owners());
        self.next = None;
        self.older.insert(0, self.newest);
        self.newest = key;
        self
    }

    fn without_older(mut self) -> Self {
        self.owners = Some(self.owners());
        self.older.clear();
        self
    }

    /// The text as words on lines.
    fn lines(&self) -> String {
        let line = |start: &str, key: &[u8; KEY_LENGTH]| format!("{start}{}\n", openssl::base64::encode_block(key));
        let keys = std::iter::once(&self.newest).chain(&self.older).map(|key| line("", key));
        let next = self.next.iter().map(|key| line(NEXT, key));
        let databases = self.databases.iter().map(|id| format!("{DATABASE}{id}\n"));
        keys.chain(next).chain(self.owners.iter().map(|key| line(OWNERS, key))).chain(databases).collect()
    }
}

/// What tells one state of a file from another one: the file and its last change.
pub(super) type Stamp = (u64, i64, i64);

/// The state of the file now, none when it cannot be asked.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<KeyText, KeyError> {
    let failed = failed(path, "read");
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    KeyText::parse(&text, &format!("the data key file {}", path.display()))
}

/// Reads the file, which is made with a random key when it does not exist, and its directory with it; whether it was made.
pub(super) fn read_or_make(path: &Path) -> Result<(KeyText, bool), KeyError> {
    let is_missing = !path.try_exists().map_err(failed(path, "read"))?;
    if is_missing {
        DirBuilder::new().recursive(true).mode(0o700).create(directory_of(path)).map_err(failed(path, "made"))?;
        create(path, &KeyText::of(random()?, &[]).lines()).map_err(failed(path, "made"))?;
    }
    Ok((read(path)?, is_missing))
}

/// Takes back a file that was just made.
pub(super) fn remove(path: &Path) -> Result<(), KeyError> {
    fs::remove_file(path).map_err(failed(path, "removed"))
}

fn failed(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> KeyError + Copy {
    move |source| KeyError::File { path: path.to_owned(), doing, source }
}

fn random() -> Result<MainKey, KeyError> {
    let mut key = [0; KEY_LENGTH];
    openssl::rand::rand_bytes(&mut key).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(key)
}

/// Makes the file with all its content or not at all: two daemons that start together end up with one key.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let draft = beside(path, &std::process::id().to_string());
    let made = write(&draft, text).and_then(|()| {
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        File::open(directory_of(path))?.sync_all()
    });
    let removed = fs::remove_file(&draft);
    made.and(removed)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The umask may have taken the owner's rights away.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    PathBuf::from(name)
}

/// The directory a file is in.
pub(in crate::store) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The key file while its keys are being changed; nobody else can change them meanwhile.
pub struct KeyChange {
    path: PathBuf,
    text: KeyText,
    _lock: File,
}

impl KeyChange {
    /// Takes hold of the file.
    ///
    /// # Errors
    /// Somebody else changes it; a file that is not there, cannot be read or holds no keys.
    pub fn begin(path: &Path) -> Result<Self, KeyError> {
        // Its own file: of a link, what it leads to is exchanged.
        let path = path.canonicalize().map_err(failed(path, "read"))?;
        // The file is exchanged by every change, so its directory carries the lock.
        let lock = File::open(directory_of(&path)).map_err(failed(&path, "changed"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(KeyError::Busy { path }),
            Err(TryLockError::Error(error)) => return Err(failed(&path, "changed")(error)),
        }
        Ok(Self { text: read(&path)?, path, _lock: lock })
    }

    /// How many keys there are besides the newest one and the next one: more than none while a rotation is not complete.
    #[must_use]
    pub fn older(&self) -> usize {
        self.text.older.len()
    }

    /// Short name of the newest key, as in messages.
    #[must_use]
    pub fn newest(&self) -> String {
        newest_of(&self.text)
    }

    /// Adds a key that opens and does not seal yet, for daemons on other hosts to get to know it first. One that is there
    /// already stays.
    ///
    /// # Errors
    /// No random bytes; the file cannot be written.
    pub fn prepare(&mut self) -> Result<(), KeyError> {
        if self.text.next.is_some() {
            return Ok(());
        }
        let text = KeyText { next: Some(random()?), ..self.text.clone() };
        self.replace(text)
    }

    /// Puts a new key in front, the prepared one if there is one.
    ///
    /// # Errors
    /// No random bytes; the file cannot be written.
    pub fn rotate(&mut self) -> Result<(), KeyError> {
        let key = self.text.next.map_or_else(random, Ok)?;
        self.replace(self.text.clone().rotated(key))
    }

    /// Notes that a database belongs to these keys.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn add_database(&mut self, id: &str) -> Result<(), KeyError> {
        let mut text = self.text.clone();
        if text.databases.iter().any(|known| known == id) {
            return Ok(());
        }
        text.databases.push(id.to_owned());
        self.replace(text)
    }

    /// Removes all keys but the newest one; the key of the owners' hashes stays.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn drop_older(&mut self) -> Result<(), KeyError> {
        self.replace(self.text.clone().without_older())
    }

    /// The old file or the new one is there, whatever happens in between.
    fn replace(&mut self, text: KeyText) -> Result<(), KeyError> {
        let draft = beside(&self.path, "new");
        let replaced = (|| {
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                // What one that was killed left.
                _ => {}
            }
            write(&draft, &text.lines())?;
            // The daemon may run under another account than who changes its keys.
            let old = fs::metadata(&self.path)?;
            std::os::unix::fs::chown(&draft, Some(old.uid()), Some(old.gid()))?;
            fs::rename(&draft, &self.path)?;
            File::open(directory_of(&self.path))?.sync_all()
        })();
        replaced.map_err(failed(&self.path, "changed"))?;
        self.text = text;
        Ok(())
    }
}

/// The value of `IM_DATA_KEY` without all keys but the newest one, for those who keep their keys there.
///
/// # Errors
/// A text that holds no keys.
pub fn without_older(text: &str) -> Result<String, KeyError> {
    let lines = KeyText::parse(text, "IM_DATA_KEY")?.without_older().lines();
    Ok(lines.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn decode(word: &str) -> Option<[u8; KEY_LENGTH]> {
    // As many digits are the base64 form of more bytes, too.
    let mut key = [0; KEY_LENGTH];
    match hex::decode_to_slice(word, &mut key) {
        Ok(()) => Some(key),
        Err(_) => openssl::base64::decode_block(word).ok()?.try_into().ok(),
    }
}
