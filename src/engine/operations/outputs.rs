//! Outputs of the TOSCA document that an infrastructure came with (docs/spec/api.md 5.7). Those that say a value have it; the
//! functions of TOSCA are not evaluated in this version.

use crate::engine::{error::OperationError, state::model::Infrastructure};
use radl::yaml::{self, Node, NodeKind};
use serde_json::{Map, Value};

/// TOSCA Simple Profile in YAML 1.0, chapter 4.
const FUNCTIONS: [&str; 8] = [
    "concat",
    "get_artifact",
    "get_attribute",
    "get_input",
    "get_nodes_of_type",
    "get_operation_output",
    "get_property",
    "token",
];

/// The outputs by name; none for an infrastructure that was not made from TOSCA.
///
/// # Errors
/// One that has to be evaluated.
pub fn outputs(infrastructure: &Infrastructure) -> Result<Option<Map<String, Value>>, OperationError> {
    let Some(text) = infrastructure.extra_info.tosca() else { return Ok(None) };
    let Ok(Some(document)) = yaml::parse(text) else { return Ok(None) };
    let NodeKind::Mapping(_) = &document.kind else { return Ok(None) };
    let outputs = document.get("topology_template").and_then(|topology| topology.get("outputs"));
    let Some(NodeKind::Mapping(outputs)) = outputs.map(|outputs| &outputs.kind) else { return Ok(Some(Map::new())) };
    let mut values = Map::new();
    for (name, output) in outputs {
        let value = output.get("value").map_or(Some(Value::Null), json);
        let refused =
            || OperationError::Invalid("The evaluation of TOSCA outputs is not available in this version.".to_owned());
        values.insert(name.scalar().unwrap_or_default().to_owned(), value.ok_or_else(refused)?);
    }
    Ok(Some(values))
}

/// The value that a node says; none if a function or an alias says it.
fn json(node: &Node) -> Option<Value> {
    Some(match &node.kind {
        NodeKind::Scalar(text, _) if node.is_plain() => plain(text),
        NodeKind::Scalar(text, _) => text.as_str().into(),
        NodeKind::Sequence(items) => Value::Array(items.iter().map(json).collect::<Option<_>>()?),
        NodeKind::Mapping(pairs) => {
            let is_function = |name: &str| pairs.len() == 1 && FUNCTIONS.contains(&name);
            let pair = |(key, value): &(Node, Node)| {
                let name = key.scalar().filter(|name| !is_function(name))?;
                Some((name.to_owned(), json(value)?))
            };
            Value::Object(pairs.iter().map(pair).collect::<Option<_>>()?)
        }
        NodeKind::Alias(_) => return None,
    })
}

/// A scalar without quotes: a number, a truth value, nothing, or a text.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => true.into(),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => false.into(),
        text => {
            let number = text.parse::<i64>().map(Value::from).ok();
            let fraction = || text.contains('.').then(|| text.parse::<f64>().ok().map(Value::from)).flatten();
            number.or_else(fraction).unwrap_or_else(|| text.into())
        }
    }
}
