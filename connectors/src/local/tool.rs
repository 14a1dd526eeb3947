//! Calls of the host's command line tools, and errors of the system in words for users.

use crate::error::{ConnectorError, ErrorClass};
use std::{
    fmt::Display,
    io::Write,
    process::{Command, Stdio},
};

pub(super) type Result<T> = std::result::Result<T, ConnectorError>;

/// Turns a failed call of the system into an error that says what was being done.
pub(super) trait During<T> {
    fn during(self, what: impl Display) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> During<T> for std::result::Result<T, E> {
    fn during(self, what: impl Display) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            let class = match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::OutOfMemory => ErrorClass::Capacity,
                std::io::ErrorKind::PermissionDenied => ErrorClass::Denied,
                _ => ErrorClass::Transient,
            };
            ConnectorError::new(class, format!("local cloud: {what}: {error}"))
        })
    }
}

/// Runs what follows unless the process with the number in `$0` has died meanwhile: then no signal will tell of its death.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// Runs a tool to its end with `input` on its standard input and returns its output. It ends with this process: what a
/// dead daemon was doing does not go on beside its successor, which holds the locks by then.
///
/// # Errors
/// `Transient` with what the tool wrote to its standard error.
pub(super) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let own_pid = std::process::id().to_string();
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "sh", "-c", UNLESS_ORPHANED, &own_pid, program])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .during(format_args!("starting {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that stops reading says why in its exit state.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().during(format_args!("waiting for {program}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let fault = String::from_utf8_lossy(&output.stderr);
    Err(ConnectorError::new(ErrorClass::Transient, format!("local cloud: {program} failed: {}", fault.trim())))
}

/// Whether a program is on the PATH.
pub(super) fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
