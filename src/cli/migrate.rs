//! `imd import-db` and `imd export-db`: whole databases of the Python Infrastructure Manager, in and out.

use super::{
    Output,
    database::{CommandError, Progress, beside, configuration, finish, keyring, now, say},
};
use crate::{
    charset::utf8_or_latin1,
    config::{AdminUser, Config, Secret},
    migration::{MigrationError, Outcome, export, export::KnownUsers, import, reference},
    store::{self, Keyring, Store},
};
use clap::Args;
use serde::Deserialize;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

/// Arguments of `imd import-db`.
#[derive(Debug, Args)]
#[command(after_help = "\
Stop IM first, and with SQLite this daemon, too. The database of IM is only read. Infrastructures keep ids, owners, \
machines, logs and dates; those that are here already are skipped, so the import can be repeated. Nothing is asked of the \
clouds. Exit status 1: some could not be imported, which are listed.")]
pub struct ImportArguments {
    /// Database of IM 1.15 to 2.0: what its DATA_DB says, a path, sqlite:///path, mysql://user:password@host/database
    /// or mongodb://user:password@host/database
    url: String,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `imd export-db`.
#[derive(Debug, Args)]
#[command(after_help = "\
Stop this daemon first: two managers of the same machines get in each other's way. What is written is not sealed: \
credentials of machines are in it in clear, as IM keeps them. Owners are kept here as keyed hashes; their passwords come \
from the file of users, and whoever is not in it must be given his infrastructures again by an administrator of IM. \
Infrastructures with pending work are not exported. Exit status 1: some could not be exported, which are listed.")]
pub struct ExportArguments {
    /// Database to write, new or empty, in the form of IM's DATA_DB
    url: String,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Write to a database of IM that holds something, and replace infrastructures of the same ids
    #[arg(long)]
    force: bool,
    /// Users with their passwords, {"users": [{"username": "...", "password": "..."}]}; by default USER_DB and ADMIN_USER
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
}

/// Imports.
pub(super) fn import_db(config: Option<&Path>, arguments: &ImportArguments) -> ExitCode {
    finish(async {
        let config = configuration(config)?;
        let source = reference::open(&arguments.url).await.map_err(MigrationError::from)?;
        let (store, keyring) = if arguments.dry_run { as_it_is(&config).await? } else { ours(&config).await? };
        let mut progress = Progress::new();
        let told = |count, of| progress.at(|| format!("{count} of {of} infrastructures"));
        let outcome = import::import(&*source, &*store, &keyring, arguments.dry_run, now(), told).await?;
        Ok(answer(&outcome, if arguments.dry_run { "would be imported" } else { "imported" }))
    })
}

/// Our database, for this command alone; it is made when it is new, also for keys that belong to another one.
async fn ours(config: &Config) -> Result<(Arc<dyn Store>, Arc<Keyring>), CommandError> {
    let text = config.data_key.as_ref().map(Secret::expose);
    let keyring = Arc::new(Keyring::load(&config.data_key_file, text)?.accepting_new_database());
    Ok((store::open(config.data_db.as_str(), keyring.clone()).await?, keyring))
}

/// Our database without making anything: an empty one in its place when there is none.
async fn as_it_is(config: &Config) -> Result<(Arc<dyn Store>, Arc<Keyring>), CommandError> {
    let found = async {
        let keyring = keyring(config)?;
        Ok::<_, CommandError>((beside(config, &keyring).await?, keyring))
    };
    match found.await {
        Ok(found) => Ok(found),
        Err(error) => {
            say(&format!("taking the database here as empty: {error}"));
            let keyring = Arc::new(Keyring::new([0; 32], &[]));
            Ok((store::open("sqlite::memory:", keyring.clone()).await?, keyring))
        }
    }
}

/// Exports.
pub(super) fn export_db(config: Option<&Path>, arguments: &ExportArguments) -> ExitCode {
    finish(async {
        let config = configuration(config)?;
        let keyring = keyring(&config)?;
        let users = known_users(&config, arguments.users.as_deref())?;
        // It exists; and no daemon may have it, or its infrastructures would go on changing.
        drop(beside(&config, &keyring).await?);
        let store = store::open(config.data_db.as_str(), keyring.clone()).await?;
        let target = match arguments.dry_run {
            true => None,
            false => Some(reference::create(&arguments.url, arguments.force).await.map_err(MigrationError::from)?),
        };
        let mut progress = Progress::new();
        let told = |count, of| progress.at(|| format!("{count} of {of} infrastructures"));
        let users = KnownUsers::new(&users, &keyring);
        let outcome = export::export(&*store, target.as_deref(), &users, now(), told).await?;
        Ok(answer(&outcome, if arguments.dry_run { "would be exported" } else { "exported" }))
    })
}

#[derive(Deserialize)]
struct Users {
    users: Vec<AdminUser>,
}

fn known_users(config: &Config, file: Option<&Path>) -> Result<Vec<AdminUser>, CommandError> {
    let mut known = config.admin_user.clone();
    if let Some(path) = file.or(config.user_db.as_deref()) {
        let failed = |why: String| CommandError::Users { path: path.to_owned(), why };
        let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        // The position, but not the message, which may quote a password.
        let read: Users = serde_json::from_str(&utf8_or_latin1(&text))
            .map_err(|error| failed(format!("line {}, column {}", error.line(), error.column())))?;
        known.extend(read.users);
    }
    Ok(known)
}

fn answer(outcome: &Outcome, done: &str) -> Output {
    let mut stdout = format!("{} infrastructures {done}, {} of them deleted ones\n", outcome.done, outcome.deleted);
    // Writing to a String does not fail.
    if outcome.present > 0 {
        let _ = writeln!(stdout, "{} are here already", outcome.present);
    }
    let mut list = |title: &str, lines: &[(String, String)]| {
        if !lines.is_empty() {
            let _ = writeln!(stdout, "{} {title}:", lines.len());
            for (id, why) in lines {
                let _ = writeln!(stdout, "  {id}: {}", why.replace('\n', " "));
            }
        }
    };
    list(if outcome.notes.len() == 1 { "remark" } else { "remarks" }, &outcome.notes);
    list(&format!("could not be {}", done.trim_start_matches("would be ")), &outcome.failed);
    Output { stdout, stderr: String::new(), success: outcome.failed.is_empty() }
}
