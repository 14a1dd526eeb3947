//! Why a document is refused: all problems at once, each with its place, its path and what was expected.
//!
//! The classes and the beginnings of the messages are those that clients know (docs/spec/tosca.md 13); place and
//! expectation follow in brackets.

use crate::yaml::{Fault, Place, Value};
use std::{collections::HashSet, fmt};

/// How many problems of a document are told.
const MAX_PROBLEMS: usize = 100;

/// The kind of a problem, with the name that clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A key or name that does not exist there.
    UnknownField,
    /// Something that must be there.
    MissingField,
    /// A type that is not known.
    InvalidType,
    /// A type that is known and cannot be used.
    UnsupportedType,
    /// A version of the language that is not known.
    InvalidVersion,
    /// Something of another structure than expected.
    TypeMismatch,
    /// A value of another type than expected.
    Value,
    /// A value that is no version.
    VersionProperty,
    /// A value that breaks a rule.
    Validation,
    /// A value that cannot be, such as a range that ends before it begins.
    PropertyValue,
    /// An input that is not declared.
    UnknownInput,
    /// A name that stands for nothing.
    Key,
    /// What the language has and the service has not.
    NotImplemented,
    /// A member of a group or a target of a policy that cannot be one.
    GroupTarget,
    /// Something that cannot be fetched.
    Url,
    /// An import that cannot be followed.
    Import,
    /// A problem without a class of its own.
    Other,
}

impl Class {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownField => "UnknownFieldError",
            Self::MissingField => "MissingRequiredFieldError",
            Self::InvalidType => "InvalidTypeError",
            Self::UnsupportedType => "UnsupportedTypeError",
            Self::InvalidVersion => "InvalidTemplateVersion",
            Self::TypeMismatch => "TypeMismatchError",
            Self::Value => "ValueError",
            Self::VersionProperty => "InvalidTOSCAVersionPropertyException",
            Self::Validation => "ValidationError",
            Self::PropertyValue => "InvalidPropertyValueError",
            Self::UnknownInput => "UnknownInputError",
            Self::Key => "KeyError",
            Self::NotImplemented => "NotImplementedError",
            Self::GroupTarget => "InvalidGroupTargetException",
            Self::Url => "URLException",
            Self::Import => "ImportError",
            Self::Other => "Error",
        }
    }
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub class: Class,
    /// The words that clients know.
    pub message: String,
    /// Where it stands; unknown in what was fetched or merged.
    pub place: Place,
    /// The way to it from the root of the document or of its topology, as `node_templates.front.capabilities.host`.
    pub path: String,
    /// What was expected there.
    pub expected: Option<String>,
}

impl Problem {
    /// A problem of which only the words are known yet.
    #[must_use]
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), place: Place::default(), path: String::new(), expected: None }
    }

    /// The same with what was expected.
    #[must_use]
    pub fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// The same at a place and path, unless it has them already.
    #[must_use]
    pub fn at(mut self, place: Place, path: &str) -> Self {
        if self.place == Place::default() {
            self.place = place;
        }
        if self.path.is_empty() {
            path.clone_into(&mut self.path);
        }
        self
    }
}

/// The words, then in brackets the place and what was expected.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut details = Vec::new();
        if self.place.line > 0 {
            details.push(format!("line {}, column {}", self.place.line, self.place.column));
        }
        if !self.path.is_empty() {
            details.push(self.path.clone());
        }
        let place = details.join(", ");
        match (&self.expected, place.is_empty()) {
            (None, true) => Ok(()),
            (None, false) => write!(f, " ({place})"),
            (Some(expected), true) => write!(f, " (expected {expected})"),
            (Some(expected), false) => write!(f, " ({place}: expected {expected})"),
        }
    }
}

/// When a document was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// While it was read and checked.
    Parse,
    /// While RADL was made of it.
    Translate,
    /// While its outputs were evaluated.
    Outputs,
}

