//! A proxy in front of a cloud that cannot fail on command: an emulator or a real API on loopback, over plain HTTP. It counts
//! requests, loses them or their replies, refuses them with an answer of the cloud's, and adds latency. What stands behind
//! a connector's `Backstage::fail` and `Backstage::requests`.

use bytes::Bytes;
use connectors::conformance::Fate;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING},
    http::request::Parts,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinHandle,
    time::sleep,
};

/// A proxy on a free port of loopback; it ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    accepting: JoinHandle<()>,
}

/// Where the server behind a proxy is.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// At an address.
    Tcp(SocketAddr),
    /// At a socket of this host.
    Unix(PathBuf),
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<PathBuf> for Upstream {
    fn from(socket: PathBuf) -> Self {
        Self::Unix(socket)
    }
}

/// Requests that are answered here, with what the cloud would say, and never reach it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// How many requests; `u32::MAX` for all that come.
    pub times: u32,
    /// Only requests whose target, `Authorization` or body has this text; any where it is empty.
    pub about: String,
    /// Status of the answer.
    pub status: u16,
    /// Its `Retry-After` in seconds.
    pub retry_after: Option<u32>,
    /// Its content type.
    pub content_type: &'static str,
    /// Its body.
    pub body: String,
}

impl Refusal {
    /// The next `times` requests are told to come again after `seconds`, with nothing but a 429.
    #[must_use]
    pub fn throttle(times: u32, seconds: u32) -> Self {
        let (about, body) = (String::new(), String::new());
        Self { times, about, status: 429, retry_after: Some(seconds), content_type: "text/plain", body }
    }
}

#[derive(Default)]
struct Rules {
    requests: u32,
    seen: Vec<String>,
    failure: Option<(u32, Fate)>,
    refusals: Vec<Refusal>,
    latency: Duration,
    rewritings: Vec<(String, String)>,
}

impl Rules {
    /// The fate of a request, or the answer that it gets from here.
    fn judge(&mut self, head: &Parts, body: &[u8]) -> (Option<Fate>, Option<Refusal>) {
        let who = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let text = format!("{} {who} {}", head.uri, String::from_utf8_lossy(body));
        self.requests += 1;
        let fate = self.failure.filter(|(number, _)| *number == self.requests).map(|(_, fate)| fate);
        let applies = |refusal: &&mut Refusal| refusal.times > 0 && text.contains(&refusal.about);
        let refusal = self.refusals.iter_mut().find(applies).map(|refusal| {
            refusal.times = refusal.times.saturating_sub(u32::from(refusal.times != u32::MAX));
            refusal.clone()
        });
        self.seen.push(text);
        (fate, refusal)
    }
}

