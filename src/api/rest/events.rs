//! The event stream of an infrastructure: states and log lines as server-sent events (WHATWG HTML, 9.2), resumable.
//!
//! Each event has its sequence number as `id`, `state` or `log` as `event`, and one line of JSON as `data`. Stored events
//! after `Last-Event-ID` (or `?after=`) come first, then new ones as they are stored. The last event, `end`, says that
//! the infrastructure is gone. A stream ends without it when the credentials of its caller have expired: who still may comes
//! again with others. A task reads the store in portions and waits while the client does not read, so that a
//! slow client costs a fixed amount of memory.

use super::{
    Rest,
    error::Failure,
    json, negotiation, query,
    reply::Response,
    request::{Request, accept},
};
use crate::{
    api::parameters::IncorrectParameter,
    auth::Caller,
    engine::error::OperationError,
    store::{EventKind, StoredEvent},
};
use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use warp::{
    Reply,
    http::{HeaderName, HeaderValue, StatusCode},
    sse::Event,
};

/// Events read from the store at once.
const PORTION: usize = 128;

/// Events that wait for a client that does not read.
const WAITING: usize = 32;

/// Time until the next try while the store is away.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The sequence number of the last event that a client has seen.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Asks nginx not to hold the stream back.
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `GET /infrastructures/<inf>/events`
pub(super) async fn events(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let after = after(&request)?;
    let id = request.infrastructure().to_owned();
    let watcher = request.engine().watch_events(&caller, &id).await?;
    negotiation::event_stream(accept(&request.headers).as_deref())?;
    let (site, stopping) = (request.site, request.server.stopping().clone());
    let place = site.streams.try_take(caller.user()).map_err(|_| {
        let text = "Too many event streams are open, close some or poll the state instead.";
        Failure::Request(StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
    })?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut follower = Follower { site, stopping, caller, id, after, watcher, sender };
    tokio::spawn(async move {
        let (site, caller) = (follower.site.clone(), follower.caller.clone());
        site.metrics.streams.inc();
        tokio::select! {
            // An error says that the client went away.
            _ = follower.follow() => {}
            () = site.state.authenticator.expired(&caller) => {}
        }
        site.metrics.streams.dec();
        drop(place);
    });
    let stream = ReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    let mut response = warp::sse::reply(stream).into_response();
    response.headers_mut().insert(NO_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

fn after(request: &Request) -> Result<u64, IncorrectParameter> {
    match request.header(&LAST_EVENT_ID).as_deref().map(str::trim).filter(|id| !id.is_empty()) {
        Some(id) => id.parse().map_err(|_| IncorrectParameter::Value("Last-Event-ID".to_owned())),
        None => Ok(query::number(&request.query, "after")?.unwrap_or(0)),
    }
}

/// The client does not read any more.
struct Gone;

struct Follower {
    site: Arc<Rest>,
    stopping: CancellationToken,
    caller: Arc<Caller>,
    id: String,
    after: u64,
    watcher: watch::Receiver<u64>,
    sender: mpsc::Sender<Event>,
}

impl Follower {
    async fn follow(&mut self) -> Result<(), Gone> {
        let heartbeat = self.site.state.settings.heartbeat;
        let mut watching = true;
        loop {
            self.watcher.borrow_and_update();
            match self.replay().await? {
                Replay::UpToDate if watching => {}
                // Nobody tells of new events here any more: the client comes again and is answered by who does.
                Replay::UpToDate => return Ok(()),
                Replay::Ended => return self.send(Event::default().event("end").data("{}")).await,
                Replay::Later => {
                    self.send(Event::default().comment(" the store is away")).await?;
                    tokio::time::sleep(STORE_PAUSE).await;
                    continue;
                }
            }
            watching = loop {
                tokio::select! {
                    changed = self.watcher.changed() => break changed.is_ok(),
                    () = tokio::time::sleep(heartbeat) => self.send(Event::default().comment(" alive")).await?,
                    () = self.sender.closed() => return Err(Gone),
                    () = self.stopping.cancelled() => return Ok(()),
                }
            };
        }
    }

    /// Sends everything stored after the last event sent.
    async fn replay(&mut self) -> Result<Replay, Gone> {
        use OperationError::{DeletedInfrastructure, UnknownInfrastructure, Unreadable};
        let (engine, mut is_over) = (self.site.state.engine.clone(), false);
        loop {
            let events = match is_over {
                false => engine.events(&self.caller, &self.id, self.after, PORTION).await,
                true => engine.last_events(&self.id, self.after, PORTION).await,
            };
            let events = match events {
                Ok(events) => events,
                Err(Unreadable(_)) => return Ok(Replay::Later),
                Err(DeletedInfrastructure | UnknownInfrastructure) if !is_over => {
                    is_over = true;
                    continue;
                }
                Err(_) => return Ok(Replay::Ended),
            };
            for stored in &events {
                self.after = stored.sequence;
                match event(stored) {
                    Ok(event) => self.send(event).await?,
                    Err(error) => tracing::error!(%error, inf = %self.id, "an event cannot be written as JSON"),
                }
            }
            if events.len() < PORTION {
                return Ok(if is_over { Replay::Ended } else { Replay::UpToDate });
            }
        }
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        tokio::select! {
            sent = self.sender.send(event) => sent.map_err(|_| Gone),
            () = self.stopping.cancelled() => Err(Gone),
        }
    }
}

enum Replay {
    UpToDate,
    Later,
    Ended,
}

#[derive(Serialize)]
struct Data<'a> {
    vm: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    at: String,
}

/// An event on the wire; `at` is RFC 3339 in UTC, to the microsecond.
fn event(stored: &StoredEvent) -> serde_json::Result<Event> {
    let new = &stored.event;
    let at = DateTime::from_timestamp_micros(new.at).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true);
    let text = Some(new.text.as_str());
    let (name, state, text) = match new.kind {
        EventKind::State => ("state", text, None),
        EventKind::Log => ("log", None, text),
    };
    let data = json::line(&Data { vm: new.vm, state, text, at })?;
    let data = String::from_utf8(data).map_err(serde::ser::Error::custom)?;
    Ok(Event::default().id(stored.sequence.to_string()).event(name).data(data))
}
