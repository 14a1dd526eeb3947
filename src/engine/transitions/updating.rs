//! Machines that come and go at once, with the document that asks for both: all of it is accepted, or nothing.

use crate::engine::{
    error::OperationError,
    state::{accounts::Accounts, draft::Draft, model::IfAllFail},
    transitions::{
        Placement,
        adding::{add, merged},
        deleting::remove,
    },
};
use radl::Radl;

/// What a document changes.
pub struct Update<'a> {
    /// The RADL that is merged into the stored one.
    pub document: &'a Radl,
    /// Its machines, with their clouds chosen.
    pub placement: Placement,
    /// Machines that go.
    pub remove: &'a [u32],
    /// The text of the TOSCA document that is stored from now on, if it came of one.
    pub tosca: Option<String>,
    /// Whether a contextualization follows.
    pub context: bool,
}

/// The work of an update.
pub struct Updated {
    /// That of the machines that come.
    pub adding: u64,
    /// That of the machines that go, if there are any.
    pub removing: Option<u64>,
}

/// Accepts an update.
///
/// # Errors
/// The infrastructure is being deleted, the document does not fit the stored one, or a machine cannot be deleted; nothing is
/// changed then.
pub fn update(draft: &mut Draft, update: Update<'_>, accounts: &Accounts) -> Result<Updated, OperationError> {
    let Update { document, placement, remove: numbers, tosca, context } = update;
    // The addition cannot be refused any more once the removal is accepted.
    merged(&draft.model, document)?;
    let removing = match numbers {
        [] => None,
        numbers => Some(remove(draft, numbers, context, accounts)?),
    };
    let adding = add(draft, document, placement, context, IfAllFail::Keep)?;
    if let Some(text) = tosca {
        draft.infrastructure().extra_info.set_tosca(text);
    }
    Ok(Updated { adding, removing })
}
