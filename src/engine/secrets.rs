//! Secrets that the daemon makes up.

use rand::{Rng, TryRngCore, distr::Alphanumeric, rngs::OsRng};

/// Letters and digits of a password (docs/spec/contextualization.md 1.2).
const LENGTH: usize = 8;

/// A password of letters and digits for a machine, from the system's random generator. There is a capital, a small letter
/// and a digit in it, as Windows demands.
#[must_use]
pub fn random_password() -> String {
    loop {
        let password: String = OsRng.unwrap_err().sample_iter(Alphanumeric).take(LENGTH).map(char::from).collect();
        let has = |class: fn(&u8) -> bool| password.as_bytes().iter().any(class);
        if has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) {
            return password;
        }
    }
}
