//! Sealing of what is stored: AES-256-GCM under the daemon's data key, and keyed hashes of owners.
//!
//! A sealed value is `format (1 byte, 1) | key id (4) | nonce (12) | ciphertext | tag (16)`. The associated data says
//! which row the value belongs to, so that a value moved to another row does not open. Nonces are random: a key is good
//! for 2^32 values (NIST SP 800-38D, 8.3), so put a new key in front of the old ones before that.

use hmac::{Hmac, KeyInit, Mac};
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use sha2::Sha256;
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

const FORMAT: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 12;
const TAG: usize = 16;
const HEAD: usize = 1 + KEY_ID + NONCE;

/// Length of a data key, bytes.
pub const KEY_LENGTH: usize = 32;

/// Why there is no usable data key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file cannot be read or made.
    #[error("the data key file {} cannot be {doing}: {source}; check DATA_KEY_FILE and the rights of its directory", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// "read" or "made".
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
    fn new(main: &[u8; KEY_LENGTH]) -> Self {
        let digest = derive(main, b"imd data key id");
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest[..KEY_ID]);
        Self { id, sealing: derive(main, b"imd sealing") }
    }
}

/// The daemon's data keys: the first one seals, all of them open. The last one also keys the hashes of owners, so it
/// stays when a new key is put in front.
pub struct Keyring {
    newest: Key,
    older: Vec<Key>,
    owners: [u8; KEY_LENGTH],
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.ids()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// The keyring of the daemon: `text` (the value of `IM_DATA_KEY`) when given, otherwise the key file, which is made
    /// with a random key and mode 0600 when it does not exist.
    ///
    /// # Errors
    /// A file that cannot be read, made, or that others may read; a text that holds no key.
    pub fn load(file: &Path, text: Option<&str>) -> Result<Self, KeyError> {
        match text {
            Some(text) => Self::parse(text, "IM_DATA_KEY"),
            None => Self::from_file(file),
        }
    }

    /// A keyring of the main keys given, the newest first.
    #[must_use]
    pub fn new(newest: [u8; KEY_LENGTH], older: &[[u8; KEY_LENGTH]]) -> Self {
        let oldest = older.last().unwrap_or(&newest);
        Self {
            newest: Key::new(&newest),
            older: older.iter().map(Key::new).collect(),
            owners: derive(oldest, b"imd owners"),
        }
    }

    fn from_file(path: &Path) -> Result<Self, KeyError> {
        let failed = |doing| move |source| KeyError::File { path: path.to_owned(), doing, source };
        if !path.try_exists().map_err(failed("read"))? {
            let mut key = [0; KEY_LENGTH];
            openssl::rand::rand_bytes(&mut key).map_err(|error| KeyError::Random(error.to_string()))?;
            create_key_file(path, &openssl::base64::encode_block(&key)).map_err(failed("made"))?;
        }
        let mode = fs::metadata(path).map_err(failed("read"))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let text = fs::read_to_string(path).map_err(failed("read"))?;
        Self::parse(&text, &format!("the data key file {}", path.display()))
    }

    fn parse(text: &str, origin: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed { origin: origin.to_owned() };
        let keys: Vec<[u8; KEY_LENGTH]> =
            text.split_whitespace().map(|word| decode(word).ok_or_else(malformed)).collect::<Result<_, _>>()?;
        let (newest, older) = keys.split_first().ok_or_else(malformed)?;
        Ok(Self::new(*newest, older))
    }

    /// Seals a value for the row that `aad` names.
    ///
    /// # Errors
    /// [`SealError::Failed`] when the library fails or has no random bytes.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let failed = |error: openssl::error::ErrorStack| SealError::Failed(error.to_string());
        let key = &self.newest;
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
        let key = self
            .keys()
            .find(|key| key.id == id)
            .ok_or_else(|| SealError::UnknownKey { sealed: hex(id), available: self.ids().join(", ") })?;
        decrypt_aead(Cipher::aes_256_gcm(), &key.sealing, Some(nonce), aad, ciphertext, tag)
            .map_err(|_| SealError::Damaged)
    }

    /// Keyed hash of an owner, 64 hexadecimal digits: equal for equal name and password, and of no use to somebody who
    /// has the database without the key.
    #[must_use]
    pub fn owner_key(&self, username: &str, password: &str) -> String {
        // The length in front keeps ("ab", "c") and ("a", "bc") apart.
        let length = (username.len() as u64).to_le_bytes();
        hex(&mac(&self.owners, &[&length, username.as_bytes(), password.as_bytes()]))
    }

    fn ids(&self) -> Vec<String> {
        self.keys().map(|key| hex(&key.id)).collect()
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

/// Makes the file with all its content or not at all: two daemons that start together end up with one key.
fn create_key_file(path: &Path, key: &str) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let made = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        // The umask may have taken the owner's rights away.
        file.set_permissions(Permissions::from_mode(0o600))?;
        writeln!(file, "{key}")?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        File::open(directory_of(path))?.sync_all()
    })();
    let removed = fs::remove_file(&draft);
    made.and(removed)
}

/// The directory a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(word: &str) -> Option<[u8; KEY_LENGTH]> {
    let bytes = if word.len() == 2 * KEY_LENGTH && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        (0..word.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&word[at..at + 2], 16).ok())
            .collect::<Option<Vec<_>>>()?
    } else {
        openssl::base64::decode_block(word).ok()?
    };
    bytes.try_into().ok()
}
