//! Arguments of calls as what the engine takes. Types are taken loosely, as clients send them: numbers as texts and texts as
//! numbers, one struct for a list of them, nil for what is left out. Whatever has no meaning is refused, not a fault.

use super::fault::Failure;
use crate::{
    api::parameters::{self, IncorrectParameter, machine_number, truth},
    auth::{AuthError, Credentials, Item},
    charset,
    engine::error::OperationError,
};
use chrono::NaiveDate;
use dxr::Value;
use indexmap::IndexMap;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// The arguments of a method by their places, those left out nil; `methods` has seen to their number.
pub(super) fn places<const N: usize>(arguments: Vec<Value>) -> [Value; N] {
    let mut given = arguments.into_iter();
    std::array::from_fn(|_| given.next().unwrap_or(Value::Nil))
}

/// A text, or a number as one: the id of an infrastructure may be all digits. None for any other type.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Long(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The id of an infrastructure.
pub(super) fn infrastructure(value: &Value) -> Result<String, OperationError> {
    word(value).ok_or(OperationError::UnknownInfrastructure)
}

/// The number of a machine.
pub(super) fn machine(value: &Value) -> Result<u32, OperationError> {
    machine_number(&word(value).ok_or(OperationError::UnknownVm)?)
}

/// Numbers of machines: one, several separated by commas, or an array of them.
pub(super) fn machines(value: &Value) -> Result<Vec<u32>, OperationError> {
    let wrong = || {
        let text = "Incorrect parameter type to RemoveResource function: expected: str, int or list of str.";
        OperationError::Invalid(text.to_owned())
    };
    let words: Vec<String> = match value {
        Value::Array(values) => values.iter().map(word).collect::<Option<_>>().ok_or_else(wrong)?,
        value => vec![word(value).ok_or_else(wrong)?],
    };
    words.iter().flat_map(|word| word.split(',')).map(machine_number).collect()
}

/// A list of machines, none for nil; numbers that no machine can have are left out.
pub(super) fn machine_list(value: &Value) -> Result<Option<BTreeSet<u32>>, OperationError> {
    let words: Vec<Option<String>> = match value {
        Value::Nil => return Ok(None),
        Value::Array(values) => values.iter().map(word).collect(),
        value => vec![word(value)],
    };
    let incorrect = || OperationError::Invalid("Incorrect vm_list format.".to_owned());
    let mut numbers = BTreeSet::new();
    for word in words {
        for number in word.ok_or_else(incorrect)?.split(',') {
            let number: i64 = number.trim().parse().map_err(|_| incorrect())?;
            numbers.extend(u32::try_from(number));
        }
    }
    Ok(Some(numbers))
}

/// A truth value, `default` for nil.
pub(super) fn flag(value: &Value, name: &str, default: bool) -> Result<bool, IncorrectParameter> {
    let incorrect = || IncorrectParameter::Value(name.to_owned());
    match value {
        Value::Nil => Ok(default),
        Value::Boolean(flag) => Ok(*flag),
        value => word(value).as_deref().and_then(truth).ok_or_else(incorrect),
    }
}

/// A text, empty for nil.
pub(super) fn text(value: &Value, name: &str) -> Result<String, IncorrectParameter> {
    match value {
        Value::Nil => Ok(String::new()),
        value => word(value).ok_or_else(|| IncorrectParameter::Value(name.to_owned())),
    }
}

/// The number of a disk.
pub(super) fn disk(value: &Value) -> Result<usize, OperationError> {
    let text = word(value).unwrap_or_default();
    text.trim().parse().map_err(|_| OperationError::Invalid(format!("Incorrect disk number: {text}")))
}

/// The text of a document.
pub(super) fn document(value: Value) -> Result<String, OperationError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Base64(bytes) => charset::decode(&bytes, None, usize::MAX)
            .map(Cow::into_owned)
            .map_err(|error| OperationError::Invalid(error.to_string())),
        Value::Nil => Ok(String::new()),
        _ => Err(OperationError::Invalid("The document must be a string with RADL.".to_owned())),
    }
}

/// Whether there is no document, or a blank one.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim().is_empty(),
        value => *value == Value::Nil,
    }
}

/// A day, none for nil or the empty text.
pub(super) fn day(value: &Value, name: &str) -> Result<Option<NaiveDate>, IncorrectParameter> {
    parameters::day(&text(value, name)?, name)
}

/// Filters of images: a struct of texts, or nil.
pub(super) fn filters(value: &Value) -> Result<BTreeMap<String, String>, IncorrectParameter> {
    let incorrect = || IncorrectParameter::Value("filters".to_owned());
    match value {
        Value::Nil => Ok(BTreeMap::new()),
        Value::Struct(members) => {
            members.iter().map(|(name, value)| Ok((name.clone(), word(value).ok_or_else(incorrect)?))).collect()
        }
        _ => Err(incorrect()),
    }
}

