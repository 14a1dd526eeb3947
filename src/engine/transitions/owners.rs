//! Owners that change, and infrastructures that are given away.

use super::super::{
    draft::{Draft, Effect},
    error::OperationError,
    model::Infrastructure,
};
use crate::auth::Identity;
use std::sync::Arc;

/// Adds owners, or replaces all of them with `overwrite`.
pub fn change_owners(draft: &mut Draft, owners: Vec<Identity>, overwrite: bool) {
    let infrastructure = draft.infrastructure();
    if overwrite {
        infrastructure.owners.clear();
        infrastructure.login = None;
    }
    for owner in owners {
        if !infrastructure.owners.contains(&owner) {
            infrastructure.owners.push(owner);
            // The credentials of the others are nothing for its recipes.
            infrastructure.login = None;
        }
    }
}

/// Forgets the infrastructure without touching its machines; returns it as it was.
///
/// # Errors
/// [`OperationError::Conflict`] while machines are made or deleted.
pub fn give_away(draft: &mut Draft) -> Result<Arc<Infrastructure>, OperationError> {
    if !draft.model.work.is_empty() {
        return Err(OperationError::Conflict("adding or removing resources".to_owned()));
    }
    let given = Arc::new(draft.model.clone());
    let infrastructure = draft.infrastructure();
    infrastructure.deleted = true;
    infrastructure.accounts = None;
    infrastructure.login = None;
    if let Some(generation) = &mut infrastructure.generation {
        generation.open = false;
    }
    draft.effects.push(Effect::StopContextualization);
    Ok(given)
}
