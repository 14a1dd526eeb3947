//! Who is calling, and what such a caller may do to an infrastructure.

use super::{Credentials, Identity};
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Longest wait for an expiry without another look at the clock of the host, which may be set meanwhile.
const LOOK: Duration = Duration::from_secs(60);

/// What one valid credential item proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// A user.
    User(Identity),
    /// A user who is an administrator (`ADMIN_USER`), and may use what anybody owns.
    Administrator(Identity),
    /// The token of the infrastructure with this id, which its recipes hold. It owns nothing.
    Infrastructure(String),
    /// The token of a machine, which leads to its reverse tunnel and nowhere else.
    Machine {
        /// Id of its infrastructure.
        infrastructure: String,
        /// Its number.
        vm: u32,
    },
}

impl Principal {
    /// The user, if it is one.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::User(identity) | Self::Administrator(identity) => Some(identity),
            Self::Infrastructure(_) | Self::Machine { .. } => None,
        }
    }
}

/// A request whose credentials are valid. A change that was accepted goes on when they expire; what goes on for as long as
/// somebody listens ends then.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Caller {
    /// Everything the request brought.
    pub credentials: Arc<Credentials>,
    /// What its items prove, in their order, each once.
    pub principals: Vec<Principal>,
    /// When the first of the credentials ends, seconds since the epoch (as `exp` in RFC 7519, 4.1.4); none for those that
    /// stay valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

impl Caller {
    /// What tells this caller from others where things are shared out.
    #[must_use]
    pub fn user(&self) -> &str {
        match self.principals.first() {
            Some(Principal::User(identity) | Principal::Administrator(identity)) => &identity.key,
            Some(Principal::Infrastructure(id) | Principal::Machine { infrastructure: id, .. }) => id,
            None => "",
        }
    }

    /// The users among the principals.
    pub fn users(&self) -> impl Iterator<Item = &Identity> {
        self.principals.iter().filter_map(Principal::identity)
    }

    /// The users among the principals: all of them own what the caller makes.
    #[must_use]
    pub fn owners(&self) -> Vec<Identity> {
        self.users().cloned().collect()
    }

