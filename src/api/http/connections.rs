//! Connections: accepting them, bounding them, and ending them in order.

use super::{
    Listener, Tls,
    progress::{AnswerBody, RequestBody, Watched},
};
use crate::bounds::{Budget, Busy, Claim, Holder, Limits, Share, Shares};
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{CONNECTION, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntGauge;
use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::Duration,
};
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

/// Time that every connection has before it may have to make room for others.
const GRACE: Duration = Duration::from_secs(1);
/// How long a connection waits for a place.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that wait for a place, altogether and from one address; further ones are not accepted, or refused.
const WAITING: (usize, usize) = (64, 16);
/// What a connection without a place is told.
const NO_PLACE: &str = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 46\r\n\r\nToo many connections are open, try again later";

/// Bounds of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Largest head of a request (line and headers), bytes; at least 8192.
    pub(crate) max_head: usize,
    /// Connections at the same time. A further one takes the place of the one whose client keeps us waiting for longest.
    pub(crate) max_connections: usize,
    /// Connections from one address at the same time.
    pub(crate) max_from_address: usize,
    /// How long a connection may take for the head of a request, waiting for it included; and for its encryption.
    pub(crate) head_timeout: Duration,
    /// How long a client may leave an answer where it is.
    pub(crate) write_timeout: Duration,
    /// How long running requests may take once the server is to stop.
    pub(crate) drain: Duration,
}

/// Where a request comes from that brings or changes something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The address, where it is known.
    pub(crate) fn of(known: Option<Self>) -> IpAddr {
        known.map_or(Ipv4Addr::UNSPECIFIED.into(), |Self(address)| address)
    }
}

/// What a server does with requests.
pub(crate) trait Serve<B>:
    Service<Request<RequestBody>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<B, S> Serve<B> for S
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
}

/// What an answer holds.
pub(crate) trait ResponseBody:
    Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + Send + 'static
{
}

impl<B> ResponseBody for B where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + Send + 'static
{
}

/// Serves connections until `shutdown` completes; then accepts no more, cancels `stopping`, and gives running requests
/// the time of [`Bounds::drain`]. `open` shows how many connections there are.
pub(crate) async fn serve<B: ResponseBody>(
    listener: Listener,
    bounds: Bounds,
    open: &IntGauge,
    stopping: &CancellationToken,
    service: impl Serve<B>,
    shutdown: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_buf_size(bounds.max_head.max(SMALLEST_HEAD));
    let (all, address) = (bounds.max_connections, bounds.max_from_address);
    let places = Budget::new(Limits { all, address, grace: GRACE, patience: PATIENCE });
    let waiting = Shares::new(WAITING.0, WAITING.1, 0, Duration::ZERO);

    let Listener { socket, tls } = listener;
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        open.set(i64::try_from(connections.len()).unwrap_or(i64::MAX));
        tokio::select! {
            accepted = socket.accept(), if connections.len() < bounds.max_connections.saturating_add(WAITING.0) => {
                match accepted {
                    Ok((stream, peer)) => {
                        // Answers are written at once; waiting for more would only delay them.
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%error, "a connection was lost before it was served");
                        }
                        let mut place = places.join(peer.ip());
                        let wait = match place.try_take(1) {
                            Ok(()) => None,
                            Err(_) => match waiting.try_take(&peer.ip().to_string()) {
                                Ok(wait) => Some(wait),
                                Err(Busy) => {
                                    refuse(&stream, tls.as_ref());
                                    continue;
                                }
                            },
                        };
                        let (http, service, stopping) = (http.clone(), service.clone(), stopping.clone());
                        let connection = Connection { http, bounds, service, stopping, address: peer.ip() };
                        connections.spawn(connection.run(stream, tls.clone(), place, wait));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
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

/// Tells a client that there is no place for it, if it can be told at once.
fn refuse(stream: &TcpStream, tls: Option<&Tls>) {
    if tls.is_none() {
        // It is closed in any case.
        let _ = stream.try_write(NO_PLACE.as_bytes());
    }
}

/// One connection.
struct Connection<S> {
    http: http1::Builder,
    bounds: Bounds,
    service: S,
    stopping: CancellationToken,
    address: IpAddr,
}

impl<S> Connection<S> {
    /// Serves it to its end, or until it has to make room. One that has no place waits for it first, and has a place among
    /// those who wait.
    async fn run<B: ResponseBody>(self, stream: TcpStream, tls: Option<Tls>, mut place: Holder, wait: Option<Share>)
    where
        S: Serve<B>,
    {
        if let Some(_wait) = wait {
            let stopping = self.stopping.clone();
            let placed = tokio::select! {
                placed = place.take(1) => placed,
                () = stopping.cancelled() => return,
            };
            if placed.is_err() {
                return refuse(&stream, tls.as_ref());
            }
        }
        let claim = place.claim().clone();
        let served = async {
            match tls {
                Some(tls) => self.encrypted(tls, stream, &claim).await,
                None => self.serve(stream, &claim).await,
            }
        };
        tokio::select! {
            () = served => {}
            () = claim.lost() => tracing::debug!("a client kept us waiting for too long when others came"),
        }
    }

    /// Agrees on its encryption, then serves it.
    async fn encrypted<B: ResponseBody>(self, tls: Tls, stream: TcpStream, claim: &Arc<Claim>)
    where
        S: Serve<B>,
    {
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(self.bounds.head_timeout, tls.accept(stream)) => accepted,
            () = self.stopping.cancelled() => return,
        };
        match accepted {
            Ok(Ok(stream)) => self.serve(stream, claim).await,
            Ok(Err(error)) => tracing::debug!(%error, "no encryption was agreed on with a client"),
            Err(_) => tracing::debug!("a client took too long to agree on the encryption"),
        }
    }

    /// Serves it to its end.
    async fn serve<B: ResponseBody>(self, stream: impl AsyncRead + AsyncWrite + Unpin, claim: &Arc<Claim>)
    where
        S: Serve<B>,
    {
        let stream = TokioIo::new(Watched::new(stream, claim.clone(), self.bounds.write_timeout));
        let (service, address) = (self.service, self.address);
        let service = service_fn(move |request| answer(service.clone(), request, address, claim));
        let mut connection = pin!(self.http.serve_connection(stream, service));
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

/// Has a request answered by the service. What never comes that far, or ends in a panic, is answered here.
async fn answer<B: ResponseBody, S: Serve<B>>(
    service: S,
    request: Request<Incoming>,
    address: IpAddr,
    claim: &Arc<Claim>,
) -> Result<Response<AnswerBody<B>>, Box<dyn Error + Send + Sync>> {
    let own = |status, text: &'static str| {
        claim.work();
        let mut response = Response::new(AnswerBody::new(Either::Right(Full::from(text)), claim));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(response)
    };
    // A host alone, as CONNECT and proxies are asked for: there is nothing to be found at it.
    if request.uri().path_and_query().is_none() {
        return own(StatusCode::BAD_REQUEST, "The target of the request is not a path.");
    }
    let mut request = request.map(|body| RequestBody::new(body, claim));
    // Reads do without: it would cost each of them an allocation.
    if request.method() != Method::GET {
        request.extensions_mut().insert(ClientAddress(address));
    }
    let call = async move {
        let call = service.call(request);
        call.await
    };
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(answered) => Ok(answered.map_err(Into::into)?.map(|body| AnswerBody::new(Either::Left(body), claim))),
        Err(_) => own(StatusCode::INTERNAL_SERVER_ERROR, "Internal error, see the log of the service."),
    }
}
