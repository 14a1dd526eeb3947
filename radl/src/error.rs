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

/// What of its place a message tells in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nothing.
    Nothing,
    /// `Line N: ` in front.
    Line,
    /// `Line N: ` in front, and the column in the text.
    LineAndColumn,
}

/// A sentence of a document: its class and, where the class has ids, its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub class: &'static str,
    pub id: String,
}

/// Why a document was refused.
///
/// Displayed as `Line N: TEXT`, or as the bare text for the messages that never had a line on the wire (duplicate
/// ids, index rules): the words that clients know. [`RadlError::explained`] tells the rest: the place, what is wrong
/// with the value, what can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RadlError {
    kind: ErrorKind,
    text: String,
    position: Option<Position>,
    told: Told,
    subject: Option<Box<str>>,
    detail: Option<Box<str>>,
    sentence: Option<Box<Sentence>>,
    /// The sentence that should be there and is not.
    missing: Option<Box<Sentence>>,
    /// Whether it is about what an earlier document said, whose lines mean nothing to who sent this one.
    is_stored: bool,
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
        Self {
            kind: ErrorKind::Radl,
            text: text.into(),
            position: (line > 0).then_some(Position { line, column: None }),
            told: Told::Line,
            subject: None,
            detail: None,
            sentence: None,
            missing: None,
            is_stored: false,
        }
    }

    /// A language error at an exact place.
    pub(crate) fn at(line: u32, column: u32, text: impl Into<String>) -> Self {
        let mut error = Self::at_line(line, text);
        error.position = Some(Position { line, column: Some(column) });
        error
    }

    /// A syntax error, whose text tells the column.
    pub(crate) fn syntax(line: u32, column: u32, what: &str) -> Self {
        let mut error = Self::at(line, column, format!("Parse error in: column {column}: {what}"));
        error.told = Told::LineAndColumn;
        error
    }

    /// A language error whose message carries no line.
    pub(crate) fn without_line(text: impl Into<String>) -> Self {
        let mut error = Self::at_line(0, text);
        error.told = Told::Nothing;
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
        self.subject = Some(subject.into());
        self
    }

    /// Adds what the words that clients know do not tell: what is wrong, what was expected, what can be done. The first
    /// one to know it is the nearest to the fault.
    pub(crate) fn because(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail.get_or_insert_with(|| detail.into());
        self
    }

    /// Says why, in the place of what was said before.
    pub(crate) fn instead(mut self, detail: String) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the sentence that the error is in.
    pub(crate) fn inside(mut self, class: &'static str, id: &str) -> Self {
        self.sentence = Some(Box::new(Sentence { class, id: id.to_owned() }));
        self
    }

    /// Names the sentence whose absence is the error.
    pub(crate) fn missing(mut self, class: &'static str, id: &str) -> Self {
        self.missing = Some(Box::new(Sentence { class, id: id.to_owned() }));
        self
    }

    /// The sentence that the error is in, and the one whose absence it is.
    pub(crate) fn sentences(&self) -> (Option<&Sentence>, Option<&Sentence>) {
        (self.sentence.as_deref(), self.missing.as_deref())
    }

    /// Says that the sentence it is in came with an earlier document.
    pub(crate) fn stored(mut self) -> Self {
        self.is_stored = true;
        self
    }

    /// Adds a place to an error that knows none, without changing its text.
    pub(crate) fn placed(mut self, line: u32, column: Option<u32>) -> Self {
        if line > 0 && self.position.is_none() {
            self.told = Told::Nothing;
            self.position = Some(Position { line, column });
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

    /// The words that clients know, as they always went on the wire.
    #[must_use]
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// What the message does not tell of the fault: what is wrong with the value, what was expected, what can be done.
    /// Never a text of the document that may be a secret.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The message, and behind it in brackets what it does not tell: the place and the detail.
    #[must_use]
    pub fn explained(&self) -> String {
        // A line of another document would mislead.
        let message = if self.is_stored { self.text.clone() } else { self.to_string() };
        match (self.untold_place().as_str(), self.detail()) {
            ("", None) => message,
            ("", Some(aside)) | (aside, None) => format!("{message} ({aside})"),
            (place, Some(detail)) => format!("{message} ({place}: {detail})"),
        }
    }

    fn untold_place(&self) -> String {
        let sentence = self.sentence.as_deref().map(Sentence::to_string);
        match (self.position, sentence) {
            // Errors of JSON name line and column themselves.
            _ if self.kind == ErrorKind::Json => String::new(),
            (_, Some(sentence)) if self.is_stored => format!("{sentence}, as the infrastructure has it"),
            (None, Some(sentence)) => sentence,
            (None, None) => String::new(),
            (Some(Position { line, column }), _) => {
                let line = (self.told == Told::Nothing).then(|| format!("line {line}"));
                let column = column.filter(|_| self.told != Told::LineAndColumn);
                let column = column.map(|column| format!("column {column}"));
                line.into_iter().chain(column).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The line that the message names, from 1.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        self.position.filter(|_| self.told != Told::Nothing).map(|p| p.line)
    }

    /// The column in that line, from 1, in characters.
    #[must_use]
    pub fn column(&self) -> Option<u32> {
        self.position.filter(|_| self.told != Told::Nothing).and_then(|p| p.column)
    }

    /// Where the error is, also when the message does not say.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// This error with its column, looked up in the text the document was parsed from. Errors of
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

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, id } = self;
        if id.is_empty() { f.write_str(class) } else { write!(f, "{class} {id}") }
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
