//! From connections to requests.

use super::{
    RestState, Shared,
    dispatch::{self, Incoming},
    metrics::Metrics,
    request,
};
use crate::{
    api::http::{
        Listener,
        connections::{self, Bounds, ClientAddress},
    },
    bounds::Shares,
};
use hyper_util::service::TowerToHyperService;
use std::{io, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use warp::{
    Filter,
    http::{HeaderValue, Method},
};

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
pub async fn serve(state: RestState, listener: Listener, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let settings = state.settings.clone();
    let origin = |text: &String| HeaderValue::from_str(text).map_err(|_| ServeError::Origin(text.clone()));
    let stopping = CancellationToken::new();
    let shared = Arc::new(Shared {
        metrics: Metrics::register(&state.registry)?,
        local: listener.local_addr()?.to_string(),
        https: listener.is_encrypted(),
        cors_origin: settings.cors_origin.as_ref().map(origin).transpose()?,
        changes: Shares::new(settings.max_connections, settings.max_from_address, 0, Duration::ZERO),
        streams: Shares::new(settings.max_streams, settings.max_streams_of_user, 0, Duration::ZERO),
        stopping: stopping.clone(),
        state,
    });
    let bounds = Bounds {
        max_head: settings.max_head,
        max_connections: settings.max_connections,
        max_from_address: settings.max_from_address,
        head_timeout: settings.head_timeout,
        write_timeout: settings.write_timeout,
        drain: settings.drain,
    };
    let open = shared.metrics.connections.clone();
    let service = TowerToHyperService::new(warp::service(filter(shared)));
    connections::serve(listener, bounds, &open, &stopping, service, shutdown).await;
    Ok(())
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
        .and(warp::ext::optional())
        .then(|shared, method: Method, path, query, headers, body, address| {
            let body = matches!(method, Method::POST | Method::PUT).then(|| request::chunks(body));
            dispatch::answer(
                shared,
                Incoming { method, path, query, headers, body, address: ClientAddress::of(address) },
            )
        })
}
