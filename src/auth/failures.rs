//! Logins that were refused. The log names each user once in an interval, with the number of times, however often somebody
//! tries.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time between two lines about the same user.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);
/// Users counted; those beyond are counted together.
const USERS: usize = 1024;
/// Characters of a name that are shown.
const SHOWN: usize = 64;

/// Refused logins by the name that was tried.
#[derive(Default)]
pub(super) struct Failures(Mutex<HashMap<String, Tries>>);

struct Tries {
    since: Instant,
    number: u32,
}

impl Failures {
    /// Notes one at `now`; how many there were before it in this interval.
    pub(super) fn note(&self, username: &str, now: Instant) -> u32 {
        let shown: String = username.chars().take(SHOWN).collect();
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if users.len() < USERS || users.contains_key(&shown) { shown } else { String::new() };
        let tries = users.entry(name.clone()).or_insert(Tries { since: now, number: 0 });
        if now.saturating_duration_since(tries.since) >= INTERVAL {
            tell(&name, tries.number.saturating_sub(1));
            *tries = Tries { since: now, number: 0 };
        }
        if tries.number == 0 {
            tracing::warn!(user = %name, "a login was refused");
        }
        let earlier = tries.number;
        tries.number = earlier.saturating_add(1);
        earlier
    }

    /// Tells what was counted in intervals that are over, and forgets them.
    pub(super) fn tell_rest(&self, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, tries| {
            let is_over = now.saturating_duration_since(tries.since) >= INTERVAL;
            if is_over {
                tell(name, tries.number.saturating_sub(1));
            }
            !is_over
        });
    }
}

/// Says how many more there were.
fn tell(name: &str, more: u32) {
    if more > 0 {
        tracing::warn!(user = %name, more, "more logins were refused within {} s", INTERVAL.as_secs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_for_each_user_in_bounded_memory() {
        let (failures, start) = (Failures::default(), Instant::now());
        assert_eq!([(); 3].map(|()| failures.note("u", start)), [0, 1, 2]);
        assert_eq!(failures.note("v", start), 0);
        assert_eq!(failures.note("u", start + INTERVAL), 0, "another interval");
        for number in 0..2 * USERS {
            failures.note(&format!("{number}{}", "x".repeat(1000)), start);
        }
        let held = |failures: &Failures| failures.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert_eq!(held(&failures), USERS + 1, "those beyond have one place");
        failures.tell_rest(start + INTERVAL);
        assert_eq!(held(&failures), 1, "only the interval that goes on");
    }
}
