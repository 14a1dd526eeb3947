//! From the body of a request to a document.

use crate::engine::error::OperationError;
use radl::{ErrorKind, Radl, RadlError};

/// Languages a document can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// RADL.
    Radl,
    /// RADL in its JSON form.
    RadlJson,
    /// TOSCA.
    Tosca,
}

/// Reads a document. An empty body is an empty document, whatever its kind. Nothing is opened or fetched.
///
/// # Errors
/// Not UTF-8, a document with errors, or TOSCA.
pub fn parse(kind: DocumentKind, body: &[u8]) -> Result<Radl, OperationError> {
    let invalid = |text: String| OperationError::Invalid(text);
    let text = text(body)?;
    if text.trim().is_empty() {
        return Ok(Radl::default());
    }
    match kind {
        DocumentKind::Radl => Radl::parse(text).map_err(|error| invalid(with_place(&error))),
        DocumentKind::RadlJson => Radl::from_json(text).map_err(|error| invalid(with_place(&error))),
        DocumentKind::Tosca => Err(invalid("TOSCA is not available in this version, send RADL.".to_owned())),
    }
}

/// A body as text.
///
/// # Errors
/// Not UTF-8.
pub fn text(body: &[u8]) -> Result<&str, OperationError> {
    std::str::from_utf8(body).map_err(|error| {
        OperationError::Invalid(format!("The request body is not UTF-8 (byte {}).", error.valid_up_to()))
    })
}

/// The message that clients know, and behind it what it does not say of the place.
fn with_place(error: &RadlError) -> String {
    let Some(place) = error.position().filter(|_| error.kind() != ErrorKind::Json) else {
        // Errors of JSON name line and column themselves.
        return error.to_string();
    };
    let line = if error.line().is_none() { format!("line {}", place.line) } else { String::new() };
    let column = place.column.map(|column| format!("column {column}")).unwrap_or_default();
    let separator = if line.is_empty() || column.is_empty() { "" } else { ", " };
    match (line.as_str(), column.as_str()) {
        ("", "") => error.to_string(),
        _ => format!("{error} ({line}{separator}{column})"),
    }
}
