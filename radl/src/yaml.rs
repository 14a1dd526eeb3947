//! Recipes as YAML: whether Ansible's reader takes them (one YAML 1.1 document of which data can be made), and their
//! [`tree`].

mod construct;
mod fault;
pub mod place;
mod source;
pub mod tree;

use construct::Construction;
use fault::Fault;
use libyaml_safer::{EventData, Parser};
use source::source;

/// How deep collections may nest: the scanner looks at every open one for each token.
const MAX_DEPTH: usize = 200;
/// First line of a cloud-config that is YAML only after cloud-init has rendered it.
pub const CLOUD_TEMPLATE: &str = "## template:";

/// Who is to read a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Ansible.
    Ansible,
    /// Cloud-init, which does not know Ansible's tags.
    CloudInit,
}

/// Whether `recipe` is one YAML document of which Ansible can make data; the error is the reason, with line and column in
/// the recipe, and never with anything that stands there.
///
/// # Errors
/// The reason, ready to follow `Invalid YAML code: `.
pub fn check(recipe: &str) -> Result<(), String> {
    check_for(Reader::Ansible, recipe)
}

/// As [`check`], for another reader.
///
/// # Errors
/// The reason, ready to follow `Invalid YAML code: `.
pub fn check_for(reader: Reader, recipe: &str) -> Result<(), String> {
    // The scanner gives up by panicking on a few malformed texts (a tag right before a comma, octets in tags that are no
    // Unicode). Recipes come from anybody, so that has to stay here.
    std::panic::catch_unwind(|| check_events(reader, recipe).map_err(|fault| fault.explained(recipe).to_string()))
        .unwrap_or_else(|_| Err("the text is malformed beyond description".to_owned()))
}

fn check_events(reader: Reader, recipe: &str) -> Result<(), Fault> {
    let text = source(recipe);
    let mut input = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let is_template = recipe.trim_start().starts_with(CLOUD_TEMPLATE);
    let mut construction = Construction::new(reader);
    let (mut documents, mut depth) = (0, 0_usize);
    loop {
        let event = parser.parse()?;
        match event.data {
            EventData::SequenceStart { .. } | EventData::MappingStart { .. } => depth += 1,
            EventData::SequenceEnd | EventData::MappingEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Fault::at(format!("collections nest deeper than {MAX_DEPTH}"), event.start_mark));
        }
        match event.data {
            EventData::StreamEnd => return Ok(()),
            EventData::DocumentStart { .. } => {
                documents += 1;
                if documents > 1 {
                    let problem = "expected a single document in the stream, but found another";
                    return Err(Fault::at(problem, event.start_mark));
                }
            }
            _ if is_template => {}
            _ => construction.event(&event)?,
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
    let text = source(recipe);
    let mut input = text.as_bytes();
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
