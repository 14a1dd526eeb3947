//! JSON as clients of the service know it: one line, `, ` and `: ` as separators, everything but printable ASCII escaped.

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};
use std::io::{Result, Write};

struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> Result<()> {
        let is_plain = |byte: u8| byte < 0x7f;
        if fragment.bytes().all(is_plain) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        for piece in fragment.split_inclusive(|c: char| c >= '\u{7f}') {
            let (plain, special) = match piece.char_indices().next_back() {
                Some((at, c)) if c >= '\u{7f}' => (&piece[..at], Some(c)),
                _ => (piece, None),
            };
            writer.write_all(plain.as_bytes())?;
            if let Some(special) = special {
                for unit in special.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// The value as one line of JSON.
///
/// # Errors
/// The value refuses to be serialized.
pub(super) fn line<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut buffer, OneLine))?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn one_line_with_blanks_and_escapes() {
        let value = json!({"a": [1, 2], "b": {"c": "é\u{7f}😀\n\"", "d": []}, "e": null});
        let text = String::from_utf8(line(&value).unwrap()).unwrap();
        let expected = r#"{"a": [1, 2], "b": {"c": "\u00e9\u007f\ud83d\ude00\n\"", "d": []}, "e": null}"#;
        assert_eq!(text, expected);
    }

    proptest! {
        #[test]
        fn every_text_survives(text in any::<String>()) {
            let written = line(&text).unwrap();
            prop_assert!(written.iter().all(|byte| (0x20..0x7f).contains(byte)));
            prop_assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
        }
    }
}
