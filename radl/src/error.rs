//! The one error of the crate, in the wording clients know.

use std::fmt;

/// What kind of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The document breaks a rule of the language.
    Radl,
    /// Documents that do not fit together; never carries a line in its text.
    Plain,
    /// The text is not JSON.
    Json,
}

impl ErrorKind {
    /// The name on the wire: `radl`, `plain` or `json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Radl => "radl",
            Self::Plain => "plain",
            Self::Json => "json",
        }
    }
}

/// A place in a text; both count from 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, when known.
    pub column: Option<u32>,
}

/// Why a document was refused.
///
/// Displayed as `Line N: TEXT`, or as the bare text for the messages that never had a line on the wire (duplicate
/// ids, index rules): their place, when known, is only in [`RadlError::position`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RadlError {
    kind: ErrorKind,
    text: String,
    position: Option<Position>,
    line_in_text: bool,
    subject: Option<String>,
}

impl fmt::Display for RadlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line() {
            write!(f, "Line {line}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl RadlError {
    /// A language error in `line` (0: unknown).
    pub(crate) fn at_line(line: u32, text: impl Into<String>) -> Self {
        let position = (line > 0).then_some(Position { line, column: None });
        Self { kind: ErrorKind::Radl, text: text.into(), position, line_in_text: true, subject: None }
    }

    /// A language error at an exact place.
    pub(crate) fn at(line: u32, column: u32, text: impl Into<String>) -> Self {
        let mut error = Self::at_line(line, text);
        error.position = Some(Position { line, column: Some(column) });
        error
    }

    /// A language error whose message carries no line.
    pub(crate) fn without_line(text: impl Into<String>) -> Self {
        let mut error = Self::at_line(0, text);
        error.line_in_text = false;
        error
    }

    /// An error between documents.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        let mut error = Self::without_line(text);
        error.kind = ErrorKind::Plain;
        error
    }

    /// Text that is not JSON.
    pub(crate) fn json(error: &serde_json::Error) -> Self {
        let mut wrapped = Self::without_line(format!("The document is not JSON: {error}"));
        wrapped.kind = ErrorKind::Json;
        let [line, column] = [error.line(), error.column()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        wrapped.position = (line > 0).then_some(Position { line, column: Some(column) });
        wrapped
    }

    /// Names the feature or id the error is about, so that its column can be found.
    pub(crate) fn about(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    /// Adds a place to an error that knows none, without changing its text.
    pub(crate) fn placed(mut self, line: u32, column: u32) -> Self {
        if line > 0 && self.position.is_none() {
            self.line_in_text = false;
            self.position = Some(Position { line, column: Some(column) });
        }
        self
    }

    /// Adds the column to an error that stands in `line` and knows none.
    pub(crate) fn with_column(mut self, line: u32, column: u32) -> Self {
        if let Some(position) = &mut self.position
            && position.line == line
            && position.column.is_none()
        {
            position.column = Some(column);
        }
        self
    }

    /// The whole message, as it goes on the wire.
    #[must_use]
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The line that the message names, from 1.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        self.position.filter(|_| self.line_in_text).map(|p| p.line)
    }

    /// The column in that line, from 1, in characters.
    #[must_use]
    pub fn column(&self) -> Option<u32> {
        self.position.filter(|_| self.line_in_text).and_then(|p| p.column)
    }

    /// Where the error is, also when the message does not say.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The same error with its column, looked up in the text the document was parsed from. Errors of
    /// [`check`](crate::Radl::check) know their line only: the document does not keep columns.
    #[must_use]
    pub fn located_in(mut self, text: &str) -> Self {
        if let (Some(position), Some(subject)) = (&mut self.position, &self.subject)
            && position.column.is_none()
            && let Some(line) = text.split('\n').nth(position.line as usize - 1)
            && let Some(found) = whole_word(line, subject)
        {
            position.column = u32::try_from(line[..found].chars().count() + 1).ok();
        }
        self
    }
}

/// Byte offset of the first occurrence of `word` in `line` that is not part of a longer name.
fn whole_word(line: &str, word: &str) -> Option<usize> {
    let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    line.match_indices(word).map(|(at, _)| at).find(|&at| {
        !line[..at].chars().next_back().is_some_and(in_name)
            && !line[at + word.len()..].chars().next().is_some_and(in_name)
    })
}
