//! Machines that are deleted.
//!
//! Races: the numbers are checked by the rule when the keeper takes the change, all of them before any machine is touched. A
//! machine that another removal is deleting already is waited for and not deleted a second time; one that is being launched
//! is deleted as soon as the cloud has it.

use crate::engine::{
    error::OperationError,
    operations::change::{Change, Here},
    settings::Access,
    state::draft::Draft,
    transitions,
};
use serde::{Deserialize, Serialize};

/// Deletes machines.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    /// Their numbers.
    pub vms: Vec<u32>,
    /// Whether a contextualization of the others follows.
    pub context: bool,
}

impl Change for Remove {
    const NAME: &'static str = "remove";
    const ACCESS: Access = Access::Change;
    /// How many are gone.
    type Answer = usize;

    /// Refused for unknown and deleted machines; by clouds, the store.
    async fn perform(self, mut here: Here<'_>) -> Result<usize, OperationError> {
        let shown = here.shown()?;
        here.claim(&shown.accounts).await;
        let remove = move |draft: &mut Draft| {
            let work = transitions::remove(draft, &self.vms, self.context, &shown.accounts)?;
            draft.keep(&shown);
            Ok(work)
        };
        let result = here.handle.change_and_wait(remove).await?;
        result.map(|gone| gone.machines().len()).map_err(OperationError::Cloud)
    }
}
