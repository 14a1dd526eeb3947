//! Who an infrastructure belongs to (docs/spec/api.md 6.4).

use crate::{
    auth::{Caller, Identity},
    engine::{
        cluster::wire::Request,
        error::OperationError,
        operations::{engine::Engine, routing::Held},
        settings::Access,
        transitions,
    },
};

impl Engine {
    /// Adds owners, or replaces all of them with `overwrite`. Who has access already is not added again.
    ///
    /// # Errors
    /// Boot mode; not the caller's; the token of an infrastructure, which cannot give it away; too many owners; the store.
    pub async fn change_owners(
        &self,
        caller: &Caller,
        id: &str,
        owners: Vec<Identity>,
        overwrite: bool,
    ) -> Result<(), OperationError> {
        self.services.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::ChangeOwners { owners, overwrite }).await,
        };
        if !caller.may_access(&model.owners) {
            return Err(OperationError::NotOwner);
        }
        handle.change(move |draft| transitions::change_owners(draft, owners, overwrite)).await
    }
}
