//! SSH: one asynchronous session type, [`SshSession`], over libssh2.
//!
//! A session is one connection with any number of channels on it: commands, streams, uploads, and further sessions
//! behind the first one. How libssh2 is driven is visible in `login`, `actor` and `bridge` only.

mod actor;
mod bridge;
mod error;
pub mod keys;
mod limits;
mod login;
mod quote;
mod session;
mod slots;
mod tunnel;
mod waste;

pub use error::SshError;
pub use limits::{Admission, SshLimits};
pub use quote::quote;
pub use session::{ExecStream, SshSession, TarEntry};
pub use tunnel::Tunnel;

use std::{fmt, time::Duration};

/// Where an SSH server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint from its parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A credential that may open the door.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Login {
    /// Password; also answered to keyboard-interactive prompts.
    Password(String),
    /// Text of a private key (RSA, ECDSA or Ed25519; PEM or OpenSSH form, CRLF tolerated), without passphrase.
    PrivateKey(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(***)",
            Self::PrivateKey(_) => "PrivateKey(***)",
        })
    }
}

/// What to make of the server's host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyPolicy {
    /// The key seen at the first connection (OpenSSH form `ssh-ed25519 AAAA...`), none before.
    pub expected: Option<String>,
    /// Whether another key than the expected one is an error.
    pub check: bool,
}

impl HostKeyPolicy {
    /// Trust on first use: the expected key, if any, must be shown.
    #[must_use]
    pub fn tofu(expected: Option<String>) -> Self {
        Self { expected, check: true }
    }

    /// Any key is accepted.
    #[must_use]
    pub fn off() -> Self {
        Self { expected: None, check: false }
    }
}

/// Whom to connect to, as whom, and how long that may take.
#[derive(Debug, Clone)]
pub struct ConnectRequest {
    /// The server.
    pub endpoint: Endpoint,
    /// Login name.
    pub user: String,
    /// Credentials in the order to try.
    pub logins: Vec<Login>,
    /// What to make of its host key.
    pub host_key: HostKeyPolicy,
    /// Time for all of it.
    pub timeout: Duration,
}

/// When a connection is asked for a sign of life, and when it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence after which the server is asked.
    pub interval: Duration,
    /// Unanswered questions that break the connection.
    pub missed: u32,
    /// A connection without channels for this time is closed.
    pub idle: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(15), missed: 4, idle: Duration::from_secs(120) }
    }
}

/// Bounds on what a remote command may send and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecLimits {
    /// Bytes of standard output kept; some megabytes more are read and dropped, then the command is ended.
    pub stdout: usize,
    /// Bytes of standard error kept; the same holds for the rest.
    pub stderr: usize,
    /// Time until the channel is closed.
    pub time: Duration,
}

impl Default for ExecLimits {
    fn default() -> Self {
        Self { stdout: 1 << 20, stderr: 64 << 10, time: Duration::from_secs(60) }
    }
}

impl ExecLimits {
    /// The default sizes with another time limit.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self { time, ..Self::default() }
    }
}

/// How a remote command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit status; 128 + signal number when a signal ended it.
    pub status: i32,
    /// Standard error, at most the limit.
    pub stderr: Vec<u8>,
}

/// What a remote command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 + signal number when a signal ended it.
    pub status: i32,
    /// Standard output, at most the limit.
    pub stdout: Vec<u8>,
    /// Standard error, at most the limit.
    pub stderr: Vec<u8>,
    /// Whether standard output was longer than the limit.
    pub truncated: bool,
}

impl Output {
    /// Whether the status is 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }
}
