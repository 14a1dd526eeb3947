//! From the document of an export to an infrastructure of the caller.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        exchange::record::{CLOUD_EXTRA, CloudRecord, InClouds, InfrastructureRecord, VmRecord},
        keeper::keepers::user_only,
        operations::engine::Engine,
        services::apart::SHORT,
        settings::Access,
        state::{
            accounts::{Accounts, is_unclaimed},
            draft::{Draft, Terms},
            model::{CloudRef, Completion, Infrastructure, Lifecycle, Observed, Prototype, Vm},
            rows,
        },
        work::children::by_cloud,
    },
    store::{EventKind, NewEvent, StoreError},
};
use connectors::{Endpoint, PowerState, ProviderId, VmUid, account_name};
use radl::Radl;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// How long an import waits for a cloud to say what it has.
const PATIENCE: Duration = Duration::from_secs(10);
/// Machines that one document may hold.
const MAX_MACHINES: usize = 100_000;

impl Engine {
    /// Takes in an infrastructure that was exported, here or by the reference: it keeps its id, and belongs to the caller.
    /// The clouds are asked whose the machines are and which marks they carry, as far as the caller shows accounts and
    /// they answer soon. Returns the id.
    ///
    /// # Errors
    /// Boot mode; a document that is none; an id that is in use, or was somebody else's; machines of another
    /// infrastructure; the store.
    pub async fn import(&self, caller: &Caller, text: &str) -> Result<String, OperationError> {
        self.services.allow(Access::Change)?;
        user_only(caller)?;
        let now = self.services.now() / 1_000_000;
        let (mut model, logs) = if text.len() < SHORT {
            read(text, now)?
        } else {
            let text = text.to_owned();
            self.apart(caller.user(), move || read(&text, now)).await??
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
        let draft = whole(model, logs, self.services.terms());
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
                return Err(incorrect(format!("the machine {} belongs to another infrastructure", machine.id)));
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

/// A draft that stores all of a new infrastructure.
pub(super) fn whole(model: Infrastructure, logs: Vec<NewEvent>, terms: Terms) -> Draft {
    let mut draft = Draft::new(model, terms);
    draft.stored_prototypes = 0;
    draft.infrastructure();
    draft.touched.extend(0..u32::try_from(draft.model.vms.len()).unwrap_or(u32::MAX));
    draft.events = logs;
    draft
}

fn existing() -> OperationError {
    OperationError::Invalid("Trying to add an existing infrastructure ID.".to_owned())
}

fn incorrect(why: impl std::fmt::Display) -> OperationError {
    OperationError::Invalid(format!("Error importing the infrastructure, incorrect data: {why}"))
}

/// The infrastructure of a document without owners, and its logs.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &str, now: i64) -> Result<(Infrastructure, Vec<NewEvent>), OperationError> {
    model(InfrastructureRecord::read(text).map_err(incorrect)?, now)
}

/// The infrastructure of a document that was read.
pub(super) fn model(record: InfrastructureRecord, now: i64) -> Result<(Infrastructure, Vec<NewEvent>), OperationError> {
    if record.id.is_empty()
        || record.id.len() > 64
        || record.id.bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'-')
    {
        return Err(incorrect("the id is not a UUID"));
    }
    if record.vm_list.len() > MAX_MACHINES {
        return Err(incorrect(format!("it has more than {MAX_MACHINES} machines")));
    }
    let created = record.creation_date.unwrap_or(now);
    let mut model = Infrastructure::new(record.id, created, Vec::new());
    model.radl = Arc::new(Radl::parse(&record.radl).map_err(|error| incorrect(format!("radl: {error}")))?);
    model.private_networks = record.private_networks;
    model.deleted = record.deleted;
    model.master = record.vm_master;
    model.extra_info = record.extra_info;
    let mut logs = Vec::new();
    let mut log = |vm, text: String| {
        if !text.is_empty() {
            logs.push(NewEvent { vm, kind: EventKind::Log, at: now.saturating_mul(1_000_000), text });
        }
    };
    log(None, record.cont_out);
    let mut records = record.vm_list;
    records.sort_by_key(|vm| vm.im_id);
    for (position, record) in records.into_iter().enumerate() {
        if record.im_id as usize != position {
            return Err(incorrect(format!("there is no machine {position}")));
        }
        log(Some(record.im_id), record.cont_out.clone().unwrap_or_default());
        model.vms.push(Arc::new(machine(record, created)?));
    }
    find_prototypes(&mut model);
    let all_configured = model.live_vms().all(|vm| vm.configured == Some(true));
    model.configured = Some(record.configured.unwrap_or(all_configured));
    match record.in_clouds {
        Some(InClouds { shared, images, unmade_images, full_clouds }) => {
            (model.shared, model.snapshots, model.unmade_images) = (shared, images, unmade_images);
            model.full_clouds = full_clouds;
        }
        None => {
            let first_cloud = model.vms.first().map(|vm| vm.cloud.id.clone()).unwrap_or_default();
            model.snapshots = record.snapshots.into_iter().map(|url| (first_cloud.clone(), url)).collect();
        }
    }
    // Whatever a document says: where it has machines they may share something, which their mark finds.
    let clouds: BTreeSet<String> = model.live_vms().map(|vm| vm.cloud.id.clone()).collect();
    for cloud in clouds {
        model.shared.entry(cloud).or_default().get_or_insert_default();
    }
    Ok((model, logs))
}

/// Machines of one deploy, which stand beside each other, have most in common: their prototypes are found again.
fn find_prototypes(model: &mut Infrastructure) {
    for at in 1..model.vms.len() {
        let (before, vm) = (model.vms[at - 1].clone(), model.vms[at].clone());
        let known = before.prototype.and_then(|number| model.prototypes.get(number as usize)).cloned();
        let of_before = || Arc::new(Prototype { info: before.info.clone(), requested: before.requested.clone() });
        let prototype = known.unwrap_or_else(of_before);
        if vm.requested != prototype.requested || vm.info.difference(&prototype.info).is_none() {
            continue;
        }
        let number = before.prototype.unwrap_or_else(|| {
            model.prototypes.push(prototype.clone());
            u32::try_from(model.prototypes.len() - 1).unwrap_or(u32::MAX)
        });
        Arc::make_mut(&mut model.vms[at - 1]).prototype = Some(number);
        let vm = Arc::make_mut(&mut model.vms[at]);
        (vm.prototype, vm.requested) = (Some(number), prototype.requested.clone());
        Arc::make_mut(&mut vm.info).share(&prototype.info);
    }
}

fn machine(record: VmRecord, created: i64) -> Result<Vm, OperationError> {
    let number = record.im_id;
    // The reference keeps the whole document with each machine; here it is the networks and the one system.
    let document = |name: &str, text: &str| match Radl::parse(text) {
        Ok(Radl { networks, mut systems, .. }) => {
            systems.truncate(1);
            Ok(Arc::new(Radl { networks, systems, ..Radl::default() }))
        }
        Err(error) => Err(incorrect(format!("{name} of machine {number}: {error}"))),
    };
    let info = document("info", &record.info)?;
    let requested = match record.requested_radl.trim() {
        "" => info.clone(),
        text => document("requested_radl", text)?,
    };
    let cloud_words = [&record.cloud.id, &record.cloud.kind, &record.cloud.server, &record.cloud.path];
    let location = record.cloud.location.to_string();
    if record.id.iter().chain(cloud_words).chain([&location]).any(|word| word.contains(char::is_control)) {
        return Err(incorrect(format!("the id or the cloud of machine {number} has control characters")));
    }
    let Some(system) = info.systems.first() else {
        return Err(incorrect(format!("info of machine {number} has no system")));
    };
    let state = match record.state.as_str() {
        "pending" => Some(PowerState::Pending),
        "running" | "configured" | "unconfigured" => Some(PowerState::Running),
        "stopped" => Some(PowerState::Stopped),
        "off" => Some(PowerState::Off),
        "failed" => Some(PowerState::Failed),
        _ => None,
    };
    let lifecycle = match record.id {
        _ if record.destroy => Lifecycle::Gone,
        Some(id) => Lifecycle::Present(ProviderId(id)),
        None => Lifecycle::Failed { why: record.error_msg.unwrap_or_default(), leftover: false },
    };
    let is_uid = |VmUid(text): &VmUid| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=36).contains(&text.len()) && text.bytes().all(fits)
    };
    let uid = record.uid;
    if uid.as_ref().is_some_and(|uid| !is_uid(uid)) {
        return Err(incorrect(format!("uid of machine {number} is no mark")));
    }
    let mut foreign = record.extra;
    let mut place = record.cloud;
    if !place.extra.is_empty() {
        foreign.insert(CLOUD_EXTRA.to_owned(), std::mem::take(&mut place.extra).into());
    }
    Ok(Vm {
        number,
        uid: uid.unwrap_or_else(|| VmUid(uuid::Uuid::new_v4().to_string())),
        system: system.name.clone(),
        cloud: Arc::new(cloud(place)),
        lifecycle,
        observed: state.map(|state| Observed { state, failing_since: None }),
        completion: Completion::Complete,
        info,
        prototype: None,
        requested,
        // Nothing is running any more: what was undecided will not be decided.
        configured: Some(record.configured.unwrap_or(false)),
        failure: None,
        host_key: None,
        proxy_host_key: None,
        tunnel_key: None,
        former_secrets: Vec::new(),
        created: record.creation_date.unwrap_or(created),
        foreign: (!foreign.is_empty()).then(|| Arc::new(foreign)),
        text: Default::default(),
    })
}

fn cloud(record: CloudRecord) -> CloudRef {
    let endpoint = Endpoint {
        protocol: record.protocol,
        server: record.server,
        // Nothing listens at port 0.
        port: u16::try_from(record.port).ok().filter(|port| *port > 0),
        path: record.path,
    };
    CloudRef { id: record.id, kind: record.kind, endpoint, account: None, location: record.location }
}
