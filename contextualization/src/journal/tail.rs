//! The end of a log that is too long, kept in memory until its run is over.

use std::collections::VecDeque;

/// The last texts of a machine's log, each with the place of its line in the journal.
#[derive(Debug, Default)]
pub(super) struct Tail {
    texts: VecDeque<(u64, String)>,
    bytes: usize,
}

impl Tail {
    /// Adds a text, and drops the oldest ones beyond `limit` bytes; how many bytes were dropped.
    pub(super) fn push(&mut self, place: u64, text: &str, limit: usize) -> usize {
        self.bytes += text.len();
        self.texts.push_back((place, text.to_owned()));
        let mut dropped = 0;
        while self.bytes > limit
            && self.texts.len() > 1
            && let Some((_, text)) = self.texts.pop_front()
        {
            self.bytes -= text.len();
            dropped += text.len();
        }
        dropped
    }

    /// Place of the oldest text.
    pub(super) fn begins(&self) -> Option<u64> {
        self.texts.front().map(|(place, _)| *place)
    }

    /// All of it as one text.
    pub(super) fn text(&self) -> String {
        self.texts.iter().map(|(_, text)| text.as_str()).collect()
    }
}
