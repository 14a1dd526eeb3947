//! What a row of the table of routes says besides where the route is and who answers: the words before its errors, and what
//! the description of the API has of it.

use super::{
    Rest,
    error::{Class, ErrorWords},
};
use crate::api::http::Route;
use warp::http::StatusCode;

/// What is said of a route. A route without an operation id is served, but the description leaves it out.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// Words before errors, and their statuses where those differ from route to route.
    pub(super) errors: ErrorWords,
    /// The operation id, the contract's where it has one (docs/spec/api.md 6.5).
    pub(super) id: Option<&'static str>,
    /// What the operation does.
    pub(super) summary: &'static str,
    /// Its query parameters.
    pub(super) query: Vec<QueryParameter>,
    /// The body it takes.
    pub(super) takes: TakenBody,
    /// What it answers.
    pub(super) success: SuccessBody,
    /// Whether anybody may ask for it.
    pub(super) is_open: bool,
}

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryParameter {
    pub(super) name: &'static str,
    pub(super) values: ParameterValues,
    pub(super) required: bool,
    pub(super) about: &'static str,
}

/// Values of a query parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum ParameterValues {
    /// A word of yes or no, and its default.
    Flag(bool),
    /// Free text.
    Text,
    /// A whole number from 0.
    Number,
}

/// Types a request body may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum TakenBody {
    /// There is none.
    #[default]
    None,
    /// A document in one of its languages; it may be missing.
    Document,
    /// JSON of the schema of this name.
    Json(&'static str),
}

/// Bodies of successes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum SuccessBody {
    /// Text only.
    #[default]
    Text,
    /// A text, or the same text under a name in JSON.
    Named(&'static str),
    /// One URI.
    Uri,
    /// One URI, or JSON of the schema of this name.
    UriOr(&'static str),
    /// A list of URIs.
    Uris,
    /// JSON of the schema of this name only.
    Json(&'static str),
    /// Text, or JSON of the schema of this name.
    TextOr(&'static str),
    /// JSON of the schema of this name, or CSV.
    JsonOrCsv(&'static str),
    /// Server-sent events.
    Events,
    /// The description of the API, or a page.
    Description,
}

/// A query parameter that is a word of yes or no.
pub(super) const fn flag(name: &'static str, default: bool, about: &'static str) -> QueryParameter {
    QueryParameter { name, values: ParameterValues::Flag(default), required: false, about }
}

/// A query parameter with any text.
pub(super) const fn text(name: &'static str, about: &'static str) -> QueryParameter {
    QueryParameter { name, values: ParameterValues::Text, required: false, about }
}

/// A query parameter that is a whole number.
pub(super) const fn number(name: &'static str, about: &'static str) -> QueryParameter {
    QueryParameter { name, values: ParameterValues::Number, required: false, about }
}

impl QueryParameter {
    /// The same parameter, which must be there.
    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

impl Route<Rest> {
    /// The words before its errors.
    pub(super) fn errors(mut self, words: &'static str) -> Self {
        self.metadata.errors = ErrorWords::all(words);
        self
    }

    /// Other words before the errors of a class.
    pub(super) fn errors_of(mut self, class: Class, words: &'static str) -> Self {
        self.metadata.errors.set(class, words);
        self
    }

    /// The status where a machine is unknown or deleted; 404 unless said.
    pub(super) fn missing_vm(mut self, status: StatusCode) -> Self {
        self.metadata.errors.missing_vm = status;
        self
    }

    /// What the description says of it.
    pub(super) fn described(mut self, id: &'static str, summary: &'static str, success: SuccessBody) -> Self {
        (self.metadata.id, self.metadata.summary, self.metadata.success) = (Some(id), summary, success);
        self
    }

    /// A further query parameter.
    pub(super) fn query(mut self, parameter: QueryParameter) -> Self {
        self.metadata.query.push(parameter);
        self
    }

    /// The body that it takes.
    pub(super) fn takes(mut self, body: TakenBody) -> Self {
        self.metadata.takes = body;
        self
    }

    /// Anybody may ask for it: it needs no credentials.
    pub(super) fn open(mut self) -> Self {
        self.metadata.is_open = true;
        self
    }
}
