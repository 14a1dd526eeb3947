//! A contextualization that is started anew.
//!
//! Races: the new generation takes the place of a running one, whose late results are refused. A deletion that came first
//! refuses it.

use crate::engine::{
    error::OperationError,
    operations::{
        change::{Change, Here},
        document::{Document, Purpose},
    },
    settings::Access,
    state::draft::Draft,
    transitions,
    work::admission,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Starts a new contextualization, with changes of recipes, credentials and applications.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconfigure {
    /// The changes, if there are any.
    pub document: Option<Document>,
    /// The machines that run the user's steps; none: all.
    pub vms: Option<BTreeSet<u32>>,
}

impl Change for Reconfigure {
    const NAME: &'static str = "reconfigure";
    const ACCESS: Access = Access::Change;
    /// It is durable.
    type Answer = ();

    /// Refused for its document; by the store.
    async fn perform(self, here: Here<'_>) -> Result<(), OperationError> {
        let Self { document, vms } = self;
        let document = match document {
            Some(document) => Some(document.resolve(&here.engine.services, here.caller, Purpose::Aside).await?.radl),
            None => None,
        };
        if let Some(document) = &document {
            here.engine.check_ansible(document).await?;
            let texts = transitions::new_credentials(document).flat_map(|(_, texts)| texts);
            let bytes = texts.map(|(_, text)| text.len() as u64).sum();
            admission::admit_texts(&here.engine.services.settings, bytes, here.model.live_vms().count())?;
        }
        let shown = here.shown()?;
        let reconfigure = move |draft: &mut Draft| {
            transitions::reconfigure(draft, document.as_deref(), vms)?;
            draft.keep(&shown);
            Ok(())
        };
        here.handle.change(reconfigure).await
    }
}
