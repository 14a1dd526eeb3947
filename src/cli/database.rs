//! What the commands that work on the database share: configuration, errors, progress, a runtime.

use super::{Output, load};
use crate::{
    config::{Config, ConfigErrors, Secret},
    migration::MigrationError,
    store::{
        self, Keyring, StoreError,
        sealing::{KeyError, LOOK},
    },
};
use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long a command waits until running daemons certainly use the keys of a changed key file.
pub(super) const NOTICED: Duration = LOOK.saturating_mul(2);

/// Why such a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("Error connecting with the DB: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error("the file of users {} cannot be read: {why}", path.display())]
    Users { path: PathBuf, why: String },
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl CommandError {
    /// 2 for database and key, as the daemon's.
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Key(_) | Self::Store(_) | Self::Migration(_) => 2,
            _ => 1,
        }
    }
}

/// Runs a command to its end and says what it says.
pub(super) fn finish(command: impl Future<Output = Result<Output, CommandError>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(CommandError::from).and_then(|runtime| runtime.block_on(command)) {
        Ok(answer) if answer.print() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// A line on standard error.
pub(super) fn say(text: &str) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "imd: {text}");
}

/// The configuration, whose warnings are for the daemon.
pub(super) fn configuration(file: Option<&Path>) -> Result<Config, CommandError> {
    Ok(load(file).into_config()?)
}

/// The keys of the configuration.
pub(super) fn keyring(config: &Config) -> Result<Arc<Keyring>, CommandError> {
    let text = config.data_key.as_ref().map(Secret::expose);
    // A key that does not exist is only made for a new database.
    if text.is_none() && !config.data_key_file.exists() {
        return Err(CommandError::Refused(format!(
            "there is no data key file {}: is this the configuration of the daemon?",
            config.data_key_file.display()
        )));
    }
    Ok(Arc::new(Keyring::load(&config.data_key_file, text)?))
}

/// The database, which exists and which a daemon may be using.
pub(super) async fn beside(config: &Config, keyring: &Arc<Keyring>) -> Result<Arc<dyn store::Store>, CommandError> {
    Ok(store::open_beside(config.data_db.as_str(), keyring.clone()).await?)
}

/// Now, seconds since the epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Tells how far a command is, on standard error: every second on a terminal, else every ten.
pub(super) struct Progress {
    last: Instant,
    interval: Duration,
}

impl Progress {
    pub(super) fn new() -> Self {
        let seconds = if std::io::stderr().is_terminal() { 1 } else { 10 };
        Self { last: Instant::now(), interval: Duration::from_secs(seconds) }
    }

    /// Says it when it is time.
    pub(super) fn at(&mut self, text: impl FnOnce() -> String) {
        if self.last.elapsed() >= self.interval {
            self.last = Instant::now();
            say(&text());
        }
    }
}
