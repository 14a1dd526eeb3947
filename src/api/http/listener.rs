//! Where a server listens, and how its connections are encrypted.

use super::Tls;
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// What the system keeps of answers that a client does not take, bytes for each connection.
const UNREAD: u32 = 128 << 10;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

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
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A daemon that is started again finds its port, whatever connections of the former one are ending there.
        socket.set_reuseaddr(true)?;
        // What is accepted has it from here.
        socket.set_send_buffer_size(UNREAD)?;
        socket.bind(address)?;
        Ok(Self { socket: socket.listen(BACKLOG)?, tls })
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
