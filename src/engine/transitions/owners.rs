//! Owners that change, and infrastructures that are given away.

use crate::{
    auth::Identity,
    engine::{
        error::OperationError,
        state::{
            draft::{Draft, Effect},
            model::Infrastructure,
        },
    },
};
use std::sync::Arc;

/// Owners that an infrastructure may have: all of them are written whenever it changes, and looked through by every request.
const MOST: usize = 256;

/// Adds owners, or replaces all of them with `overwrite`.
///
/// # Errors
/// They would be too many.
pub fn change_owners(draft: &mut Draft, owners: Vec<Identity>, overwrite: bool) -> Result<(), OperationError> {
    let mut all = if overwrite { Vec::new() } else { draft.model.owners.clone() };
    for owner in owners {
        if !all.contains(&owner) {
            all.push(owner);
        }
    }
    if all.len() > MOST {
        return Err(OperationError::Invalid(format!("An infrastructure can have {MOST} owners at most.")));
    }
    if all != draft.model.owners {
        let infrastructure = draft.infrastructure();
        infrastructure.owners = all;
        // The credentials of the others are nothing for its recipes.
        infrastructure.login = None;
    }
    Ok(())
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
