//! From a database of the reference to our store. What is there already stays, so that an import can be repeated.

use super::{
    MigrationError, Outcome, foreign,
    reference::{FoundRow, Source},
};
use crate::{
    auth::Identity,
    engine::exchange::{record::InfrastructureRecord, stored},
    store::{Changes, IndexRow, Keyring, Store, StoreError},
};
use futures::{StreamExt, stream};
use std::collections::HashSet;

/// Infrastructures brought over at the same time; the store writes them together.
const AT_ONCE: usize = 32;

/// Brings all infrastructures over; `dry_run` only looks whether it could be done. `told` hears how many are dealt with,
/// and how many there are. `now` in seconds since the epoch.
///
/// # Errors
/// One of the databases cannot be used at all; what was told is done.
pub async fn import(
    source: &dyn Source,
    store: &dyn Store,
    keyring: &Keyring,
    dry_run: bool,
    now: i64,
    mut told: impl FnMut(usize, usize),
) -> Result<Outcome, MigrationError> {
    let present: HashSet<String> = store.index().await?.into_iter().map(|row| row.id).collect();
    let ids = source.ids().await?;
    let mut outcome = Outcome::default();
    let one = async |id: &String| -> Result<Fate, MigrationError> {
        if present.contains(id) {
            return Ok(Fate::Present);
        }
        let Some(row) = source.row(id).await? else {
            return Ok(Fate::Failed("it was removed while it was read".to_owned()));
        };
        let (index_row, changes, mut notes) = match rows(id, row, keyring, now) {
            Ok(rows) => rows,
            Err(why) => return Ok(Fate::Failed(why)),
        };
        if index_row.owners.is_empty() {
            notes.push("it names no owner: only an administrator can use it".to_owned());
        }
        let fate = Fate::Done { deleted: index_row.deleted, notes };
        if dry_run {
            return Ok(fate);
        }
        match store.create(index_row, changes).await {
            Ok(()) => Ok(fate),
            Err(StoreError::AlreadyExists) => Ok(Fate::Present),
            Err(error) => Err(error.into()),
        }
    };
    // In their order, which is that of the list afterwards.
    let mut fates = stream::iter(&ids).map(|id| async { (id.clone(), one(id).await) }).buffered(AT_ONCE);
    let mut count = 0;
    while let Some((id, fate)) = fates.next().await {
        match fate? {
            Fate::Present => outcome.present += 1,
            Fate::Failed(why) => outcome.failed.push((id, why)),
            Fate::Done { deleted, notes } => {
                outcome.done += 1;
                outcome.deleted += usize::from(deleted);
                outcome.notes.extend(notes.into_iter().map(|note| (id.clone(), note)));
            }
        }
        count += 1;
        told(count, ids.len());
    }
    Ok(outcome)
}

enum Fate {
    Done { deleted: bool, notes: Vec<String> },
    Present,
    Failed(String),
}

/// Our rows of one of theirs, with what the operator should know; or what is wrong with it.
fn rows(id: &str, row: FoundRow, keyring: &Keyring, now: i64) -> Result<(IndexRow, Changes, Vec<String>), String> {
    // Never with other characters in the place of some: owners are known by what stands there.
    let text = std::str::from_utf8(&row.data)
        .map_err(|error| format!("its document cannot be read: it is not UTF-8 (byte {})", error.valid_up_to()))?;
    let mut record =
        InfrastructureRecord::read(text).map_err(|error| format!("its document cannot be read: {error}"))?;
    if record.id != id {
        return Err(format!("its document is that of {}", record.id));
    }
    record.deleted |= row.deleted;
    if record.creation_date.is_none() {
        record.creation_date = Some(row.saved);
    }
    let (owners, notes) = (owners(&record, keyring), foreign::notes(&record));
    let (index_row, changes) = stored::to_rows(record, owners, now).map_err(|error| error.to_string())?;
    Ok((index_row, changes, notes))
}

/// The owners a document names. Of users with tokens the reference keeps issuer and subject in the place of the password.
fn owners(record: &InfrastructureRecord, keyring: &Keyring) -> Vec<Identity> {
    let mut owners = Vec::new();
    for item in &record.auth {
        let text = |key: &str| item.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
        let Some(username) = text("username") else { continue };
        let key = keyring.owner_key(username, text("password").unwrap_or_default());
        let owner = Identity { username: username.to_owned(), key, token: text("token").is_some() };
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_document_is_not_taken_and_nothing_of_it_is_told() {
        let keyring = Keyring::new([0; 32], &[]);
        let refused = |data: &[u8]| {
            let row = FoundRow { deleted: false, saved: 0, data: data.to_vec() };
            rows("i", row, &keyring, 0).err().unwrap_or_default()
        };
        for (data, why) in [
            (&b"{\"id\": \"i\", \"auth\": [{\"username\": \"se\xf1al\"}]}"[..], "it is not UTF-8 (byte 37)"),
            (b"{\"id\": \"i\", sesame", "this is no JSON: key must be a string (line 1, column 13)"),
            (b"{\"id\": \"i\", \"vm_list\": \"[7]\", \"radl\": \"\"}", "`vm_list[0]`: expected an object"),
            (b"", "this is no JSON: EOF while parsing a value (line 1, column 0)"),
        ] {
            assert_eq!(refused(data), format!("its document cannot be read: {why}"));
        }
    }
}
