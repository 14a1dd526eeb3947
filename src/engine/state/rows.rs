//! The model as rows of the store.

use crate::{
    engine::{
        misfit::Misfit,
        state::{
            draft::Draft,
            model::{Infrastructure, Prototype, Vm},
        },
    },
    store::{Changes, FIRST_SHARED, IndexRow, StoreError, StoredInfrastructure},
};
use radl::{Difference, Radl};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// The row of a machine. Its documents are whole where it has no prototype, or has become too different from it.
#[derive(Serialize)]
struct VmRow<'a> {
    #[serde(flatten)]
    vm: &'a Vm,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a Radl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<&'a Radl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
}

/// The row of a machine as it is read.
#[derive(Deserialize)]
struct StoredVm {
    #[serde(flatten)]
    vm: Vm,
    info: Option<Radl>,
    requested: Option<Radl>,
    difference: Option<Difference>,
}

impl<'a> VmRow<'a> {
    fn new(vm: &'a Vm, prototypes: &[Arc<Prototype>]) -> Self {
        let prototype = vm.prototype.and_then(|number| prototypes.get(number as usize));
        let difference = prototype.and_then(|prototype| vm.info.difference(&prototype.info));
        let same_request = prototype.is_some_and(|prototype| vm.requested == prototype.requested);
        Self {
            vm,
            info: difference.is_none().then_some(&*vm.info),
            requested: (!same_request).then_some(&*vm.requested),
            difference,
        }
    }
}

impl StoredVm {
    /// The machine; none when a part of it is missing.
    fn into_vm(self, prototypes: &[Arc<Prototype>]) -> Option<Vm> {
        let Self { mut vm, info, requested, difference } = self;
        let prototype = match vm.prototype {
            Some(number) => Some(prototypes.get(number as usize)?),
            None => None,
        };
        vm.info = match (info, difference, prototype) {
            (Some(info), ..) => Arc::new(info),
            (None, Some(difference), Some(prototype)) if difference == Difference::default() => prototype.info.clone(),
            (None, Some(difference), Some(prototype)) => Arc::new(prototype.info.with(&difference)),
            _ => return None,
        };
        vm.requested = match (requested, prototype) {
            (Some(requested), _) => Arc::new(requested),
            (None, prototype) => prototype?.requested.clone(),
        };
        Some(vm)
    }
}

/// The changes of a draft; its events are numbered from `first_sequence`.
///
/// # Errors
/// A model that cannot be written as JSON.
pub fn changes(draft: &Draft, first_sequence: u64) -> Result<Changes, StoreError> {
    let model = &draft.model;
    let vms = draft.touched.iter().filter_map(|number| model.vm(*number));
    let vms = vms.map(|vm| Ok((vm.number, encode(&VmRow::new(vm, &model.prototypes))?)));
    let prototypes = (FIRST_SHARED..).zip(&model.prototypes).skip(draft.stored_prototypes);
    let prototypes = prototypes.map(|(number, prototype)| Ok((number, encode(&**prototype)?)));
    Ok(Changes {
        infrastructure: draft.infrastructure_touched.then(|| encode(model)).transpose()?,
        owners: draft.infrastructure_touched.then(|| owners(model)),
        deleted: draft.infrastructure_touched.then_some(model.deleted),
        pending: draft.infrastructure_touched.then(|| model.is_pending(draft.terms.awaited_since())),
        vms: vms.chain(prototypes).collect::<Result<_, StoreError>>()?,
        progress: match &draft.progress {
            None => None,
            Some(None) => Some(None),
            Some(Some(progress)) => Some(Some(encode(progress)?)),
        },
        clear_logs: draft.clear_logs,
        events: draft.events.clone(),
        first_sequence,
        lease: None,
    })
}

/// The index row of a new infrastructure.
#[must_use]
pub fn index_row(draft: &Draft) -> IndexRow {
    let model = &draft.model;
    IndexRow {
        id: model.id.clone(),
        owners: owners(model),
        created: model.created,
        deleted: model.deleted,
        pending: model.is_pending(draft.terms.awaited_since()),
    }
}

