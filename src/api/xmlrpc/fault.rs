//! The one place that says how a failure looks on the wire. What an operation refuses is an answer, `[false, message]`, with
//! the bare message; a fault says that nothing was called, in the words that clients of the reference know.

use super::wire::Malformed;
use crate::{api::parameters::IncorrectParameter, auth::AuthError, engine::error::OperationError};
use dxr::{Fault, Value};

/// The code of every fault.
const CODE: i32 = 1;

/// Why a call has no result.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// It was made and refused, or failed; the text is for the caller.
    Refused(String),
    /// The caller is nobody.
    Credentials(AuthError),
    /// It was not made.
    Protocol(Fault),
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::Credentials(error)
    }
}

impl From<IncorrectParameter> for Failure {
    fn from(error: IncorrectParameter) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        fault("xml.parsers.expat.ExpatError", &error.to_string())
    }
}

fn fault(class: &str, text: &str) -> Failure {
    Failure::Protocol(Fault::new(CODE, format!("<class '{class}'>:{text}")))
}

/// There is no such method.
pub(super) fn unknown_method(name: &str) -> Failure {
    fault("Exception", &format!("method \"{name}\" is not supported"))
}

/// Arguments are missing; `names` are theirs.
pub(super) fn missing_arguments(method: &str, names: &[&str]) -> Failure {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let list = match quoted.as_slice() {
        [first, last] => format!("{first} and {last}"),
        [first @ .., last] if !first.is_empty() => format!("{}, and {last}", first.join(", ")),
        single => single.concat(),
    };
    let plural = if names.len() == 1 { "" } else { "s" };
    fault("TypeError", &format!("{method}() missing {} required positional argument{plural}: {list}", names.len()))
}

/// There are more arguments than parameters.
pub(super) fn too_many_arguments(method: &str, least: usize, most: usize, given: usize) -> Failure {
    let range = if least == most { most.to_string() } else { format!("from {least} to {most}") };
    let plural = if most == 1 { "" } else { "s" };
    let were = if given == 1 { "was" } else { "were" };
    fault("TypeError", &format!("{method}() takes {range} positional argument{plural} but {given} {were} given"))
}

/// A defect of the daemon.
pub(super) fn internal() -> Failure {
    fault("Exception", "Internal error, see the log of the service.")
}

/// What goes on the wire: the pair of a call, or the fault instead of it.
pub(super) fn outcome(result: Result<Value, Failure>) -> Result<Value, Fault> {
    let (success, value) = match result {
        Ok(value) => (true, value),
        Err(Failure::Refused(message)) => (false, Value::String(message)),
        Err(Failure::Credentials(error)) => (false, Value::String(error.to_string())),
        Err(Failure::Protocol(fault)) => return Err(fault),
    };
    Ok(Value::Array(vec![Value::Boolean(success), value]))
}
