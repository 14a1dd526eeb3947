//! The events of a text, as every reader of this room gets them: of one document, within the limits, without panics.

use super::{MAX_BYTES, MAX_DEPTH, fault::Fault, source::source};
use libyaml_safer::{Event, EventData, Parser};
use std::{
    borrow::Cow,
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The events of one text, to be read until [`EventData::StreamEnd`] or the first fault.
pub(super) struct Events<'t> {
    parser: Parser<Cursor<Cow<'t, [u8]>>>,
    is_too_long: bool,
    most_bytes: usize,
    most_depth: usize,
    depth: usize,
    documents: usize,
}

impl<'t> Events<'t> {
    /// The events of `text`, within the limits of this room.
    pub(super) fn of(text: &'t str) -> Self {
        Self::within(text, MAX_BYTES, MAX_DEPTH)
    }

    /// The events of `text`, of which at most so many bytes are read, and collections that nest at most so deep.
    pub(super) fn within(text: &'t str, most_bytes: usize, most_depth: usize) -> Self {
        let is_too_long = text.len() > most_bytes;
        let bytes = match source(if is_too_long { "" } else { text }) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        let mut parser = Parser::new();
        parser.set_input(Cursor::new(bytes));
        Self { parser, is_too_long, most_bytes, most_depth, depth: 0, documents: 0 }
    }

    /// The next event.
    ///
    /// # Errors
    /// What the parser refuses, a second document, and what is beyond the limits.
    pub(super) fn next(&mut self) -> Result<Event, Fault> {
        if self.is_too_long {
            return Err(Fault::of(format!("the text has more than {} bytes", self.most_bytes)));
        }
        // The scanner gives up by panicking on a few malformed texts (a tag right before a comma, octets in tags that are
        // no Unicode). Texts come from anybody, so that has to stay here.
        let parsed = catch_unwind(AssertUnwindSafe(|| self.parser.parse()));
        let event = parsed.map_err(|_| Fault::of("the text is malformed beyond description"))??;
        match event.data {
            EventData::SequenceStart { .. } | EventData::MappingStart { .. } => self.depth += 1,
            EventData::SequenceEnd | EventData::MappingEnd => self.depth = self.depth.saturating_sub(1),
            EventData::DocumentStart { .. } => self.documents += 1,
            _ => {}
        }
        if self.depth > self.most_depth {
            let problem = format!("collections nest deeper than {}", self.most_depth);
            return Err(Fault::at(problem, event.start_mark));
        }
        if self.documents > 1 {
            let problem = "expected a single document in the stream, but found another";
            return Err(Fault::at(problem, event.start_mark));
        }
        Ok(event)
    }
}
