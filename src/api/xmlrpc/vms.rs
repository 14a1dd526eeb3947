//! Virtual machines.

use super::{
    Shared,
    arguments::{self, flag, places},
    fault::{self, Failure},
    values,
};
use crate::{
    api::http::body::Held,
    engine::operations::{alter::Alter, power::Power, snapshot::SnapshotDisk},
};
use connectors::PowerOperation;
use dxr::Value;

/// `GetVMInfo(inf, vm, auth)`: RADL, or with VMINFO_JSON its JSON form, indented and with sorted keys.
pub(super) async fn info(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, number, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let engine = shared.engine();
    let (id, number) = (arguments::infrastructure(&id)?, arguments::machine(&number)?);
    let (infrastructure, vm) = engine.vm(&caller, &id, number).await?;
    if shared.state.settings.vminfo_json {
        let mut json = engine.vm_info(&infrastructure, &vm).to_json();
        json.sort_all_objects();
        return Ok(values::text(format!("{json:#}")));
    }
    let info = engine.vm_info_text(&infrastructure, &vm);
    Ok(values::text(String::from_utf8(info.text.into()).map_err(|_| fault::internal())?))
}

/// `GetVMProperty(inf, vm, property, auth)`: numbers in base units; `contains` properties as in RADL's JSON form.
pub(super) async fn property(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, number, name, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let engine = shared.engine();
    let (id, number) = (arguments::infrastructure(&id)?, arguments::machine(&number)?);
    let name = arguments::text(&name, "property")?;
    let (infrastructure, vm) = engine.vm(&caller, &id, number).await?;
    let value = engine.vm_property(&infrastructure, &vm, &name);
    let incorrect = || Failure::Refused(format!("Incorrect property {name} for VM ID {number}"));
    value.map(values::json).ok_or_else(incorrect)
}

/// `GetVMContMsg(inf, vm, auth)`
pub(super) async fn log(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, number, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, number) = (arguments::infrastructure(&id)?, arguments::machine(&number)?);
    Ok(values::text(shared.engine().vm_log(&caller, &id, number).await?))
}

/// `AlterVM(inf, vm, radl, auth)`
pub(super) async fn alter(shared: &Shared, arguments: Vec<Value>, held: Held) -> Result<Value, Failure> {
    let [id, number, radl, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, number) = (arguments::infrastructure(&id)?, arguments::machine(&number)?);
    let document = shared.document(&caller, radl, held).await?;
    let altered = shared.engine().make(&caller, &id, Alter { number, document }).await?;
    Ok(values::text(altered.to_text()))
}

/// `StartVM(inf, vm, auth)`, `StopVM` and `RebootVM`
pub(super) async fn power(shared: &Shared, arguments: Vec<Value>, operation: PowerOperation) -> Result<Value, Failure> {
    let [id, number, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, number) = (arguments::infrastructure(&id)?, arguments::machine(&number)?);
    shared.engine().make(&caller, &id, Power { number: Some(number), operation }).await?;
    Ok(values::nothing())
}

/// `CreateDiskSnapshot(inf, vm, disk, imageName, autoDelete, auth)`
pub(super) async fn snapshot(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, number, disk, name, auto_delete, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, number) = (arguments::infrastructure(&id)?, arguments::machine(&number)?);
    let (disk, name) = (arguments::disk(&disk)?, arguments::required(&name, "image_name")?);
    let auto_delete = flag(&auto_delete, "auto_delete", false)?;
    let snapshot = SnapshotDisk { number, disk, name, auto_delete };
    Ok(values::text(shared.engine().make(&caller, &id, snapshot).await?))
}
