//! Failures of the access phase as the outside sees them.

use super::{AccessError, InvalidProxy};
use crate::{
    contract::{ErrorCode, VmError},
    ssh::SshError,
};

/// Name of the phase in a [`VmError`].
pub const PHASE: &str = "access";

/// A failure of this phase.
pub(super) fn failure(code: ErrorCode, message: impl Into<String>) -> VmError {
    VmError::new(code, PHASE, message)
}

impl From<SshError> for VmError {
    fn from(error: SshError) -> Self {
        let code = match error {
            SshError::AuthFailed { .. } | SshError::InvalidPrivateKey(_) => ErrorCode::SshAuth,
            SshError::HostKeyChanged { .. } => ErrorCode::HostkeyChanged,
            SshError::Unreachable { .. } | SshError::ForwardingDenied { .. } | SshError::CommandTimeout { .. } => {
                ErrorCode::SshTimeout
            }
            SshError::Disconnected { .. } => ErrorCode::Unreachable,
            SshError::Remote { .. } => ErrorCode::Internal,
        };
        failure(code, error.to_string())
    }
}

impl From<AccessError> for VmError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Ssh(error) => error.into(),
            AccessError::SudoDenied { .. } => failure(ErrorCode::SudoDenied, error.to_string()),
            AccessError::KeysRefused(_) | AccessError::NewlineInPassword | AccessError::Unexpected(_) => {
                failure(ErrorCode::Internal, error.to_string())
            }
        }
    }
}

impl From<InvalidProxy> for VmError {
    fn from(error: InvalidProxy) -> Self {
        failure(ErrorCode::ProxyFailed, error.to_string())
    }
}

/// The end of the message `Error Waiting the Master VM to have the SSH active: ...` (docs/spec/contextualization.md 1.8).
#[must_use]
pub fn wait_text(error: &VmError, ip: &str) -> String {
    match error.code {
        ErrorCode::SshAuth => format!("Error connecting with ip: {ip} incorrect credentials."),
        ErrorCode::SshTimeout | ErrorCode::Unreachable => "Timeout waiting SSH access.".to_owned(),
        _ => error.message.clone(),
    }
}
