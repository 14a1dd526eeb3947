//! The place of a value that is none of its type, looked for in a call that could not be read.

use super::wire::TextPosition;
use quick_xml::{Reader, events::Event};

/// A value that is none of its type. The text holds nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("argument {argument}: expected {expected} ({place})")]
pub struct Misplaced {
    /// Place of the argument it is in, from 1.
    argument: usize,
    /// What its type allows.
    expected: &'static str,
    /// Where it begins.
    place: TextPosition,
}

/// An element of a value that is open.
struct Open {
    name: String,
    at: u64,
    text: String,
}

/// The first value in well-formed XML that is none of its type; none where something else is wrong.
pub(super) fn find(text: &str) -> Option<Misplaced> {
    let mut reader = Reader::from_str(text);
    let (mut argument, mut open) = (0, Vec::<Open>::new());
    loop {
        let at = reader.buffer_position();
        let wrong = match reader.read_event().ok()? {
            Event::Eof => return None,
            Event::Start(start) => {
                let name = start.name().as_ref().to_owned();
                argument += usize::from(name == "param");
                let wrong = unknown_type(&open, &name);
                open.push(Open { name, at, text: String::new() });
                wrong.map(|expected| (at, expected))
            }
            Event::Empty(start) => {
                let name = start.name().as_ref().to_owned();
                unknown_type(&open, &name).or_else(|| misfit(&name, "")).map(|expected| (at, expected))
            }
            Event::End(_) => {
                let ended = open.pop()?;
                misfit(&ended.name, &ended.text).map(|expected| (ended.at, expected))
            }
            Event::Text(piece) => push(&mut open, &piece),
            Event::CData(piece) => push(&mut open, &piece),
            _ => None,
        };
        if let Some((at, expected)) = wrong {
            return Some(Misplaced { argument, expected, place: TextPosition::of(text, at) });
        }
    }
}

fn push<T>(open: &mut [Open], piece: &str) -> Option<T> {
    open.last_mut()?.text.push_str(piece);
    None
}

/// What stands in a value is its type.
fn unknown_type(open: &[Open], name: &str) -> Option<&'static str> {
    const TYPES: [&str; 11] =
        ["int", "i4", "i8", "boolean", "double", "string", "base64", "dateTime.iso8601", "nil", "struct", "array"];
    let is_unknown = open.last().is_some_and(|around| around.name == "value") && !TYPES.contains(&name);
    is_unknown.then_some("a type of XML-RPC")
}

/// What the type allows, unless the text is such a value.
fn misfit(kind: &str, text: &str) -> Option<&'static str> {
    let text = text.trim();
    let (is_valid, expected) = match kind {
        "int" | "i4" => (text.parse::<i32>().is_ok(), "a whole number of 32 bits"),
        "i8" => (text.parse::<i64>().is_ok(), "a whole number of 64 bits"),
        "boolean" => (matches!(text, "0" | "1"), "0 or 1"),
        "double" => (text.parse::<f64>().is_ok(), "a number"),
        "base64" => (openssl::base64::decode_block(&text.split_whitespace().collect::<String>()).is_ok(), "base64"),
        "dateTime.iso8601" => (is_time(text), "a time such as 20260131T12:00:00"),
        _ => return None,
    };
    (!is_valid).then_some(expected)
}

fn is_time(text: &str) -> bool {
    chrono::NaiveDateTime::parse_from_str(text, "%Y%m%dT%H:%M:%S").is_ok()
}
