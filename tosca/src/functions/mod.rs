//! Functions of documents: which values are calls, and what they give (docs/spec/tosca.md 5).

mod evaluate;
mod reference;

pub(crate) use evaluate::{Attributes, Entity, Evaluator, Question, Scope, member};
pub(crate) use reference::{attribute_question, locate_property};

use crate::yaml::{Data, Value};

/// The functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    GetInput,
    GetProperty,
    GetAttribute,
    GetOperationOutput,
    Concat,
    Token,
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "get_input" => Self::GetInput,
            "get_property" => Self::GetProperty,
            "get_attribute" => Self::GetAttribute,
            "get_operation_output" => Self::GetOperationOutput,
            "concat" => Self::Concat,
            "token" => Self::Token,
            _ => return None,
        })
    }
}

/// A call: the function and its arguments.
pub(crate) type Call<'v> = (Function, &'v [Value]);

/// The call that a value is, if it is one: a map of one pair whose key names a function. `token` is also a member of
/// credentials, so that a call of it has a list of arguments.
pub(crate) fn call(value: &Value) -> Option<Call<'_>> {
    let Data::Map(map) = &value.data else { return None };
    if map.len() != 1 {
        return None;
    }
    let (name, arguments) = map.first()?;
    let function = Function::named(name)?;
    match &arguments.data {
        Data::List(items) => Some((function, items)),
        _ if function == Function::Token => None,
        _ => Some((function, std::slice::from_ref(arguments))),
    }
}

/// Whether a value is a call. Where a map is expected, a text under `concat` is a member of it.
pub(crate) fn is_function(value: &Value, expects_map: bool) -> bool {
    let Some((function, _)) = call(value) else { return false };
    let is_list =
        value.as_map().and_then(|map| map.first()).is_some_and(|(_, arguments)| arguments.as_list().is_some());
    !(expects_map && function == Function::Concat && !is_list)
}