/// The model of stored rows.
///
/// # Errors
/// Rows that are not of this daemon.
pub fn model(mut stored: StoredInfrastructure) -> Result<Infrastructure, StoreError> {
    let mut model: Infrastructure = decode(&stored.infrastructure, &"the state")?;
    let id = model.id.clone();
    let missing = |number: u32, model: &Infrastructure| {
        StoreError::Corrupt(format!("machine {number} of infrastructure {} is missing, or a part of it", model.id))
    };
    let shared = stored.vms.partition_point(|(number, _)| *number < FIRST_SHARED);
    for (number, row) in stored.vms.split_off(shared) {
        if (number - FIRST_SHARED) as usize != model.prototypes.len() {
            let text = format!("what machines of infrastructure {} share is missing", model.id);
            return Err(StoreError::Corrupt(text));
        }
        let what = format_args!("what machines share of infrastructure {id}");
        model.prototypes.push(Arc::new(decode(&row, &what)?));
    }
    // Row by row: what was read of one goes before the next one is taken apart.
    for (number, row) in stored.vms {
        let vm: StoredVm = decode(&row, &format_args!("machine {number} of infrastructure {id}"))?;
        let vm = vm.into_vm(&model.prototypes);
        let mut vm = vm.ok_or_else(|| missing(number, &model))?;
        if vm.number != number || model.vms.len() != number as usize {
            return Err(missing(number, &model));
        }
        if let Some(previous) = model.vms.last() {
            vm.share(previous);
        }
        model.vms.push(Arc::new(vm));
    }
    Ok(model)
}

/// The stored progress of the contextualization, null when there is none.
///
/// # Errors
/// A row that is not of this daemon.
pub fn progress(stored: &StoredInfrastructure) -> Result<serde_json::Value, StoreError> {
    let what = "the contextualization's progress";
    Ok(stored.progress.as_deref().map(|row| decode(row, &what)).transpose()?.unwrap_or_default())
}

fn owners(model: &Infrastructure) -> Vec<String> {
    model.owners.iter().map(|owner| owner.key.clone()).collect()
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut row =
        serde_json::to_vec(value).map_err(|error| StoreError::Corrupt(format!("a row cannot be written: {error}")))?;
    // A thousand rows may wait together.
    row.shrink_to_fit();
    Ok(row)
}

