//! The recipe of a node, put together from those of its operations (docs/spec/tosca.md 7.3).
//!
//! Plays are trees and no data: tags (`!vault`, `!unsafe`) stay what they are.

use crate::yaml::{Data, MAX_DEPTH, Value, float_text};
use radl::yaml::{self as tree, Node, NodeKind};
use std::collections::HashMap;

/// One play: keywords and their values.
pub(super) type Play = Vec<(Node, Node)>;

/// Values of a recipe, aliases counted with all that they stand for.
const MAX_VALUES: usize = 100_000;
/// Keywords of a play that the service decides.
const OWN_KEYWORDS: &[&str] = &["hosts", "connection"];

/// The plays of a recipe; none when it is no list of maps.
///
/// # Errors
/// It is no YAML, for this reason.
pub(super) fn read(text: &str) -> Result<Vec<Play>, String> {
    tree::check(text).map_err(|error| error.to_string())?;
    let Some(root) = tree::parse(text).map_err(|error| error.to_string())? else { return Ok(Vec::new()) };
    let root = Resolver::default().node(root, 0)?;
    let NodeKind::Sequence(items) = root.kind else { return Ok(Vec::new()) };
    let plays: Option<Vec<Play>> = items
        .into_iter()
        .map(|item| match item.kind {
            NodeKind::Mapping(pairs) => Some(
                pairs
                    .into_iter()
                    .filter(|(key, _)| !key.scalar().is_some_and(|key| OWN_KEYWORDS.contains(&key)))
                    .collect(),
            ),
            _ => None,
        })
        .collect();
    Ok(plays.unwrap_or_default())
}

/// Puts what aliases stand for in their place: plays of several recipes stand in one text, where anchors would meet.
#[derive(Default)]
struct Resolver {
    anchors: HashMap<String, (Node, usize)>,
    count: usize,
}