/// Credentials of a caller.
pub(super) fn credentials(value: Value) -> Result<Credentials, AuthError> {
    Credentials::from_items(items(value)?)
}

/// Credential items: an array of structs, or one struct.
pub(super) fn items(value: Value) -> Result<Vec<Item>, AuthError> {
    let structs = match value {
        Value::Array(values) => values,
        Value::Nil => Vec::new(),
        value => vec![value],
    };
    structs.into_iter().enumerate().map(item).collect()
}

fn item((index, value): (usize, Value)) -> Result<Item, AuthError> {
    let Value::Struct(members) = value else {
        return Err(AuthError::Malformed(format!("item {index} is not a struct")));
    };
    let mut pairs = IndexMap::with_capacity(members.len());
    for (key, value) in members {
        let text = match value {
            Value::Nil => continue,
            Value::Boolean(flag) => flag.to_string(),
            Value::Double(number) => number.to_string(),
            value => {
                word(&value).ok_or_else(|| AuthError::Malformed(format!("a value of item {index} is not text")))?
            }
        };
        pairs.insert(key, text);
    }
    Ok(Item(pairs))
}

/// A name that must be given.
pub(super) fn required(value: &Value, name: &str) -> Result<String, Failure> {
    let text = text(value, name)?;
    if text.is_empty() { Err(Failure::Refused(format!("Parameter {name} required."))) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn string(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    fn structure(pairs: &[(&str, Value)]) -> Value {
        Value::Struct(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<BTreeMap<_, _>>())
    }

    #[test]
    fn machines_come_in_many_forms() {
        for value in [string("1,2"), string(" 1 , 2"), Value::Array(vec![Value::Integer(1), string("2")])] {
            assert_eq!(machines(&value).unwrap(), [1, 2], "{value:?}");
        }
        assert_eq!(machines(&Value::Integer(3)).unwrap(), [3]);
        assert_eq!(machines(&string("x")).unwrap_err(), OperationError::UnknownVm);
        for value in [Value::Nil, Value::Boolean(true), Value::Array(vec![Value::Nil]), structure(&[])] {
            let text = machines(&value).unwrap_err().to_string();
            assert_eq!(text, "Incorrect parameter type to RemoveResource function: expected: str, int or list of str.");
        }
        let list = |value| machine_list(&value).map(|numbers| numbers.map(Vec::from_iter));
        assert_eq!(list(Value::Nil).unwrap(), None);
        assert_eq!(
            list(Value::Array(vec![Value::Integer(2), string("1"), Value::Integer(-1)])).unwrap(),
            Some(vec![1, 2])
        );
        assert_eq!(list(string("4,5")).unwrap(), Some(vec![4, 5]));
        assert!(list(Value::Array(vec![Value::Nil])).is_err() && list(string("")).is_err());
    }

    #[test]
    fn flags_come_in_many_forms() {
        let read = |value| flag(&value, "context", true);
        for value in [Value::Nil, Value::Boolean(true), Value::Integer(1), string("yes")] {
            assert_eq!(read(value.clone()), Ok(true), "{value:?}");
        }
        for value in [Value::Boolean(false), Value::Integer(0), string("False")] {
            assert_eq!(read(value.clone()), Ok(false), "{value:?}");
        }
        for value in [string(""), Value::Integer(2), Value::Array(vec![])] {
            assert_eq!(read(value).unwrap_err().to_string(), "Incorrect value in context parameter");
        }
    }

    #[test]
    fn credentials_are_structs_of_texts() {
        let user = structure(&[
            ("type", string("InfrastructureManager")),
            ("username", string("u")),
            ("password", Value::Nil),
            ("port", Value::Integer(5000)),
            ("secure", Value::Boolean(true)),
        ]);
        let pairs = [("port", "5000"), ("secure", "true"), ("type", "InfrastructureManager"), ("username", "u")];
        for value in [user.clone(), Value::Array(vec![user])] {
            let items = credentials(value).unwrap().items;
            assert_eq!(items.len(), 1);
            assert!(items[0].0.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(pairs), "{:?}", items[0].0);
        }
        assert!(credentials(Value::Nil).unwrap().items.is_empty());
        let refused = |value| credentials(value).unwrap_err().to_string();
        assert_eq!(refused(string("x")), "No authentication data provided: item 0 is not a struct");
        assert_eq!(refused(structure(&[("id", string("1bad"))])), "Incorrect value in auth item id: 1bad");
        let nested = structure(&[("password", Value::Array(vec![string("secret")]))]);
        assert_eq!(refused(nested), "No authentication data provided: a value of item 0 is not text");
    }
}
