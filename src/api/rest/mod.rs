//! The REST API.
//!
//! | module | subject |
//! |---|---|
//! | [`server`] | from connections to requests |
//! | `routes` | the table from method and path to an operation |
//! | `dispatch` | the way every request goes |
//! | `request`, `query`, `negotiation`, `base_url` | reading a request |
//! | `reply`, `json`, `error`, `validators` | writing an answer |
//! | `openapi` | the description of the API |
//! | `infrastructures`, `vms`, `clouds`, `statistics`, `events`, `version`, `health`, `metrics` | one resource each |
//!
//! The wire is described in docs/spec/api.md; where a resource departs from it, its module says so.

mod base_url;
mod clouds;
mod dispatch;
mod error;
mod events;
mod health;
mod infrastructures;
mod json;
mod metrics;
mod negotiation;
mod openapi;
mod query;
mod reply;
mod request;
mod routes;
pub mod server;
mod statistics;
mod validators;
mod version;
mod vms;

pub use server::{ServeError, serve};

use crate::{auth::Authenticator, bounds::Shares, engine::Engine};
use metrics::Metrics;
use prometheus::Registry;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use warp::http::HeaderValue;

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
    /// The version that `/version` tells: that of the contract, since clients compare it.
    pub version: String,
    /// CORS_ORIGIN if ENABLE_CORS, else none.
    pub cors_origin: Option<String>,
    /// The address clients use; none takes it from each request.
    pub public_url: Option<String>,
    /// Largest body of a request, bytes.
    pub max_body: usize,
    /// Largest head of a request (line and headers), bytes; at least 8192.
    pub max_head: usize,
    /// Connections at the same time; a further one takes the place of the one that keeps the daemon waiting longest.
    pub max_connections: usize,
    /// Those from one address.
    pub max_from_address: usize,
    /// Event streams at the same time; further ones are refused.
    pub max_streams: usize,
    /// Those of one user.
    pub max_streams_of_user: usize,
    /// How long a connection may take for the head of a request, waiting for it included.
    pub head_timeout: Duration,
    /// How long a request may take for its body.
    pub body_timeout: Duration,
    /// How long a client may leave an answer where it is.
    pub write_timeout: Duration,
    /// How long running requests may take once the server is to stop.
    pub drain: Duration,
    /// Time between signs of life in event streams.
    pub heartbeat: Duration,
}

impl Default for RestSettings {
    fn default() -> Self {
        Self {
            version: "1.19.2".to_owned(),
            cors_origin: None,
            public_url: None,
            max_body: 16 << 20,
            max_head: 128 << 10,
            max_connections: 1000,
            max_from_address: 500,
            max_streams: 250,
            max_streams_of_user: 50,
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// What all requests share.
struct Shared {
    state: RestState,
    metrics: Metrics,
    /// Host and port that the server listens on.
    local: String,
    /// Whether connections are encrypted, so that answers name `https`.
    https: bool,
    cors_origin: Option<HeaderValue>,
    streams: Shares,
    /// Changes under way by the address that asked for them, which go on when the client hangs up.
    changes: Shares,
    /// Cancelled when the server is to stop: streams end.
    stopping: CancellationToken,
}
