//! Why a text is no usable YAML, where, and what to do about it. What stands there may be a secret, so it is never shown.

use libyaml_safer::{Error, Mark};
use std::fmt;

/// What is wrong.
#[derive(Debug)]
pub(super) struct Fault {
    problem: String,
    /// Where it was noticed, and where what is wrong there began.
    places: Vec<Mark>,
    advice: Option<&'static str>,
}

impl Fault {
    /// A problem at a place.
    pub(super) fn at(problem: impl Into<String>, place: Mark) -> Self {
        Self { problem: problem.into(), places: vec![place], advice: None }
    }

    /// The same with what to do about it.
    pub(super) fn advised(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// The same with its place, when the parser gave none, and what to do about it, found in the text.
    pub(super) fn explained(mut self, text: &str) -> Self {
        if self.places.is_empty() {
            self.places.extend(control_character(text));
        }
        self.advice = self.advice_for(text).or(self.advice);
        self
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        if let Some(place) = self.places.first() {
            write!(f, " at {place}")?;
        }
        self.advice.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}
