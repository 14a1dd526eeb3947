//! Places in YAML texts: which node stands somewhere, and where it stands in another text with the same structure.

use super::source::source;
use libyaml_safer::{EventData, Parser};

/// A step from a collection to what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The n-th item of a list.
    Item(usize),
    /// A key of a map.
    Key(String),
    /// The value of a key.
    Value(String),
}

/// An open collection.
struct Open {
    is_map: bool,
    items: usize,
    /// The key whose value comes next.
    key: Option<String>,
}

/// Calls `visit` with the way to each node and its line and column (from 1), until it is false or the text ends.
fn each_node(text: &str, mut visit: impl FnMut(&[Step], (usize, usize)) -> bool) {
    let text = source(text);
    let mut input = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let (mut open, mut way): (Vec<Open>, Vec<Step>) = (Vec::new(), Vec::new());
    while let Ok(event) = parser.parse() {
        let scalar = match &event.data {
            EventData::Scalar { value, .. } => value.as_str(),
            EventData::SequenceStart { .. } | EventData::MappingStart { .. } | EventData::Alias { .. } => "",
            EventData::SequenceEnd | EventData::MappingEnd => {
                open.pop();
                way.pop();
                continue;
            }
            EventData::StreamEnd => return,
            _ => continue,
        };
        if let Some(around) = open.last_mut() {
            way.push(match (around.is_map, around.key.take()) {
                (false, _) => Step::Item(around.items),
                (true, Some(key)) => Step::Value(key),
                (true, None) => {
                    around.key = Some(scalar.to_owned());
                    Step::Key(scalar.to_owned())
                }
            });
            around.items += 1;
        }
        let place = [event.start_mark.line, event.start_mark.column].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if !visit(&way, (place[0].saturating_add(1), place[1].saturating_add(1))) {
            return;
        }
        match event.data {
            EventData::SequenceStart { .. } => open.push(Open { is_map: false, items: 0, key: None }),
            EventData::MappingStart { .. } => open.push(Open { is_map: true, items: 0, key: None }),
            _ => drop(way.pop()),
        }
    }
}

/// Line and column (from 1) in `other` of the node that stands at `place` in `text`, found by the way that leads to it;
/// none when there is no such node.
#[must_use]
pub fn counterpart(text: &str, place: (usize, usize), other: &str) -> Option<(usize, usize)> {
    let mut wanted: Option<Vec<Step>> = None;
    each_node(text, |way, at| {
        if at <= place {
            wanted = Some(way.to_vec());
        }
        at <= place
    });
    let wanted = wanted?;
    let mut found = None;
    each_node(other, |way, at| {
        if way == wanted {
            found = Some(at);
        }
        found.is_none()
    });
    found
}
