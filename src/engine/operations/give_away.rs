//! Infrastructures that are given away: exported, and forgotten here, while their machines go on.
//!
//! Races: it is refused while work is under way. What is exported is the state that the keeper gave away, whatever changed since
//! the request came; of what the keeper takes after it, in the same commit too, nothing changes it any more.

use crate::engine::{
    error::OperationError,
    operations::{
        change::{Change, Here},
        export::exportable,
    },
    settings::Access,
    state::rights::Right,
    transitions,
};
use serde::{Deserialize, Serialize};

/// Exports the infrastructure and forgets it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveAway {}

impl Change for GiveAway {
    const NAME: &'static str = "give_away";
    const ACCESS: Access = Access::Destroy;
    /// The document of the export.
    type Answer = String;

    /// The token that recipes hold must not make the service forget machines that go on.
    fn right(&self) -> Right {
        Right::Own
    }

    /// [`OperationError::Conflict`] while work is under way; refused for what is too large; by the store.
    async fn perform(self, here: Here<'_>) -> Result<String, OperationError> {
        exportable(&here.model)?;
        let given = here.handle.change(transitions::give_away).await?;
        tracing::info!(inf = here.id, "exported and given away");
        let write = here.engine.exporting(given).await?;
        // It is nowhere else any more: it waits for nobody.
        write()
    }
}
