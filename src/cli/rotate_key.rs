//! `imd rotate-key`: a new data key, while the daemon runs.
//!
//! The state of a rotation is in the key file alone: while it has more than one key, the rotation is not complete, and the
//! next call goes on with it. So it can be killed at any moment.

use super::{
    Output,
    database::{CommandError, NOTICED, Progress, beside, configuration, finish, keyring, say},
};
use crate::{
    config::Secret,
    store::{
        Store,
        rotation::reseal,
        sealing::{self, KeyChange},
    },
};
use clap::Args;
use std::{path::Path, process::ExitCode};

/// Arguments of `imd rotate-key`.
#[derive(Debug, Args)]
#[command(after_help = "\
The new key is put in front of the key file, where running daemons find it within a second; then everything is sealed \
anew with it. Called again after an interruption, or while the file still has an older key, it goes on instead of making \
another key. Backups from before still need the older key.

Daemons on several hosts with one database: 1. imd rotate-key --prepare, and copy the key file to all hosts, 2. imd \
rotate-key, and copy the key file, 3. imd rotate-key --drop-old, and copy the key file.

Keys in IM_DATA_KEY: put the new key in front there, restart the daemons, then call this with the same variable; \
--drop-old prints the value to set then on standard output.")]
pub struct RotateKeyArguments {
    /// Only add the new key to the file as the next one, which opens and does not seal yet
    #[arg(long, conflicts_with = "drop_old")]
    prepare: bool,
    /// Remove the older keys when nothing is sealed with them any more
    #[arg(long)]
    drop_old: bool,
    /// Values sealed anew in one transaction; a running daemon writes in between
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
}

/// Rotates.
pub(super) fn run(config: Option<&Path>, arguments: &RotateKeyArguments) -> ExitCode {
    finish(async {
        let config = configuration(config)?;
        let text = config.data_key.as_ref().map(Secret::expose);
        // First, so that no key is made for a database that cannot be used. Later keys are read from the file when needed.
        let keyring = keyring(&config)?;
        let store = beside(&config, &keyring).await?;
        let mut change = match text {
            Some(_) if arguments.prepare => {
                return Err(CommandError::Refused("the keys are in IM_DATA_KEY, not in a file: see --help".to_owned()));
            }
            Some(_) => None,
            None => Some(KeyChange::begin(&config.data_key_file)?),
        };
        if let Some(change) = &mut change {
            if arguments.prepare {
                change.prepare()?;
                return Ok(said(format!("{} has a next key\n", config.data_key_file.display())));
            }
            if change.older() == 0 {
                change.rotate()?;
                say(&format!("the new key {} is in front of {}", change.newest(), config.data_key_file.display()));
            } else {
                say(&format!("going on with the rotation to key {}", change.newest()));
            }
        }
        let values = everything(&*store, arguments.batch).await?;
        let mut stdout = format!("{values} values sealed anew\n");
        match (&mut change, text) {
            _ if !arguments.drop_old => {
                stdout.push_str("the older keys are not needed any more: --drop-old removes them\n")
            }
            (Some(change), _) => {
                change.drop_older()?;
                stdout.push_str("the older keys are removed\n");
            }
            (None, Some(text)) => {
                say(&format!("{values} values sealed anew; IM_DATA_KEY without the older keys:"));
                stdout = sealing::without_older(text)? + "\n";
            }
            (None, None) => {}
        }
        Ok(said(stdout))
    })
}

/// Goes through the database until nothing is left, not even what was on its way when the keys changed.
async fn everything(store: &dyn Store, batch: u32) -> Result<u64, CommandError> {
    let mut values = 0;
    loop {
        tokio::time::sleep(NOTICED).await;
        let mut progress = Progress::new();
        let told = |number, of, sealed| {
            progress.at(|| format!("infrastructure {number} of {of}, {sealed} values sealed anew"))
        };
        let pass = reseal(store, batch as usize, told).await?;
        values += pass.values;
        if !pass.failed.is_empty() {
            let failed: Vec<_> = pass.failed.iter().map(|(id, error)| format!("\n  {id}: {error}")).collect();
            let number = pass.failed.len();
            return Err(CommandError::Refused(format!(
                "{values} values sealed anew, {number} of {} infrastructures cannot be opened; the older keys stay:{}",
                pass.infrastructures,
                failed.concat()
            )));
        }
        if pass.values == 0 {
            return Ok(values);
        }
    }
}

fn said(stdout: String) -> Output {
    Output { stdout, stderr: String::new(), success: true }
}
