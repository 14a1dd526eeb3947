//! Signatures of requests (AWS Signature Version 4), and the clock that they are made by.

use super::client::Secrets;
use crate::{ConnectorError, ErrorClass};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A difference of clocks, in seconds, from which on it may be why a signature is refused: AWS takes those that are up to
/// five minutes off.
const SKEW: i64 = 240;

/// Seconds that the clouds' clock is ahead of that of this host. It is a fault of the host, so all accounts share it.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// The time that signatures are made with.
pub(super) fn now() -> SystemTime {
    let ahead = AHEAD.load(Ordering::Relaxed);
    let by = Duration::from_secs(ahead.unsigned_abs());
    let now = SystemTime::now();
    if ahead < 0 { now.checked_sub(by).unwrap_or(now) } else { now + by }
}

/// Sets the clock of signatures by the `Date` of a reply that refused one; whether that may have been the reason.
pub(super) fn learn(date: Option<&str>) -> bool {
    let Some(theirs) = date.and_then(|text| httpdate::parse_http_date(text).ok()) else { return false };
    let known = AHEAD.load(Ordering::Relaxed);
    let Some(ahead) = correction(seconds(SystemTime::now()), seconds(theirs), known) else { return false };
    AHEAD.store(ahead, Ordering::Relaxed);
    true
}

/// How far ahead the other clock is, where what is known of it is wrong by so much that signatures are refused.
fn correction(ours: i64, theirs: i64, known: i64) -> Option<i64> {
    let ahead = theirs - ours;
    ((ahead - known).abs() > SKEW).then_some(ahead)
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// The headers that sign a request to `service` in `region`.
///
/// # Errors
/// `Invalid` when the URL or a header cannot be signed.
pub(super) fn headers(
    secrets: &Secrets,
    (service, region): (&str, &str),
    (method, url): (&str, &str),
    own: &[(&str, &str)],
    body: &[u8],
    time: SystemTime,
) -> Result<Vec<(String, String)>, ConnectorError> {
    let refused = |error: &dyn std::error::Error| {
        ConnectorError::new(ErrorClass::Invalid, format!("The request cannot be signed: {error}"))
    };
    let identity = Credentials::from_keys(&secrets.access_key, &secrets.secret_key, secrets.token.clone()).into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| refused(&error))?
        .into();
    let request = SignableRequest::new(method, url, own.iter().copied(), SignableBody::Bytes(body))
        .map_err(|error| refused(&error))?;
    let signed = sign(request, &parameters).map_err(|error| refused(&error))?;
    let (instructions, _) = signed.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The vector `get-vanilla` of AWS's test suite for Signature Version 4.
    #[test]
    fn signatures_are_those_of_the_published_suite() {
        let secrets = Secrets {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        };
        let time = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let url = "https://example.amazonaws.com/";
        let signed = headers(&secrets, ("service", "us-east-1"), ("GET", url), &[], b"", time).unwrap();
        let value = |name: &str| signed.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("x-amz-date"), Some("20150830T123600Z"));
        assert_eq!(
            value("authorization"),
            Some(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, \
                 Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
            )
        );
    }

    #[test]
    fn a_clock_that_is_wrong_is_set_once() {
        assert_eq!(correction(1000, 1010, 0), None, "signatures are not refused for this");
        assert_eq!(correction(1000, 4600, 0), Some(3600));
        assert_eq!(correction(1000, 4601, 3600), None, "it is known: something else is wrong");
        assert_eq!(correction(4600, 1000, 0), Some(-3600));
    }
}
