//! Commits whose answer was lost. The database did them as a whole or not at all; before anything else is written, the
//! keeper finds out which: what is stored is what the commit would have written, or it is not.

use crate::{
    engine::{
        keeper::told::Told,
        services::Services,
        state::{draft::Draft, rows},
    },
    store::{Changes, Lease, StoreError, StoredInfrastructure, Version},
};
use std::{sync::Arc, time::Duration};

/// Wait between attempts to read while the store is away.
const RETRY: Duration = Duration::from_millis(500);

/// A commit that may have taken place.
pub struct Doubt {
    /// What it would have stored.
    pub draft: Draft,
    /// The states it would have told.
    pub told: Told,
    /// How many of the reports that wait to be stored are in it.
    pub reports: usize,
}

/// What became of a commit in doubt.
pub enum Outcome {
    /// It took place.
    Stored(Doubt),
    /// It did not.
    NotStored,
    /// Somebody else wrote.
    Overtaken(StoreError),
    /// The store does not answer yet.
    Unknown(Doubt, StoreError),
}

/// Finds out what became of a commit onto `version` whose events began with `first_sequence`.
pub async fn find_out(services: &Services, doubt: Doubt, version: Version, first_sequence: u64) -> Outcome {
    let id = &doubt.draft.model.id;
    let read = async {
        let stored = services.store.load(id).await?.ok_or(StoreError::NotFound)?;
        Ok((stored, services.store.last_sequence(id).await?))
    };
    let (stored, last_sequence) = match read.await {
        Ok(found) => found,
        Err(error @ StoreError::NotFound) => return Outcome::Overtaken(error),
        Err(error) => return Outcome::Unknown(doubt, error),
    };
    if stored.version == version {
        return Outcome::NotStored;
    }
    let stale = StoreError::Stale { expected: version, current: stored.version };
    match rows::changes(&doubt.draft, first_sequence) {
        Ok(changes) if stored.version == version + 1 && is_stored(&changes, &stored, last_sequence) => {
            Outcome::Stored(doubt)
        }
        Ok(_) => Outcome::Overtaken(stale),
        Err(error) => Outcome::Unknown(doubt, error),
    }
}

/// Whether what is stored is what these changes made of it.
fn is_stored(changes: &Changes, stored: &StoredInfrastructure, last_sequence: u64) -> bool {
    let infrastructure = changes.infrastructure.as_ref().is_none_or(|data| *data == stored.infrastructure);
    let vms = changes.vms.iter().all(|vm| stored.vms.contains(vm));
    let progress = changes.progress.as_ref().is_none_or(|progress| *progress == stored.progress);
    let events = changes.events.is_empty() || changes.first_sequence + changes.events.len() as u64 == last_sequence + 1;
    infrastructure && vms && progress && events
}

/// Takes an infrastructure back whose creation is in doubt, for the client was told that there is none.
pub fn take_back(services: &Arc<Services>, id: String, lease: Option<Lease>) {
    let services = services.clone();
    tokio::spawn(async move {
        loop {
            let undone = async {
                let Some(stored) = services.store.load(&id).await? else { return Ok(()) };
                let (deleted, pending, lease) = (Some(true), Some(false), lease.clone());
                let gone = Changes { deleted, pending, lease, ..Changes::default() };
                services.store.commit(&id, stored.version, gone).await.map(drop)
            };
            match undone.await {
                Ok(()) | Err(StoreError::Stale { .. } | StoreError::NotFound | StoreError::Fenced) => return,
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    });
}
