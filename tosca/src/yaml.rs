//! YAML 1.1 documents as values that know where they stand (docs/spec/tosca.md 1), read by [`radl::yaml`]. What a document
//! can cost is bounded: its size, its depth, and the number of values after aliases are resolved.

use radl::yaml::{Bounds, YamlError, read};

pub use radl::yaml::{Data, Map, Place, Value, float_text, plain};

/// Bytes of a document.
pub const MAX_TEXT: usize = 1 << 20;
/// Values of a document, aliases counted with all that they stand for.
pub const MAX_VALUES: usize = 40_000;
/// How deep lists and maps may nest.
pub const MAX_DEPTH: usize = 64;

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong and what to do about it, without anything that stands there.
    pub message: String,
    /// Where it was noticed.
    pub place: Place,
}

impl From<YamlError> for Fault {
    fn from(error: YamlError) -> Self {
        let place = error.position().map(|at| Place { line: at.line, column: at.column.unwrap_or_default() });
        Self { message: error.message(), place: place.unwrap_or_default() }
    }
}

/// The only document of a text; null when there is none.
///
/// # Errors
/// It is no YAML, holds more than one document, or goes beyond one of the bounds.
pub fn parse(text: &str) -> Result<Value, Fault> {
    Ok(read(text, &Bounds { bytes: MAX_TEXT, depth: MAX_DEPTH, values: MAX_VALUES })?)
}