fn decode<T: DeserializeOwned>(bytes: &[u8], what: &dyn std::fmt::Display) -> Result<T, StoreError> {
    let unreadable = |error| StoreError::Corrupt(format!("{what} cannot be read: {}", Misfit::from(error)));
    serde_json::from_slice(bytes).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::engine::{
        state::draft::Terms,
        state::model::{CloudRef, IfAllFail, Infrastructure, WorkKind},
        transitions::{self, Event, Placement, PlannedVm},
    };
    use connectors::{DiskSource, Endpoint, Location, SharedResources, VmUid};
    use std::time::Duration;

    fn draft(model: Infrastructure) -> Draft {
        let (limit, default_vm_name) = (Duration::from_secs(1), "vnode-#N#".into());
        Draft::new(
            model,
            Terms {
                now: 0,
                steady: 0,
                max_contextualization: limit,
                wait_running: limit,
                default_vm_name,
                new_password: String::new,
            },
        )
    }

    fn document(text: &str) -> Radl {
        let system = format!("system s (note = '{text}' and other = 'x')");
        Radl::parse(&format!("network n (outbound = 'no')\n{system}\ndeploy s 1")).unwrap()
    }

    fn add(draft: &mut Draft, document: &Radl, machines: usize) {
        let system = document.systems[0].clone();
        let (id, kind) = ("c".to_owned(), "Dummy".to_owned());
        let cloud = Arc::new(crate::engine::state::model::CloudRef {
            id,
            kind,
            endpoint: Endpoint::default(),
            account: None,
            location: connectors::Location::default(),
        });
        let planned = PlannedVm {
            uid: VmUid("u".to_owned()),
            requested: system.clone(),
            system,
            cloud,
            failure: None,
            alternatives: Arc::default(),
        };
        let placement = Placement { vms: vec![planned; machines], ..Placement::default() };
        transitions::add(draft, document, placement, false, IfAllFail::Keep).unwrap();
    }

    /// What the store has after these changes.
    fn store(stored: Option<StoredInfrastructure>, draft: &Draft) -> StoredInfrastructure {
        let changes = changes(draft, 1).unwrap();
        let mut stored = stored.unwrap_or(StoredInfrastructure {
            version: 0,
            infrastructure: Vec::new(),
            vms: Vec::new(),
            progress: None,
        });
        stored.infrastructure = changes.infrastructure.unwrap_or(stored.infrastructure);
        for (number, row) in changes.vms {
            stored.vms.retain(|(known, _)| *known != number);
            stored.vms.push((number, row));
        }
        stored.vms.sort();
        stored
    }

    #[test]
    fn what_machines_share_is_stored_once() {
        let text = "long ".repeat(1000);
        let mut first = draft(Infrastructure::new("i".to_owned(), 0, Vec::new()));
        add(&mut first, &document(&text), 20);
        let stored = store(None, &first);
        let size = |stored: &StoredInfrastructure| stored.vms.iter().map(|(_, row)| row.len()).sum::<usize>();
        assert!(size(&stored) < 6 * text.len(), "{}", size(&stored));
        let read = model(stored.clone()).unwrap();
        assert_eq!(read, first.model);
        assert!(Arc::ptr_eq(&read.vms[0].info, &read.vms[19].info), "and once in memory");

        // A machine that differs keeps what it has otherwise; a change of the network that comes to all is one document.
        let mut second = draft(read);
        let provider = Radl::parse("network n (provider_id = 'p')").unwrap().networks.remove(0).features;
        let networks = [("n".to_owned(), provider)].into();
        let shared = SharedResources { networks };
        transitions::apply(&mut second, Event::SharedReady { cloud: "c".to_owned(), shared, vms: (0..20).collect() });
        assert!(Arc::ptr_eq(&second.model.vms[0].info, &second.model.vms[19].info));
        Arc::make_mut(&mut second.vm(3).unwrap().info).systems[0].features.set_text("net_interface.0.ip", "10.0.0.3");
        // The same is asked for again, one machine and two: nothing more is shared than before, or once more.
        add(&mut second, &document(&text), 1);
        add(&mut second, &document(&text), 2);
        add(&mut second, &document("short"), 1);
        let stored = store(Some(stored), &second);
        assert!(size(&stored) < 14 * text.len(), "{}", size(&stored));
        assert_eq!(model(stored).unwrap(), second.model);
    }

    #[test]
    fn rows_from_before_prototypes_are_read_and_what_is_missing_is_named() {
        let mut draft = draft(Infrastructure::new("i".to_owned(), 0, Vec::new()));
        add(&mut draft, &document("text"), 2);
        let stored = store(None, &draft);
        let whole = |number: u32| {
            let vm = draft.model.vm(number).unwrap();
            let mut row: serde_json::Value = serde_json::to_value(&**vm).unwrap();
            row.as_object_mut().unwrap().remove("prototype");
            row["info"] = serde_json::to_value(&*vm.info).unwrap();
            row["requested"] = serde_json::to_value(&*vm.requested).unwrap();
            (number, row.to_string().into_bytes())
        };
        let before = StoredInfrastructure { vms: vec![whole(0), whole(1)], ..stored.clone() };
        let read = model(before).unwrap();
        for (read, known) in read.vms.iter().zip(&draft.model.vms) {
            assert_eq!((&read.info, &read.requested, read.prototype), (&known.info, &known.requested, None));
        }
        let without = |number: u32| {
            let mut stored = stored.clone();
            stored.vms.retain(|(known, _)| *known != number);
            model(stored).unwrap_err().to_string()
        };
        assert!(without(FIRST_SHARED).contains("machine 0 of infrastructure i"), "{}", without(FIRST_SHARED));
        assert!(without(0).contains("machine 1 of infrastructure i"), "{}", without(0));
        let mut bad = stored.clone();
        bad.vms[1].1 = br#"{"number": "secret"}"#.to_vec();
        let error = model(bad).unwrap_err().to_string();
        assert!(error.contains("machine 1 of infrastructure i") && !error.contains("secret"), "{error}");
    }

    /// An earlier version knew no locations, no alternatives, and of disks the images alone.
    #[test]
    fn rows_from_before_locations_are_read() {
        let endpoint = serde_json::to_value(Endpoint::default()).unwrap();
        let row = serde_json::json!({"id": "c", "kind": "Dummy", "endpoint": endpoint, "account": "u@"});
        let cloud: CloudRef = serde_json::from_value(row.clone()).unwrap();
        assert_eq!((cloud.key().as_str(), cloud.location.is_whole_cloud()), ("Dummy u@", true));
        assert_eq!(serde_json::to_value(&cloud).unwrap(), row, "what has no location is stored as it was");
        let [region, zone] = ["north", "a"].map(|name| Some(name.to_owned()));
        let location = Location { region, zone, ..Location::default() };
        let divided = CloudRef { location: location.clone(), ..cloud };
        assert_eq!(divided.key(), "Dummy u@ region=north,zone=a");
        assert_eq!(serde_json::from_value::<CloudRef>(serde_json::to_value(&divided).unwrap()).unwrap(), divided);
        assert_eq!(divided.mark("i").location, location);

        let row = serde_json::json!({"altering": {"vm": 0, "resize": {
            "cpu_count": null, "memory": null, "gpu_count": null, "instance_type": null,
            "disks": [{"index": 1, "size": 5, "image": null}, {"index": 2, "size": null, "image": "one://c/1"}],
        }}});
        let WorkKind::Altering { resize, dropped_interface: None, .. } = serde_json::from_value(row).unwrap() else {
            panic!("not a change");
        };
        let [empty, copy] = &resize.disks[..] else { panic!("{:?}", resize.disks) };
        assert_eq!((empty.size, &empty.source), (Some(5), &DiskSource::Empty));
        assert_eq!(copy.source, DiskSource::Image("one://c/1".to_owned()));
        let row = serde_json::json!({"adding": {"vms": [0], "context": true, "if_all_fail": "keep"}});
        let adding: WorkKind = serde_json::from_value(row.clone()).unwrap();
        assert_eq!(serde_json::to_value(&adding).unwrap(), row);
    }
}
