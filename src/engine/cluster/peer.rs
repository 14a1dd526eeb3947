//! Asking another daemon.

use crate::{
    auth::Caller,
    engine::{
        cluster::{
            Cluster,
            wire::{self, ASK, HELLO, Hello, MessageKind, Question, Welcome},
        },
        error::OperationError,
        misfit::Misfit,
    },
    store::leases::Holder,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    StatusCode,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// How long a daemon may take to accept a connection and to say whether it keeps an infrastructure.
const GREETING: Duration = Duration::from_secs(3);
/// Time between two looks whether a daemon that was asked still lives.
const LOOK: Duration = Duration::from_secs(2);

/// A daemon that said it keeps an infrastructure.
pub struct Peer {
    cluster: Arc<Cluster>,
    holder: Holder,
    infrastructure: String,
    host: String,
    sender: SendRequest<Full<Bytes>>,
    ticket: String,
}

/// Why a daemon was not asked.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("{0}")]
    Connection(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it does not answer")]
    Silent,
    #[error("it answered {0}: it has another data key, or is of another version")]
    Refused(StatusCode),
    #[error("{0}")]
    Sealing(#[from] crate::store::sealing::SealError),
    #[error("{0} is no URL of a daemon")]
    Url(String),
}

impl Peer {
    /// Asks a daemon whether it keeps the infrastructure; none if it does not.
    pub async fn greet(cluster: &Arc<Cluster>, holder: &Holder, id: &str) -> Result<Option<Self>, PeerError> {
        tokio::time::timeout(GREETING, Self::connect(cluster, holder, id)).await.unwrap_or(Err(PeerError::Silent))
    }

    async fn connect(cluster: &Arc<Cluster>, holder: &Holder, id: &str) -> Result<Option<Self>, PeerError> {
        let host = holder.url.strip_prefix("http://").ok_or_else(|| PeerError::Url(holder.url.clone()))?.to_owned();
        let stream = TcpStream::connect(host.as_str()).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told.
            let _ = connection.await;
        });
        let number = uuid::Uuid::new_v4().to_string();
        let hello = Hello { infrastructure: id.to_owned(), number: number.clone() };
        let keyring = &cluster.settings.keyring;
        let sealed = wire::seal(keyring, MessageKind::Hello(&holder.session), &hello)?;
        let answer = post(&mut sender, &host, HELLO, sealed).await?;
        let welcome: Welcome = wire::open(keyring, MessageKind::Welcome(&number), &answer)?;
        let (cluster, holder, infrastructure) = (cluster.clone(), holder.clone(), id.to_owned());
        Ok(welcome.ticket.map(|ticket| Self { cluster, holder, infrastructure, host, sender, ticket }))
    }

    /// Has it make a change with these parameters.
    ///
    /// # Errors
    /// Its own; [`OperationError::Unavailable`] when it went away: the request may have been accepted.
    pub async fn ask<T: DeserializeOwned>(
        mut self,
        caller: &Caller,
        change: &str,
        parameters: &impl Serialize,
    ) -> Result<T, OperationError> {
        let lost = |why: &dyn std::fmt::Display| {
            OperationError::Unavailable(format!(
                "the daemon that keeps the infrastructure went away ({why}); look at its state before trying again"
            ))
        };
        let question = Question::new(self.infrastructure.clone(), caller.clone(), change, parameters);
        let question = question.map_err(|error| lost(&error))?;
        let keyring = &self.cluster.settings.keyring;
        let sealed =
            wire::seal(keyring, MessageKind::Question(&self.ticket), &question).map_err(|error| lost(&error))?;
        let path = format!("{ASK}{}", self.ticket);
        let answer = tokio::select! {
            answer = post(&mut self.sender, &self.host, &path, sealed) => answer.map_err(|error| lost(&error))?,
            () = gone(&self.cluster, &self.holder, &self.infrastructure) => return Err(lost(&"it is silent")),
        };
        let answer: Result<serde_json::Value, OperationError> =
            wire::open(keyring, MessageKind::Answer(&self.ticket), &answer).map_err(|error| lost(&error))?;
        serde_json::from_value(answer?).map_err(|error| lost(&Misfit::from(error)))
    }
}

/// Completes when the daemon does not hold the infrastructure any more. One that gave it up by itself, because it was
/// deleted, gets the time to say so.
async fn gone(cluster: &Cluster, holder: &Holder, id: &str) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(leases) = cluster.leases() else { return };
        let holds = match leases.head(id).await {
            Ok(Some(head)) => head.deleted || head.holder.is_some_and(|now| now.session == holder.session),
            // Nobody can tell now.
            Ok(None) | Err(_) => true,
        };
        if !holds {
            return;
        }
    }
}

async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    host: &str,
    path: &str,
    body: Vec<u8>,
) -> Result<Bytes, PeerError> {
    let request = hyper::Request::post(path).header(header::HOST, host).body(Full::from(body));
    let request = request.map_err(|_| PeerError::Url(host.to_owned()))?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(PeerError::Refused(response.status()));
    }
    Ok(response.into_body().collect().await?.to_bytes())
}
