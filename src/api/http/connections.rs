//! Connections: accepting them, bounding them, and ending them in order.

use super::{Listener, Tls};
use hyper::{Request, Response, body::Body, body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntGauge;
use std::{error::Error, pin::pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// The smallest buffer for heads that hyper takes.
const SMALLEST_HEAD: usize = 8192;

/// Pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Bounds of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Largest head of a request (line and headers), bytes; at least 8192.
    pub(crate) max_head: usize,
    /// Connections at the same time; further ones wait.
    pub(crate) max_connections: usize,
    /// How long a connection may take for the head of a request, waiting for it included; and for its encryption.
    pub(crate) head_timeout: Duration,
    /// How long running requests may take once the server is to stop.
    pub(crate) drain: Duration,
}

/// What a server does with requests.
pub(crate) trait Serve<B>:
    Service<Request<Incoming>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<B, S> Serve<B> for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
}

/// Serves connections until `shutdown` completes; then accepts no more, cancels `stopping`, and gives running requests
/// the time of [`Bounds::drain`]. `open` shows how many connections there are.
pub(crate) async fn serve<B>(
    listener: Listener,
    bounds: Bounds,
    open: &IntGauge,
    stopping: &CancellationToken,
    service: impl Serve<B>,
    shutdown: impl Future<Output = ()>,
) where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_buf_size(bounds.max_head.max(SMALLEST_HEAD));

    let Listener { socket, tls } = listener;
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        open.set(i64::try_from(connections.len()).unwrap_or(i64::MAX));
        tokio::select! {
            accepted = socket.accept(), if connections.len() < bounds.max_connections => match accepted {
                Ok((stream, _)) => {
                    // Answers are written at once; waiting for more would only delay them.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection was lost before it was served");
                    }
                    let connection = Connection { http: http.clone(), service: service.clone(), stopping: stopping.clone() };
                    match tls.clone() {
                        Some(tls) => connections.spawn(connection.encrypted(tls, stream, bounds.head_timeout)),
                        None => connections.spawn(connection.serve(stream)),
                    };
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(socket);
    stopping.cancel();
    let drained = tokio::time::timeout(bounds.drain, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time and are cut");
        connections.shutdown().await;
    }
}

/// One connection.
struct Connection<S> {
    http: http1::Builder,
    service: S,
    stopping: CancellationToken,
}

impl<S> Connection<S> {
    /// Agrees on its encryption, then serves it.
    async fn encrypted<B>(self, tls: Tls, stream: TcpStream, limit: Duration)
    where
        S: Serve<B>,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(limit, tls.accept(stream)) => accepted,
            () = self.stopping.cancelled() => return,
        };
        match accepted {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "no encryption was agreed on with a client"),
            Err(_) => tracing::debug!("a client took too long to agree on the encryption"),
        }
    }

    /// Serves it to its end.
    async fn serve<B>(self, stream: impl AsyncRead + AsyncWrite + Unpin)
    where
        S: Serve<B>,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), self.service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
