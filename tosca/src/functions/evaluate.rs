//! Evaluation of values with calls in them.

use super::{Function, attribute_question, call, locate_property};
use crate::error::{Class, Problem};
use crate::template::{Link, Node, Template};
use crate::yaml::{Data, Value};
use std::cell::Cell;

/// How many values an evaluator looks at: properties may name each other again and again.
const MAX_STEPS: usize = 500_000;
/// How deep calls may lead to others.
const MAX_DEPTH: usize = 64;
/// Bytes of a text that is put together.
const MAX_TEXT: usize = 1 << 20;

/// Whose value it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entity<'t> {
    /// A node.
    Node(&'t Node),
    /// A relationship, between its source and the target of the link.
    Link(&'t Node, &'t Link),
    /// The outputs, which are nobody's.
    Outputs,
}

/// Whose value it is, and how it is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'t> {
    pub entity: Entity<'t>,
    /// Whether a property of a type that has no value is an empty text: so it is for the recipes of the type itself, which
    /// ask for properties that need not be given (docs/spec/tosca.md 17).
    pub is_of_type: bool,
}

impl<'t> Scope<'t> {
    /// Values of a node.
    pub fn node(node: &'t Node) -> Self {
        Self { entity: Entity::Node(node), is_of_type: false }
    }

    /// The name that messages use.
    pub fn name(&self) -> &'t str {
        match self.entity {
            Entity::Node(node) => &node.name,
            Entity::Link(_, link) => &link.relationship.name,
            Entity::Outputs => "outputs",
        }
    }
}

/// What is asked of an attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'t> {
    /// The node whose attribute it is.
    pub node: &'t Node,
    /// Whether it was named by `SELF` or `HOST`.
    pub is_own: bool,
    /// Whether it was named by `HOST`.
    pub is_host: bool,
    /// The name of the attribute.
    pub attribute: &'t str,
    /// What follows the name: indices and keys.
    pub keys: &'t [Value],
}

/// Gives the values of attributes: expressions for Ansible, or what live machines have.
pub(crate) trait Attributes {
    /// The value; null where it is not known (yet).
    ///
    /// # Errors
    /// It cannot be evaluated.
    fn value(&self, evaluator: &Evaluator<'_>, question: Question<'_>) -> Result<Value, Problem>;

    /// Whether a text of which a part is not known is not known either.
    fn unknown_spreads(&self) -> bool;
}

/// Evaluates values of one template.
pub(crate) struct Evaluator<'t> {
    pub template: &'t Template,
    attributes: &'t dyn Attributes,
    steps: Cell<usize>,
    depth: Cell<usize>,
}

impl<'t> Evaluator<'t> {
    pub fn new(template: &'t Template, attributes: &'t dyn Attributes) -> Self {
        Self { template, attributes, steps: Cell::new(0), depth: Cell::new(0) }
    }

