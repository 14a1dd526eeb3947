//! What EC2 says when it refuses (API reference, "Error codes"), and the classes of it.

use super::sign;
use crate::{
    ErrorClass,
    http::{Fault, Refusal, header},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Errors")]
    errors: Option<Errors>,
    #[serde(rename = "Error")]
    error: Option<Reason>,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(rename = "Error")]
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(rename = "Code", default)]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

/// Reads a refusal: XML of EC2 (`Response/Errors/Error`) and of other services (`ErrorResponse/Error`), or JSON.
pub(super) fn read(refusal: &Refusal<'_>) -> Fault {
    let Some(Reason { code, message }) = reason(refusal) else { return Fault::default() };
    let text = Some(if message.is_empty() { code.clone() } else { format!("{code}: {message}") });
    let date = || refusal.headers.get(header::DATE).and_then(|value| value.to_str().ok());
    if is_of_the_clock(&code) && sign::learn(date()) {
        // The next signature is made by the cloud's own clock.
        return Fault { class: Some(ErrorClass::Transient), text };
    }
    Fault { class: class(&code, &message), text }
}

fn reason(refusal: &Refusal<'_>) -> Option<Reason> {
    if let Ok(Envelope { errors, error }) = quick_xml::de::from_reader(refusal.body) {
        return errors.map(|errors| errors.error).or(error);
    }
    let body: serde_json::Value = serde_json::from_slice(refusal.body).ok()?;
    let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    // `__type` may begin with a name space: `com.amazonaws.service#ThrottlingException`.
    let code = text("__type").map(|code| code.rsplit('#').next().unwrap_or_default().to_owned())?;
    Some(Reason { code, message: text("message").or_else(|| text("Message")).unwrap_or_default() })
}

/// Codes of signatures that a wrong clock makes.
fn is_of_the_clock(code: &str) -> bool {
    matches!(code, "RequestExpired" | "SignatureDoesNotMatch" | "AuthFailure" | "InvalidSignatureException")
}

/// The class of a code; none where the status says enough.
pub(super) fn class(code: &str, message: &str) -> Option<ErrorClass> {
    use ErrorClass::{Auth, Capacity, Conflict, Denied, Invalid, NotFound, Quota, Throttled, Transient};
    let name = code.strip_prefix("Client.").or_else(|| code.strip_prefix("Server.")).unwrap_or(code);
    Some(match name {
        // Images and snapshots of others are told so.
        "AuthFailure" if message.contains("Not authorized for") => Denied,
        "AuthFailure"
        | "Blocked"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Auth,
        "AccessDenied"
        | "AccessDeniedException"
        | "OperationNotPermitted"
        | "OptInRequired"
        | "PendingVerification"
        | "UnauthorizedOperation" => Denied,
        "EC2ThrottledException"
        | "PriorRequestNotComplete"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => Throttled,
        "MaxSpotInstanceCountExceeded" | "VcpuLimitExceeded" => Quota,
        _ if name.ends_with("LimitExceeded") || name.ends_with("QuotaExceeded") => Quota,
        "SpotMaxPriceTooLow" | "UnfulfillableCapacity" => Capacity,
        _ if name.starts_with("Insufficient") => Capacity,
        // The type is not offered in this zone; it is in others.
        "Unsupported" if message.contains("Availability Zone") => Capacity,
        "Unsupported" => Invalid,
        "Gateway.NotAttached" | "InvalidAMIID.Unavailable" => NotFound,
        _ if name.ends_with("NotFound") || name.starts_with("NoSuch") => NotFound,
        "DependencyViolation"
        | "IdempotentParameterMismatch"
        | "OperationInProgress"
        | "Resource.AlreadyAssociated"
        | "RouteAlreadyExists" => Conflict,
        _ if name.starts_with("Incorrect") && name.ends_with("State") => Conflict,
        _ if name.ends_with(".Duplicate") || name.ends_with("InUse") || name.ends_with("AlreadyExists") => Conflict,
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Unavailable" => Transient,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{StatusCode, header::HeaderMap};

    #[test]
    fn codes_have_classes() {
        use ErrorClass::*;
        for (code, message, expected) in [
            ("AuthFailure", "AWS was not able to validate the provided access credentials", Some(Auth)),
            ("AuthFailure", "Not authorized for images: [ami-1]", Some(Denied)),
            ("RequestExpired", "", Some(Auth)),
            ("UnauthorizedOperation", "", Some(Denied)),
            ("RequestLimitExceeded", "", Some(Throttled)),
            ("InstanceLimitExceeded", "", Some(Quota)),
            ("AddressLimitExceeded", "", Some(Quota)),
            ("InsufficientInstanceCapacity", "", Some(Capacity)),
            ("InsufficientFreeAddressesInSubnet", "", Some(Capacity)),
            ("Unsupported", "not supported in your requested Availability Zone (us-east-1e)", Some(Capacity)),
            ("Unsupported", "The requested configuration is currently not supported", Some(Invalid)),
            ("InvalidInstanceID.NotFound", "", Some(NotFound)),
            ("InvalidGroup.NotFound", "", Some(NotFound)),
            ("InvalidGroup.Duplicate", "", Some(Conflict)),
            ("InvalidVolume.InUse", "", None),
            ("VolumeInUse", "", Some(Conflict)),
            ("IncorrectInstanceState", "", Some(Conflict)),
            ("DependencyViolation", "", Some(Conflict)),
            ("InvalidParameterValue", "", None),
            ("Server.InternalError", "", Some(Transient)),
        ] {
            // `InvalidVolume.InUse` ends in `InUse`, too.
            let expected = if code == "InvalidVolume.InUse" { Some(Conflict) } else { expected };
            assert_eq!(class(code, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn refusals_of_all_services_are_read() {
        let read = |body: &str| {
            let headers = HeaderMap::new();
            super::read(&Refusal { status: StatusCode::BAD_REQUEST, headers: &headers, body: body.as_bytes() })
        };
        let fault = |class, text: &str| Fault { class: Some(class), text: Some(text.to_owned()) };
        let ec2 = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>InvalidAMIID.NotFound</Code>\
                   <Message>The image id '[ami-1]' does not exist</Message></Error></Errors><RequestID>r</RequestID></Response>";
        let told = "InvalidAMIID.NotFound: The image id '[ami-1]' does not exist";
        assert_eq!(read(ec2), fault(ErrorClass::NotFound, told));
        let other = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>";
        assert_eq!(read(other), fault(ErrorClass::Throttled, "Throttling: Rate exceeded"));
        let json = r#"{"__type": "com.amazonaws.x#AccessDeniedException", "Message": "no"}"#;
        assert_eq!(read(json), fault(ErrorClass::Denied, "AccessDeniedException: no"));
        assert_eq!(read("<html>busy</html>"), Fault::default());
        assert_eq!(read(""), Fault::default());
    }
}
