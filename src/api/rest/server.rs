//! Connections: accepting them, bounding them, and ending them in order.

use super::{
    RestState, Shared,
    dispatch::{self, Incoming},
    metrics::Metrics,
    request,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use warp::{
    Filter,
    http::{HeaderValue, Method},
};

/// The smallest buffer for heads that hyper takes.
const SMALLEST_HEAD: usize = 8192;

/// Pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket has no address.
    #[error("the REST socket cannot be used: {0}")]
    Socket(#[from] io::Error),
    /// The registry has metrics of the same names: one server per registry.
    #[error("the metrics of the REST API cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// CORS_ORIGIN cannot stand in a header.
    #[error("CORS_ORIGIN is not a valid header value: {0:?}")]
    Origin(String),
}

/// Serves the API on `listener` until `shutdown` completes; then accepts no more, ends the event streams, and gives
/// running requests the time of [`super::RestSettings::drain`].
///
/// # Errors
/// Only at the start.
pub async fn serve(
    state: RestState,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let settings = state.settings.clone();
    let origin = |text: &String| HeaderValue::from_str(text).map_err(|_| ServeError::Origin(text.clone()));
    let shared = Arc::new(Shared {
        metrics: Metrics::register(&state.registry)?,
        local: listener.local_addr()?.to_string(),
        cors_origin: settings.cors_origin.as_ref().map(origin).transpose()?,
        streams: Arc::new(Semaphore::new(settings.max_streams)),
        stopping: CancellationToken::new(),
        state,
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_buf_size(settings.max_head.max(SMALLEST_HEAD));

    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        shared.metrics.connections.set(i64::try_from(connections.len()).unwrap_or(i64::MAX));
        tokio::select! {
            accepted = listener.accept(), if connections.len() < settings.max_connections => match accepted {
                Ok((stream, _)) => {
                    // Answers are written at once; waiting for more would only delay them.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection was lost before it was served");
                    }
                    connections.spawn(connection(http.clone(), shared.clone(), stream));
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
    drop(listener);
    shared.stopping.cancel();
    let drained = tokio::time::timeout(settings.drain, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time and are cut");
        connections.shutdown().await;
    }
    Ok(())
}

/// Serves one connection to its end.
async fn connection(http: http1::Builder, shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = TowerToHyperService::new(warp::service(filter(shared.clone())));
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shared.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// One filter for all requests: the table in `routes` decides, so no request walks through a chain of them.
fn filter(
    shared: Arc<Shared>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || shared.clone())
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|shared, method: Method, path, query, headers, body| {
            let body = matches!(method, Method::POST | Method::PUT).then(|| request::body(body));
            dispatch::answer(shared, Incoming { method, path, query, headers, body })
        })
}
