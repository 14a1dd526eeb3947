//! Sealing of what is stored: AES-256-GCM under the daemon's data key, and keyed hashes of owners.
//!
//! The keys are words: main keys of 32 bytes, the newest first, as base64 or hexadecimal; `next=KEY`, which opens values
//! and seals none yet; `owners=KEY`, which keys the hashes of owners. Without it that key is derived from the last main
//! key. It can never be exchanged: of owners there is nothing but their hashes. `database=ID` names a database that was
//! sealed with these keys, so that an empty one in its place is noticed.
//!
//! A sealed value is `format (1 byte, 1) | key id (4) | nonce (12) | ciphertext | tag (16)`. The associated data says
//! which row the value belongs to, so that a value moved to another row does not open. Nonces are random: a key is good
//! for 2^32 values (NIST SP 800-38D, 8.3), so put a new key in front of the old ones before that.

mod key_file;

pub(super) use key_file::directory_of;
pub use key_file::{KeyChange, without_older};

use hmac::{Hmac, KeyInit, Mac};
use key_file::{KeyText, MainKey, Stamp};
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use sha2::Sha256;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

const FORMAT: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 12;
const TAG: usize = 16;
const HEAD: usize = 1 + KEY_ID + NONCE;

/// Length of a data key, bytes.
pub const KEY_LENGTH: usize = 32;

/// How often the key file is looked at while the daemon seals.
pub const LOOK: Duration = Duration::from_secs(1);

/// Why there is no usable data key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file cannot be read or made.
    #[error("the data key file {} cannot be {doing}: {source}; check DATA_KEY_FILE and the rights of its directory", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// "read", "made", "changed" or "removed".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read the key file.
    #[error("the data key file {} may be used by others (mode {mode:03o}): run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The text holds no key, or something that is none.
    #[error("{origin} must hold keys of 32 bytes as base64 or 64 hexadecimal digits, one per line, the newest first")]
    Malformed {
        /// Where the text is from.
        origin: String,
    },
    /// Another program is changing the key file.
    #[error("the data key file {} is being changed by another imd: wait until it has ended", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for a new data key: {0}")]
    Random(String),
}

/// Why a value was not sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealed under a key that is not in the keyring.
    #[error(
        "it was sealed with the data key {sealed}, and the daemon has {available}: give the right DATA_KEY_FILE or IM_DATA_KEY"
    )]
    UnknownKey {
        /// Id of the key it was sealed with.
        sealed: String,
        /// Ids of the keys at hand.
        available: String,
    },
    /// Changed, truncated, or taken from another row.
    #[error("it is damaged or belongs to another row: restore the database from a backup")]
    Damaged,
    /// The cryptography library failed.
    #[error("it cannot be sealed: {0}")]
    Failed(String),
}

struct Key {
    id: [u8; KEY_ID],
    sealing: [u8; KEY_LENGTH],
}

impl Key {
    fn new(main: &MainKey) -> Self {
        let digest = derive(main, b"imd data key id");
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest[..KEY_ID]);
        Self { id, sealing: derive(main, b"imd sealing") }
    }
}

/// The keys: the first one seals, all of them open.
struct Keys {
    newest: Key,
    others: Vec<Key>,
}

impl Keys {
    fn new(text: &KeyText) -> Self {
        Self { newest: Key::new(&text.newest), others: text.older.iter().chain(&text.next).map(Key::new).collect() }
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.newest).chain(&self.others)
    }

    fn ids(&self) -> String {
        self.all().map(|key| hex::encode(key.id)).collect::<Vec<_>>().join(", ")
    }
}

/// The daemon's data keys. Those of a file are read again when it changes, so that they can be changed while the daemon
/// runs: within a second for sealing, at once for a value that no known key opens.
pub struct Keyring {
    keys: RwLock<Arc<Keys>>,
    /// Key of the hashes of owners, which stays whatever becomes of the others.
    owners: [u8; KEY_LENGTH],
    /// Databases that were sealed with these keys.
    databases: Vec<String>,
    /// Whether a database that is none of those may be used.
    accepts_new: bool,
    file: Option<Watched>,
}

/// The file the keys are from, and what was seen of it last.
struct Watched {
    path: PathBuf,
    seen: Mutex<(Instant, Option<Stamp>)>,
    /// Whether it did not exist before.
    made: bool,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.known().ids()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// The keyring of the daemon: `text` (the value of `IM_DATA_KEY`) when given, otherwise the key file, which is made
    /// with a random key and mode 0600 when it does not exist.
    ///
    /// # Errors
    /// A file that cannot be read, made, or that others may read; a text that holds no key.
    pub fn load(file: &Path, text: Option<&str>) -> Result<Self, KeyError> {
        if let Some(text) = text {
            return Ok(Self::of(&KeyText::parse(text, "IM_DATA_KEY")?, None));
        }
        let (text, made) = key_file::read_or_make(file)?;
        // Unseen: whatever has changed since is read with the first value.
        Ok(Self::of(&text, Some(Watched { path: file.to_owned(), seen: Mutex::new((Instant::now(), None)), made })))
    }

    /// A keyring of the main keys given, the newest first.
    #[must_use]
    pub fn new(newest: [u8; KEY_LENGTH], older: &[[u8; KEY_LENGTH]]) -> Self {
        Self::of(&KeyText::of(newest, older), None)
    }

    fn of(text: &KeyText, file: Option<Watched>) -> Self {
        Self {
            keys: RwLock::new(Arc::new(Keys::new(text))),
            owners: text.owners(),
            databases: text.databases.clone(),
            accepts_new: false,
            file,
        }
    }

