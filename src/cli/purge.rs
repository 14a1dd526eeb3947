//! `imd purge` and `delete_old_infs`: removes old deleted infrastructures from the database.

use super::{
    Output,
    database::{CommandError, Progress, beside, configuration, finish, keyring},
};
use crate::store::purge::{purge, purgeable};
use chrono::{NaiveDate, NaiveTime};
use clap::{Args, Parser};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Arguments of `imd purge`.
#[derive(Debug, Args)]
pub struct PurgeArguments {
    /// Deleted infrastructures that were created before this day (YYYY-MM-DD or YYYY/MM/DD, UTC) are removed
    date: Option<String>,
    /// Only say how many it would be
    #[arg(long)]
    dry_run: bool,
    /// Infrastructures removed in one transaction; a running daemon writes in between
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
}

/// The command line of `delete_old_infs`.
#[derive(Debug, Parser)]
#[command(
    name = "delete_old_infs",
    version,
    about = "Removes old deleted infrastructures from the database of the Infrastructure Manager daemon",
    after_help = "The daemon may be running. Infrastructures that were not deleted stay, however old they are.\n\n\
                  Exit status:\n  0 success, 1 no date or a wrong one, 2 wrong command line or the database or its key \
                  cannot be used"
)]
pub struct DeleteOldInfs {
    /// Read this configuration file instead of searching for im.cfg like the daemon
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    purge: PurgeArguments,
}

impl DeleteOldInfs {
    /// Does it.
    #[must_use]
    pub fn run(self) -> ExitCode {
        run(self.config.as_deref(), &self.purge)
    }
}

/// Removes, or counts, and says how many.
pub(super) fn run(config: Option<&Path>, arguments: &PurgeArguments) -> ExitCode {
    finish(async {
        let before = match arguments.date.as_deref().map(day) {
            None => return Err(CommandError::Refused("No Date specified.".to_owned())),
            Some(None) => return Err(CommandError::Refused("Incorrect date format (YYYY-MM-DD).".to_owned())),
            Some(Some(day)) => day.and_time(NaiveTime::MIN).and_utc().timestamp(),
        };
        let config = configuration(config)?;
        let store = beside(&config, &keyring(&config)?).await?;
        let stdout = if arguments.dry_run {
            format!("{} deleted infrastructures would be removed\n", purgeable(&*store, before).await?)
        } else {
            let mut progress = Progress::new();
            let told = |removed| progress.at(|| format!("{removed} removed"));
            format!(
                "{} deleted infrastructures removed\n",
                purge(&*store, before, arguments.batch as usize, told).await?
            )
        };
        Ok(Output { stdout, stderr: String::new(), success: true })
    })
}

fn day(text: &str) -> Option<NaiveDate> {
    ["%Y-%m-%d", "%Y/%m/%d"].iter().find_map(|form| NaiveDate::parse_from_str(text, form).ok())
}
