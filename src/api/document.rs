//! From the text of a request to a document.

use crate::engine::{error::OperationError, operations::document::Document};
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
/// A document of RADL with errors.
pub fn parse(kind: DocumentKind, text: &str) -> Result<Document, OperationError> {
    if text.trim().is_empty() {
        return Ok(Radl::default().into());
    }
    Ok(match kind {
        DocumentKind::Radl => Radl::parse(text)?.into(),
        DocumentKind::RadlJson => Radl::from_json(text)?.into(),
        DocumentKind::Tosca => Document::Tosca(text.to_owned()),
    })
}
