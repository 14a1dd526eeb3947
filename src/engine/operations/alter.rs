//! Sizes and disks of a machine that are changed.
//!
//! Races: what the document asks for is compared with the machine as it is when the keeper takes the change. Of several
//! alterations of one machine each waits until the others have ended, and is then compared with what they made of it; a deletion
//! ends the alteration, and waits for what was asked of the cloud.

use crate::engine::{
    error::OperationError,
    operations::{
        change::{Change, Here, present},
        document::{Document, Purpose},
    },
    settings::Access,
    state::{draft::Draft, states},
    transitions::{
        self,
        alteration::alteration,
        altering::{ALTERED, is_altered},
    },
};
use radl::Radl;
use serde::{Deserialize, Serialize};

/// Changes sizes and disks of a machine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alter {
    /// The machine.
    pub number: u32,
    /// What its system is to be.
    pub document: Document,
}

impl Change for Alter {
    const NAME: &'static str = "alter";
    const ACCESS: Access = Access::Change;
    /// The infrastructure's document of the machine afterwards.
    type Answer = Radl;

    /// Refused for a document without the machine's system; by clouds, the store.
    async fn perform(self, mut here: Here<'_>) -> Result<Radl, OperationError> {
        let Self { number, document } = self;
        let document = document.resolve(&here.engine.services, here.caller, Purpose::Aside).await?.radl;
        let shown = here.shown()?;
        here.claim(&shown.accounts).await;
        let vm = present(&here.model, number)?.clone();
        let Some(wanted) = document.system(&vm.system).cloned() else {
            let text = format!("Incorrect RADL no system with name {} provided.", vm.system);
            return Err(OperationError::Invalid(text));
        };
        let services = &here.engine.services;
        // What cannot be done at all is no work.
        services.connector(Some(&shown.accounts), &vm.cloud)?;
        let failed = move |why: String| format!("Error modifying the information about the VM {number}: {why}");
        let alter = move |draft: &mut Draft| {
            let change = alteration(&wanted, &document, present(&draft.model, number)?, &draft.model.radl)
                .map_err(|why| OperationError::Invalid(failed(why)))?;
            let work = transitions::alter(draft, number, change)?;
            draft.warn_of(&document);
            draft.keep(&shown);
            Ok(work)
        };
        let mut states = here.handle.watch();
        let altered = loop {
            // A keeper that ended says so to the change.
            let _ = states.wait_for(|model| !is_altered(model, number)).await;
            match here.handle.change_and_wait(alter.clone()).await {
                // Another alteration came first.
                Err(OperationError::Conflict(what)) if what == ALTERED => {}
                ended => break ended?,
            }
        };
        altered.map_err(|why| OperationError::Cloud(failed(why)))?;
        let snapshot = here.handle.snapshot();
        let vm = snapshot.vm(number).cloned().unwrap_or(vm);
        let info = services.vm_info(&vm, states::vm_state(&snapshot, &vm, services.clock()));
        Ok(Radl { networks: info.networks, systems: info.systems, ..here.model.radl.without_internal() })
    }
}
