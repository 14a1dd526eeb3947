//! The way to a simulated cloud that is a process of its own: over a Unix socket, one connection per message, a line of
//! JSON there and one back. A connection that ends without an answer is a lost reply.

use super::{
    inventory::{Machine, Resource},
    request::{CloudReply, CloudRequest},
};
use crate::{ConnectorError, ErrorClass};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// What is sent to the cloud.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// A request of an account.
    Request { tenant: String, request: CloudRequest },
    /// An order of a test.
    Order(Order),
}

/// An order to the cloud's process, behind the back of its accounts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Tells everything that the cloud holds.
    Inspect,
    /// Kills a process at one of its next changes; none calls it off. Requests that are under way then are done or not,
    /// as chance has it.
    Kill(Option<Death>),
    /// Other faults from now on, as [`Faults::parse`](super::Faults::parse) reads them.
    Impose(String),
    /// Answers when no request is under way any more.
    Settle,
}

/// When a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The process.
    pub pid: i32,
    /// At which change from now on: 1 is the next one.
    pub change: u32,
    /// Before or after the change is done.
    pub moment: Moment,
}

/// A side of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// It is not done.
    Before,
    /// It is done, and nobody is told.
    After,
}

/// The answer to an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderOutcome {
    /// It was done.
    Done,
    /// Everything that the cloud holds, by account.
    Holds(Vec<AccountHoldings>),
}

/// What one account holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountHoldings {
    /// `<username>@<host>` of its credential line.
    pub name: String,
    /// Machines, in no order.
    pub machines: Vec<Machine>,
    /// Everything else, oldest first.
    pub resources: Vec<Resource>,
}

/// A simulated cloud behind a socket.
#[derive(Debug, Clone)]
pub struct Remote {
    socket: PathBuf,
}

impl Remote {
    /// The one that listens there.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Sends a request of an account.
    ///
    /// # Errors
    /// What the cloud says; `Transient` when it cannot be reached or does not answer.
    pub async fn request(&self, tenant: &str, request: CloudRequest) -> Result<CloudReply, ConnectorError> {
        let answer = self.exchange(&Message::Request { tenant: tenant.to_owned(), request }).await?;
        serde_json::from_slice::<Result<CloudReply, ConnectorError>>(&answer)
            .map_err(|error| self.failed(&error.into()))?
    }

    /// Gives an order.
    ///
    /// # Errors
    /// `Invalid` for faults that cannot be read; `Transient` when the cloud cannot be reached.
    pub async fn order(&self, order: Order) -> Result<OrderOutcome, ConnectorError> {
        let answer = self.exchange(&Message::Order(order)).await?;
        serde_json::from_slice::<Result<OrderOutcome, ConnectorError>>(&answer)
            .map_err(|error| self.failed(&error.into()))?
    }

    async fn exchange(&self, message: &Message) -> Result<Vec<u8>, ConnectorError> {
        let exchange = async {
            let mut line = serde_json::to_vec(message)?;
            line.push(b'\n');
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(&line).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok(answer)
        };
        let answer = exchange.await.map_err(|error| self.failed(&error))?;
        if answer.is_empty() {
            return Err(ConnectorError::new(ErrorClass::Transient, "Simulated failure: the reply was lost"));
        }
        Ok(answer)
    }

    fn failed(&self, error: &std::io::Error) -> ConnectorError {
        let message = format!("The simulated cloud at {} does not answer: {error}", self.socket.display());
        ConnectorError::new(ErrorClass::Transient, message)
    }
}
