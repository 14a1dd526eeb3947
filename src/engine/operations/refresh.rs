//! News of the clouds that a reader elsewhere asks for, where the infrastructure is kept.
//!
//! Races: of all who ask within VM_INFO_UPDATE_FREQUENCY one has the clouds asked.

use crate::engine::{
    error::OperationError,
    operations::change::{Change, Here},
    settings::Access,
    work::refresh,
};
use serde::{Deserialize, Serialize};

/// Asks the clouds for news of an infrastructure, if that is due.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {}

impl Change for Refresh {
    const NAME: &'static str = "refresh";
    const ACCESS: Access = Access::Upkeep;
    /// What they said is stored.
    type Answer = ();

    /// Refused for lines of clouds that cannot be read; by the store.
    async fn perform(self, here: Here<'_>) -> Result<(), OperationError> {
        let services = &here.engine.services;
        if here.handle.is_due(services.uptime(), services.settings.vm_info_update_frequency) {
            let numbers: Vec<u32> = here.model.vms.iter().map(|vm| vm.number).collect();
            let accounts = here.shown()?.accounts;
            refresh::observe(services, &here.handle, &here.model, numbers, Some(&accounts)).await;
        }
        Ok(())
    }
}
