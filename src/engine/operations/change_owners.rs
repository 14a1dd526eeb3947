//! Who an infrastructure belongs to (docs/spec/api.md 6.4).
//!
//! Races: changes take place one after the other in the keeper, each with the owners that the one before it left. One that
//! replaces all owners may take the infrastructure away from a caller whose change is still under way: that one was admitted,
//! and ends as it would have.

use crate::{
    auth::Identity,
    engine::{
        error::OperationError,
        operations::change::{Change, Here},
        settings::Access,
        state::rights::Right,
        transitions,
    },
};
use serde::{Deserialize, Serialize};

/// Adds owners, or replaces all of them. Who has access already is not added again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeOwners {
    /// The owners.
    pub owners: Vec<Identity>,
    /// Whether they take the place of all others.
    pub overwrite: bool,
}

impl Change for ChangeOwners {
    const NAME: &'static str = "change_owners";
    const ACCESS: Access = Access::Change;
    /// It is durable.
    type Answer = ();

    /// The token of an infrastructure cannot give it away.
    fn right(&self) -> Right {
        Right::Own
    }

    /// Refused when there would be too many owners; by the store.
    async fn perform(self, here: Here<'_>) -> Result<(), OperationError> {
        here.handle.change(move |draft| transitions::change_owners(draft, self.owners, self.overwrite)).await
    }
}
