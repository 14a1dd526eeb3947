//! Results as XML-RPC values. What the plain protocol cannot say is said in the nearest form that every client reads: an
//! integer of more than 31 bits as `i8`, one of more than 63 as a string, nothing as an empty string.

use super::fault::{self, Failure};
use dxr::{Fault, Value};
use serde::Serialize;
use serde_json::{Number, Value as Json};

/// What the XML around a value takes, bytes.
const ELEMENT: usize = 40;

/// A whole number.
pub(super) fn integer(number: i64) -> Value {
    i32::try_from(number).map_or(Value::Long(number), Value::Integer)
}

/// A text.
pub(super) fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

/// A list.
pub(super) fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect())
}

/// A struct.
pub(super) fn structure<K: Into<String>>(members: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::Struct(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// The answer of operations that have none.
pub(super) fn nothing() -> Value {
    text("")
}

/// Any JSON.
pub(super) fn json(value: Json) -> Value {
    match value {
        Json::Null => nothing(),
        Json::Bool(flag) => Value::Boolean(flag),
        Json::Number(given) => number(&given),
        Json::String(content) => text(content),
        Json::Array(values) => list(values.into_iter().map(json)),
        Json::Object(members) => structure(members.into_iter().map(|(name, value)| (name, json(value)))),
    }
}

/// Whatever has a JSON form.
///
/// # Errors
/// It refuses to be written: a defect.
pub(super) fn of<T: Serialize>(value: &T) -> Result<Value, Failure> {
    serde_json::to_value(value).map(json).map_err(|error| {
        tracing::error!(%error, "a result cannot be written as JSON");
        fault::internal()
    })
}

fn number(number: &Number) -> Value {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => integer(whole),
        (None, Some(fraction)) if number.is_f64() => Value::Double(fraction),
        _ => text(number.to_string()),
    }
}

/// How much there is to be written, roughly in bytes.
pub(super) fn bytes(result: &Result<Value, Fault>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::Base64(bytes) => bytes.len(),
            Value::Array(values) => values.iter().map(of).sum::<usize>() + values.len() * ELEMENT,
            Value::Struct(members) => members.iter().map(|(name, value)| name.len() + of(value) + ELEMENT).sum(),
            _ => ELEMENT,
        }
    }
    result.as_ref().map_or(0, of)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_take_the_smallest_form_that_holds_them() {
        let value = json(json!([1, -2_147_483_648_i64, 4_000_000_000_u64, u64::MAX, 0.5, null, true, {"a": "b"}]));
        let expected = list([
            Value::Integer(1),
            Value::Integer(i32::MIN),
            Value::Long(4_000_000_000),
            text("18446744073709551615"),
            Value::Double(0.5),
            text(""),
            Value::Boolean(true),
            structure([("a", text("b"))]),
        ]);
        assert_eq!(value, expected);
    }
}
