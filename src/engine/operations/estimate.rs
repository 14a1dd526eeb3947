//! What a document would use, without using it (docs/spec/api.md 6.2).

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::{
            document::{Document, Purpose},
            engine::Engine,
        },
        state::model::{CloudRef, Infrastructure},
        work::placement,
    },
};
use radl::{Amount, Features, System};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

impl Engine {
    /// Machines and disks that the document would make, by cloud id: parsed and placed as for a creation, nothing stored
    /// or launched. Machines that no cloud could make are left out.
    ///
    /// # Errors
    /// As for a creation.
    pub async fn estimate(&self, caller: &Caller, document: Document) -> Result<Value, OperationError> {
        let empty = Infrastructure::new(String::new(), self.services.now() / 1_000_000, Vec::new());
        let document = document.resolve(&self.services, caller, Purpose::Creation).await?.radl;
        let placement =
            placement::choose(&self.services, &empty, &document, &self.services.shown(caller)?.accounts).await?;
        let public: HashSet<&str> =
            document.networks.iter().filter(|network| network.is_public()).map(|network| network.id.as_str()).collect();
        let mut clouds = Map::new();
        for vm in placement.vms.iter().filter(|vm| vm.failure.is_none()) {
            let cloud = clouds.entry(vm.cloud.id.clone()).or_insert_with(|| {
                json!({
                    "cloudType": vm.cloud.kind,
                    "cloudEndpoint": endpoint(&vm.cloud),
                    "compute": [],
                    "storage": [],
                })
            });
            if let Some(compute) = cloud["compute"].as_array_mut() {
                compute.push(compute_of(&vm.system, &public));
            }
            if let Some(storage) = cloud["storage"].as_array_mut() {
                storage.extend(disks(&vm.system.features));
            }
        }
        Ok(Value::Object(clouds))
    }
}

fn endpoint(cloud: &CloudRef) -> String {
    let place = &cloud.endpoint;
    let protocol = if place.protocol.is_empty() { "http" } else { &place.protocol };
    let port = place.port.unwrap_or(if protocol == "https" { 443 } else { 80 });
    format!("{protocol}://{}:{port}{}", place.server, place.path)
}

fn compute_of(system: &System, public: &HashSet<&str>) -> Value {
    let features = &system.features;
    let mut compute = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            compute.insert(key.to_owned(), value);
        }
    };
    set("cpuCores", features.value_json("cpu.count"));
    set("memoryInMegabytes", features.amount("memory.size", Some("M")).map(|amount| json!(amount)));
    let sizes = ["disk.0.free_size", "disk.0.size"].into_iter().filter_map(|name| features.amount(name, Some("G")));
    let size: Amount = sizes.sum();
    set("diskSizeInGigabytes", (size.as_f64() > 0.0).then(|| json!(size)));
    set("publicIP", system.interfaces().any(|interface| public.contains(interface.connection)).then(|| Value::from(1)));
    set("GPU", features.value_json("gpu.count"));
    Value::Object(compute)
}

/// One entry per disk with a size; the first disk without size and content ends the list.
fn disks(features: &Features) -> Vec<Value> {
    let mut disks = Vec::new();
    for index in 0.. {
        let size = features.amount(&format!("disk.{index}.size"), Some("G"));
        if let Some(size) = size {
            let mut disk = json!({"sizeInGigabytes": size});
            if let Some(kind) = features.text(&format!("disk.{index}.type")) {
                disk["type"] = kind.into();
            }
            disks.push(disk);
        } else if index > 0 && !features.has(&format!("disk.{index}.image.url")) {
            break;
        }
    }
    disks
}
