//! The daemon as a whole: opens the store, the engine and the APIs, and closes them in order.

use crate::{
    api::rest,
    auth::Authenticator,
    config::Config,
    engine::{self, Engine, EngineSettings, settings::BootMode},
    store::{self, StoreError, sealing::{Keyring, KeyringError}},
};
use connectors::registry::Registry;
use std::{net::SocketAddr, sync::Arc, time::{Duration, SystemTime}};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Time that open requests get after the signal to stop.
const GRACE: Duration = Duration::from_secs(3);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The sealing key.
    #[error(transparent)]
    Key(#[from] KeyringError),
    /// The database (exit code 2, as the reference's).
    #[error("Error connecting with the DB: {0}")]
    Store(#[from] StoreError),
    /// A cloud that was switched on.
    #[error("the local cloud cannot be used: {0}")]
    Local(connectors::ConnectorError),
    /// An address to listen on.
    #[error("cannot listen on {address}: {source}; is another daemon running, or is REST_ADDRESS not of this host?")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something of the system.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// A setting.
    #[error("{0}")]
    Setting(String),
}

impl StartError {
    /// Exit code of the process.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Store(_) | Self::Key(_) => 2,
            _ => 1,
        }
    }
}
