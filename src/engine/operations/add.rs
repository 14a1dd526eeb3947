//! Machines that are added to an infrastructure, or with a document that adds none its reconfiguration. A TOSCA document is
//! merged into the stored one, and may ask machines to go.
//!
//! Races: clouds are chosen for the infrastructure as it was when the request came. The rule merges the document into what is
//! stored when the keeper takes the change, so of two additions both stay, and the numbers of machines are given there. An
//! infrastructure that is being deleted by then refuses the document as a whole. What a TOSCA document means hangs on the
//! stored one and on the machines: if these have changed by then, it is resolved again.

use crate::engine::{
    error::OperationError,
    operations::{
        change::{Change, Here},
        document::{Document, Purpose, Resolved},
    },
    settings::Access,
    state::draft::{Done, Draft},
    transitions::{self, Update, Updated},
    work::placement,
};
use contextualization::Cause;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

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
    async fn perform(self, mut here: Here<'_>) -> Result<Vec<u32>, OperationError> {
        for _ in 0..TRIES {
            let purpose = Purpose::Update(&here.model);
            let resolved = self.document.resolve(&here.engine.services, here.caller, purpose).await?;
            match add(&mut here, resolved, self.context).await {
                Err(OperationError::Conflict(what)) if what == OVERTAKEN => here.model = here.handle.snapshot(),
                ended => return ended,
            }
        }
        Err(OperationError::Conflict(OVERTAKEN.to_owned()))
    }
}

/// How often a document is resolved while others change what it is about.
const TRIES: usize = 8;
/// Why it is resolved again.
const OVERTAKEN: &str = "another update";

async fn add(here: &mut Here<'_>, resolved: Resolved, context: bool) -> Result<Vec<u32>, OperationError> {
    here.engine.check_ansible(&resolved.radl).await?;
    let shown = here.shown()?;
    if !resolved.remove.is_empty() {
        here.claim(&shown.accounts).await;
    }
    let placement = placement::choose(&here.engine.services, &here.model, &resolved.radl, &shown.accounts).await?;
    if let Some(why) = placement.refusal() {
        // Nothing of the document stays, so that the next one is merged into what there was.
        return Err(OperationError::Cloud(why));
    }
    let changes_nothing = placement.vms.is_empty() && resolved.remove.is_empty();
    let is_reconfigured = changes_nothing && context && !here.model.vms.is_empty();
    let (gone, removal) = oneshot::channel();
    let removes = !resolved.remove.is_empty();
    let change = move |draft: &mut Draft| {
        if resolved.stored.as_ref().is_some_and(|stored| !stored.still_fits(&draft.model)) {
            return Err(OperationError::Conflict(OVERTAKEN.to_owned()));
        }
        let update = Update {
            document: &resolved.radl,
            placement,
            remove: &resolved.remove,
            tosca: resolved.stored.map(|stored| stored.text),
            context: context && !is_reconfigured,
        };
        let Updated { adding, removing } = transitions::update(draft, update, &shown.accounts)?;
        if is_reconfigured {
            draft.start_generation(Cause::Reconfigure, None);
        }
        if let Some(removing) = removing {
            draft.waiters.entry(removing).or_default().push(gone);
        }
        draft.warn(&resolved.warnings);
        draft.keep(&shown);
        Ok(adding)
    };
    let added = here.handle.change_and_wait(change).await?.map(Done::machines).map_err(OperationError::Cloud)?;
    if removes && let Ok(Err(why)) = removal.await {
        return Err(OperationError::Cloud(why));
    }
    Ok(added)
}
