//! Text of others in logs: it can neither end a line and begin another one, nor tell a terminal what to do.

use std::{borrow::Cow, fmt::Write};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FormatFields,
        format::{DefaultFields, Writer},
    },
};

/// Whether a character does something instead of being shown: controls, ends of lines and paragraphs, changes of direction.
fn is_active(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with all characters that do something written out, but for those of `kept`.
#[must_use]
pub fn plain<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let is_meant = |c: char| is_active(c) && !kept.contains(&c);
    if !text.contains(is_meant) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_meant(c) {
            // Writing to a String does not fail.
            let _ = write!(plain, "{}", c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain.into()
}

/// Writes the message and the fields of a line in text form.
pub(super) struct PlainFields;

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> std::fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&plain(&text, &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_something_is_written_out() {
        assert!(matches!(plain("naïve 'text' \\n", &[]), Cow::Borrowed(_)));
        let text = "a\n\tb\r\u{1b}[2J\u{85}\u{2028}\u{202e}\u{0}";
        assert_eq!(plain(text, &[]), "a\\n\\tb\\r\\u{1b}[2J\\u{85}\\u{2028}\\u{202e}\\u{0}");
        assert_eq!(plain("a\n\tb\r", &['\n', '\t']), "a\n\tb\\r");
    }
}
