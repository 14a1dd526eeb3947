//! The one place that says how a failure looks on the wire: status, prefix and body (docs/spec/api.md 2.4 and 2.5).

use super::{
    negotiation::{UnsupportedMedia, mentions},
    reply::{self, Response},
};
use crate::{
    api::{
        http::{Refusal, body::BodyError},
        parameters::IncorrectParameter,
    },
    auth::AuthError,
    charset::CharsetError,
    engine::error::OperationError,
};
use serde::Serialize;
use warp::http::{HeaderValue, StatusCode, header};

/// Seconds that a client is asked to wait while the service cannot store changes.
const RETRY_AFTER: &str = "5";

/// Why a request is not answered with a success.
#[derive(Debug)]
pub enum Failure {
    /// The caller did not prove who they are.
    Credentials(AuthError),
    /// The engine refused or failed.
    Operation(OperationError),
    /// The request itself; the text is shown without a prefix.
    Request(StatusCode, String),
    /// The method is not offered; with the value of `Allow`.
    Method(HeaderValue),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => {
                Self::Request(StatusCode::NOT_FOUND, "The requested URL was not found on the server.".to_owned())
            }
            Refusal::MethodNotAllowed(allow) => Self::Method(allow),
            Refusal::TooManyChanges => {
                OperationError::Busy("Too many changes are under way, try again later.".to_owned()).into()
            }
            Refusal::Defect => Self::Request(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error, see the log of the service.".to_owned(),
            ),
        }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::Credentials(error)
    }
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        Self::Operation(error)
    }
}

impl From<UnsupportedMedia> for Failure {
    fn from(error: UnsupportedMedia) -> Self {
        Self::Request(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_string())
    }
}

impl From<IncorrectParameter> for Failure {
    fn from(error: IncorrectParameter) -> Self {
        Self::Request(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        Self::Request(error.status(), error.to_string())
    }
}

impl From<CharsetError> for Failure {
    fn from(error: CharsetError) -> Self {
        match error {
            CharsetError::Unknown(_) => Self::Request(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_string()),
            CharsetError::TooLarge(_) => Self::Request(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            CharsetError::Malformed { .. } => OperationError::Invalid(error.to_string()).into(),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Self::Request(StatusCode::INTERNAL_SERVER_ERROR, "The answer cannot be written as JSON.".to_owned())
    }
}

/// What decides about the words before an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Invalid credentials.
    User,
    /// Forbidden by the boot mode.
    Disabled,
    /// About the infrastructure or the machine named: unknown, deleted, not the caller's.
    Named,
    /// Anything else.
    Other,
}

impl Class {
    fn of(error: &OperationError) -> Self {
        match error {
            OperationError::Disabled => Self::Disabled,
            OperationError::UnknownInfrastructure
            | OperationError::NotOwner
            | OperationError::DeletedInfrastructure
            | OperationError::UnknownVm
            | OperationError::DeletedVm => Self::Named,
            _ => Self::Other,
        }
    }
}

/// What differs between the errors of routes (docs/spec/api.md 2.5).
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorWords {
    user: &'static str,
    disabled: &'static str,
    named: &'static str,
    other: &'static str,
    /// The status where a machine is unknown or deleted.
    pub(super) missing_vm: StatusCode,
}

impl Default for ErrorWords {
    /// No words, and 404.
    fn default() -> Self {
        Self::all("")
    }
}

impl ErrorWords {
    /// These words before all errors.
    pub(super) const fn all(words: &'static str) -> Self {
        Self { user: words, disabled: words, named: words, other: words, missing_vm: StatusCode::NOT_FOUND }
    }

    /// Puts other words before the errors of a class.
    pub(super) const fn set(&mut self, class: Class, words: &'static str) {
        match class {
            Class::User => self.user = words,
            Class::Disabled => self.disabled = words,
            Class::Named => self.named = words,
            Class::Other => self.other = words,
        }
    }

    /// The words before the errors of a class.
    pub(super) const fn before(&self, class: Class) -> &'static str {
        match class {
            Class::User => self.user,
            Class::Disabled => self.disabled,
            Class::Named => self.named,
            Class::Other => self.other,
        }
    }

