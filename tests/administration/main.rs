//! What an operator does with a database: purging, rotating its key, bringing it from and to the reference, and looking
//! for secrets in it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod canary;
mod databases;
#[path = "../support/mariadb.rs"]
mod mariadb;
mod migration;
#[path = "../support/mongo.rs"]
mod mongo;
mod purge;
mod reference;
mod rotation;
#[path = "../support/process.rs"]
mod support;

use support::Daemon;
use tokio::process::Command;

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Exit status.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A command on the database of a daemon.
pub fn imd(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imd"));
    command.args(arguments).args(["--config", "/dev/null"]);
    command.env("IM_DATA_DB", daemon.database()).env("IM_DATA_KEY_FILE", daemon.key());
    command
}

/// Runs a command to its end.
pub async fn said(command: &mut Command) -> Said {
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A document of machines that are configured as soon as they run.
pub fn document(machines: u32) -> String {
    format!(
        "network pub (outbound = 'yes')
system node (
cpu.count >= 1 and
memory.size >= 512m and
net_interface.0.connection = 'pub' and
disk.0.image.url = 'mock0://linux.for.ev.er/image1' and
disk.0.os.name = 'linux' and
disk.0.os.credentials.username = 'root' and
disk.0.os.credentials.password = 'machine-secret'
)
contextualize ()
deploy node {machines}
"
    )
}
