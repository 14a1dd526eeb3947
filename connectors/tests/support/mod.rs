//! A server on loopback for tests of what speaks HTTP: it keeps every request for the test to look at, and answers by a
//! function of the test's.
//!
//! Each test program uses a part of it.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use openssl::ssl::{Ssl, SslAcceptor};
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};

pub type Body = UnsyncBoxBody<Bytes, Infallible>;
pub type Answer = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Serves until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request<Bytes>>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Answers by `answer`, over TLS where there is an acceptor.
    pub async fn start(answer: Answer, tls: Option<SslAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<_>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen, tls) = (Arc::clone(&answer), Arc::clone(&seen), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, answer, seen).await,
                        Some(acceptor) => {
                            let ssl = Ssl::new(acceptor.context()).unwrap();
                            let mut stream = tokio_openssl::SslStream::new(ssl, stream).unwrap();
                            if Pin::new(&mut stream).accept().await.is_ok() {
                                serve(stream, answer, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests, accepting }
    }

    /// Answers at once, by a plain function.
    pub async fn answering(answer: impl Fn(&Request<Bytes>) -> Response<Body> + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        let answer: Answer = Arc::new(move |request| {
            let answer = Arc::clone(&answer);
            Box::pin(async move { answer(&request) })
        });
        Self::start(answer, None).await
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.requests.lock().unwrap().clone()
    }

    /// Method and target of what it was asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method(), request.uri())).collect()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    answer: Answer,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let request = Request::from_parts(head, body);
            seen.lock().unwrap().push(request.clone());
            Ok::<_, Infallible>(answer(request).await)
        }
    });
    // A client that goes away ends its connection alone.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A reply with a JSON body.
pub fn json(status: u16, value: impl serde::Serialize) -> Response<Body> {
    let body = Full::new(serde_json::to_vec(&value).unwrap().into()).boxed_unsync();
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}

/// A reply without a body.
pub fn empty(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Full::default().boxed_unsync()).unwrap()
}