    /// Whether one of the principals is a user, not just the token of an infrastructure.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.users().next().is_some()
    }

    /// Whether one of the principals is an administrator.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.principals.iter().any(|principal| matches!(principal, Principal::Administrator(_)))
    }

    /// Whether the caller shows the token of this infrastructure.
    #[must_use]
    pub fn is_infrastructure(&self, id: &str) -> bool {
        self.principals.iter().any(|principal| matches!(principal, Principal::Infrastructure(own) if own == id))
    }

    /// Whether the caller shows the token of this machine.
    #[must_use]
    pub fn is_machine(&self, infrastructure: &str, vm: u32) -> bool {
        let is_it = |principal: &Principal| {
            matches!(principal, Principal::Machine { infrastructure: id, vm: number }
                if id == infrastructure && *number == vm)
        };
        self.principals.iter().any(is_it)
    }

    /// Whether the caller owns what belongs to these users, or is an administrator (docs/spec/api.md 1.10).
    #[must_use]
    pub fn may_access(&self, owners: &[Identity]) -> bool {
        let is_owner =
            |user: &Identity| owners.iter().any(|owner| owner.key == user.key && (!owner.token || user.token));
        self.is_administrator() || self.users().any(is_owner)
    }

    /// Whether the caller may own what the index of the store says belongs to users with these keys. An owner who needs a
    /// token is told from others by [`Caller::may_access`] alone.
    #[must_use]
    pub fn may_access_keys(&self, owners: &[String]) -> bool {
        self.is_administrator() || self.users().any(|user| owners.contains(&user.key))
    }

    /// How long the credentials are valid after `now`; none for those that stay valid.
    #[must_use]
    pub fn remaining(&self, now: SystemTime) -> Option<Duration> {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.expires?).unwrap_or(0));
        Some(end.duration_since(now).unwrap_or_default())
    }

    /// Whether the credentials have ended by `now`.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.remaining(now) == Some(Duration::ZERO)
    }

    /// Completes when the credentials have ended by the clock `now`; never for those that stay valid.
    pub async fn expired(&self, now: impl Fn() -> SystemTime) {
        while let Some(remaining) = self.remaining(now()) {
            if remaining.is_zero() {
                return;
            }
            tokio::time::sleep(remaining.min(LOOK)).await;
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::FutureExt;

    fn who(name: &str, token: bool) -> Identity {
        Identity { username: name.to_owned(), key: format!("key-{name}"), token }
    }

    fn caller(principals: Vec<Principal>) -> Caller {
        Caller { credentials: Arc::default(), principals, expires: None }
    }

    #[test]
    fn what_each_principal_opens() {
        let owners = [who("u", false)];
        let user = caller(vec![Principal::User(who("u", false))]);
        let stranger = caller(vec![Principal::User(who("v", false))]);
        let administrator = caller(vec![Principal::Administrator(who("root", false))]);
        let infrastructure = caller(vec![Principal::Infrastructure("7f".to_owned())]);
        let machine = caller(vec![Principal::Machine { infrastructure: "7f".to_owned(), vm: 3 }]);
        let opens = |caller: &Caller| {
            (caller.may_access(&owners), caller.is_infrastructure("7f"), caller.is_machine("7f", 3), caller.is_user())
        };
        assert_eq!(opens(&user), (true, false, false, true));
        assert_eq!(opens(&stranger), (false, false, false, true));
        assert_eq!(opens(&administrator), (true, false, false, true));
        assert_eq!(opens(&infrastructure), (false, true, false, false));
        assert_eq!(opens(&machine), (false, false, true, false));
        assert!(
            !infrastructure.is_infrastructure("8a") && !machine.is_machine("7f", 4) && !machine.is_machine("8a", 3)
        );
        // What was proven with a token is not opened by a password of the same key.
        let proven = [who("u", true)];
        assert!(!user.may_access(&proven) && caller(vec![Principal::User(who("u", true))]).may_access(&proven));
    }

    #[test]
    fn nobody_becomes_an_infrastructure_by_name() {
        let named = caller(vec![Principal::User(who("__INFRASTRUCTURE__7f", false))]);
        assert!(!named.is_infrastructure("7f") && !named.is_machine("7f", 0));
    }

    #[tokio::test]
    async fn credentials_that_end_are_told_and_others_never() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let expiring = Caller { expires: Some(100), ..caller(Vec::new()) };
        assert!(!expiring.is_expired(at(99)) && expiring.is_expired(at(100)) && expiring.is_expired(at(101)));
        assert!(expiring.expired(|| at(99)).now_or_never().is_none());
        expiring.expired(|| at(100)).await;
        // The clock of the host is looked at again when the wait is over.
        let looks = std::sync::atomic::AtomicU64::new(0);
        let clock = || match looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => at(100) - Duration::from_millis(2),
            1 => at(100) - Duration::from_millis(1),
            _ => at(100),
        };
        expiring.expired(clock).await;
        assert_eq!(looks.into_inner(), 3);
        let lasting = caller(Vec::new());
        assert!(!lasting.is_expired(at(u64::from(u32::MAX))) && lasting.expired(|| at(1)).now_or_never().is_none());
    }

    #[test]
    fn a_caller_comes_back_from_the_wire() {
        let principals = vec![
            Principal::Administrator(who("root", false)),
            Principal::Machine { infrastructure: "7f".to_owned(), vm: 3 },
        ];
        let sent = Caller { expires: Some(7), ..caller(principals) };
        let got: Caller = serde_json::from_str(&serde_json::to_string(&sent).unwrap()).unwrap();
        assert_eq!((got.principals, got.expires), (sent.principals, sent.expires));
    }
}
