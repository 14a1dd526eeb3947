//! The REST API: the site at `/`.
//!
//! | module | subject |
//! |---|---|
//! | `routes` | the table of routes: one row for each |
//! | `metadata` | what a row says besides where it is and who answers |
//! | `request`, `query`, `negotiation` | reading a request |
//! | `reply`, `json`, `error`, `validators` | writing an answer |
//! | `openapi` | the description of the API |
//! | `infrastructures`, `vms`, `clouds`, `statistics`, `events`, `version`, `health` | one resource each |
//! | `schema` | what editors know of TOSCA documents |
//! | `unavailable` | what the contract has and this version does not |
//! | `metrics` | what the metrics page shows |
//!
//! The wire is described in docs/spec/api.md; where a resource departs from it, its module says so.

mod clouds;
mod error;
mod events;
mod health;
mod infrastructures;
mod json;
mod metadata;
mod metrics;
mod negotiation;
mod openapi;
mod query;
mod reply;
mod request;
mod routes;
mod schema;
mod statistics;
mod unavailable;
mod validators;
mod version;
mod vms;

use super::http::{Response, Route, Site};
use crate::{auth::Authenticator, bounds::Shares, engine::Engine};
use bytes::Bytes;
pub(super) use error::Failure;
use error::{ErrorBody, ErrorWords};
use metadata::Metadata;
use metrics::Metrics;
use prometheus::Registry;
use std::{sync::Arc, time::Duration};
use validators::validated;
use warp::{
    Reply,
    http::{self, HeaderMap, HeaderValue, Method, header},
};

/// What the API is made of.
#[derive(Clone)]
pub struct RestState {
    /// The engine.
    pub engine: Engine,
    /// Who says who is calling.
    pub authenticator: Arc<Authenticator>,
    /// Metrics of the daemon; those of the API are added to it.
    pub registry: Registry,
    /// Options.
    pub settings: RestSettings,
}

/// Options of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestSettings {
    /// CORS_ORIGIN if ENABLE_CORS, else none.
    pub cors_origin: Option<String>,
    /// Largest body of a request, bytes.
    pub max_body: usize,
    /// Event streams at the same time; further ones are refused.
    pub max_streams: usize,
    /// Event streams of one user at the same time.
    pub max_streams_of_user: usize,
    /// How long a request may take for its body.
    pub body_timeout: Duration,
    /// Time between signs of life in event streams.
    pub heartbeat: Duration,
}

impl Default for RestSettings {
    fn default() -> Self {
        Self {
            cors_origin: None,
            max_body: 16 << 20,
            max_streams: 250,
            max_streams_of_user: 50,
            body_timeout: Duration::from_secs(60),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The registry has metrics of the same names: one REST API per registry.
    #[error("the metrics of the REST API cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// CORS_ORIGIN cannot stand in a header.
    #[error("CORS_ORIGIN is not a valid header value: {0:?}")]
    Origin(String),
}

/// The REST API.
pub struct Rest {
    state: RestState,
    metrics: Metrics,
    cors_origin: Option<HeaderValue>,
    /// Event streams that are open, by their users.
    streams: Shares,
}

impl Rest {
    /// The API over an engine.
    ///
    /// # Errors
    /// Metrics or options that cannot be used.
    pub fn new(state: RestState) -> Result<Self, RestError> {
        let settings = &state.settings;
        let origin = |text: &String| HeaderValue::from_str(text).map_err(|_| RestError::Origin(text.clone()));
        Ok(Self {
            metrics: Metrics::register(&state.registry)?,
            cors_origin: settings.cors_origin.as_ref().map(origin).transpose()?,
            streams: Shares::new(settings.max_streams, settings.max_streams_of_user, 0, Duration::ZERO),
            state,
        })
    }
}

impl Site for Rest {
    type Failure = Failure;
    type Metadata = Metadata;

    fn routes(&self) -> Vec<Route<Self>> {
        routes::routes()
    }

    /// The methods of a resource, or an empty object for any other path.
    fn options(&self, allow: Option<&HeaderValue>) -> Response {
        let Some(allow) = allow else {
            return reply::with_type("application/json", "{}");
        };
        let mut response = http::Response::new(Bytes::new()).into_response();
        response.headers_mut().insert(header::ALLOW, allow.clone());
        response
    }

    async fn failed(&self, failure: Failure, metadata: Option<&Metadata>, headers: &HeaderMap) -> Response {
        if let Failure::Credentials(error) = &failure {
            tokio::time::sleep(error.pause()).await;
        }
        let words = metadata.map_or_else(Default::default, |metadata| metadata.errors);
        error::response(failure, words, ErrorBody::wanted(request::accept(headers).as_deref()))
    }

    fn finish(&self, response: Response, method: &Method, headers: &HeaderMap) -> Response {
        let mut response = validated(response, headers.get(header::IF_NONE_MATCH), method == Method::GET);
        if let Some(origin) = &self.cors_origin {
            allow_origin(response.headers_mut(), origin);
        }
        response
    }
}

/// A failure of another contract that has no words of its own for it, in those of REST.
pub(super) fn refused(failure: Failure, headers: &HeaderMap) -> Response {
    let form = ErrorBody::wanted(request::accept(headers).as_deref());
    validated(error::response(failure, ErrorWords::default(), form), None, false)
}

fn allow_origin(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let methods = HeaderValue::from_static("PUT, GET, POST, DELETE, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = HeaderValue::from_static("Origin, Accept, Content-Type, Authorization");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
}
