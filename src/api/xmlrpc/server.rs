//! From connections to calls: paths, methods, bodies and their compression (docs/spec/api.md 3.1).

use super::{Shared, XmlRpcState, dispatch, metrics::Metrics, values, wire};
use crate::{
    api::http::{
        Listener,
        body::{self, BodyError, Intake},
        connections::{self, Bounds, ClientAddress},
        gzip,
        progress::RequestBody,
    },
    bounds::Shares,
    charset::utf8_or_latin1,
    engine::{OperationError, apart::SHORT},
};
use bytes::Bytes;
use dxr::{Fault, Value};
use http_body_util::{BodyDataStream, Full};
use hyper::{Method, Request, Response, StatusCode, header, http::HeaderValue, service::service_fn};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Answers of more bytes are compressed for clients that take it.
const WORTH_COMPRESSING: usize = 1400;
/// Results of more bytes are not written on the threads that serve.
const LONG: usize = 128 << 10;
/// Seconds that a client is asked to wait while the service has no room for its call.
const RETRY_AFTER: &str = "5";

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
        max_from_address: state.settings.max_from_address,
        head_timeout: state.settings.head_timeout,
        write_timeout: state.settings.write_timeout,
        drain: state.settings.drain,
    };
    let calls = Shares::new(bounds.max_connections, bounds.max_from_address, 0, Duration::ZERO);
    let shared = Arc::new(Shared { metrics: Metrics::register(&state.registry)?, calls, state });
    let open = shared.metrics.connections.clone();
    let service = service_fn(move |request: Request<RequestBody>| {
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
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}

impl From<OperationError> for Refusal {
    /// Nothing was called: the service has no time for it.
    fn from(error: OperationError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

fn response(kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

async fn answer(shared: Arc<Shared>, request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Refusal> {
    if request.method() != Method::POST {
        let text = format!("Unsupported method ('{}')", request.method());
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
    }
    if !matches!(request.uri().path(), "/" | "/RPC2") {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "No such page"));
    }
    let (head, body) = request.into_parts();
    let XmlRpcState { settings, engine, .. } = &shared.state;
    let address = ClientAddress::of(head.extensions.get().copied());
    let (limit, time, memory) = (settings.max_body, settings.body_timeout, engine.bodies());
    let intake = Intake { limit, time, memory, address };
    let (body, mut held) = body::collect(&head.headers, BodyDataStream::new(body), &intake).await?;
    let is_compressed = is_compressed(head.headers.get(header::CONTENT_ENCODING))?;
    let most = if is_compressed { body.len().saturating_mul(gzip::MOST).min(limit) } else { body.len() };
    if is_compressed {
        // How much it becomes is known when it was opened.
        held.take(&intake, most).await?;
    }
    let charset = body::charset(&head.headers);
    let read = move || {
        let xml = if is_compressed { opened(&body, limit)? } else { body };
        held.keep(xml.len());
        let call = wire::text(&xml, charset.as_deref(), limit).and_then(|text| wire::read(&text));
        Ok::<_, Refusal>((call, held))
    };
    let (call, held) = if most < SHORT { read()? } else { engine.apart_for(address, read).await?? };
    let share = shared
        .calls
        .try_take(&address.to_string())
        .map_err(|_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Too many calls are under way, try again later."))?;
    let result = dispatch::answer(&shared, call, held, share).await;
    let compress = gzip::is_accepted(&head.headers);
    if values::bytes(&result) < LONG {
        return Ok(written(result, compress));
    }
    // It was done, so there must be an answer: it waits for nobody else.
    let answer = tokio::task::spawn_blocking(move || written(result, compress)).await;
    answer.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The answer cannot be written as XML."))
}

/// The answer as it goes on the wire.
fn written(result: Result<Value, Fault>, compress: bool) -> Response<Full<Bytes>> {
    let xml = wire::write(result);
    if xml.len() > WORTH_COMPRESSING
        && compress
        && let Ok(compressed) = gzip::compress(xml.as_bytes())
    {
        let mut response = response("text/xml", compressed.into());
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return response;
    }
    response("text/xml", xml.into())
}

/// Whether the client compressed the body.
fn is_compressed(encoding: Option<&HeaderValue>) -> Result<bool, Refusal> {
    let encoding = encoding.map(|value| utf8_or_latin1(value.as_bytes()).to_ascii_lowercase());
    match encoding.as_deref().map(str::trim) {
        None | Some("" | "identity") => Ok(false),
        Some("gzip" | "x-gzip") => Ok(true),
        Some(other) => Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, format!("encoding '{other}' not supported"))),
    }
}

/// The body as it was before the client compressed it.
fn opened(body: &Bytes, limit: usize) -> Result<Bytes, Refusal> {
    match gzip::decompress(body, limit) {
        Ok(Some(bytes)) => Ok(bytes.into()),
        Ok(None) => Err(BodyError::TooLarge(limit).into()),
        Err(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "error decoding gzip content")),
    }
}
