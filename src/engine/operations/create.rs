//! Infrastructures that are made.
//!
//! Races: nobody knows the infrastructure before it is stored, so nothing comes between. A deletion may come as soon as it is
//! listed, and gives up what is being launched if it is forced.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::{
            document::{Document, Purpose},
            engine::Engine,
        },
        settings::Access,
        state::{
            draft::Draft,
            model::{IfAllFail, Infrastructure},
        },
        transitions,
        work::{admission, placement},
    },
};
use radl::Radl;
use std::sync::Arc;
use tokio::sync::OnceCell;

impl Engine {
    /// Creates an infrastructure and launches its machines. With `asynchronous` it
    /// returns once the work is durable, else when every launch has ended.
    ///
    /// # Errors
    /// Boot mode, document, credentials, clouds (nothing is left then) and the store.
    pub async fn create(
        &self,
        caller: &Caller,
        document: Document,
        asynchronous: bool,
    ) -> Result<String, OperationError> {
        self.admit_new(caller)?;
        let id = uuid::Uuid::new_v4().to_string();
        let model = Infrastructure::new(id.clone(), self.services.now() / 1_000_000, caller.owners());
        let resolved = document.resolve(&self.services, caller, Purpose::Creation).await?;
        let document = resolved.radl;
        self.check_ansible(&document).await?;
        let shown = self.services.shown(caller)?;
        let mut draft = Draft::new(model, self.services.terms());
        if let Some(stored) = resolved.stored {
            draft.infrastructure().extra_info.set_tosca(stored.text);
        }
        draft.warn(&resolved.warnings);
        draft.infrastructure();
        let work = if asynchronous {
            admission::admit(&self.services.settings, &draft.model, &document)?;
            transitions::place(&mut draft, document, shown.accounts.clone())?
        } else {
            let placement = placement::choose(&self.services, &draft.model, &document, &shown.accounts).await?;
            if let Some(why) = placement.refusal() {
                return Err(OperationError::Cloud(why));
            }
            transitions::add(&mut draft, &document, placement, true, IfAllFail::Destroy)?
        };
        draft.keep(&shown);
        let (done, end) = tokio::sync::oneshot::channel();
        let handle = self.keepers.store_new(draft, (work, done)).await?;
        let model = handle.snapshot();
        let owners = model.owners.iter().map(|owner| owner.key.clone()).collect();
        self.keepers.directory.insert(id.clone(), owners, Arc::new(OnceCell::new_with(Some(handle.clone()))));
        if handle.snapshot().deleted {
            // It went before it was listed, when its keeper had nothing to take off the list.
            self.keepers.forget(&id);
        }
        if !asynchronous {
            let untold = "the infrastructure is being made; its end cannot be told, for it cannot be stored now or the \
                          daemon is stopping";
            let ended = end.await.map_err(|_| OperationError::InDoubt(untold.to_owned()))?;
            ended.map_err(OperationError::Invalid)?;
        }
        Ok(id)
    }

    /// Refuses new infrastructures where the boot mode does, and to callers who only show the token of another one.
    pub(super) fn admit_new(&self, caller: &Caller) -> Result<(), OperationError> {
        self.services.allow(Access::Change)?;
        if caller.is_user() {
            return Ok(());
        }
        Err(OperationError::Invalid("These credentials are for one infrastructure only.".to_owned()))
    }

    /// Refuses roles and collections that could never be installed, and what is no version of Ansible.
    pub(super) async fn check_ansible(&self, document: &Radl) -> Result<(), OperationError> {
        let settings = &self.services.settings.contextualization;
        let mirror = settings.galaxy_server.as_deref();
        contextualization::galaxy::check(document, mirror)
            .map_err(|error| OperationError::Invalid(error.to_string()))?;
        contextualization::bootstrap::check(document, settings).await.map_err(OperationError::Invalid)
    }
}
