//! YAML: the one room that reads and writes it. Recipes, cloud-configs and documents in YAML come from anybody, so every
//! reader here has limits ([`MAX_BYTES`], [`MAX_DEPTH`], one document), tells where in the text something is, and never
//! panics. In a tree aliases stay aliases, so it takes no more room than its text has bytes; values repeat what an alias
//! stands for, so their number has a limit, too. What is read is YAML 1.1, as Ansible and PyYAML read it.
//!
//! | function | of a text |
//! |---|---|
//! | [`check`], [`check_for`] | whether data can be made of it by those who will |
//! | [`shape`] | what kind of recipe it is |
//! | [`parse`], [`emit`] | its nodes with their places, and back |
//! | [`read`] | its values with their places |
//! | [`counterpart`] | where a node stands in another text |

mod construct;
mod events;
mod fault;
mod place;
mod read;
mod scalar;
mod source;
mod tree;
mod value;

pub use fault::YamlError;
pub use place::counterpart;
pub use read::{Bounds, read};
pub use scalar::{float_text, plain};
pub use tree::{Node, NodeKind, emit, parse};
pub use value::{Data, Map, Place, Value};

use construct::Construction;
use events::Events;
use fault::Fault;
use libyaml_safer::EventData;

/// Bytes of a text that is read.
pub const MAX_BYTES: usize = 16 << 20;
/// How deep collections may nest: the scanner looks at every open one for each token.
pub const MAX_DEPTH: usize = 200;
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

/// Whether `recipe` is one YAML document of which Ansible can make data.
///
/// # Errors
/// The reason, with line and column in the recipe, ready to follow `Invalid YAML code: `.
pub fn check(recipe: &str) -> Result<(), YamlError> {
    check_for(Reader::Ansible, recipe)
}

/// Whether `recipe` is one YAML document of which its reader can make data.
///
/// # Errors
/// The reason, with line and column in the recipe, ready to follow `Invalid YAML code: `.
pub fn check_for(reader: Reader, recipe: &str) -> Result<(), YamlError> {
    check_events(reader, recipe).map_err(|fault| fault.explained(recipe))
}

fn check_events(reader: Reader, recipe: &str) -> Result<(), Fault> {
    let mut events = Events::of(recipe);
    let is_template = recipe.trim_start().starts_with(CLOUD_TEMPLATE);
    let mut construction = Construction::new(reader);
    loop {
        let event = events.next()?;
        match event.data {
            EventData::StreamEnd => return Ok(()),
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
    let mut events = Events::of(recipe);
    let (mut shape, mut is_known) = (Shape::Empty, false);
    loop {
        let Ok(event) = events.next() else { return Shape::Other };
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
