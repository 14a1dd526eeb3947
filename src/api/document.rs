//! From the body of a request to a document.

use crate::engine::error::OperationError;
use radl::Radl;

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
    let text = text(body)?;
    if text.trim().is_empty() {
        return Ok(Radl::default());
    }
    match kind {
        DocumentKind::Radl => Ok(Radl::parse(text)?),
        DocumentKind::RadlJson => Ok(Radl::from_json(text)?),
        DocumentKind::Tosca => {
            Err(OperationError::Invalid("TOSCA is not available in this version, send RADL.".to_owned()))
        }
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
