//! Requests to one cloud as one account, and their replies.

use super::{
    Fault, HttpSettings, Refusal, Route,
    redaction::Redaction,
    session::{Authority, Held, Session},
};
use crate::{CloudAccount, ConnectorError, Endpoint, ErrorClass};
use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, Request, RequestBuilder, Response, StatusCode, Url,
    header::{HeaderMap, HeaderValue, LOCATION},
};
use serde::de::DeserializeOwned;
use std::{error::Error as _, sync::Arc};

/// The longest body that is read, in bytes.
const LONGEST_BODY: usize = 32 << 20;
/// The longest body of a refusal that is read, in bytes.
const LONGEST_REFUSAL: usize = 64 << 10;
/// Redirections that a request follows.
const MOST_REDIRECTIONS: usize = 5;

/// Reads what a cloud's own format says of a refusal.
pub type ReadFault = fn(&Refusal<'_>) -> Fault;

/// One cloud as one account sees it. Cheap to clone: clones share connections and token.
#[derive(Clone)]
pub struct Client {
    connections: reqwest::Client,
    base: Url,
    session: Option<Arc<Session>>,
    redaction: Arc<Redaction>,
    read_fault: ReadFault,
}

/// A reply that is a success.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Client {
    /// A client of the cloud at `base`, whose requests carry no token.
    ///
    /// # Errors
    /// `Invalid`, naming the key of the line that cannot be used.
    pub fn new(settings: &HttpSettings, account: &CloudAccount, base: Url) -> Result<Self, ConnectorError> {
        Self::by_route(settings, account, base, &Route::default())
    }

    /// A client of the cloud at `base` that is reached by a route of its own.
    ///
    /// # Errors
    /// `Invalid`, naming what of the line cannot be used.
    pub fn by_route(
        settings: &HttpSettings,
        account: &CloudAccount,
        base: Url,
        route: &Route,
    ) -> Result<Self, ConnectorError> {
        Ok(Self {
            connections: settings.open(account, route)?,
            base,
            session: None,
            redaction: Arc::new(Redaction::of(account)),
            read_fault: |_| Fault::default(),
        })
    }

    /// The same client with a reader of this cloud's errors. Without one, the status decides on the class.
    #[must_use]
    pub fn reading_faults(self, read_fault: ReadFault) -> Self {
        Self { read_fault, ..self }
    }

    /// The same client, whose requests carry a token of `authority`.
    #[must_use]
    pub fn with_authority(self, authority: impl Authority + 'static) -> Self {
        Self { session: Some(Arc::new(Session::new(authority))), ..self }
    }

    /// The same client for another service of the cloud, with the same connections and token.
    #[must_use]
    pub fn at(&self, base: Url) -> Self {
        Self { base, ..self.clone() }
    }

    /// The URL of `path` below the base. Each item is one segment, whatever characters it has.
    #[must_use]
    pub fn url<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// A request to [`Client::url`] of `path`.
    pub fn request<'a>(&self, method: Method, path: impl IntoIterator<Item = &'a str>) -> RequestBuilder {
        self.request_url(method, self.url(path))
    }

    /// A request to a URL that this cloud gave, such as that of the next page. [`Client::send`] refuses those of other
    /// servers: the credentials are for this one.
    pub fn request_url(&self, method: Method, url: Url) -> RequestBuilder {
        self.connections.request(method, url)
    }

    /// Sends a request. A token that the cloud does not take any more is renewed, and the request sent once more.
    ///
    /// # Errors
    /// The class that the status, or the reader of the cloud's errors, gives a refusal; `Transient` when no reply came,
    /// `Invalid` when the cloud's certificate cannot be verified, or the URL is that of another server.
    pub async fn send(&self, request: RequestBuilder) -> Result<Reply, ConnectorError> {
        let request = request.build().map_err(|error| self.failed(error))?;
        if request.url().origin() != self.base.origin() {
            let text = format!("The cloud leads to another server: {}", place(request.url()));
            return Err(ConnectorError::new(ErrorClass::Invalid, text));
        }
        let Some(session) = &self.session else { return self.exchange(request, None).await };
        let token = session.token(None).await?;
        let again = request.try_clone();
        match (self.exchange(self.carrying(request, session, &token)?, Some(&token)).await, again) {
            (Err(error), Some(again)) if error.class == ErrorClass::Auth => {
                let token = session.token(Some(&token)).await?;
                self.exchange(self.carrying(again, session, &token)?, Some(&token)).await
            }
            (result, _) => result,
        }
    }

    fn carrying(&self, mut request: Request, session: &Session, token: &Held) -> Result<Request, ConnectorError> {
        let (name, value) = session.header(&token.secret);
        let refused = |_| ConnectorError::new(ErrorClass::Auth, "The token of the cloud cannot stand in a header");
        let mut value = HeaderValue::try_from(value).map_err(refused)?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
        Ok(request)
    }

    /// One request and its reply, behind redirections within the server.
    async fn exchange(&self, mut request: Request, token: Option<&Held>) -> Result<Reply, ConnectorError> {
        for _ in 0..=MOST_REDIRECTIONS {
            let next = request.try_clone().filter(|next| next.method() == Method::GET);
            let response = self.connections.execute(request).await.map_err(|error| self.failed(error))?;
            tracing::debug!(host = response.url().host_str(), path = response.url().path(), status = %response.status());
            let Some(target) = redirection(&response) else { return self.reply(response, token).await };
            match next.filter(|next| next.url().origin() == target.origin()) {
                Some(next) => {
                    request = next;
                    *request.url_mut() = target;
                }
                None => {
                    let text = format!("The cloud answers from another place: use {} as its host", place(&target));
                    return Err(ConnectorError::new(ErrorClass::Invalid, text));
                }
            }
        }
        Err(ConnectorError::new(ErrorClass::Invalid, "The cloud redirects in a circle"))
    }

    async fn reply(&self, mut response: Response, token: Option<&Held>) -> Result<Reply, ConnectorError> {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        if status.is_success() {
            let (body, whole) = self.body(response, LONGEST_BODY).await?;
            if whole {
                return Ok(Reply { status, headers, body });
            }
            let text = format!("The cloud answers with more than {} MiB", LONGEST_BODY >> 20);
            return Err(ConnectorError::new(ErrorClass::Invalid, text));
        }
        // The status counts, also when its explanation does not arrive.
        let body = self.body(response, LONGEST_REFUSAL).await.map(|(body, _)| body).unwrap_or_default();
        let refusal = Refusal { status, headers: &headers, body: &body };
        let fault = (self.read_fault)(&refusal);
        let token = token.map(|token| &*token.secret);
        Err(refusal.into_error(fault, |text| self.redaction.redact(text, token)))
    }

    /// A body up to a limit, and whether that is all of it.
    async fn body(&self, mut response: Response, limit: usize) -> Result<(Bytes, bool), ConnectorError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
            if body.len() == limit {
                return Ok((body.freeze(), false));
            }
        }
        Ok((body.freeze(), true))
    }

    /// What kept a reply from coming. The query of the URL is not told: some APIs have their signatures in it.
    fn failed(&self, error: reqwest::Error) -> ConnectorError {
        let place = error.url().map_or_else(|| place(&self.base), place);
        let error = error.without_url();
        let mut causes = String::new();
        let mut cause = error.source();
        while let Some(inner) = cause {
            causes = inner.to_string();
            cause = inner.source();
        }
        let causes = self.redaction.redact(&causes, None);
        let (class, what) = if causes.contains("certificate verify failed") {
            let text = "has a certificate that cannot be verified (ca_cert of the credential line names its authority)";
            (ErrorClass::Invalid, text)
        } else if error.is_builder() {
            (ErrorClass::Invalid, "cannot be asked this")
        } else if error.is_timeout() {
            (ErrorClass::Transient, "does not answer in time")
        } else if error.is_connect() {
            (ErrorClass::Transient, "cannot be reached")
        } else {
            (ErrorClass::Transient, "ended the connection")
        };
        let text = format!("The cloud at {place} {what}");
        ConnectorError::new(class, if causes.is_empty() { text } else { format!("{text}: {causes}") })
    }
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// `Transient`: the body is something else. Where is told, not what, for it may be a secret.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ConnectorError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let text = format!("The cloud answers something else than expected, at line {line}, column {column}");
            ConnectorError::new(ErrorClass::Transient, text)
        })
    }
}

/// Where a reply sends its request, for the statuses that keep a GET what it is.
fn redirection(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    response.url().join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}

/// Scheme, host and port.
fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The URL of a cloud, from the `host` of its credential line and what it lacks.
///
/// # Errors
/// `Invalid`: the line has no `host`, or one that is no address.
pub fn base_url(account: &CloudAccount, scheme: &str, port: Option<u16>) -> Result<Url, ConnectorError> {
    let Endpoint { protocol, server, port: own, path } = &account.endpoint;
    let refused = || {
        let text = format!("Auth item {}: host must be [scheme://]name[:port][/path]", account.id);
        ConnectorError::new(ErrorClass::Invalid, text)
    };
    let scheme = if protocol.is_empty() { scheme } else { protocol };
    let server = if server.contains(':') { format!("[{server}]") } else { server.clone() };
    let port = own.or(port).map(|port| format!(":{port}")).unwrap_or_default();
    let url = Url::parse(&format!("{scheme}://{server}{port}{path}")).map_err(|_| refused())?;
    if url.has_host() && matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(refused()) }
}
