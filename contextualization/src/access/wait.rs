//! Waiting until a machine lets us in.

use crate::ssh::SshError;
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait, how often to try, and when a refusal is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitLimits {
    /// The whole wait, attempts included.
    pub timeout: Duration,
    /// Pause after the first attempt; doubled after each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// Refusals within this time of the first answer do not count: images install keys late. Usually a minute.
    pub grace: Duration,
    /// Refusals after which no more are tried.
    pub refusals: u32,
}

impl WaitLimits {
    /// The usual pauses with a given limit (WAIT_SSH_ACCCESS_TIMEOUT).
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            first_pause: Duration::from_millis(500),
            max_pause: Duration::from_secs(5),
            grace: Duration::from_secs(60).min(timeout / 5),
            refusals: 3,
        }
    }
}

/// Repeats `attempt` until it succeeds, is refused for good, or time is over; then gives its last error.
///
/// # Errors
/// The last error of `attempt`; a changed host key, an unreadable private key, forbidden forwarding and a broken carrier
/// at once.
pub async fn wait_ssh<T, F>(limits: &WaitLimits, mut attempt: impl FnMut() -> F) -> Result<T, SshError>
where
    F: Future<Output = Result<T, SshError>>,
{
    let start = Instant::now();
    let mut pause = limits.first_pause;
    let mut answered = None;
    let mut refusals = 0;
    loop {
        let error = match attempt().await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        let now = Instant::now();
        match error {
            // Disconnected concerns the connection that the attempt went through.
            SshError::HostKeyChanged { .. }
            | SshError::InvalidPrivateKey(_)
            | SshError::ForwardingDenied { .. }
            | SshError::Disconnected { .. } => return Err(error),
            SshError::AuthFailed { .. } => {
                let since = *answered.get_or_insert(now);
                refusals += u32::from(now.duration_since(since) >= limits.grace);
                if refusals >= limits.refusals {
                    return Err(error);
                }
            }
            _ => {}
        }
        if now.duration_since(start) + pause >= limits.timeout {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(limits.max_pause);
    }
}
