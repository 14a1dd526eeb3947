//! A strict simulator of `oned` and its XML-RPC API, after the API's reference (docs.opennebula.io).
//!
//! | module | subject |
//! |---|---|
//! | `rpc` | the protocol, and the signatures of the methods |
//! | `template` | OpenNebula's template syntax |
//! | `cloud` | machines, images, groups, networks, and what the methods do to them |

#![allow(clippy::expect_used, missing_docs)]

mod cloud;
mod rpc;
mod template;

use bytes::Bytes;
use cloud::Cloud;
use connectors::{
    ProviderId,
    conformance::{Backstage, Fate},
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// The account that there is.
pub const USER: &str = "joe";
/// Its password.
pub const PASSWORD: &str = "pa55word";

struct Shared {
    cloud: Mutex<Cloud>,
    faults: Mutex<Faults>,
    latency: Duration,
}

#[derive(Default)]
struct Faults {
    request: Option<(u32, Fate)>,
    requests: u32,
    throttled: u32,
}

/// Serves on loopback until it is dropped.
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Simulator {
    /// Starts one whose machines take `step` from state to state, and whose replies take `latency`.
    pub async fn start(step: Duration, latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
        let address = listener.local_addr().expect("the address of the listener");
        let cloud = Mutex::new(Cloud::new(&format!("{USER}:{PASSWORD}"), step));
        let shared = Arc::new(Shared { cloud, faults: Mutex::default(), latency });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                tokio::spawn(async move {
                    // A client that goes away, or a reply that is lost, ends its connection alone.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, shared, accepting }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds images that all may use.
    pub fn add_images(&self, count: usize) {
        let mut cloud = lock(&self.shared.cloud);
        for number in 0..count {
            cloud.add_image(&format!("more-{number}"), false, false);
        }
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let lost = || std::io::Error::other("the reply is lost");
    let is_rpc = request.uri().path() == "/RPC2";
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    tokio::time::sleep(shared.latency).await;
    let fate = {
        let mut faults = lock(&shared.faults);
        faults.requests += 1;
        if faults.throttled > 0 {
            faults.throttled -= 1;
            let reply = Response::builder().status(503).header("retry-after", "0").body(Full::default());
            return reply.map_err(std::io::Error::other);
        }
        let number = faults.requests;
        faults.request.filter(|(struck, _)| *struck == number).map(|(_, fate)| fate)
    };
    if fate == Some(Fate::NotDone) {
        return Err(lost());
    }
    if !is_rpc {
        return Response::builder().status(404).body(Full::default()).map_err(std::io::Error::other);
    }
    let text = match rpc::request(&String::from_utf8_lossy(&body)) {
        Ok((method, session, arguments)) => rpc::reply(lock(&shared.cloud).call(&method, &session, &arguments)),
        Err(fault) => rpc::fault(fault),
    };
    if fate == Some(Fate::ReplyLost) {
        return Err(lost());
    }
    let reply = Response::builder().header("content-type", "text/xml; charset=utf-8").body(Full::from(text));
    reply.map_err(std::io::Error::other)
}

impl Backstage for Simulator {
    fn fail(&self, request: Option<(u32, Fate)>) {
        *lock(&self.shared.faults) = Faults { request, ..Faults::default() };
    }

    fn requests(&self) -> u32 {
        lock(&self.shared.faults).requests
    }

    fn holdings(&self) -> Vec<String> {
        lock(&self.shared.cloud).holdings()
    }

    fn make_users_volume(&self) -> String {
        let mut cloud = lock(&self.shared.cloud);
        let id = cloud.add_image("volume", true, true);
        format!("one://127.0.0.1/volume/{id}")
    }

    fn delete_users_volume(&self, url: &str) -> bool {
        let id = url.rsplit('/').next().and_then(|id| id.parse().ok());
        id.is_some_and(|id| lock(&self.shared.cloud).delete_users_image(id))
    }

    fn user_data(&self, machine: &ProviderId) -> Option<String> {
        lock(&self.shared.cloud).user_data(machine.0.parse().ok()?)
    }

    fn make_users_network(&self) -> Option<String> {
        Some(lock(&self.shared.cloud).add_network())
    }

    fn limit_machines(&self, most: Option<u32>) -> bool {
        lock(&self.shared.cloud).most_vms = most;
        true
    }

    fn throttle(&self, requests: u32) -> bool {
        lock(&self.shared.faults).throttled = requests;
        true
    }
}