impl Phase {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Translate => "translate",
            Self::Outputs => "outputs",
        }
    }
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no YAML.
    #[error("Error parsing TOSCA template: {message}{}", bracketed(*.place))]
    Syntax {
        /// What is wrong.
        message: String,
        /// Where it was noticed.
        place: Place,
    },
    /// The document breaks rules of the language.
    #[error(
        "Error parsing TOSCA template: \nThe pre-parsed input failed validation with the following error(s): {}",
        .0.iter().map(|problem| format!("\n\n\t{}: {problem}", problem.class.name())).collect::<String>()
    )]
    Refused(Vec<Problem>),
    /// The document must not be used at all, whatever else is right or wrong in it.
    #[error("Error parsing TOSCA template: {0}")]
    Forbidden(Problem),
    /// No RADL can be made of it, or no outputs.
    #[error("{}", .1.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Failed(Phase, Vec<Problem>),
    /// What stands at these addresses has to be fetched first.
    #[error("these files are needed and were not given: {}", .0.join(", "))]
    Wanted(Vec<String>),
}

impl Error {
    /// When the document was refused.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Failed(phase, _) => *phase,
            _ => Phase::Parse,
        }
    }

    /// The problems, the first one first; none where only files are wanted.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Refused(problems) | Self::Failed(_, problems) => problems,
            Self::Forbidden(problem) => std::slice::from_ref(problem),
            Self::Syntax { .. } | Self::Wanted(_) => &[],
        }
    }

    /// Where the first problem stands.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Syntax { place, .. } => *place,
            _ => self.problems().first().map(|problem| problem.place).unwrap_or_default(),
        }
    }
}

impl From<Fault> for Error {
    fn from(Fault { message, place }: Fault) -> Self {
        Self::Syntax { message, place }
    }
}

fn bracketed(place: Place) -> String {
    if place.line == 0 { String::new() } else { format!(" (line {}, column {})", place.line, place.column) }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    seen: HashSet<(Class, String, Place)>,
    /// Files that have to be fetched first.
    pub wanted: Vec<String>,
}

impl Problems {
    /// Adds a problem, once.
    pub fn add(&mut self, problem: Problem) {
        let known = (problem.class, problem.message.clone(), problem.place);
        if self.list.len() < MAX_PROBLEMS && self.seen.insert(known) {
            self.list.push(problem);
        }
    }

    /// A key that must not stand in a map.
    pub fn unknown(&mut self, what: &str, field: &str, value: &Value, path: &str, known: &[&str]) {
        let message =
            format!("{what} contains unknown field \"{field}\". Refer to the definition to verify valid values.");
        let mut problem = Problem::new(Class::UnknownField, message).at(value.place, path);
        if !known.is_empty() && known.len() <= 24 {
            problem = problem.expecting(format!("one of {}", known.join(", ")));
        }
        self.add(problem);
    }

    /// A key that must stand in a map and does not.
    pub fn missing(&mut self, what: &str, field: &str, place: Place, path: &str) {
        let message = format!("{what} is missing required field \"{field}\".");
        self.add(Problem::new(Class::MissingField, message).at(place, path));
    }

    /// Something of another structure than expected.
    pub fn mismatch(&mut self, what: &str, expected: &str, value: &Value, path: &str) {
        let message = format!("{what} must be of type \"{expected}\".");
        self.add(Problem::new(Class::TypeMismatch, message).at(value.place, path));
    }

    /// A file that has to be fetched before it goes on.
    pub fn want(&mut self, url: &str) {
        if !self.wanted.iter().any(|known| known == url) {
            self.wanted.push(url.to_owned());
        }
    }

    /// The problems without what is wanted.
    pub fn into_list(self) -> Vec<Problem> {
        self.list
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether so many were found that looking for more makes no sense.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_PROBLEMS
    }

    /// The problems of a phase as its error, if there are any; what is wanted comes first, for what is missing may be the
    /// only problem.
    pub fn into_result(self, phase: Phase) -> Result<(), Error> {
        if !self.wanted.is_empty() {
            return Err(Error::Wanted(self.wanted));
        }
        match (self.list.is_empty(), phase) {
            (true, _) => Ok(()),
            (false, Phase::Parse) => Err(Error::Refused(self.list)),
            (false, phase) => Err(Error::Failed(phase, self.list)),
        }
    }
}
