//! Machines that are added to an infrastructure, or with a document that adds none its reconfiguration.
//!
//! Races: clouds are chosen for the infrastructure as it was when the request came. The rule merges the document into what is
//! stored when the keeper takes the change, so of two additions both stay, and the numbers of machines are given there. An
//! infrastructure that is being deleted by then refuses the document as a whole.

use crate::engine::{
    error::OperationError,
    operations::{
        change::{Change, Here},
        document::Document,
    },
    settings::Access,
    state::{
        draft::{Done, Draft},
        model::IfAllFail,
    },
    transitions::{self, Placement},
    work::placement,
};
use contextualization::Cause;
use serde::{Deserialize, Serialize};

/// Launches the machines of the document's deploys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {
    /// What is added.
    pub document: Document,
    /// Whether a contextualization of the whole infrastructure follows; a document that adds nothing is then a
    /// reconfigure.
    pub context: bool,
}

impl Change for Add {
    const NAME: &'static str = "add";
    const ACCESS: Access = Access::Change;
    /// Numbers of the machines, told when every launch has ended.
    type Answer = Vec<u32>;

    /// A refused document leaves the infrastructure untouched: boot mode, document, credentials, clouds, store.
    async fn perform(self, here: Here<'_>) -> Result<Vec<u32>, OperationError> {
        let Self { document, context } = self;
        let document = document.resolve(&here.model)?;
        here.engine.check_ansible(&document).await?;
        let shown = here.shown()?;
        let placement = placement::choose(&here.engine.services, &here.model, &document, &shown.accounts).await?;
        if let Some(why) = placement.refusal() {
            // Nothing of the document stays, so that the next one is merged into what there was.
            return Err(OperationError::Cloud(why));
        }
        if placement.vms.is_empty() && context && !here.model.vms.is_empty() {
            let keep = move |draft: &mut Draft| {
                transitions::add(draft, &document, Placement::default(), false, IfAllFail::Keep)?;
                draft.start_generation(Cause::Reconfigure, None);
                draft.keep(&shown);
                Ok(Vec::new())
            };
            return here.handle.change(keep).await;
        }
        let add = move |draft: &mut Draft| {
            let work = transitions::add(draft, &document, placement, context, IfAllFail::Keep)?;
            draft.keep(&shown);
            Ok(work)
        };
        here.handle.change_and_wait(add).await?.map(Done::machines).map_err(OperationError::Cloud)
    }
}
