//! From connections to calls: paths, methods, bodies and their compression (docs/spec/api.md 3.1).

use super::{Shared, XmlRpcState, dispatch, metrics::Metrics};
use crate::api::http::{
    Listener,
    body::{self, BodyError},
    connections::{self, Bounds},
    gzip,
};
use bytes::Bytes;
use http_body_util::{BodyDataStream, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, http::HeaderValue, service::service_fn};
use std::{convert::Infallible, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Answers of more bytes are compressed for clients that take it.
const WORTH_COMPRESSING: usize = 1400;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The registry has metrics of the same names: one server per registry.
    #[error("the metrics of the XML-RPC API cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Serves the API on `listener` until `shutdown` completes; then accepts no more, and gives running calls the time of
/// [`super::XmlRpcSettings::drain`].
///
/// # Errors
/// Only at the start.
pub async fn serve(
    state: XmlRpcState,
    listener: Listener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let bounds = Bounds {
        max_head: state.settings.max_head,
        max_connections: state.settings.max_connections,
        head_timeout: state.settings.head_timeout,
        drain: state.settings.drain,
    };
    let shared = Arc::new(Shared { metrics: Metrics::register(&state.registry)?, state });
    let open = shared.metrics.connections.clone();
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(shared, request).await.unwrap_or_else(Refusal::response)) }
    });
    connections::serve(listener, bounds, &open, &CancellationToken::new(), service, shutdown).await;
    Ok(())
}

/// A request that is not a call.
struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    fn response(self) -> Response<Full<Bytes>> {
        let mut response = response("text/plain; charset=utf-8", self.text.into());
        *response.status_mut() = self.status;
        // What is left of the request is not read, so the connection cannot go on.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

fn response(kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
    if request.method() != Method::POST {
        let text = format!("Unsupported method ('{}')", request.method());
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
    }
    if !matches!(request.uri().path(), "/" | "/RPC2") {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "No such page"));
    }
    let (head, body) = request.into_parts();
    let settings = &shared.state.settings;
    let body =
        body::collect(&head.headers, BodyDataStream::new(body), settings.max_body, settings.body_timeout).await?;
    let body = plain(head.headers.get(header::CONTENT_ENCODING), body, settings.max_body)?;
    let xml = dispatch::answer(shared, &body).await;
    if xml.len() > WORTH_COMPRESSING
        && gzip::is_accepted(&head.headers)
        && let Ok(compressed) = gzip::compress(xml.as_bytes())
    {
        let mut response = response("text/xml", compressed.into());
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return Ok(response);
    }
    Ok(response("text/xml", xml.into()))
}

/// The body as it was before the client encoded it.
fn plain(encoding: Option<&HeaderValue>, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    let encoding = encoding.map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    match encoding.as_deref().map(str::trim) {
        None | Some("" | "identity") => Ok(body),
        Some("gzip" | "x-gzip") => match gzip::decompress(&body, limit) {
            Ok(Some(bytes)) => Ok(bytes.into()),
            Ok(None) => Err(BodyError::TooLarge(limit).into()),
            Err(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "error decoding gzip content")),
        },
        Some(other) => Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, format!("encoding '{other}' not supported"))),
    }
}
