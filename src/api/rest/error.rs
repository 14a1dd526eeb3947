//! The one place that says how a failure looks on the wire: status, prefix and body (docs/spec/api.md 2.4 and 2.5).

use super::{
    negotiation::{UnsupportedMedia, mentions},
    reply::{self, Response},
    routes::Operation,
};
use crate::{
    api::{http::body::BodyError, parameters::IncorrectParameter},
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
pub(super) enum Failure {
    /// The caller did not prove who they are.
    Credentials(AuthError),
    /// The engine refused or failed.
    Operation(OperationError),
    /// The request itself; the text is shown without a prefix.
    Request(StatusCode, String),
    /// The method is not offered; the text is the value of `Allow`.
    Method(String),
}

impl Failure {
    /// Something of the contract that this version does not offer; `what` begins the sentence.
    pub(super) fn unavailable(what: &str) -> Self {
        Self::Operation(OperationError::Invalid(format!("{what} is not available in this version.")))
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

/// What decides about the prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Invalid credentials.
    User,
    /// Forbidden by the boot mode.
    Disabled,
    /// About the infrastructure or the machine named: unknown, deleted, not the caller's.
    Named,
    /// Anything else.
    Other,
}

fn class(error: &OperationError) -> Class {
    match error {
        OperationError::Disabled => Class::Disabled,
        OperationError::UnknownInfrastructure
        | OperationError::NotOwner
        | OperationError::DeletedInfrastructure
        | OperationError::UnknownVm
        | OperationError::DeletedVm => Class::Named,
        _ => Class::Other,
    }
}

fn status(operation: Operation, error: &OperationError) -> StatusCode {
    match error {
        OperationError::UnknownInfrastructure | OperationError::DeletedInfrastructure => StatusCode::NOT_FOUND,
        OperationError::NotOwner | OperationError::Disabled => StatusCode::FORBIDDEN,
        OperationError::UnknownVm | OperationError::DeletedVm if operation == Operation::Add => StatusCode::BAD_REQUEST,
        OperationError::UnknownVm | OperationError::DeletedVm => StatusCode::NOT_FOUND,
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

/// The words before the text of an error. The odd spellings are those of the contract.
fn prefix(operation: Operation, class: Class) -> &'static str {
    use Operation as O;
    match (operation, class) {
        (
            O::Describe
            | O::DescribeForPrograms
            | O::Version
            | O::Health
            | O::Readiness
            | O::Metrics
            | O::Catalogue
            | O::StaticFile,
            _,
        ) => "",
        (O::List, _) => "Error Getting Inf. List: ",
        (O::Create, Class::User) => "Error Creating Inf. info: ",
        (O::Create, Class::Disabled) => "Error Creating Inf, info: ",
        (O::Create, _) => "Error Creating Inf.: ",
        (O::Import, Class::Disabled) => "Error Impporting Inf: ",
        (O::Import, _) => "Error Impporting Inf.: ",
        (O::Machines, _) => "Error Getting Inf. info: ",
        (O::State | O::Log | O::Document | O::Tosca | O::Outputs | O::Export | O::Owners | O::OtherProperty, _) => {
            "Error Getting Inf. prop: "
        }
        (O::Events, _) => "Error Getting Inf. events: ",
        (O::Add, _) => "Error Adding resources: ",
        (O::Destroy, _) => "Error Destroying Inf: ",
        (O::StartAll, _) => "Error in start operation: ",
        (O::StopAll, _) => "Error in stop operation: ",
        (O::OtherAction, _) => "Error in operation: ",
        (O::Reconfigure, _) => "Error reconfiguring infrastructure: ",
        (O::ChangeOwners, Class::Named) => "Error modifying infrastructure owners: ",
        (O::ChangeOwners, _) => "Error modifying infrastructure owner: ",
        (O::Machine, Class::Other) => "Error Getting VM info: ",
        (O::Machine, _) => "Error Getting VM. info: ",
        (O::MachineProperty | O::MachineLog | O::MachineError | O::MachineCommand, Class::Other) => {
            "Error Getting VM property: "
        }
        (O::MachineProperty | O::MachineLog | O::MachineError | O::MachineCommand, _) => "Error Getting VM. property: ",
        (O::Alter, _) => "Error modifying resources: ",
        (O::Remove, _) => "Error Removing resources: ",
        (O::Start, _) => "Error in start op in VM: ",
        (O::Stop, _) => "Error in stop op in VM: ",
        (O::Reboot, _) => "Error in reboot op in VM: ",
        (O::OtherMachineAction, _) => "Error in op in VM: ",
        (O::Snapshot, _) => "Error creating snapshot: ",
        (O::CloudImages | O::CloudQuotas | O::OtherCloudProperty, _) => "Error getting cloud info: ",
        (O::Statistics, _) => "Error getting stats: ",
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

/// The answer of a failed request; `operation` is none where no route was found.
pub(super) fn response(failure: Failure, operation: Option<Operation>, form: ErrorBody) -> Response {
    let with_prefix = |class, text: &dyn std::fmt::Display| {
        let prefix = operation.map_or("", |operation| prefix(operation, class));
        format!("{prefix}{text}")
    };
    let (status, message, header) = match failure {
        Failure::Credentials(error) => {
            let text = if error.is_unreadable() { error.to_string() } else { with_prefix(Class::User, &error) };
            (StatusCode::UNAUTHORIZED, text, Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))))
        }
        Failure::Operation(error) => {
            let status = operation.map_or(StatusCode::BAD_REQUEST, |operation| status(operation, &error));
            let wait = (status == StatusCode::SERVICE_UNAVAILABLE)
                .then(|| (header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER)));
            (status, with_prefix(class(&error), &error), wait)
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
            HeaderValue::from_str(&allow).ok().map(|allow| (header::ALLOW, allow)),
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
    use super::*;
    use Operation as O;
    use OperationError as E;

    /// The statuses of table 2.5 that differ between operations, and the prefixes that differ between classes.
    #[test]
    fn the_table_of_errors() {
        let cases = [
            (O::Add, E::UnknownVm, 400, "Error Adding resources: Invalid VM ID"),
            (O::Machine, E::UnknownVm, 404, "Error Getting VM. info: Invalid VM ID"),
            (O::Machine, E::Cloud("x".into()), 400, "Error Getting VM info: x"),
            (O::Create, E::Disabled, 403, "Error Creating Inf, info: Function currently disabled."),
            (O::Create, E::Invalid("x".into()), 400, "Error Creating Inf.: x"),
            (O::Log, E::NotOwner, 403, "Error Getting Inf. prop: Access to this infrastructure not granted."),
            (
                O::Destroy,
                E::Conflict(String::new()),
                409,
                "Error Destroying Inf: Invalid State to perform this operation.",
            ),
        ];
        for (operation, error, expected, message) in cases {
            let text = format!("{}{error}", prefix(operation, class(&error)));
            assert_eq!((status(operation, &error).as_u16(), text.as_str()), (expected, message));
        }
        assert_eq!(status(O::State, &E::Damaged("machine 3".into())), 500);
        let busy = response(Failure::Operation(E::Unreadable("locked".into())), Some(O::State), ErrorBody::Text);
        assert_eq!(busy.status(), 503);
        assert_eq!(busy.headers()[header::RETRY_AFTER], RETRY_AFTER);
    }

    #[test]
    fn pages_are_escaped() {
        assert!(page(400, "<b>&'\"").contains("Message: &lt;b&gt;&amp;&#x27;&quot;</h1>"));
    }
}
