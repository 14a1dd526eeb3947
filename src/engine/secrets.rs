//! Secrets that the daemon makes up.

use rand::{Rng, TryRngCore, distr::Alphanumeric, rngs::OsRng};

/// A password of letters and digits for a machine, from the system's random generator.
#[must_use]
pub fn random_password() -> String {
    OsRng.unwrap_err().sample_iter(Alphanumeric).take(16).map(char::from).collect()
}
