//! Where a server listens, and how its connections are encrypted.

use super::Tls;
use std::{io, net::SocketAddr};
use tokio::net::TcpListener;

/// A socket that accepts connections, in clear or over TLS.
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) tls: Option<Tls>,
}

impl Listener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The address is taken, or not of this host.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, tls })
    }

    /// The address it listens on, with the port that was chosen.
    ///
    /// # Errors
    /// The socket has none.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }
}
