//! The file of users (`USER_DB`, docs/spec/api.md 1.6), read again whenever it changes.

use super::authenticator::equal;
use crate::{charset::utf8_or_latin1, config::Secret};
use serde::Deserialize;
use std::{
    collections::HashMap,
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// What tells one content of the file from another: device, inode, length, modification and change time.
type Stamp = (u64, u64, u64, [i64; 4]);

/// The users of a file: `{"users": [{"username": "...", "password": "..."}]}`.
pub(super) struct UserFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// None before the first look.
    stamp: Option<Option<Stamp>>,
    version: u64,
    passwords: Arc<HashMap<String, Vec<Secret>>>,
}

#[derive(Deserialize)]
struct File {
    users: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    username: String,
    #[serde(default)]
    password: Secret,
}

impl UserFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::new(State { stamp: None, version: 0, passwords: Arc::default() }) }
    }

    /// A number that changes with the file.
    pub(super) fn version(&self) -> u64 {
        self.current().0
    }

    /// Whether the file has this pair. A file that is missing or cannot be read admits nobody.
    pub(super) fn admits(&self, username: &str, password: &str) -> bool {
        let (_, passwords) = self.current();
        passwords.get(username).is_some_and(|known| known.iter().any(|known| equal(known.expose(), password)))
    }

    fn current(&self) -> (u64, Arc<HashMap<String, Vec<Secret>>>) {
        let stamp = std::fs::metadata(&self.path).ok().map(|metadata| stamp(&metadata));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stamp != Some(stamp) {
            state.stamp = Some(stamp);
            state.version += 1;
            state.passwords = Arc::new(self.read());
        }
        (state.version, state.passwords.clone())
    }

    fn read(&self) -> HashMap<String, Vec<Secret>> {
        let mut passwords: HashMap<String, Vec<Secret>> = HashMap::new();
        let file = std::fs::read(&self.path)
            .map_err(|error| error.to_string())
            // Only the place: serde's message may quote what is there.
            .and_then(|text| {
                serde_json::from_str::<File>(&utf8_or_latin1(&text))
                    .map_err(|error| format!("line {}, column {} is not as expected", error.line(), error.column()))
            });
        match file {
            Ok(file) => {
                for user in file.users {
                    passwords.entry(user.username).or_default().push(user.password);
                }
            }
            Err(reason) => tracing::error!(
                file = %self.path.display(),
                reason,
                "the file of users (USER_DB) cannot be used: nobody is admitted until it is"
            ),
        }
        passwords
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    (metadata.dev(), metadata.ino(), metadata.len(), times)
}
