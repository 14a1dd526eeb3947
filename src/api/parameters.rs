//! Parameters that both APIs read the same way.

use crate::engine::error::OperationError;
use chrono::NaiveDate;

/// A parameter with a value that it cannot have; the text is the whole message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum IncorrectParameter {
    /// One of the words or numbers it may have.
    #[error("Incorrect value in {0} parameter")]
    Value(String),
    /// A day.
    #[error("Incorrect format in {0} parameter: YYYY/MM/dd")]
    Day(String),
}

/// A day, `YYYY-MM-DD` or with `/`; none for the empty text.
///
/// # Errors
/// Any other text.
pub(super) fn day(text: &str, name: &str) -> Result<Option<NaiveDate>, IncorrectParameter> {
    if text.is_empty() {
        return Ok(None);
    }
    let day = NaiveDate::parse_from_str(&text.replace('/', "-"), "%Y-%m-%d");
    day.map(Some).map_err(|_| IncorrectParameter::Day(name.to_owned()))
}

/// The truth value of a word, none if it is another word (docs/spec/api.md 0 and 10.1).
pub(super) fn truth(word: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    if is(&["yes", "true", "1", "on", "t", "y"]) {
        Some(true)
    } else if is(&["no", "false", "0", "off", "f", "n"]) {
        Some(false)
    } else {
        None
    }
}

/// The number of a machine: an integer, blanks around it allowed.
///
/// # Errors
/// Anything else is the number of no machine.
pub(super) fn machine_number(text: &str) -> Result<u32, OperationError> {
    text.trim().parse().map_err(|_| OperationError::UnknownVm)
}
