//! Removes old deleted infrastructures from the database; the name it has had in the Python Infrastructure Manager.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    imd::cli::DeleteOldInfs::parse().run()
}
