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
    let invalid = |text: String| OperationError::Invalid(text);
    let text = std::str::from_utf8(body)
        .map_err(|error| invalid(format!("The request body is not UTF-8 (byte {}).", error.valid_up_to())))?;
    if text.trim().is_empty() {
        return Ok(Radl::default());
    }
    match kind {
        DocumentKind::Radl => Radl::parse(text).map_err(|error| invalid(error.to_string())),
        DocumentKind::RadlJson => Radl::from_json(text).map_err(|error| invalid(error.to_string())),
        DocumentKind::Tosca => Err(invalid("TOSCA is not available in this version, send RADL.".to_owned())),
    }
}
