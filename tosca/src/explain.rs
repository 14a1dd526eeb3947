//! Why the RADL of a document is what it is, in reading order.

use crate::translate::Translation;
use std::fmt::Write;

/// Why there is something in the RADL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What it is about: a network, system or `configure`.
    pub subject: String,
    /// What it is and by which rule; numbers in brackets are sections of docs/spec/tosca.md.
    pub text: String,
}

impl Translation {
    /// The reasons as sentences, one on a line; what has no effect follows.
    #[must_use]
    pub fn explanation(&self) -> String {
        let mut text = String::new();
        for Reason { subject, text: reason } in &self.reasons {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{subject} {reason}.");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}
