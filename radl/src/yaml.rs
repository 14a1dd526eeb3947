//! Recipes as YAML: the check of their syntax (one YAML 1.1 document, any tags, every alias defined), and their [`tree`].

pub mod tree;

use libyaml_safer::{EventData, Parser};
use std::collections::HashSet;

/// How deep collections may nest: the scanner looks at every open one for each token.
const MAX_DEPTH: usize = 256;

/// Whether `recipe` is one YAML document; the error is the reason, with line and column in the recipe.
///
/// Only the syntax counts: application tags (`!vault`, `!unsafe`) belong to Ansible and pass.
///
/// # Errors
/// The reason, ready to follow `Invalid YAML code: `.
pub fn check(recipe: &str) -> Result<(), String> {
    // The scanner gives up by panicking on a few malformed texts (a tag right before a comma, octets in tags that are no
    // Unicode). Recipes come from anybody, so that has to stay here.
    std::panic::catch_unwind(|| check_events(recipe))
        .unwrap_or_else(|_| Err("the text is malformed beyond description".to_owned()))
}

fn check_events(recipe: &str) -> Result<(), String> {
    let mut input = recipe.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let mut anchors: HashSet<String> = HashSet::new();
    let (mut documents, mut depth) = (0, 0_usize);
    loop {
        let event = parser.parse().map_err(|error| reason(&error))?;
        let place = event.start_mark;
        match event.data {
            EventData::SequenceStart { .. } | EventData::MappingStart { .. } => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("collections nest deeper than {MAX_DEPTH} at {place}"));
                }
            }
            EventData::SequenceEnd | EventData::MappingEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
        match event.data {
            EventData::StreamEnd => return Ok(()),
            EventData::DocumentStart { .. } => {
                documents += 1;
                if documents > 1 {
                    return Err(format!("expected a single document in the stream, but found another at {place}"));
                }
            }
            EventData::Alias { anchor } if !anchors.contains(&anchor) => {
                return Err(format!("found undefined alias '{anchor}' at {place}"));
            }
            EventData::Scalar { anchor: Some(anchor), .. }
            | EventData::SequenceStart { anchor: Some(anchor), .. }
            | EventData::MappingStart { anchor: Some(anchor), .. } => {
                anchors.insert(anchor);
            }
            _ => {}
        }
    }
}

/// What a recipe is, as far as it matters before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Nothing in it.
    Empty,
    /// A list: plays, or tasks to be included.
    Plays {
        /// Whether a value has the tag `!vault`.
        has_vault: bool,
    },
    /// Encrypted as a whole with `ansible-vault`.
    Vault,
    /// Anything else.
    Other,
}

/// Beginning of a text encrypted with `ansible-vault`.
pub const VAULT: &str = "$ANSIBLE_VAULT";

/// The shape of a recipe. What is not YAML is [`Shape::Other`].
#[must_use]
pub fn shape(recipe: &str) -> Shape {
    if recipe.trim_start().starts_with(VAULT) {
        return Shape::Vault;
    }
    std::panic::catch_unwind(|| shape_of_events(recipe)).unwrap_or(Shape::Other)
}

fn shape_of_events(recipe: &str) -> Shape {
    let mut input = recipe.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let (mut shape, mut is_known) = (Shape::Empty, false);
    loop {
        let Ok(event) = parser.parse() else { return Shape::Other };
        match event.data {
            EventData::StreamEnd => return shape,
            EventData::SequenceStart { .. } if !is_known => shape = Shape::Plays { has_vault: false },
            EventData::Scalar { ref value, plain_implicit: true, .. }
                if !is_known && matches!(value.as_str(), "" | "~" | "null") => {}
            EventData::Scalar { tag: Some(tag), .. } if is_known && tag == "!vault" => {
                return Shape::Plays { has_vault: true };
            }
            EventData::Scalar { .. } | EventData::MappingStart { .. } | EventData::Alias { .. } if !is_known => {
                return Shape::Other;
            }
            EventData::StreamStart { .. } | EventData::DocumentStart { .. } | EventData::DocumentEnd { .. } => continue,
            _ => {}
        }
        is_known = true;
    }
}

fn reason(error: &libyaml_safer::Error) -> String {
    let mut reason = String::new();
    if let Some(context) = error.context().filter(|c| !c.is_empty()) {
        reason.push_str(context);
        reason.push_str(": ");
    }
    reason.push_str(error.problem());
    if let Some(mark) = error.problem_mark() {
        reason.push_str(&format!(" at {mark}"));
    }
    reason
}
