//! Lines of a run's journal (docs/spec/contextualization.md 6.7). They come from the tenant's machine: nothing in them is
//! trusted.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Bytes of a line that is still read, as many as the callback writes; longer ones are skipped.
const LINE: usize = (256 << 10) + 1;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Event {
    pub run: String,
    pub seq: u64,
    pub ts: f64,
    /// The kind.
    pub e: String,
    pub host: Option<String>,
    pub name: Option<String>,
    pub play: Option<String>,
    pub hosts: Option<Vec<String>>,
    pub res: Map<String, Value>,
    /// Whether the result is shown with its values (`debug`).
    pub verbose: bool,
    pub ignored: bool,
    /// Whether the task was a loop, whose items were reported one by one.
    #[serde(rename = "loop")]
    pub looped: bool,
    pub handler: bool,
    /// Whether not the task failed but what carries it.
    pub mitogen: bool,
    pub loop_item: Option<String>,
    pub text: Option<String>,
    pub left: Option<i64>,
    pub stats: BTreeMap<String, Stats>,
    pub rc: i64,
    pub state: String,
    /// Last lines of Ansible's own output.
    pub tail: String,
}

/// Counts of a host in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Stats {
    pub ok: u64,
    pub changed: u64,
    pub unreachable: u64,
    pub failures: u64,
    pub skipped: u64,
    pub rescued: u64,
    pub ignored: u64,
}

/// Cuts a byte stream into events.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
    overlong: bool,
}

/// A complete line: its size with the newline, and its event when it holds one.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// Bytes of the stream it took.
    pub bytes: u64,
    /// The event, none for garbage.
    pub event: Option<Event>,
}

impl Lines {
    /// Takes the next bytes and gives the lines they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut dropped = 0;
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            if self.rest.len() + piece.len() > LINE {
                self.overlong = true;
                dropped += (self.rest.len() + piece.len()) as u64;
                self.rest.clear();
            } else {
                self.rest.extend(piece);
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                let whole = !std::mem::take(&mut self.overlong);
                let event = if whole { parse(&line) } else { None };
                lines.push(Line { bytes: line.len() as u64 + std::mem::take(&mut dropped), event });
            } else if dropped > 0 {
                // Already gone from memory: count it now, so that the offset stays right.
                lines.push(Line { bytes: std::mem::take(&mut dropped), event: None });
            }
        }
        lines
    }
}

/// The event of a line, none for garbage. Bytes that are no UTF-8 and halves of surrogate pairs, which JSON of Python may
/// hold, are replaced.
fn parse(line: &[u8]) -> Option<Event> {
    if let Ok(event) = serde_json::from_slice(line) {
        return Some(event);
    }
    let mut bytes = String::from_utf8_lossy(line).into_owned().into_bytes();
    let mut at = 0;
    while at + 6 <= bytes.len() {
        let is_half =
            |escape: &[u8]| matches!(escape, [b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        if is_half(&bytes[at + 1..]) {
            bytes[at + 2..at + 6].copy_from_slice(b"fffd");
        }
        at += 2;
    }
    serde_json::from_slice(&bytes).ok()
}