impl Proxy {
    /// A proxy of the server at `upstream`: an address, or the path of a socket.
    ///
    /// # Errors
    /// When no port of loopback can be had.
    pub async fn start(upstream: impl Into<Upstream>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let rules: Arc<Mutex<Rules>> = Arc::default();
        let accepting = tokio::spawn(accept(listener, upstream.into(), Arc::clone(&rules)));
        Ok(Self { address, rules, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As [`Backstage::fail`](connectors::conformance::Backstage::fail).
    pub fn fail(&self, request: Option<(u32, Fate)>) {
        let mut rules = self.rules();
        rules.requests = 0;
        rules.failure = request;
        rules.seen.clear();
    }

    /// As [`Backstage::requests`](connectors::conformance::Backstage::requests).
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.rules().requests
    }

    /// Targets, `Authorization` and bodies of the requests since the last [`Proxy::fail`].
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.rules().seen.clone()
    }

    /// Refuses requests from now on, besides those that are refused already.
    pub fn refuse(&self, refusal: Refusal) {
        self.rules().refusals.push(refusal);
    }

    /// Each request waits so long before it goes on.
    pub fn set_latency(&self, latency: Duration) {
        self.rules().latency = latency;
    }

    /// Replaces a text of every body on its way to the cloud, such as the size of its pages.
    pub fn rewrite(&self, text: &str, by: &str) {
        self.rules().rewritings.push((text.to_owned(), by.to_owned()));
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: Upstream, rules: Arc<Mutex<Rules>>) {
    // A listener that fails once is asked again; with no more files there would be no end of it.
    while let Ok((stream, _)) = listener.accept().await {
        let (upstream, rules) = (upstream.clone(), Arc::clone(&rules));
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, upstream.clone(), Arc::clone(&rules)));
            // A connection ends with an error whenever a request is to be lost.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// What a request becomes. An error ends the connection without an answer.
async fn answer(
    request: Request<Incoming>,
    upstream: Upstream,
    rules: Arc<Mutex<Rules>>,
) -> io::Result<Response<Full<Bytes>>> {
    let (mut head, body) = request.into_parts();
    let mut body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let (latency, rewritings, (fate, refusal)) = {
        let mut rules = rules.lock().unwrap_or_else(PoisonError::into_inner);
        (rules.latency, rules.rewritings.clone(), rules.judge(&head, &body))
    };
    for (text, by) in rewritings {
        body = String::from_utf8_lossy(&body).replace(&text, &by).into();
        head.headers.remove(CONTENT_LENGTH);
    }
    sleep(latency).await;
    if fate == Some(Fate::NotDone) {
        return Err(io::Error::other("the request is lost"));
    }
    if let Some(refusal) = refusal {
        return refused(&refusal);
    }
    let request = Request::from_parts(head, Full::new(body));
    let reply = match upstream {
        Upstream::Tcp(address) => forward(request, TcpStream::connect(address).await?).await?,
        Upstream::Unix(socket) => forward(request, UnixStream::connect(socket).await?).await?,
    };
    if fate == Some(Fate::ReplyLost) {
        return Err(io::Error::other("the reply is lost"));
    }
    Ok(reply)
}

fn refused(refusal: &Refusal) -> io::Result<Response<Full<Bytes>>> {
    let status = StatusCode::from_u16(refusal.status).map_err(io::Error::other)?;
    let mut reply = Response::builder().status(status).header(CONTENT_TYPE, refusal.content_type);
    if let Some(seconds) = refusal.retry_after {
        reply = reply.header(RETRY_AFTER, seconds);
    }
    reply.body(Full::new(Bytes::from(refusal.body.clone()))).map_err(io::Error::other)
}

/// One request to the server, on a connection of its own.
async fn forward<S>(request: Request<Full<Bytes>>, stream: S) -> io::Result<Response<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    connection.abort();
    let mut reply = Response::from_parts(head, Full::new(body));
    // Lengths are those of what is sent on from here; each side closes its own connection.
    for name in [TRANSFER_ENCODING, CONTENT_LENGTH, CONNECTION] {
        reply.headers_mut().remove(name);
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server that says how many requests it has seen.
    async fn counting() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for number in 1.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ =
                    stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}").as_bytes()).await;
            }
        });
        address
    }

    /// Everything that comes back for a request; nothing where it is lost.
    async fn ask(proxy: &Proxy, target: &str) -> String {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let request = format!("GET /{target} HTTP/1.1\r\nhost: cloud\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply).await;
        reply
    }

    #[tokio::test]
    async fn requests_are_lost_refused_and_counted() {
        let proxy = Proxy::start(counting().await).await.unwrap();
        assert!(ask(&proxy, "").await.ends_with("\r\n\r\n1"));
        proxy.fail(Some((2, Fate::NotDone)));
        assert!(ask(&proxy, "").await.ends_with("\r\n\r\n2"));
        assert_eq!(ask(&proxy, "").await, "", "not done");
        assert!(ask(&proxy, "").await.ends_with("\r\n\r\n3"));
        assert_eq!(proxy.requests(), 3);
        proxy.fail(Some((1, Fate::ReplyLost)));
        assert_eq!(ask(&proxy, "").await, "", "done, and the reply lost");
        assert!(ask(&proxy, "").await.ends_with("\r\n\r\n5"));
        proxy.refuse(Refusal { about: "servers".to_owned(), ..Refusal::throttle(1, 7) });
        assert!(ask(&proxy, "images").await.ends_with("\r\n\r\n6"));
        let refused = ask(&proxy, "servers").await;
        assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("retry-after: 7"), "{refused}");
        assert!(ask(&proxy, "servers").await.ends_with("\r\n\r\n7"));
    }
}
