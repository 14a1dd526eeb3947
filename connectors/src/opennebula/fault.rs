//! OpenNebula's error codes (docs.opennebula.io, "XML-RPC API", error codes) as classes of ours.

use crate::{ConnectorError, ErrorClass};

/// A refusal: the third item of a reply is its code, the second its text.
pub(super) fn of_call(code: i32, text: &str) -> ConnectorError {
    let said = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let of_quota = || says(&["quota", "limit of"]);
    let is_missing = || says(&["does not exist", "not found", "error getting", "could not get", "cannot get image"]);
    let is_full = || says(&["lease", "not enough", "no free", "capacity", "no space"]);
    let class = match code {
        0x0100 => ErrorClass::Auth,
        0x0200 if of_quota() => ErrorClass::Quota,
        0x0200 => ErrorClass::Denied,
        0x0400 => ErrorClass::NotFound,
        0x0800 if is_full() => ErrorClass::Capacity,
        // The wrong state for it, or locked by somebody (0x8000): it may be another one the next time.
        0x0800 | 0x8000 => ErrorClass::Conflict,
        0x1000 => ErrorClass::Invalid,
        0x2000 | 0x4000 if of_quota() => ErrorClass::Quota,
        0x2000 | 0x4000 if is_missing() => ErrorClass::NotFound,
        0x2000 | 0x4000 if says(&["already taken"]) => ErrorClass::Conflict,
        0x4000 if is_full() => ErrorClass::Capacity,
        0x4000 => ErrorClass::Invalid,
        // Internal (0x2000), replication (0x10000), and what later versions add.
        _ => ErrorClass::Transient,
    };
    let shown: String = text.trim().chars().take(500).collect();
    ConnectorError::new(class, if shown.is_empty() { format!("OpenNebula refuses, code {code:#06x}") } else { shown })
}

/// A fault of XML-RPC itself: there is no such method (-506), or its arguments are others.
pub(super) fn of_protocol(method: &str, code: &str, text: &str) -> ConnectorError {
    let class = if code.trim() == "-506" { ErrorClass::Unsupported } else { ErrorClass::Invalid };
    ConnectorError::new(class, format!("OpenNebula does not take {method}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_texts_have_classes() {
        for (code, text, class) in [
            (0x0100, "User couldn't be authenticated, aborting call.", ErrorClass::Auth),
            (0x0200, "Not authorized to perform CREATE VM.", ErrorClass::Denied),
            (0x0200, "user [2] limit of 2 reached for VMS quota in VM.", ErrorClass::Quota),
            (0x0400, "Error getting virtual machine [9].", ErrorClass::NotFound),
            (0x0800, "Wrong state to perform action", ErrorClass::Conflict),
            (0x1000, "Cannot parse", ErrorClass::Invalid),
            (0x2000, "Database", ErrorClass::Transient),
            (0x2000, "Cannot get IP/MAC lease from virtual network 1", ErrorClass::Transient),
            (0x4000, "Cannot get IP/MAC lease from virtual network 1", ErrorClass::Capacity),
            (0x4000, "Image with ID: 9 does not exist", ErrorClass::NotFound),
            (0x4000, "NAME is already taken by IMAGE 3", ErrorClass::Conflict),
            (0x4000, "CPU attribute must be a positive float", ErrorClass::Invalid),
            (0x8000, "locked", ErrorClass::Conflict),
            (0x10000, "replication", ErrorClass::Transient),
        ] {
            assert_eq!(of_call(code, text).class, class, "{code:#x} {text}");
        }
        assert_eq!(of_protocol("one.x", "-506", "").class, ErrorClass::Unsupported);
    }
}
