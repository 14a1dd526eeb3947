//! The XML-RPC API.
//!
//! | module | subject |
//! |---|---|
//! | [`server`] | from connections to calls: paths, bodies, compression |
//! | [`wire`] | XML <-> calls and answers |
//! | `misplaced` | the place of a value that is none of its type |
//! | `methods` | the table of methods and their parameters |
//! | `dispatch` | the way every call goes |
//! | `arguments`, `values` | XML-RPC values as what the engine takes and gives |
//! | `fault` | what a refusal looks like |
//! | `infrastructures`, `vms`, `clouds`, `statistics` | one kind of resource each |
//! | `metrics` | calls, counted |
//!
//! The wire is described in docs/spec/api.md 3. Results are pairs of success and value or message; a fault says that there was
//! no call. Where the reference answers well-formed calls with faults (nil, integers of more than 31 bits) the answer here
//! is a pair: see `values` and `arguments`.

mod arguments;
mod clouds;
mod dispatch;
mod fault;
mod infrastructures;
mod methods;
mod metrics;
mod misplaced;
pub mod server;
mod statistics;
mod values;
mod vms;
pub mod wire;

pub use server::{ServeError, serve};

use super::{
    document::{self, DocumentKind},
    http::body::Held,
};
use crate::{
    auth::{Authenticator, Caller},
    bounds::Shares,
    engine::{Engine, OperationError, apart::SHORT, operations::document::Document},
};
use dxr::Value;
use metrics::Metrics;
use prometheus::Registry;
use std::{sync::Arc, time::Duration};

/// What the API is made of.
#[derive(Clone)]
pub struct XmlRpcState {
    /// The engine.
    pub engine: Engine,
    /// Who says who is calling.
    pub authenticator: Arc<Authenticator>,
    /// Metrics of the daemon; those of the API are added to it.
    pub registry: Registry,
    /// Options.
    pub settings: XmlRpcSettings,
}

/// Options of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlRpcSettings {
    /// VMINFO_JSON: whether GetVMInfo answers RADL in JSON.
    pub vminfo_json: bool,
    /// Largest body of a request, bytes, compressed or not.
    pub max_body: usize,
    /// Largest head of a request (line and headers), bytes; at least 8192.
    pub max_head: usize,
    /// Connections at the same time; a further one takes the place of the one that keeps the daemon waiting longest.
    pub max_connections: usize,
    /// Connections from one address at the same time.
    pub max_from_address: usize,
    /// How long a connection may take for the head of a request, waiting for it included.
    pub head_timeout: Duration,
    /// How long a request may take for its body.
    pub body_timeout: Duration,
    /// How long a client may leave an answer where it is.
    pub write_timeout: Duration,
    /// How long running calls may take once the server is to stop.
    pub drain: Duration,
}

impl Default for XmlRpcSettings {
    fn default() -> Self {
        Self {
            vminfo_json: false,
            max_body: 16 << 20,
            max_head: 128 << 10,
            max_connections: 1000,
            max_from_address: 500,
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// What all calls share.
struct Shared {
    state: XmlRpcState,
    metrics: Metrics,
    /// Calls under way by the address that made them, which go on when the client hangs up.
    calls: Shares,
}

impl Shared {
    /// The engine.
    fn engine(&self) -> &Engine {
        &self.state.engine
    }

    /// The document of an argument, plain RADL or TOSCA, read for the caller; then nothing is held of the memory for bodies any more.
    ///
    /// # Errors
    /// Another type of argument, too much of the caller at once, or a document with errors.
    async fn document(&self, caller: &Caller, argument: Value, held: Held) -> Result<Document, OperationError> {
        let text = arguments::document(argument)?;
        if text.len() < SHORT {
            return document::parse(DocumentKind::of(&text), &text);
        }
        let parse = move || {
            let _held = held;
            document::parse(DocumentKind::of(&text), &text)
        };
        self.engine().apart(caller.user(), parse).await?
    }

    /// Who calls, from the argument with the credentials.
    ///
    /// # Errors
    /// No, unreadable or invalid credentials.
    async fn caller(&self, credentials: Value) -> Result<Caller, fault::Failure> {
        Ok(self.state.authenticator.authenticate(arguments::credentials(credentials)?).await?)
    }
}
