//! The command line of `imd`.

mod check_config;
mod database;
mod local;
mod migrate;
mod purge;
mod radl;
mod rotate_key;
mod tosca;

use crate::{
    charset::utf8_or_latin1,
    config::{self, Config, Report},
};
use clap::{Parser, Subcommand};
use std::{ffi::OsString, io::Write, os::unix::ffi::OsStringExt, path::PathBuf, process::ExitCode};

pub use purge::DeleteOldInfs;
pub use radl::{ErrorFormat, OutputForm};

const ABOUT: &str = "Infrastructure Manager daemon: RADL documents become configured virtual machines";

const AFTER_HELP: &str = "\
Files:
  im.cfg        options; without --config read from the directory of the program or its parent, from etc/ below
                that, and from /etc/im, later files overriding earlier ones option by option. etc/im.cfg of the
                distribution documents every option
  DATA_DB       database, by default /etc/im/inf.dat
  DATA_KEY_FILE key that seals the database, by default /var/lib/imd/data.key; keep a copy apart from it
  LOG_FILE      log, by default /var/log/im/im.log and three older ones beside it

Environment:
  IM_<OPTION>             sets an option of [im], e.g. IM_DATA_DB; wins over the files
  IM_<SECTION>_<OPTION>   sets an option of another section, e.g. IM_LOCAL_ENABLED
  IM_SINGLE_SITE_ONE_HOST host of the one OpenNebula that is used
  RUST_LOG                what is logged, e.g. debug or imd::engine=trace; wins over LOG_LEVEL

Signals:
  SIGTERM, SIGINT, SIGHUP stop the daemon in a few seconds; what is running is gone on with at the next start

Exit status:
  0 success, 1 a document or configuration has errors, the daemon cannot start or a command did not do everything,
  2 wrong command line or the database or its key cannot be used";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "imd", version, about = ABOUT, after_help = AFTER_HELP)]
pub struct Arguments {
    /// Read this configuration file instead of searching for im.cfg
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Run with an empty database or another one, though the data key belongs to a database that is not there any more
    #[arg(long)]
    pub new_database: bool,
    /// What to do; without it the daemon runs
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Says what the configuration is and what is wrong with it
    CheckConfig,
    /// Parses, checks and prints a RADL document
    Radl(radl::RadlArguments),
    /// Reads a TOSCA document and shows the RADL that it becomes
    Tosca(tosca::ToscaArguments),
    /// Removes old deleted infrastructures from the database
    Purge(purge::PurgeArguments),
    /// Seals the database with a new data key
    RotateKey(rotate_key::RotateKeyArguments),
    /// Brings the infrastructures of a database of the Python Infrastructure Manager (IM) here
    ImportDb(migrate::ImportArguments),
    /// Writes all infrastructures to a database that IM can serve
    ExportDb(migrate::ExportArguments),
    /// Lists the nodes of the local cloud on this host, and cleans those without a record
    #[command(subcommand)]
    Local(local::LocalCommand),
}

/// What the command line asks for, sub-commands being done already.
#[derive(Debug)]
pub enum Invocation {
    /// The process ends with this status.
    Done(ExitCode),
    /// The daemon runs.
    Run {
        /// With this configuration.
        config: Box<Config>,
        /// Complaints about it for its log.
        warnings: Vec<config::Problem>,
        /// Whether the database may be one that the data key does not belong to.
        new_database: bool,
    },
}

/// Does what the command line asks for, or gives back the configuration the daemon is to run with.
#[must_use]
pub fn run(arguments: Arguments) -> Invocation {
    let done = |success: bool| Invocation::Done(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    let config = arguments.config.as_deref();
    if arguments.new_database && arguments.command.is_some() {
        database::say("--new-database is for the daemon, not for its commands");
        return done(false);
    }
    match arguments.command {
        Some(Command::Radl(arguments)) => done(radl::run(&arguments).print()),
        Some(Command::Tosca(arguments)) => done(tosca::run(&arguments).print()),
        Some(Command::CheckConfig) => done(check_config::run(&load(config)).print()),
        Some(Command::Purge(arguments)) => Invocation::Done(purge::run(config, &arguments)),
        Some(Command::RotateKey(arguments)) => Invocation::Done(rotate_key::run(config, &arguments)),
        Some(Command::ImportDb(arguments)) => Invocation::Done(migrate::import_db(config, &arguments)),
        Some(Command::ExportDb(arguments)) => Invocation::Done(migrate::export_db(config, &arguments)),
        Some(Command::Local(command)) => Invocation::Done(local::run(config, &command)),
        None => {
            let report = load(config);
            let warnings = report.warnings.clone();
            match report.into_config() {
                Ok(config) => {
                    Invocation::Run { config: Box::new(config), warnings, new_database: arguments.new_database }
                }
                Err(errors) => {
                    // A closed standard error leaves nobody to tell.
                    let _ = writeln!(std::io::stderr(), "imd: {errors}");
                    done(false)
                }
            }
        }
    }
}

fn load(file: Option<&std::path::Path>) -> Report {
    let program = std::env::current_exe().unwrap_or_default();
    let text = |value: OsString| utf8_or_latin1(&value.into_vec()).into_owned();
    config::load(file, &program, std::env::vars_os().map(|(name, value)| (text(name), text(value))))
}

/// What a sub-command says: sub-commands are functions to values, so that tests need no process.
#[derive(Debug, Default, PartialEq, Eq)]
struct Output {
    stdout: String,
    stderr: String,
    success: bool,
}

impl Output {
    /// Prints both texts; whether the process is to end with success. A reader that went away is no failure of ours.
    fn print(&self) -> bool {
        let _ = std::io::stdout().write_all(self.stdout.as_bytes());
        let _ = std::io::stderr().write_all(self.stderr.as_bytes());
        self.success
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_help_names_files_environment_and_signals() {
        Arguments::command().debug_assert();
        let help = Arguments::command().render_long_help().to_string();
        for word in [
            "check-config",
            "radl",
            "purge",
            "rotate-key",
            "import-db",
            "export-db",
            "local",
            "--config",
            "im.cfg",
            "IM_DATA_DB",
            "RUST_LOG",
            "SIGTERM",
            "Exit status",
        ] {
            assert!(help.contains(word), "{word}");
        }
        let arguments = Arguments::try_parse_from(["imd", "check-config", "--config", "x"]).unwrap();
        assert!(matches!(arguments.command, Some(Command::CheckConfig)));
        assert_eq!(arguments.config, Some(PathBuf::from("x")));
        assert!(Arguments::try_parse_from(["imd", "--config", "x"]).unwrap().command.is_none());
        let arguments = Arguments::try_parse_from(["imd", "--new-database", "check-config"]).unwrap();
        assert!(matches!(run(arguments), Invocation::Done(code) if code == ExitCode::FAILURE));
    }
}