impl Resolver {
    fn node(&mut self, mut node: Node, depth: usize) -> Result<Node, String> {
        let before = self.count;
        self.count += 1;
        if self.count > MAX_VALUES || depth > 2 * MAX_DEPTH {
            return Err(format!("a recipe with more than {MAX_VALUES} values, aliases resolved"));
        }
        node.kind = match node.kind {
            NodeKind::Alias(name) => {
                let Some((known, count)) = self.anchors.get(&name) else {
                    return Err("an alias of what was not defined before".to_owned());
                };
                self.count += count;
                return Ok(known.clone());
            }
            NodeKind::Sequence(items) => {
                NodeKind::Sequence(items.into_iter().map(|item| self.node(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            NodeKind::Mapping(pairs) => {
                let pair = |(key, value): (Node, Node)| Ok((self.node(key, depth + 1)?, self.node(value, depth + 1)?));
                NodeKind::Mapping(pairs.into_iter().map(pair).collect::<Result<_, String>>()?)
            }
            scalar => scalar,
        };
        if let Some(anchor) = node.anchor.take() {
            self.anchors.insert(anchor, (node.clone(), self.count - before));
        }
        Ok(node)
    }
}

/// What the recipe of a node is made of.
#[derive(Default)]
pub(super) struct Plays {
    /// Inputs of all recipes; later ones win.
    pub vars: Vec<(String, Value)>,
    /// Tasks in front of all others.
    pub downloads: Vec<Node>,
    /// The plays of each operation.
    pub parts: Vec<Vec<Play>>,
}

impl Plays {
    /// Adds the inputs of a recipe.
    pub fn add_vars(&mut self, inputs: Vec<(String, Value)>) {
        for (name, value) in inputs {
            self.vars.retain(|(known, _)| *known != name);
            self.vars.push((name, value));
        }
    }

    /// The recipe as a text; none when there is nothing to do.
    ///
    /// # Errors
    /// It cannot be written, for this reason.
    pub fn into_text(self) -> Result<Option<String>, String> {
        if self.downloads.is_empty() && self.parts.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let mut first: Play = Vec::new();
        if !self.downloads.is_empty() {
            first.push((Node::plain("tasks"), Node::list(self.downloads)));
        }
        // Recipes of one play become one play, where their keywords agree; what has several plays keeps them.
        let (mut plays, mut is_fresh) = (vec![first], true);
        for part in self.parts {
            let is_single = part.len() == 1;
            for play in part {
                let merges = match (plays.as_slice(), is_fresh) {
                    (_, true) => true,
                    ([only], false) => is_single && agree(only, &play),
                    _ => false,
                };
                match plays.last_mut() {
                    Some(last) if merges => merge(last, play),
                    _ => plays.push(play),
                }
                is_fresh = false;
            }
        }
        let plays = plays.into_iter().map(|play| Node::mapping(with_vars(play, &self.vars))).collect();
        tree::emit(&Node::list(plays)).map(Some).map_err(|error| error.to_string())
    }
}

fn find<'p>(play: &'p mut Play, key: &Node) -> Option<&'p mut Node> {
    play.iter_mut().find(|(known, _)| known.scalar() == key.scalar()).map(|(_, value)| value)
}

/// Whether two plays can be one: what both say is a list, a map, or the same.
fn agree(play: &Play, other: &Play) -> bool {
    other.iter().all(|(key, value)| {
        let known = play.iter().find(|(known, _)| known.scalar() == key.scalar());
        known.is_none_or(|(_, known)| match (&known.kind, &value.kind) {
            (NodeKind::Mapping(_), NodeKind::Mapping(_)) | (NodeKind::Sequence(_), NodeKind::Sequence(_)) => true,
            _ => known.scalar().is_some() && known.scalar() == value.scalar(),
        })
    })
}

fn merge(play: &mut Play, other: Play) {
    for (key, value) in other {
        match (find(play, &key), value.kind) {
            (Some(Node { kind: NodeKind::Sequence(items), .. }), NodeKind::Sequence(more)) => items.extend(more),
            (Some(Node { kind: NodeKind::Mapping(pairs), .. }), NodeKind::Mapping(more)) => {
                for (key, value) in more {
                    pairs.retain(|(known, _)| known.scalar() != key.scalar());
                    pairs.push((key, value));
                }
            }
            (Some(known), kind) => known.kind = kind,
            (None, kind) => play.push((key, Node { kind, ..value })),
        }
    }
}

/// The play with the inputs among its variables, those of the play winning.
fn with_vars(mut play: Play, inputs: &[(String, Value)]) -> Play {
    if inputs.is_empty() {
        return play;
    }
    let at = play.iter().position(|(key, _)| key.scalar() == Some("vars"));
    let own = at.map(|at| play.remove(at).1);
    let is_own = |name: &str| match own.as_ref().map(|own| &own.kind) {
        Some(NodeKind::Mapping(pairs)) => pairs.iter().any(|(key, _)| key.scalar() == Some(name)),
        _ => false,
    };
    let mut pairs: Vec<(Node, Node)> = inputs
        .iter()
        .filter(|(name, _)| !is_own(name))
        .map(|(name, value)| (Node::text(name), tree_of(value)))
        .collect();
    let vars = match own {
        // The old form: a list of maps.
        Some(Node { kind: NodeKind::Sequence(items), tag, .. }) => {
            let mut all = vec![Node::mapping(pairs)];
            all.extend(items);
            Node { tag, ..Node::list(all) }
        }
        Some(Node { kind: NodeKind::Mapping(own), .. }) => {
            pairs.extend(own);
            Node::mapping(pairs)
        }
        _ => Node::mapping(pairs),
    };
    play.insert(0, (Node::plain("vars"), vars));
    play
}

/// A value as a tree: texts in quotes, so that they stay texts.
pub(crate) fn tree_of(value: &Value) -> Node {
    match &value.data {
        Data::Null => Node::plain("null"),
        Data::Bool(truth) => Node::plain(if *truth { "true" } else { "false" }),
        Data::Integer(whole) => Node::plain(&whole.to_string()),
        Data::Float(decimal) => Node::plain(&yaml_float(*decimal)),
        Data::Text(text) => Node::text(text),
        Data::List(items) => Node::list(items.iter().map(tree_of).collect()),
        Data::Map(map) => Node::map(map.iter().map(|(key, value)| (key, tree_of(value)))),
    }
}

fn yaml_float(decimal: f64) -> String {
    let text = float_text(decimal);
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        None if !decimal.is_finite() => text.replace("inf", ".inf").replace("nan", ".nan"),
        _ => text,
    }
}
