//! Where the other daemons of a cluster ask this one: a port of its own, which understands nothing but what daemons that
//! share a data key seal for each other (see [`wire`](crate::engine::cluster::wire)).

use super::http::{
    Listener,
    body::{self, Intake},
    connections::{self, Bounds, ClientAddress},
    progress::RequestBody,
};
use crate::{
    config::Config,
    engine::{
        Engine,
        cluster::{
            ClusterSettings,
            wire::{ASK, HELLO},
        },
    },
    store::Keyring,
};
use bytes::Bytes;
use http_body_util::{BodyDataStream, Full};
use hyper::{Method, Request, Response, StatusCode, service::service_fn};
use prometheus::IntGauge;
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::fs::MetadataExt,
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Largest hello, bytes.
const HELLO_SIZE: usize = 4096;
/// Largest question, bytes: a document and credentials, as JSON.
const QUESTION_SIZE: usize = 64 << 20;
/// How long a message may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// A lease shorter than this would lapse when a host is busy.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);
/// Bounds of the connections of other daemons.
const BOUNDS: Bounds = Bounds {
    max_head: 8192,
    max_connections: 1000,
    max_from_address: 500,
    head_timeout: PATIENCE,
    write_timeout: PATIENCE,
    drain: Duration::from_secs(3),
};

/// Listens where CLUSTER_ADDRESS and CLUSTER_PORT say, and tells what the other daemons must know.
///
/// # Errors
/// The address that was tried, and why it cannot be used.
pub async fn listen(
    config: &Config,
    keyring: Arc<Keyring>,
) -> Result<(Listener, ClusterSettings), (SocketAddr, io::Error)> {
    let address = config.cluster_address.unwrap_or_else(|| address_towards(config.data_db.as_str()));
    let wanted = SocketAddr::from((address, config.cluster_port));
    let open = async {
        let listener = Listener::bind(wanted, None).await?;
        let bound = listener.local_addr()?;
        // One that listens everywhere is reached at one address.
        let reached = if bound.ip().is_unspecified() { address_towards(config.data_db.as_str()) } else { bound.ip() };
        let own = || format!("http://{}", SocketAddr::from((reached, bound.port())));
        let url = config.cluster_url.as_ref().map_or_else(own, |url| url.trim_end_matches('/').to_owned());
        let place = place(bound.port())?;
        Ok((listener, ClusterSettings { url, place, lease_time: config.lease_time.max(SHORTEST_LEASE), keyring }))
    };
    open.await.map_err(|error| (wanted, error))
}

/// The address of this host on the way to the database; loopback where there is none.
fn address_towards(database: &str) -> IpAddr {
    let route = || {
        let (_, rest) = database.split_once("://")?;
        let hosts = rest.split(['/', '?']).next()?.rsplit('@').next()?;
        let host = hosts.split(',').next().filter(|host| !host.is_empty())?;
        let with_port = if host.rsplit(']').next()?.contains(':') { host.to_owned() } else { format!("{host}:3306") };
        // Nothing is sent: connecting such a socket looks the route up.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(with_port).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    route().unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// A port of a network namespace of a running kernel: whoever listens there is the only one.
fn place(port: u16) -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let network = std::fs::metadata("/proc/self/ns/net")?.ino();
    Ok(format!("{}/{network}/{port}", boot.trim()))
}

/// Answers other daemons for as long as this one runs.
pub async fn serve(engine: Engine, listener: Listener) {
    let service = service_fn(move |request: Request<RequestBody>| {
        let engine = engine.clone();
        async move {
            let (status, body) = match answer(&engine, request).await {
                Some(sealed) => (StatusCode::OK, sealed.into()),
                None => (StatusCode::FORBIDDEN, Bytes::new()),
            };
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    match IntGauge::new("peers", "connections of other daemons") {
        Ok(open) => {
            let never = std::future::pending();
            connections::serve(listener, BOUNDS, &open, &CancellationToken::new(), service, never).await;
        }
        Err(error) => tracing::error!(%error, "other daemons cannot ask this one"),
    }
}

async fn answer(engine: &Engine, request: Request<RequestBody>) -> Option<Vec<u8>> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        return None;
    }
    let body = BodyDataStream::new(body);
    let address = ClientAddress::of(head.extensions.get().copied());
    let intake = |limit| Intake { limit, time: PATIENCE, memory: engine.bodies(), address };
    let path = head.uri.path();
    if path == HELLO {
        let sealed = body::collect(&head.headers, body, &intake(HELLO_SIZE)).await.ok()?.0;
        return engine.welcome(&sealed).await;
    }
    let ticket = path.strip_prefix(ASK).filter(|ticket| engine.take_ticket(ticket))?.to_owned();
    let (sealed, held) = body::collect(&head.headers, body, &intake(QUESTION_SIZE)).await.ok()?;
    let question = engine.open_question(&ticket, sealed).await?;
    drop(held);
    // What it does goes on when the daemon that asked goes away.
    let engine = engine.clone();
    tokio::spawn(async move { engine.answer(&ticket, question).await }).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_on_the_way_to_the_database() {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        for url in [
            "sqlite:///im.dat?shared=yes",
            "mysql://im:p@ss@127.0.0.1/im",
            "mysql://127.0.0.1:3307/im",
            "mongodb://im:x@127.0.0.1:27017,10.9.8.7/im?replicaSet=r",
        ] {
            assert_eq!(address_towards(url), loopback, "{url}");
        }
    }
}
