//! Query parameters: the first value of a name counts; truth values are words (docs/spec/api.md 0 and 10.1).

use crate::api::{
    http::router::percent_decoded,
    parameters::{IncorrectParameter, truth},
};

/// The first value of `name`, decoded.
#[must_use]
pub(super) fn first(query: &str, name: &str) -> Option<String> {
    let decoded = |part: &str| percent_decoded(&part.replace('+', " "));
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| decoded(key) == name).map(|(_, value)| decoded(value))
}

/// The truth value of `name`, `default` when absent.
///
/// # Errors
/// Any other word, the empty one too.
pub(super) fn flag(query: &str, name: &str, default: bool) -> Result<bool, IncorrectParameter> {
    first(query, name)
        .map_or(Ok(default), |word| truth(&word).ok_or_else(|| IncorrectParameter::Value(name.to_owned())))
}

/// The whole number of `name`.
///
/// # Errors
/// Anything else.
pub(super) fn number(query: &str, name: &str) -> Result<Option<u64>, IncorrectParameter> {
    let parse = |word: String| word.trim().parse().map_err(|_| IncorrectParameter::Value(name.to_owned()));
    first(query, name).map(parse).transpose()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn flags_are_words() {
        for word in ["yes", "YES", "true", "True", "1", "on", "t", "y"] {
            assert_eq!(flag(&format!("async={word}"), "async", false), Ok(true), "{word}");
        }
        for word in ["no", "No", "false", "0", "off", "f", "n"] {
            assert_eq!(flag(&format!("async={word}"), "async", true), Ok(false), "{word}");
        }
        for word in ["", "2", "yess", "%20yes", "null"] {
            let refused = flag(&format!("async={word}"), "async", true).unwrap_err();
            assert_eq!(refused.to_string(), "Incorrect value in async parameter");
        }
        assert_eq!(flag("", "async", true), Ok(true));
        assert_eq!(flag("x=1&async=yes&async=bad", "async", false), Ok(true));
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(first("filter=a%20b%3D+c", "filter").as_deref(), Some("a b= c"));
        assert_eq!(first("filter", "filter").as_deref(), Some(""));
        assert_eq!(first("filter=se%F1al", "filter"), first("filter=se%c3%b1al", "filter"));
        assert_eq!(first("filter=100%", "filter").as_deref(), Some("100%"));
        assert_eq!(first("x&%66ilter=a=b&filter=2", "filter").as_deref(), Some("a=b"));
        assert_eq!(first("a=1", "filter"), None);
        assert_eq!(first("", "filter"), None);
        assert_eq!(number("after=12", "after"), Ok(Some(12)));
        assert!(number("after=-1", "after").is_err());
    }
}
