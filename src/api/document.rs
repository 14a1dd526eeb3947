//! From the text of a request to a document.

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

/// Reads a document. An empty text is an empty document, whatever its kind. Nothing is opened or fetched.
///
/// # Errors
/// A document with errors, or TOSCA.
pub fn parse(kind: DocumentKind, text: &str) -> Result<Radl, OperationError> {
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
