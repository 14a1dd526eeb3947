//! What can go wrong on an SSH connection, in words for users; never a secret.

/// Failure of a connection or of a remote command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// No SSH server answered: refused, no route, no answer in time, or not an SSH server.
    #[error("cannot reach {target} by SSH: {reason}")]
    Unreachable {
        /// `host:port`.
        target: String,
        /// Why.
        reason: String,
    },
    /// The server answered and refused every credential.
    #[error("{target} refused the credentials of user {user}")]
    AuthFailed {
        /// `host:port`.
        target: String,
        /// The login name.
        user: String,
    },
    /// A private key cannot be read, and no other credential worked.
    #[error("invalid private key: {0}")]
    InvalidPrivateKey(String),
    /// The server shows another host key than before.
    #[error(
        "the host key of {target} changed from {expected} to {seen}; if the machine was replaced on purpose create it \
         again, or set CTXT_HOSTKEY = off"
    )]
    HostKeyChanged {
        /// `host:port`.
        target: String,
        /// The key of the first connection (OpenSSH form).
        expected: String,
        /// The key shown now (OpenSSH form).
        seen: String,
    },
    /// The server forbids TCP forwarding.
    #[error("the SSH server forbids forwarding to {target}: {reason}")]
    ForwardingDenied {
        /// `host:port` behind the server.
        target: String,
        /// Why.
        reason: String,
    },
    /// The connection broke or was closed.
    #[error("the SSH connection to {target} broke: {reason}")]
    Disconnected {
        /// `host:port`.
        target: String,
        /// Why.
        reason: String,
    },
    /// A remote command took longer than its limit.
    #[error("a command on {target} did not end within {seconds} s")]
    CommandTimeout {
        /// `host:port`.
        target: String,
        /// The limit.
        seconds: u64,
    },
    /// A remote command could not be started or ended with an error.
    #[error("a command on {target} failed: {reason}")]
    Remote {
        /// `host:port`.
        target: String,
        /// Exit status or reason, with the end of its error output.
        reason: String,
    },
}
