//! Infrastructures that come from elsewhere, as documents (docs/spec/api.md 5.6).
//!
//! Races: of two imports of one id the store takes the first. One that comes while the infrastructure is given away here finds it
//! existing, or takes the place of its deleted row; which row that is, its version decides.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        exchange::import,
        operations::engine::Engine,
        services::apart::SHORT,
        state::{
            accounts::{Accounts, is_unclaimed},
            draft::Draft,
            model::{CloudRef, Infrastructure},
            rows,
        },
        work::children::by_cloud,
    },
    store::StoreError,
};
use connectors::{ProviderId, VmUid, account_name};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// How long an import waits for a cloud to say what it has.
const PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Takes in an infrastructure that was exported, here or by the reference: it keeps its id, and belongs to the caller.
    /// The clouds are asked whose the machines are and which marks they carry, as far as the caller shows accounts and
    /// they answer soon. Returns the id.
    ///
    /// # Errors
    /// Boot mode; a document that is none; an id that is in use, or was somebody else's; machines of another
    /// infrastructure; the store.
    pub async fn import(&self, caller: &Caller, text: &str) -> Result<String, OperationError> {
        self.admit_new(caller)?;
        let now = self.services.now() / 1_000_000;
        let (mut model, logs) = if text.len() < SHORT {
            import::read(text, now)?
        } else {
            let text = text.to_owned();
            self.apart(caller.user(), move || import::read(&text, now)).await??
        };
        model.owners = caller.owners();
        model.deleted = false;
        let id = model.id.clone();
        if self.keepers.directory.get(&id).is_some() {
            return Err(existing());
        }
        let shown = self.services.shown(caller)?;
        model.login = shown.login_for(&model.owners).cloned();
        self.ask_clouds(&mut model, &shown.accounts).await?;
        let draft = import::whole(model, logs, self.services.terms());
        let owners = draft.model.owners.iter().map(|owner| owner.key.clone()).collect();
        let created = self.services.store.create(rows::index_row(&draft), rows::changes(&draft, 1)?).await;
        self.services.note_write(&created);
        match created {
            Ok(()) => {}
            Err(StoreError::AlreadyExists) => self.revive(caller, draft).await?,
            Err(error) => return Err(error.into()),
        }
        // Its keeper starts with the first request.
        self.keepers.directory.insert(id.clone(), owners, Arc::default());
        Ok(id)
    }

    /// Asks the clouds for the machines by their ids and by the mark of the infrastructure: whose they are that these
    /// accounts know, and what their marks are, by which all that belongs to each is found. Of the others the owner is found
    /// out when somebody first does something to them, and the deletion asks for marks again: a cloud that cannot be asked
    /// keeps nobody from the import.
    async fn ask_clouds(&self, model: &mut Infrastructure, accounts: &Accounts) -> Result<(), OperationError> {
        let present = model.vms.iter().filter(|vm| vm.provider_id().is_some()).map(|vm| vm.number);
        for numbers in by_cloud(model, present.collect::<Vec<_>>()).into_values().map(BTreeSet::from_iter) {
            let vms = || numbers.iter().filter_map(|number| model.vm(*number));
            let Some(cloud) = vms().next().map(|vm| vm.cloud.clone()) else { continue };
            let Ok(account) = accounts.of(&cloud) else { continue };
            let Ok(connector) = self.services.registry.connector(account) else { continue };
            let ids: Vec<ProviderId> = vms().filter_map(|vm| vm.provider_id().cloned()).collect();
            let mark = cloud.mark(&model.id);
            let answers = async { tokio::try_join!(connector.observe(&cloud.location, &ids), connector.find(&mark)) };
            let (seen, marked) = match tokio::time::timeout(PATIENCE, answers).await {
                Ok(Ok(answers)) => answers,
                Ok(Err(error)) => {
                    tracing::warn!(inf = model.id, %error, "the cloud does not say which machines it has");
                    continue;
                }
                Err(_) => {
                    tracing::warn!(inf = model.id, "the cloud does not say in time which machines it has");
                    continue;
                }
            };
            let is_foreign = |infrastructure: &String| *infrastructure != model.id;
            if let Some(machine) = seen.iter().find(|machine| machine.infrastructure.as_ref().is_some_and(is_foreign)) {
                return Err(import::incorrect(format!("the machine {} belongs to another infrastructure", machine.id)));
            }
            let known: HashSet<&ProviderId> = seen.iter().map(|machine| &machine.id).collect();
            let mut uids: HashMap<ProviderId, VmUid> = marked.into_iter().map(|found| (found.id, found.uid)).collect();
            let claimed = Arc::new(CloudRef { account: account_name(account), ..CloudRef::clone(&cloud) });
            for vm in model.vms.iter_mut().filter(|vm| numbers.contains(&vm.number)) {
                let Some(id) = vm.provider_id().cloned() else { continue };
                if is_unclaimed(vm) && known.contains(&id) {
                    Arc::make_mut(vm).cloud = claimed.clone();
                }
                if let Some(uid) = uids.remove(&id) {
                    Arc::make_mut(vm).uid = uid;
                }
            }
        }
        Ok(())
    }

    /// Stores an infrastructure over its own deleted row: one that was given away comes back.
    async fn revive(&self, caller: &Caller, mut draft: Draft) -> Result<(), OperationError> {
        let id = draft.model.id.clone();
        let stored = self.services.store.load(&id).await?.ok_or_else(existing)?;
        let version = stored.version;
        let former = rows::model(stored)?;
        // Whose it was is asked, so that nobody takes the place of somebody else's (docs/spec/api.md 9, D-04).
        let fits = former.deleted && caller.may_access(&former.owners) && former.vms.len() <= draft.model.vms.len();
        if !fits {
            return Err(existing());
        }
        draft.clear_logs = true;
        draft.progress = Some(None);
        let first = self.services.store.last_sequence(&id).await? + 1;
        let changes = rows::changes(&draft, first)?;
        match self.services.store.commit(&id, version, changes).await {
            Ok(_) => Ok(()),
            Err(StoreError::Stale { .. }) => Err(existing()),
            Err(error) => Err(error.into()),
        }
    }
}

fn existing() -> OperationError {
    OperationError::Invalid("Trying to add an existing infrastructure ID.".to_owned())
}
