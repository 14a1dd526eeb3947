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
        DocumentKind::Tosca => Document::Tosca(text.into()),
    })
}

impl DocumentKind {
    /// The kind of a document that comes without a word on what it is, RADL or TOSCA. A document of TOSCA is a map and names
    /// its version, while RADL begins with one of its keywords and a name.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim_end);
        let first = lines.find(|line| {
            let line = line.trim_start();
            !line.is_empty() && !["#", "---", "%"].iter().any(|beginning| line.starts_with(beginning))
        });
        let is_map = first.is_some_and(|line| {
            let key = line.split_once(':').map(|(key, _)| key.trim_matches(['"', '\'', ' ']));
            line.starts_with('{') || key.is_some_and(|key| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        });
        if is_map && text.contains("tosca_definitions_version") { Self::Tosca } else { Self::Radl }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_known_by_their_beginnings() {
        for text in [
            "tosca_definitions_version: tosca_simple_yaml_1_0",
            "---\n# words\n\ndescription: text\ntosca_definitions_version: tosca_simple_yaml_1_3\n",
            "%YAML 1.1\n---\n\"tosca_definitions_version\": x",
            "{\"tosca_definitions_version\": \"x\"}",
        ] {
            assert_eq!(DocumentKind::of(text), DocumentKind::Tosca, "{text}");
        }
        for text in [
            "",
            "# tosca_definitions_version: x",
            "network a ()",
            "system a ()\nconfigure a (\n@begin\ntosca_definitions_version: x\n@end\n)",
            "system a ( net_interface.0.dns_name = 'a:b' and x = 'tosca_definitions_version')",
            "description: text",
        ] {
            assert_eq!(DocumentKind::of(text), DocumentKind::Radl, "{text}");
        }
    }
}