    /// The same keys, for a database that they did not seal before as well.
    #[must_use]
    pub fn accepting_new_database(self) -> Self {
        Self { accepts_new: true, ..self }
    }

    /// Whether a database may be used with these keys: one they belong to, any one when none is known yet. `id` is none for
    /// an empty database.
    #[must_use]
    pub fn fits(&self, id: Option<&str>) -> bool {
        self.accepts_new || self.databases.is_empty() || id.is_some_and(|id| self.databases.iter().any(|own| own == id))
    }

    /// Notes in the key file that the keys belong to this database from now on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn belong_to(&self, id: &str) -> Result<(), KeyError> {
        match &self.file {
            Some(file) if !self.databases.iter().any(|own| own == id) => KeyChange::begin(&file.path)?.add_database(id),
            _ => Ok(()),
        }
    }

    /// Removes the key file if it was made for this keyring: its key opens nothing. Where it was; none when it stays.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn take_back(&self) -> Result<Option<&Path>, KeyError> {
        match &self.file {
            Some(Watched { path, made: true, .. }) => key_file::remove(path).map(|()| Some(path.as_path())),
            _ => Ok(None),
        }
    }

    fn known(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys as of a second ago at most, or of now.
    fn current(&self, now: bool) -> Arc<Keys> {
        let Some(file) = &self.file else {
            return self.known();
        };
        let mut seen = file.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !now && seen.0.elapsed() < LOOK {
            return self.known();
        }
        let stamp = key_file::stamp(&file.path);
        let changed = seen.1 != stamp;
        *seen = (Instant::now(), stamp);
        if changed {
            self.read_again(&file.path);
        }
        self.known()
    }

    /// Takes the keys of the file, unless they cannot be used: then the daemon goes on with those it has.
    fn read_again(&self, path: &Path) {
        match key_file::read(path) {
            Ok(text) if text.owners() == self.owners => {
                let keys = Arc::new(Keys::new(&text));
                let (before, now) = (self.known().ids(), keys.ids());
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
                if before != now {
                    tracing::info!("data keys now: {now}; before: {before}");
                }
            }
            Ok(_) => tracing::warn!(
                "the data key file has changed and is not used: with it owners would lose their infrastructures; keep \
                 its last key or its line owners="
            ),
            Err(error) => tracing::warn!("the data key file has changed and is not used: {error}"),
        }
    }

    /// Seals a value for the row that `aad` names.
    ///
    /// # Errors
    /// [`SealError::Failed`] when the library fails or has no random bytes.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let failed = |error: openssl::error::ErrorStack| SealError::Failed(error.to_string());
        let key = &self.current(false).newest;
        let (mut nonce, mut tag) = ([0; NONCE], [0; TAG]);
        openssl::rand::rand_bytes(&mut nonce).map_err(failed)?;
        let ciphertext =
            encrypt_aead(Cipher::aes_256_gcm(), &key.sealing, Some(&nonce), aad, plain, &mut tag).map_err(failed)?;
        Ok([&[FORMAT], &key.id[..], &nonce, &ciphertext, &tag].concat())
    }

    /// Opens a value sealed for the row that `aad` names.
    ///
    /// # Errors
    /// An unknown key, or a value that is not what was sealed for this row.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        if sealed.len() < HEAD + TAG || sealed[0] != FORMAT {
            return Err(SealError::Damaged);
        }
        let (head, rest) = sealed.split_at(HEAD);
        let (ciphertext, tag) = rest.split_at(rest.len() - TAG);
        let (id, nonce) = head[1..].split_at(KEY_ID);
        let has = |keys: &Keys| keys.all().any(|key| key.id == id);
        let keys = Some(self.known()).filter(|keys| has(keys)).unwrap_or_else(|| self.current(true));
        // Key ids are short: two keys may share one.
        let mut fitting = keys.all().filter(|key| key.id == id).peekable();
        if fitting.peek().is_none() {
            return Err(SealError::UnknownKey { sealed: hex::encode(id), available: keys.ids() });
        }
        fitting
            .find_map(|key| decrypt_aead(Cipher::aes_256_gcm(), &key.sealing, Some(nonce), aad, ciphertext, tag).ok())
            .ok_or(SealError::Damaged)
    }

    /// How every value begins that is sealed with the newest key.
    #[must_use]
    pub fn newest_mark(&self) -> [u8; 1 + KEY_ID] {
        let [a, b, c, d] = self.current(false).newest.id;
        [FORMAT, a, b, c, d]
    }

    /// Keyed hash of an owner, 64 hexadecimal digits: equal for equal name and password, and of no use to somebody who
    /// has the database without the key.
    #[must_use]
    pub fn owner_key(&self, username: &str, password: &str) -> String {
        // The length in front keeps ("ab", "c") and ("a", "bc") apart.
        let length = (username.len() as u64).to_le_bytes();
        hex::encode(mac(&self.owners, &[&length, username.as_bytes(), password.as_bytes()]))
    }
}

fn newest_of(text: &KeyText) -> String {
    hex::encode(Key::new(&text.newest).id)
}

fn mac(key: &[u8; KEY_LENGTH], parts: &[&[u8]]) -> [u8; 32] {
    // A key shorter than the block of the hash is padded with zeros (RFC 2104).
    let mut block = [0; 64];
    block[..KEY_LENGTH].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn derive(main: &[u8; KEY_LENGTH], purpose: &[u8]) -> [u8; KEY_LENGTH] {
    mac(main, &[purpose])
}