    /// The value with all calls in it evaluated.
    ///
    /// # Errors
    /// A call has wrong arguments, or leads to nothing or in a circle.
    pub fn evaluate<'s>(&'s self, value: &'s Value, scope: Scope<'s>) -> Result<Value, Problem> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MAX_STEPS || self.depth.get() > MAX_DEPTH {
            let message = "The functions of the document call each other too often.";
            return Err(Problem::new(Class::Value, message).at(value.place, ""));
        }
        self.depth.set(self.depth.get() + 1);
        let result = self.evaluated(value, scope);
        self.depth.set(self.depth.get() - 1);
        result.map_err(|problem| problem.at(value.place, ""))
    }

    fn evaluated<'s>(&'s self, value: &'s Value, scope: Scope<'s>) -> Result<Value, Problem> {
        let data = match (&value.data, call(value)) {
            (_, Some((function, arguments))) => return self.call(function, arguments, scope),
            (Data::List(items), _) => {
                Data::List(items.iter().map(|item| self.evaluate(item, scope)).collect::<Result<_, _>>()?)
            }
            (Data::Map(map), _) => {
                let pair = |(key, value): (&String, &'s Value)| Ok((key.clone(), self.evaluate(value, scope)?));
                Data::Map(map.iter().map(pair).collect::<Result<_, Problem>>()?)
            }
            (data, _) => data.clone(),
        };
        Ok(Value { data, place: value.place })
    }

    fn call<'s>(&'s self, function: Function, arguments: &'s [Value], scope: Scope<'s>) -> Result<Value, Problem> {
        match function {
            Function::GetInput => self.template.input(arguments).cloned(),
            Function::GetProperty => {
                let found = locate_property(self.template, arguments, scope)?;
                let value = match found.value {
                    Some(value) => self.evaluate(value, found.scope)?,
                    None if scope.is_of_type && found.is_declared => Value::from(""),
                    None => return Err(found.missing),
                };
                found.keys.iter().try_fold(value, |value, key| member(&value, key).ok_or_else(|| found.missing.clone()))
            }
            Function::GetAttribute => {
                let (question, definition) = attribute_question(self.template, arguments, scope)?;
                match definition.and_then(|definition| definition.default.as_ref()) {
                    Some(default) => Ok(default.clone()),
                    None => self.attributes.value(self, question),
                }
            }
            Function::Concat => {
                if arguments.is_empty() {
                    let message = "Invalid arguments for function \"concat\". Expected at least one arguments.";
                    return Err(Problem::new(Class::Value, message));
                }
                let mut text = String::new();
                for argument in arguments {
                    let part = self.evaluate(argument, scope)?;
                    if part.is_null() && self.attributes.unknown_spreads() {
                        return Ok(Value::NULL);
                    }
                    text.push_str(&part.to_string());
                    if text.len() > MAX_TEXT {
                        let message = format!("A text that concat puts together has more than {MAX_TEXT} bytes.");
                        return Err(Problem::new(Class::Value, message));
                    }
                }
                Ok(text.into())
            }
            Function::Token => {
                let (text, separator, index) = token_arguments(arguments)?;
                let text = self.evaluate(text, scope)?;
                let part = text.scalar().and_then(|text| text.split(separator).nth(index?).map(Value::from));
                Ok(part.unwrap_or_default())
            }
            Function::GetOperationOutput => {
                let message = "The function \"get_operation_output\" cannot be evaluated.";
                Err(Problem::new(Class::NotImplemented, message))
            }
        }
    }
}

/// The arguments of `token`; an index below zero is that of no part.
///
/// # Errors
/// There are too few, or of the wrong types.
pub(super) fn token_arguments(arguments: &[Value]) -> Result<(&Value, char, Option<usize>), Problem> {
    let fail = |expected: &str| {
        let message = format!("Invalid arguments for function \"token\". Expected {expected}.");
        Err(Problem::new(Class::Value, message))
    };
    let [text, separator, index, ..] = arguments else { return fail("at least three arguments") };
    let mut separators = separator.as_text().unwrap_or_default().chars();
    let (Some(separator), None) = (separators.next(), separators.next()) else {
        return fail("single char value as second argument");
    };
    match index.data {
        Data::Integer(index) => Ok((text, separator, usize::try_from(index).ok())),
        _ => fail("integer value as third argument"),
    }
}

/// What stands in a value under a key or index.
pub(crate) fn member(value: &Value, key: &Value) -> Option<Value> {
    match &value.data {
        Data::List(items) => items.get(usize::try_from(key.integer()?).ok()?).cloned(),
        Data::Map(map) => map.get(&key.scalar()?).cloned(),
        _ => None,
    }
}

impl Template {
    /// The value of the input that `get_input` names.
    ///
    /// # Errors
    /// There is no such input.
    pub(crate) fn input(&self, arguments: &[Value]) -> Result<&Value, Problem> {
        let [name] = arguments else {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            let message = format!(
                "Expected one argument for function \"get_input\" but received \"[{}]\".",
                arguments.join(", ")
            );
            return Err(Problem::new(Class::Value, message));
        };
        let name = name.to_string();
        self.inputs.get(&name).ok_or_else(|| {
            Problem::new(Class::UnknownInput, format!("Unknown input \"{name}\"."))
                .expecting("one that topology_template.inputs declares")
        })
    }
}
