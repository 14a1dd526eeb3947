//! Places in YAML texts: which node stands somewhere, and where it stands in another text with the same structure.

use super::tree::{Node, NodeKind, parse};

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

/// Calls `visit` with the way to each node and its line and column (from 1), until it is false; whether it never was.
fn each_node(node: &Node, way: &mut Vec<Step>, visit: &mut impl FnMut(&[Step], (usize, usize)) -> bool) -> bool {
    let place = node.position.map(|at| (at.line as usize, at.column.unwrap_or(1) as usize));
    if !place.is_none_or(|place| visit(way, place)) {
        return false;
    }
    let mut below = |step: Step, node: &Node| {
        way.push(step);
        let goes_on = each_node(node, way, visit);
        way.pop();
        goes_on
    };
    match &node.kind {
        NodeKind::Sequence(items) => items.iter().enumerate().all(|(at, item)| below(Step::Item(at), item)),
        NodeKind::Mapping(pairs) => pairs.iter().all(|(key, value)| {
            let name = key.scalar().unwrap_or_default().to_owned();
            below(Step::Key(name.clone()), key) && below(Step::Value(name), value)
        }),
        NodeKind::Scalar(..) | NodeKind::Alias(_) => true,
    }
}

/// Line and column (from 1) in `other` of the node that stands at `place` in `text`, found by the way that leads to it;
/// none when there is no such node, or a text cannot be read.
#[must_use]
pub fn counterpart(text: &str, place: (usize, usize), other: &str) -> Option<(usize, usize)> {
    let (text, other) = (parse(text).ok()??, parse(other).ok()??);
    let mut wanted: Option<Vec<Step>> = None;
    each_node(&text, &mut Vec::new(), &mut |way, at| {
        if at <= place {
            wanted = Some(way.to_vec());
        }
        at <= place
    });
    let wanted = wanted?;
    let mut found = None;
    each_node(&other, &mut Vec::new(), &mut |way, at| {
        if way == wanted {
            found = Some(at);
        }
        found.is_none()
    });
    found
}
