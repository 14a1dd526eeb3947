//! From our store to a database of the reference, which can then serve it.

use super::{
    MigrationError, Outcome,
    reference::{ReferenceRow, Target},
};
use crate::{
    auth::Identity,
    config::AdminUser,
    engine::{OperationError, exchange::stored},
    store::{Keyring, Store},
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Users whose passwords are known, by their keyed hashes: the store keeps nothing else of owners.
pub struct KnownUsers(HashMap<String, Map<String, Value>>);

impl KnownUsers {
    /// Of pairs of name and password.
    #[must_use]
    pub fn new<'a>(users: impl IntoIterator<Item = &'a AdminUser>, keyring: &Keyring) -> Self {
        let item = |user: &AdminUser| {
            let (name, password) = (user.username.as_str(), user.password.expose());
            (keyring.owner_key(name, password), owner(name, password))
        };
        Self(users.into_iter().map(item).collect())
    }

    /// The owner as the reference stores it, and whether the password is known. Nobody has one that is not.
    fn item(&self, owner_of: &Identity) -> (Map<String, Value>, bool) {
        match self.0.get(&owner_of.key) {
            Some(item) => (item.clone(), true),
            None => (owner(&owner_of.username, &uuid::Uuid::new_v4().simple().to_string()), false),
        }
    }
}

fn owner(username: &str, password: &str) -> Map<String, Value> {
    let item = [
        ("type", json!("InfrastructureManager")),
        ("username", json!(username)),
        ("password", json!(password)),
        ("admin", json!(false)),
    ];
    item.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Writes all infrastructures; `told` hears how many are dealt with, and how many there are. `now` in seconds since the
/// epoch. Without a target it is only looked whether it could be done.
///
/// # Errors
/// One of the databases cannot be used at all.
pub async fn export(
    store: &dyn Store,
    target: Option<&dyn Target>,
    users: &KnownUsers,
    now: i64,
    mut told: impl FnMut(usize, usize),
) -> Result<Outcome, MigrationError> {
    let index = store.index().await?;
    let mut outcome = Outcome::default();
    // Oldest first: the reference lists what was written last at the top.
    for (number, row) in index.iter().rev().enumerate() {
        match stored::from_store(store, &row.id, now).await {
            Ok(None) => {}
            Ok(Some(exported)) => {
                let (auth, known): (Vec<_>, Vec<_>) = exported.owners.iter().map(|owner| users.item(owner)).unzip();
                let mut record = exported.record;
                record.auth = auth;
                let written = ReferenceRow {
                    id: row.id.clone(),
                    deleted: record.deleted,
                    saved: exported.changed,
                    auth: json!(record.auth).to_string(),
                    data: json!(record).to_string(),
                };
                if let Some(target) = target {
                    target.put(written).await?;
                }
                outcome.done += 1;
                outcome.deleted += usize::from(record.deleted);
                if !record.deleted && !known.contains(&true) {
                    let names: Vec<_> = exported.owners.iter().map(|owner| owner.username.as_str()).collect();
                    let note = format!("the password of its owner is not known ({}): see --users", names.join(", "));
                    outcome.notes.push((row.id.clone(), note));
                }
            }
            Err(OperationError::Conflict(_)) => {
                let why = "work on it is pending, which IM cannot go on with: let the daemon end it first";
                outcome.failed.push((row.id.clone(), why.to_owned()));
            }
            Err(error) => outcome.failed.push((row.id.clone(), error.to_string())),
        }
        told(number + 1, index.len());
    }
    if let Some(target) = target {
        target.finish().await?;
    }
    Ok(outcome)
}