    fn status(&self, error: &OperationError) -> StatusCode {
        match error {
            OperationError::UnknownInfrastructure | OperationError::DeletedInfrastructure => StatusCode::NOT_FOUND,
            OperationError::NotOwner | OperationError::Disabled => StatusCode::FORBIDDEN,
            OperationError::UnknownVm | OperationError::DeletedVm => self.missing_vm,
            OperationError::Conflict(_) => StatusCode::CONFLICT,
            OperationError::Invalid(_) | OperationError::Cloud(_) => StatusCode::BAD_REQUEST,
            OperationError::Unavailable(_)
            | OperationError::Unreadable(_)
            | OperationError::InDoubt(_)
            | OperationError::Moved
            | OperationError::OtherVersion(_)
            | OperationError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            OperationError::Damaged(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The form of the body of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorBody {
    Json,
    Html,
    Text,
}

impl ErrorBody {
    /// The form that a client wants, by its `Accept` header.
    pub(super) fn wanted(accept: Option<&str>) -> Self {
        if mentions(accept, "application/json") {
            Self::Json
        } else if mentions(accept, "text/html") {
            Self::Html
        } else {
            Self::Text
        }
    }
}

/// The answer of a failed request; `words` are those of its route.
pub(super) fn response(failure: Failure, words: ErrorWords, form: ErrorBody) -> Response {
    let (status, message, header) = match failure {
        Failure::Credentials(error) => {
            let before = if error.is_unreadable() { "" } else { words.before(Class::User) };
            let text = format!("{before}{error}");
            (StatusCode::UNAUTHORIZED, text, Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))))
        }
        Failure::Operation(error) => {
            let status = words.status(&error);
            let wait = (status == StatusCode::SERVICE_UNAVAILABLE)
                .then(|| (header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER)));
            (status, format!("{}{error}", words.before(Class::of(&error))), wait)
        }
        Failure::Request(status, text) => {
            let header = match status {
                // The rest of a refused body is not read, so the connection cannot go on.
                StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
                    Some((header::CONNECTION, HeaderValue::from_static("close")))
                }
                StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER))),
                _ => None,
            };
            (status, text, header)
        }
        Failure::Method(allow) => (
            StatusCode::METHOD_NOT_ALLOWED,
            "The method is not allowed for the requested URL.".to_owned(),
            Some((header::ALLOW, allow)),
        ),
    };
    let mut response = body(status, &message, form);
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    response
}

#[derive(Serialize)]
struct JsonError<'a> {
    message: &'a str,
    code: u16,
}

fn body(status: StatusCode, message: &str, form: ErrorBody) -> Response {
    let code = status.as_u16();
    let mut response = match form {
        ErrorBody::Json => reply::value(&JsonError { message, code }),
        ErrorBody::Html => Ok(reply::with_type("text/html; charset=utf-8", page(code, message))),
        ErrorBody::Text => Ok(reply::text(message.to_owned())),
    }
    .unwrap_or_else(|_| reply::empty());
    *response.status_mut() = status;
    response
}

fn page(code: u16, message: &str) -> String {
    let message = escape(message);
    format!(
        "<!DOCTYPE html>\n<html><head><title>Error {code}.</title></head>\n\
         <body><h1>Code: {code}.</h1><h1>Message: {message}</h1></body></html>"
    )
}

/// A text inside HTML.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{super::routes::routes, *};
    use crate::api::http::router::Row;
    use OperationError as E;
    use warp::http::Method;

    /// The statuses of table 2.5 that differ between operations, and the words that differ between classes.
    #[test]
    fn the_table_of_errors() {
        let (add, machine, infrastructures) =
            ("/infrastructures/{id}", "/infrastructures/{id}/vms/{vm}", "/infrastructures");
        let cases = [
            (Method::POST, add, E::UnknownVm, 400, "Error Adding resources: Invalid VM ID"),
            (Method::GET, machine, E::UnknownVm, 404, "Error Getting VM. info: Invalid VM ID"),
            (Method::GET, machine, E::Cloud("x".into()), 400, "Error Getting VM info: x"),
            (Method::POST, infrastructures, E::Disabled, 403, "Error Creating Inf, info: Function currently disabled."),
            (Method::POST, infrastructures, E::Invalid("x".into()), 400, "Error Creating Inf.: x"),
            (
                Method::GET,
                "/infrastructures/{id}/contmsg",
                E::NotOwner,
                403,
                "Error Getting Inf. prop: Access to this infrastructure not granted.",
            ),
            (
                Method::DELETE,
                add,
                E::Conflict(String::new()),
                409,
                "Error Destroying Inf: Invalid State to perform this operation.",
            ),
        ];
        let rows = routes();
        for (method, template, error, expected, message) in cases {
            let row = rows.iter().find(|row| (row.method(), row.template()) == (&method, template)).unwrap();
            let words = row.metadata.errors;
            let text = format!("{}{error}", words.before(Class::of(&error)));
            assert_eq!((words.status(&error).as_u16(), text.as_str()), (expected, message));
        }
        assert_eq!(ErrorWords::default().status(&E::Damaged("machine 3".into())), 500);
        let unreadable = Failure::Operation(E::Unreadable("locked".into()));
        let busy = response(unreadable, ErrorWords::default(), ErrorBody::Text);
        assert_eq!(busy.status(), 503);
        assert_eq!(busy.headers()[header::RETRY_AFTER], RETRY_AFTER);
    }

    #[test]
    fn pages_are_escaped() {
        assert!(page(400, "<b>&'\"").contains("Message: &lt;b&gt;&amp;&#x27;&quot;</h1>"));
    }
}
