//! Which credentials to try, and which to install.

use crate::{contract::KeyPair, ssh::Login};
use radl::Credentials;

/// Where a credential comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginKind {
    /// The machine's current credentials, as stored.
    Initial,
    /// Those that were to replace them: an earlier attempt installed them and could not say so any more.
    New,
    /// The infrastructure's own key, installed by an earlier run.
    Infrastructure,
}

/// The credentials in the order to try: current, new, infrastructure; in each the password before the key.
#[must_use]
pub fn login_order(current: &Credentials, new: &Credentials, own: Option<&KeyPair>) -> Vec<(LoginKind, Login)> {
    let of = |kind, credentials: &Credentials| {
        let password = credentials.password.clone().map(Login::Password);
        let key = credentials.private_key.clone().map(Login::PrivateKey);
        password.into_iter().chain(key).map(move |login| (kind, login)).collect::<Vec<_>>()
    };
    let mut order = of(LoginKind::Initial, current);
    order.extend(of(LoginKind::New, new));
    order.extend(own.map(|pair| (LoginKind::Infrastructure, Login::PrivateKey(pair.private.clone()))));
    order
}

/// What is to be changed: the password when there is a current and a new one, the key when both its halves are given.
#[must_use]
pub fn credential_change<'a>(current: &Credentials, new: &'a Credentials) -> (Option<&'a str>, Option<&'a str>) {
    let password = new.password.as_deref().filter(|_| current.password.is_some());
    let key = new.public_key.as_deref().filter(|_| new.private_key.is_some());
    (password, key)
}

/// What of the requested credentials cannot be installed, and why: one sentence each.
#[must_use]
pub fn kept_back(current: &Credentials, new: &Credentials) -> Vec<String> {
    let (password, key) = credential_change(current, new);
    let mut notes = Vec::new();
    if new.password.is_some() && password.is_none() {
        notes.push(
            "WARNING: the new password is not set: the machine has no current password, only a key. Set it in a recipe, \
             or give disk.0.os.credentials.password."
                .to_owned(),
        );
    }
    if key.is_none() && (new.public_key.is_some() || new.private_key.is_some()) {
        let other = if new.public_key.is_some() { "private" } else { "public" };
        notes.push(format!(
            "WARNING: the new key is not installed: its other half, disk.0.os.credentials.new.{other}_key, is missing."
        ));
    }
    notes
}
