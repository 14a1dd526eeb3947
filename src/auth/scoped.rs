//! Tokens that stand for one infrastructure: what its recipes see as IM_INFRASTRUCTURE_AUTH unless the operator decides
//! otherwise. Such a token opens that infrastructure and nothing else, and is worth nothing once it is deleted.
//!
//! A machine that has to open its reverse tunnel gets one that is worth even less: it leads to that tunnel alone.
//!
//! Form: `imd1.<infrastructure id>.<keyed hash>`, `imd1.<infrastructure id>/vms/<number>.<keyed hash>`. Nothing of it is
//! stored.

use super::{Identity, KeyedHash};

const PREFIX: &str = "imd1.";
/// Start of the user name of such an identity; nobody can log in with a name like it.
pub const USER_PREFIX: &str = "__INFRASTRUCTURE__";

/// The token of an infrastructure.
#[must_use]
pub fn token(key: &KeyedHash, infrastructure: &str) -> String {
    format!("{PREFIX}{infrastructure}.{}", key(USER_PREFIX, infrastructure))
}

/// The token of a machine.
#[must_use]
pub fn machine_token(key: &KeyedHash, infrastructure: &str, vm: u32) -> String {
    token(key, &machine(infrastructure, vm))
}

/// Who shows this token, none if it is not a valid one of ours.
#[must_use]
pub fn identity(key: &KeyedHash, token: &str) -> Option<Identity> {
    let (infrastructure, hash) = token.strip_prefix(PREFIX)?.rsplit_once('.')?;
    let expected = key(USER_PREFIX, infrastructure);
    let equal = expected.len() == hash.len() && openssl::memcmp::eq(expected.as_bytes(), hash.as_bytes());
    equal.then(|| Identity { username: user(infrastructure), key: expected, token: true })
}

/// The user name that stands for an infrastructure.
#[must_use]
pub fn user(infrastructure: &str) -> String {
    format!("{USER_PREFIX}{infrastructure}")
}

/// The user name that stands for a machine.
#[must_use]
pub fn machine_user(infrastructure: &str, vm: u32) -> String {
    user(&machine(infrastructure, vm))
}

/// Ids of infrastructures hold no slash.
fn machine(infrastructure: &str, vm: u32) -> String {
    format!("{infrastructure}/vms/{vm}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_token_opens_its_own_infrastructure_only() {
        let key: KeyedHash = Arc::new(|user: &str, password: &str| format!("{user}-{password}-hash"));
        let good = token(&key, "7f");
        assert_eq!(identity(&key, &good).map(|who| who.username), Some(user("7f")));
        let machine = machine_token(&key, "7f", 3);
        assert_eq!(identity(&key, &machine).map(|who| who.username), Some(machine_user("7f", 3)));
        for forged in ["imd1.8a.__INFRASTRUCTURE__-7f-hash", "imd1.7f.", "imd1.7f", "", &good[5..]] {
            assert_eq!(identity(&key, forged), None, "{forged}");
        }
    }
}
