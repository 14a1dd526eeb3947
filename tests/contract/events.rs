//! The event stream of an infrastructure.

use crate::support::{STRANGER, Server, USER};
use futures::StreamExt;
use imd::api::rest::RestSettings;
use reqwest::header;
use serde_json::Value;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: Option<u64>,
    name: String,
    data: Value,
}

/// A stream read event by event.
struct Stream {
    chunks: std::pin::Pin<Box<dyn futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    buffer: Vec<u8>,
    comments: usize,
}

impl Stream {
    async fn open(server: &Server, path: &str, last: Option<u64>) -> Self {
        let mut request = server.client.get(server.url(path)).header(header::AUTHORIZATION, USER);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
        Self { chunks: Box::pin(response.bytes_stream()), buffer: Vec::new(), comments: 0 }
    }

    /// The next event, none at the end of the stream; comments are counted.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).unwrap();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                let Some(name) = field("event") else {
                    assert!(block.starts_with(':'), "{block}");
                    self.comments += 1;
                    continue;
                };
                return Some(Event {
                    id: field("id").map(|id| id.trim().parse().unwrap()),
                    name: name.trim().to_owned(),
                    data: serde_json::from_str(field("data").unwrap()).unwrap(),
                });
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.chunks.next()).await.expect("silence");
            self.buffer.extend_from_slice(&chunk?.ok()?);
        }
    }

    /// Events up to and including the first that fits.
    async fn until(&mut self, fits: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            let done = fits(&event);
            events.push(event);
            if done {
                return events;
            }
        }
        panic!("the stream ended: {events:?}");
    }
}

fn is_state(event: &Event, vm: &Value, state: &str) -> bool {
    event.name == "state" && event.data["vm"] == *vm && event.data["state"] == state
}

#[tokio::test]
async fn states_and_logs_come_once_and_in_order_and_can_be_resumed() {
    let server = Server::start().await;
    let path = server.create(2).await;
    let stream_path = format!("{path}/events");

    // Everything from the start, until the infrastructure was configured.
    let mut stream = Stream::open(&server, &stream_path, None).await;
    let past = stream.until(|event| is_state(event, &Value::Null, "configured")).await;
    let ids: Vec<u64> = past.iter().map(|event| event.id.unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert_eq!(ids[0], 1);
    for event in &past {
        let key = if event.name == "log" { "text" } else { "state" };
        assert!(event.data[key].is_string() && event.data.as_object().unwrap().len() == 3, "{event:?}");
        assert!(chrono::DateTime::parse_from_rfc3339(event.data["at"].as_str().unwrap()).is_ok(), "{event:?}");
    }

    // The same again from the middle, by header and by query; the header counts.
    let middle = ids.len() / 2;
    for (path, last) in [
        (stream_path.clone(), Some(ids[middle])),
        (format!("{stream_path}?after={}", ids[middle]), None),
        (format!("{stream_path}?after=0"), Some(ids[middle])),
    ] {
        let mut resumed = Stream::open(&server, &path, last).await;
        let rest = resumed.until(|event| event.id == past.last().unwrap().id).await;
        assert_eq!(rest, past[middle + 1..], "{path}");
    }

    // New events arrive while the stream is open; the end is told.
    assert_eq!(server.put(&format!("{path}/vms/1/stop")).await.status, 200);
    stream.until(|event| is_state(event, &1.into(), "stopped")).await;
    assert_eq!(server.delete(&path).await.status, 200);
    let end = stream.until(|event| event.name == "end").await;
    assert_eq!(end.last().unwrap().id, None);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn streams_are_refused_bounded_and_kept_alive() {
    let settings = RestSettings { heartbeat: Duration::from_millis(50), max_streams: 2, ..RestSettings::default() };
    let mut server = Server::with(settings).await;
    let path = format!("{}/events", server.create(1).await);
    let open = |authorization: &'static str, accept: &'static str| {
        let request = server.client.get(server.url(&path));
        request.header(header::AUTHORIZATION, authorization).header(header::ACCEPT, accept).send()
    };
    assert_eq!(open(STRANGER, "*/*").await.unwrap().status(), 403);
    assert_eq!(open(USER, "application/json").await.unwrap().status(), 415);

    let mut first = Stream::open(&server, &path, None).await;
    let second = Stream::open(&server, &path, None).await;
    assert_eq!(open(USER, "text/event-stream").await.unwrap().status(), 503);
    // A place is free again once a client is gone.
    drop(second);
    let mut tries = 0;
    while open(USER, "text/event-stream").await.unwrap().status() != 200 {
        tries += 1;
        assert!(tries < 100, "the place of a closed stream stays taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = tokio::time::timeout(Duration::from_millis(500), first.until(|_| false)).await;
    assert!(first.comments >= 3, "{}", first.comments);
    // A stop of the server ends the streams.
    assert!(server.stop().await < Duration::from_secs(5));
}

/// Machines that boot longer than their contextualization takes (there is none) are followed until they are up, although no
/// client asks for a state.
#[tokio::test]
async fn machines_come_up_without_being_asked_for() {
    let server = Server::start().await;
    let request = server.request_on(reqwest::Method::POST, "/infrastructures", "; states = pending:1500,running");
    let answer = crate::support::Answer::of(request.body(crate::support::document(2))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let path = format!("/infrastructures/{}/events", answer.text.rsplit('/').next().unwrap());
    let mut stream = Stream::open(&server, &path, None).await;
    let events = stream.until(|event| is_state(event, &Value::Null, "configured")).await;
    for vm in [0, 1] {
        assert!(events.iter().any(|event| is_state(event, &vm.into(), "configured")), "{events:?}");
    }
}
