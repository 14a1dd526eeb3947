//! Windows Remote Management as far as the access phase needs it: does a machine answer, is a password right, set another
//! one. HTTPS with basic authentication through the master's SSH connection, so that first passwords never touch the
//! master; certificates are self-signed and not checked (docs/spec/contextualization.md 1.12).
//!
//! | module | subject |
//! |---|---|
//! | `http` | one connection: TLS, requests, answers |
//! | `soap` | messages of MS-WSMV and WS-Management, made and read |
//! | `shell` | a remote shell and a command in it |

mod http;
mod shell;
mod soap;

use crate::ssh::{Endpoint, SshError, SshSession};
use openssl::base64;
use shell::Shell;
use std::time::Duration;

/// Reads the account and its new password from standard input, so that neither is ever on a command line.
const SET_PASSWORD: &str = include_str!("set_password.ps1");

/// Why a Windows machine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WinRmError {
    /// The way to it.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// Wrong user or password, or basic authentication is switched off.
    #[error(
        "WinRM at {target} refuses user {user}: check user and password, and that the service allows basic authentication"
    )]
    Refused {
        /// Where.
        target: String,
        /// Who.
        user: String,
    },
    /// It does not accept the new password.
    #[error("the machine refused the new password: {reason}")]
    Rejected {
        /// What it said.
        reason: String,
    },
    /// It answered something else than expected.
    #[error("WinRM at {target}: {reason}")]
    Failed {
        /// Where.
        target: String,
        /// What.
        reason: String,
    },
}

/// A WinRM service as the master sees it, and how long one request to it may take.
#[derive(Debug, Clone, Copy)]
pub struct WinRm<'a> {
    via: &'a SshSession,
    endpoint: &'a Endpoint,
    limit: Duration,
}

impl<'a> WinRm<'a> {
    /// The service at `endpoint`, reached through `via`.
    #[must_use]
    pub fn new(via: &'a SshSession, endpoint: &'a Endpoint, limit: Duration) -> Self {
        Self { via, endpoint, limit }
    }

    /// Whether it answers TLS.
    ///
    /// # Errors
    /// [`WinRmError::Ssh`] when it does not.
    pub async fn probe(&self) -> Result<(), WinRmError> {
        self.within(http::connect(self.via, self.endpoint)).await.map(drop)
    }

    /// Whether it lets the user in.
    ///
    /// # Errors
    /// [`WinRmError`].
    pub async fn login(&self, user: &str, password: &str) -> Result<(), WinRmError> {
        let visit = async {
            let mut shell = Shell::open(self.via, self.endpoint, user, password).await?;
            shell.close().await
        };
        self.within(visit).await
    }

    /// Sets another password for the user, literally, whatever characters it has.
    ///
    /// # Errors
    /// [`WinRmError`].
    pub async fn set_password(&self, user: &str, password: &str, new: &str) -> Result<(), WinRmError> {
        let encoded = |text: &str| base64::encode_block(text.as_bytes());
        let input = format!("{}\r\n{}\r\n", encoded(&account(user)), encoded(new));
        let change = async {
            let mut shell = Shell::open(self.via, self.endpoint, user, password).await?;
            let done = shell.powershell(SET_PASSWORD, &input).await?;
            shell.close().await?;
            if done.status == 0 {
                return Ok(());
            }
            Err(WinRmError::Rejected { reason: soap::error_text(&done.stderr) })
        };
        self.within(change).await
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, WinRmError>>) -> Result<T, WinRmError> {
        let late =
            || SshError::Unreachable { target: self.endpoint.to_string(), reason: "no answer in time".to_owned() };
        tokio::time::timeout(self.limit, work).await.unwrap_or_else(|_| Err(late().into()))
    }
}

/// An account as ADSI names it: `.` stands for the machine itself.
fn account(user: &str) -> String {
    let (domain, name) = user.split_once('\\').unwrap_or((".", user));
    format!("WinNT://{domain}/{name},user")
}
