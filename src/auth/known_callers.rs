//! Callers that were found valid a short time ago, by the hash of their header: the clear text is not a key, and a hit costs
//! one hash.

use super::Caller;
use crate::bounds::Remembered;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Bytes of callers remembered.
const REMEMBERED: usize = 4 << 20;
/// How long a caller is remembered whose credentials do not expire before.
const AGE: Duration = Duration::from_secs(300);

/// Callers by the hash of their header.
pub(super) struct KnownCallers(Mutex<Known>);

struct Known {
    /// Version of the user file the entries were made with.
    users: u64,
    callers: Remembered<[u8; 32], Arc<Caller>>,
}

impl Default for KnownCallers {
    fn default() -> Self {
        Self(Mutex::new(Known { users: 0, callers: Remembered::new(REMEMBERED, AGE) }))
    }
}

impl KnownCallers {
    /// The caller of a header, if it was found with this version of the user file and has not expired by `now`.
    pub(super) fn get(&self, header: &[u8; 32], users: u64, now: SystemTime) -> Option<Arc<Caller>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.users != users {
            known.callers.clear();
            known.users = users;
        }
        let caller = known.callers.get(header, Instant::now())?.clone();
        if caller.is_expired(now) {
            known.callers.remove(header);
            return None;
        }
        Some(caller)
    }

    /// Remembers a caller. One found with users that have changed meanwhile is good for its request, not for later ones.
    pub(super) fn insert(&self, header: [u8; 32], users: u64, caller: &Arc<Caller>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.users == users {
            known.callers.insert(header, caller.clone(), bytes(caller), Instant::now());
        }
    }

    /// Forgets callers that were not seen for long before `now`.
    pub(super) fn forget_old(&self, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).callers.forget_old(now);
    }
}

/// What it takes to remember a caller, roughly.
fn bytes(caller: &Caller) -> usize {
    /// Of a pair in a map, a map and a principal, with what the allocator adds.
    const OVERHEAD: usize = 160;
    let pairs = caller.credentials.items.iter().flat_map(|item| &item.0);
    let pairs: usize = pairs.map(|(key, value)| key.len() + value.len() + OVERHEAD).sum();
    let principals: usize = caller.users().map(|who| who.username.len() + who.key.len()).sum();
    pairs + principals + OVERHEAD * (caller.credentials.items.len() + caller.principals.len() + 2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::{Principal, parse_header};

    fn caller(header: &str, expires: Option<i64>) -> Arc<Caller> {
        let credentials = Arc::new(parse_header(header).unwrap());
        Arc::new(Caller { credentials, principals: vec![Principal::Infrastructure("7f".to_owned())], expires })
    }

    #[test]
    fn an_entry_ends_with_the_credentials_if_these_end_first() {
        let (subject, at) = (KnownCallers::default(), |s: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        subject.insert([1; 32], 0, &caller("type = T", Some(100)));
        subject.insert([2; 32], 0, &caller("type = T", None));
        let known = |header: u8, second| subject.get(&[header; 32], 0, at(second)).is_some();
        assert_eq!((known(1, 99), known(2, 99)), (true, true));
        assert_eq!((known(1, 100), known(2, 100)), (false, true));
        assert!(!known(1, 99), "it was forgotten");
        subject.forget_old(Instant::now() + AGE);
        assert!(!known(2, 99));
    }

    #[test]
    fn other_users_end_all_entries() {
        let (subject, now) = (KnownCallers::default(), SystemTime::UNIX_EPOCH);
        subject.insert([1; 32], 0, &caller("type = T", None));
        assert!(subject.get(&[1; 32], 1, now).is_none() && subject.get(&[1; 32], 0, now).is_none());
        subject.insert([1; 32], 1, &caller("type = T", None));
        assert!(subject.get(&[1; 32], 0, now).is_none(), "found with users of before");
    }

    #[test]
    fn what_is_remembered_is_bounded_in_bytes_whatever_the_header_is_made_of() {
        let subject = KnownCallers::default();
        let remembered = || subject.0.lock().unwrap().callers.values().map(|caller| bytes(caller)).sum::<usize>();
        let (many, long) = (";a=1".repeat(60), "x".repeat(10_000));
        let items = format!("type = Dummy{many}\\n").repeat(60);
        let callers = ["type = T", &format!("type = Dummy; password = {long}"), &items].map(|text| caller(text, None));
        for number in 0..3000_u32 {
            let mut header = [0; 32];
            header[..4].copy_from_slice(&number.to_be_bytes());
            subject.insert(header, 0, &callers[number as usize % 3]);
            assert!(remembered() <= REMEMBERED);
        }
        assert!(remembered() > REMEMBERED / 2);
        subject.forget_old(Instant::now() + AGE);
        assert_eq!(remembered(), 0);
    }
}
