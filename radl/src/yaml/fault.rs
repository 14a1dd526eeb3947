//! Why a text is no usable YAML, where, and what to do about it. What stands there may be a secret, so it is never shown.

use crate::error::Position;
use libyaml_safer::{Error, Mark};
use std::fmt;

/// Why a text is not usable YAML, or a node cannot be written: in words for its author, with place and advice where they
/// are known, and never with anything that stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    problem: String,
    position: Option<Position>,
    advice: Option<&'static str>,
}

impl YamlError {
    /// What is wrong and what to do about it, without the place.
    #[must_use]
    pub fn message(&self) -> String {
        self.advice.map_or_else(|| self.problem.clone(), |advice| format!("{}; {advice}", self.problem))
    }

    /// Where in the text.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}

impl std::error::Error for YamlError {}

/// The place that a mark of the parser, which counts from 0, stands for.
pub(super) fn position(mark: Mark) -> Position {
    let [line, column] = [mark.line, mark.column].map(|n| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1));
    Position { line, column: Some(column) }
}

/// What is wrong, while the text is being read.
#[derive(Debug)]
pub(super) struct Fault {
    problem: String,
    /// Where it was noticed, and where what is wrong there began.
    places: Vec<Mark>,
    advice: Option<&'static str>,
}

impl Fault {
    /// A problem without a place.
    pub(super) fn of(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), places: Vec::new(), advice: None }
    }

    /// A problem at a place.
    pub(super) fn at(problem: impl Into<String>, place: Mark) -> Self {
        Self { problem: problem.into(), places: vec![place], advice: None }
    }

    /// Adds what to do about it.
    pub(super) fn advised(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// The error of it, with its place, when the parser gave none, and what to do about it, found in the text.
    pub(super) fn explained(mut self, text: &str) -> YamlError {
        if self.places.is_empty() {
            self.places.extend(control_character(text));
        }
        let advice = self.advice_for(text).or(self.advice);
        YamlError { problem: self.problem, position: self.places.first().copied().map(position), advice }
    }

    fn advice_for(&self, text: &str) -> Option<&'static str> {
        let line = |place: &Mark| text.lines().nth(usize::try_from(place.line).ok()?);
        if self.places.iter().filter_map(line).any(begins_with_template) {
            return Some("a value that begins with {{ must stand in quotes: \"{{ ... }}\"");
        }
        let place = self.places.first()?;
        let column = usize::try_from(place.column).ok()?;
        let line = line(place)?;
        let before: String = line.chars().take(column).collect();
        match line.chars().nth(column) {
            Some('\t') => Some("indent with blanks, not with tabs"),
            Some('%' | '@' | '`') if self.problem.contains("cannot start any token") => {
                Some("a text that begins with %, @ or ` must stand in quotes")
            }
            _ if self.problem.contains("mapping values are not allowed") => {
                Some("a text with a colon and a blank in it must stand in quotes; else check the indentation")
            }
            _ if before.trim_end().ends_with(['"', '\'']) => Some("quotes must enclose the whole value"),
            _ => None,
        }
    }
}

/// The place of the first character that YAML forbids, of which the parser tells no place.
fn control_character(text: &str) -> Option<Mark> {
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\u{85}');
    let found = text.lines().enumerate().find_map(|(line, text)| Some((line, text.chars().position(forbidden)?)));
    let (line, column) = found?;
    let mut place = Mark::default();
    (place.line, place.column) = (u64::try_from(line).ok()?, u64::try_from(column).ok()?);
    Some(place)
}

/// Whether a value on the line begins with a template that is not quoted.
fn begins_with_template(line: &str) -> bool {
    line.match_indices("{{").any(|(at, _)| {
        let before = &line[..at];
        let end = before.trim_end();
        let apart = end.len() < before.len();
        end.is_empty() || end.ends_with(['[', ',']) || apart && end.ends_with([':', '-', '?'])
    })
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let context = error.context().filter(|context| !context.is_empty());
        let problem = context.map_or(String::new(), |context| format!("{context}: ")) + error.problem();
        let begun = error.context_mark().filter(|_| context.is_some());
        Self { problem, places: error.problem_mark().into_iter().chain(begun).collect(), advice: None }
    }
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, " at line {line}")?;
            column.map_or(Ok(()), |column| write!(f, " column {column}"))?;
        }
        self.advice.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}
