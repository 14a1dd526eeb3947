//! A byte stream to a TCP port behind an SSH server.

use super::{Endpoint, SshError, SshSession};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::OwnedSemaphorePermit,
};

/// Time for the channel to open.
const OPENING: Duration = Duration::from_secs(30);

/// The stream. It keeps the session open that carries it.
#[derive(Debug)]
pub struct Tunnel {
    stream: UnixStream,
    _session: SshSession,
    _relay: Option<OwnedSemaphorePermit>,
}

impl SshSession {
    /// Connects to a TCP port as the server sees it: a forwarded channel, or a relay command where forwarding is
    /// forbidden.
    ///
    /// # Errors
    /// [`SshError::Unreachable`], and [`SshError::Disconnected`] of this session.
    pub async fn tunnel(&self, endpoint: &Endpoint) -> Result<Tunnel, SshError> {
        let (channel, relay, _) = self.forward(endpoint, OPENING).await?;
        let stream = UnixStream::from_std(channel.stream)
            .map_err(|e| SshError::Unreachable { target: endpoint.to_string(), reason: e.to_string() })?;
        Ok(Tunnel { stream, _session: self.clone(), _relay: relay })
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
