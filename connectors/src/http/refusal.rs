//! From a status and a body to an error of a class (docs/spec/connectors.md, 1.5).

use crate::{ConnectorError, ErrorClass};
use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// The longest text of a cloud that an error repeats, in characters.
const LONGEST_TEXT: usize = 500;

/// Headers in which clouds name a request, so that their operators find it in their logs.
const REQUEST_IDS: [&str; 5] =
    ["x-openstack-request-id", "x-amzn-requestid", "x-ms-request-id", "audit-id", "x-request-id"];

/// A reply that is no success.
#[derive(Debug)]
pub struct Refusal<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The beginning of its body, 64 KiB at most.
    pub body: &'a [u8],
}

/// What a cloud's own reader makes of a refusal, where it knows more than the status says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// Its class; none for that of the status.
    pub class: Option<ErrorClass>,
    /// What the cloud says; none where the body says nothing.
    pub text: Option<String>,
}

impl Refusal<'_> {
    /// The text that most JSON APIs give: the first `message` at the top or one below it
    /// (`{"error": {"message": ...}}`, `{"itemNotFound": {"message": ...}}`, `{"message": ...}`).
    #[must_use]
    pub fn json_message(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(self.body).ok()?;
        let own = |value: &Value| value.get("message").and_then(Value::as_str).map(str::to_owned);
        own(&body).or_else(|| body.as_object()?.values().find_map(own))
    }

    /// The error that the daemon sees. `fault` is what the cloud's own reader found, `clean` takes secrets out.
    pub(super) fn into_error(self, fault: Fault, clean: impl Fn(&str) -> String) -> ConnectorError {
        let text = fault.text.or_else(|| self.json_message()).unwrap_or_default();
        let retry_after = retry_after(self.headers);
        let class = fault.class.unwrap_or_else(|| class_of(self.status, retry_after.is_some(), &text));
        let mut message = format!("The cloud answers {}", self.status);
        if !text.trim().is_empty() {
            let shown: String = clean(text.trim()).chars().take(LONGEST_TEXT).collect();
            message = format!("{message}: {shown}");
        }
        let named = REQUEST_IDS.iter().find_map(|name| self.headers.get(*name)?.to_str().ok());
        if let Some(id) = named.filter(|id| id.len() <= 128) {
            message = format!("{message} (request {})", clean(id));
        }
        ConnectorError { retry_after, ..ConnectorError::new(class, message) }
    }
}

/// The class of a status, where nothing more is known; `text` is what the cloud says of it.
fn class_of(status: StatusCode, has_retry_after: bool, text: &str) -> ErrorClass {
    let of_quota = || {
        let text = text.to_ascii_lowercase();
        text.contains("quota") || text.contains("limit exceeded")
    };
    match status.as_u16() {
        401 => ErrorClass::Auth,
        403 | 413 if of_quota() => ErrorClass::Quota,
        403 => ErrorClass::Denied,
        404 | 410 => ErrorClass::NotFound,
        409 | 423 => ErrorClass::Conflict,
        429 => ErrorClass::Throttled,
        // Nova said so of its rate limits.
        413 | 503 if has_retry_after => ErrorClass::Throttled,
        408 => ErrorClass::Transient,
        501 => ErrorClass::Unsupported,
        507 => ErrorClass::Capacity,
        500.. => ErrorClass::Transient,
        _ => ErrorClass::Invalid,
    }
}

/// How long the cloud asks to wait (RFC 9110, 10.2.3): seconds, or a date, which is read by the cloud's own clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let now = headers.get(DATE).and_then(|value| date(value.to_str().ok()?)).unwrap_or_else(SystemTime::now);
    Some(date(text)?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(status: u16, headers: &[(&'static str, &str)], body: &str) -> ConnectorError {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal { status, headers: &headers, body: body.as_bytes() };
        refusal.into_error(Fault::default(), |text| text.replace("s3cr3t", "***"))
    }

    #[test]
    fn statuses_have_classes() {
        use ErrorClass::*;
        for (status, body, class) in [
            (401, "", Auth),
            (403, "", Denied),
            (403, r#"{"forbidden": {"message": "Quota exceeded for cores"}}"#, Quota),
            (413, r#"{"overLimit": {"message": "Quota exceeded"}}"#, Quota),
            (413, "", Invalid),
            (404, "", NotFound),
            (410, "", NotFound),
            (400, "", Invalid),
            (422, "", Invalid),
            (302, "", Invalid),
            (409, "", Conflict),
            (423, "", Conflict),
            (429, "", Throttled),
            (500, "", Transient),
            (503, "", Transient),
            (501, "", Unsupported),
            (507, "", Capacity),
        ] {
            assert_eq!(error(status, &[], body).class, class, "{status} {body}");
        }
        assert_eq!(error(503, &[("retry-after", "3")], "").class, Throttled);
    }

    #[test]
    fn pauses_are_seconds_or_dates_of_the_clouds_clock() {
        let of = |headers: &[(&'static str, &str)]| error(429, headers, "").retry_after;
        assert_eq!(of(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        let (date, later) = ("Fri, 01 Jan 2100 00:00:00 GMT", "Fri, 01 Jan 2100 00:01:30 GMT");
        assert_eq!(of(&[("retry-after", later), ("date", date)]), Some(Duration::from_secs(90)));
        assert_eq!(of(&[("retry-after", date), ("date", later)]), Some(Duration::ZERO));
        assert_eq!(of(&[("retry-after", "soon")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn messages_say_what_the_cloud_says_without_secrets() {
        let headers = [("x-openstack-request-id", "req-1")];
        let refused = error(400, &headers, r#"{"badRequest": {"code": 400, "message": "s3cr3t is no flavor"}}"#);
        assert_eq!(refused.message, "The cloud answers 400 Bad Request: *** is no flavor (request req-1)");
        assert_eq!(error(404, &[], "<html>").message, "The cloud answers 404 Not Found");
        let long = format!(r#"{{"message": "{}"}}"#, "x".repeat(9000));
        assert!(error(404, &[], &long).message.len() < 600);
    }
}
