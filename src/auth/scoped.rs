//! Tokens that stand for one infrastructure: what its recipes see as IM_INFRASTRUCTURE_AUTH unless the operator decides
//! otherwise. Such a token opens that infrastructure and nothing else, and is worth nothing once it is deleted.
//!
//! A machine that has to open its reverse tunnel gets one that is worth even less: it leads to that tunnel alone.
//!
//! Form: `imd1.<infrastructure id>.<keyed hash>`, `imd1.<infrastructure id>/vms/<number>.<keyed hash>`. Nothing of it is
//! stored.

use super::{KeyedHash, Principal};

const PREFIX: &str = "imd1.";
/// The name that the subjects of tokens are hashed with, as if they were its passwords; so nobody can log in with a name that
/// begins like it.
pub const RESERVED_NAME: &str = "__INFRASTRUCTURE__";
/// Between the id of an infrastructure, which holds no slash, and the number of a machine.
const VMS: &str = "/vms/";

/// The token of an infrastructure.
#[must_use]
pub fn token(key: &KeyedHash, infrastructure: &str) -> String {
    of_subject(key, infrastructure)
}

/// The token of a machine.
#[must_use]
pub fn machine_token(key: &KeyedHash, infrastructure: &str, vm: u32) -> String {
    of_subject(key, &format!("{infrastructure}{VMS}{vm}"))
}

fn of_subject(key: &KeyedHash, subject: &str) -> String {
    format!("{PREFIX}{subject}.{}", key(RESERVED_NAME, subject))
}

/// Whether it has the form of one of ours, valid or not.
#[must_use]
pub fn is_ours(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// What this token stands for, none if it is not a valid one of ours.
#[must_use]
pub fn principal(key: &KeyedHash, token: &str) -> Option<Principal> {
    let (subject, hash) = token.strip_prefix(PREFIX)?.rsplit_once('.')?;
    let expected = key(RESERVED_NAME, subject);
    if expected.len() != hash.len() || !openssl::memcmp::eq(expected.as_bytes(), hash.as_bytes()) {
        return None;
    }
    Some(match subject.split_once(VMS) {
        Some((infrastructure, vm)) => {
            Principal::Machine { infrastructure: infrastructure.to_owned(), vm: vm.parse().ok()? }
        }
        None => Principal::Infrastructure(subject.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_token_opens_its_own_infrastructure_only() {
        let key: KeyedHash = Arc::new(|user: &str, password: &str| format!("{user}-{password}-hash"));
        let good = token(&key, "7f");
        assert_eq!(good, "imd1.7f.__INFRASTRUCTURE__-7f-hash", "machines hold tokens of earlier versions");
        assert_eq!(principal(&key, &good), Some(Principal::Infrastructure("7f".to_owned())));
        let machine = machine_token(&key, "7f", 3);
        assert_eq!(machine, "imd1.7f/vms/3.__INFRASTRUCTURE__-7f/vms/3-hash");
        assert_eq!(principal(&key, &machine), Some(Principal::Machine { infrastructure: "7f".to_owned(), vm: 3 }));
        for forged in ["imd1.8a.__INFRASTRUCTURE__-7f-hash", "imd1.7f.", "imd1.7f", "", &good[5..]] {
            assert_eq!(principal(&key, forged), None, "{forged}");
        }
    }
}
