//! From the document of an export to the model.

use crate::{
    engine::{
        error::OperationError,
        exchange::record::{CLOUD_EXTRA, CloudRecord, InClouds, InfrastructureRecord, VmRecord},
        state::{
            draft::{Draft, Terms},
            model::{CloudRef, Completion, Infrastructure, Lifecycle, Observed, Prototype, Vm},
        },
    },
    store::{EventKind, NewEvent},
};
use connectors::{Endpoint, PowerState, ProviderId, VmUid};
use radl::Radl;
use std::{collections::BTreeSet, sync::Arc};

/// Machines that one document may hold.
const MAX_MACHINES: usize = 100_000;

/// A draft that stores all of a new infrastructure.
#[must_use]
pub fn whole(model: Infrastructure, logs: Vec<NewEvent>, terms: Terms) -> Draft {
    let mut draft = Draft::new(model, terms);
    draft.stored_prototypes = 0;
    draft.infrastructure();
    draft.touched.extend(0..u32::try_from(draft.model.vms.len()).unwrap_or(u32::MAX));
    draft.events = logs;
    draft
}

/// The refusal of a document.
pub fn incorrect(why: impl std::fmt::Display) -> OperationError {
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
        records: record.dns_records,
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
