//! Infrastructures.

use super::{
    Shared,
    arguments::{self, flag, places},
    fault::Failure,
    values,
};
use crate::{
    api::{http::body::Held, owners::identities},
    auth::AuthError,
    engine::{
        apart,
        operations::{
            add::Add, change_owners::ChangeOwners, destroy::Destroy, give_away::GiveAway, power::Power,
            reconfigure::Reconfigure, remove::Remove,
        },
    },
};
use connectors::PowerOperation;
use dxr::Value;

/// `GetInfrastructureList(auth, [filter])`
pub(super) async fn list(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [auth, pattern] = places(arguments);
    let caller = shared.caller(auth).await?;
    let filter = Some(arguments::text(&pattern, "filter")?).filter(|filter| !filter.is_empty());
    let ids = shared.engine().list(&caller, filter.as_deref()).await?;
    Ok(values::list(ids.into_iter().map(values::text)))
}

/// `CreateInfrastructure(radl, auth, [async])`
pub(super) async fn create(shared: &Shared, arguments: Vec<Value>, held: Held) -> Result<Value, Failure> {
    let [radl, auth, asynchronous] = places(arguments);
    let caller = shared.caller(auth).await?;
    let asynchronous = flag(&asynchronous, "async", false)?;
    let document = shared.document(&caller, radl, held).await?;
    let id = shared.engine().create(&caller, document, asynchronous).await?;
    Ok(values::text(id))
}

/// `GetInfrastructureInfo(inf, auth)`
pub(super) async fn machines(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let infrastructure = shared.engine().infrastructure(&caller, &arguments::infrastructure(&id)?).await?;
    Ok(values::list(infrastructure.live_vms().map(|vm| values::text(vm.number.to_string()))))
}

/// `GetInfrastructureContMsg(inf, auth, [headeronly])`
pub(super) async fn log(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, auth, header_only] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, header_only) = (arguments::infrastructure(&id)?, flag(&header_only, "headeronly", false)?);
    Ok(values::text(shared.engine().contextualization_log(&caller, &id, header_only).await?))
}

/// `GetInfrastructureState(inf, auth)`
pub(super) async fn state(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let engine = shared.engine();
    let infrastructure = engine.infrastructure(&caller, &arguments::infrastructure(&id)?).await?;
    let vm_state = |vm| values::text(engine.vm_state(&infrastructure, vm).name());
    let states = infrastructure.live_vms().map(|vm| (vm.number.to_string(), vm_state(vm)));
    let state = values::text(engine.state(&infrastructure).name());
    Ok(values::structure([("state", state), ("vm_states", values::structure(states))]))
}

/// `GetInfrastructureRADL(inf, auth)`
pub(super) async fn document(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let infrastructure = shared.engine().infrastructure(&caller, &arguments::infrastructure(&id)?).await?;
    let (engine, is_long) = (shared.engine().clone(), apart::is_long(&infrastructure.radl));
    let write = move || engine.document(&infrastructure).to_text();
    Ok(values::text(if is_long { shared.engine().apart(caller.user(), write).await? } else { write() }))
}

/// `GetInfrastructureOwners(inf, auth)`
pub(super) async fn owners(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let infrastructure = shared.engine().infrastructure(&caller, &arguments::infrastructure(&id)?).await?;
    Ok(values::list(infrastructure.owners.iter().map(|owner| values::text(owner.username.as_str()))))
}

/// `ChangeInfrastructureAuth(inf, newAuth, overwrite, auth)`
pub(super) async fn change_owners(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, new_auth, overwrite, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, overwrite) = (arguments::infrastructure(&id)?, flag(&overwrite, "overwrite", false)?);
    let unreadable = |error: AuthError| Failure::Refused(format!("Invalid new infrastructure data provided: {error}"));
    let items = arguments::items(new_auth).map_err(unreadable)?;
    let owners = identities(&shared.state.authenticator, items).await?;
    shared.engine().make(&caller, &id, ChangeOwners { owners, overwrite }).await?;
    Ok(values::nothing())
}

/// `DestroyInfrastructure(inf, auth, [force], [async])`; what a forced one left in the clouds, one a line.
pub(super) async fn destroy(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, auth, force, asynchronous] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (force, asynchronous) = (flag(&force, "force", false)?, flag(&asynchronous, "async", false)?);
    let left = shared.engine().make(&caller, &arguments::infrastructure(&id)?, Destroy { force, asynchronous }).await?;
    Ok(values::text(left.join("\n")))
}

/// `AddResource(inf, radl, auth, [context])`
pub(super) async fn add(shared: &Shared, arguments: Vec<Value>, held: Held) -> Result<Value, Failure> {
    let [id, radl, auth, context] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, context) = (arguments::infrastructure(&id)?, flag(&context, "context", true)?);
    let document = shared.document(&caller, radl, held).await?;
    let numbers = shared.engine().make(&caller, &id, Add { document, context }).await?;
    Ok(values::list(numbers.into_iter().map(|number| values::integer(number.into()))))
}

/// `RemoveResource(inf, vms, auth, [context])`
pub(super) async fn remove(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, vms, auth, context] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, context) = (arguments::infrastructure(&id)?, flag(&context, "context", true)?);
    let gone = shared.engine().make(&caller, &id, Remove { vms: arguments::machines(&vms)?, context }).await?;
    Ok(values::integer(i64::try_from(gone).unwrap_or(i64::MAX)))
}

/// `StartInfrastructure(inf, auth)` and `StopInfrastructure`
pub(super) async fn power(shared: &Shared, arguments: Vec<Value>, operation: PowerOperation) -> Result<Value, Failure> {
    let [id, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    shared.engine().make(&caller, &arguments::infrastructure(&id)?, Power { number: None, operation }).await?;
    Ok(values::nothing())
}

/// `Reconfigure(inf, radl, auth, [vmList])`
pub(super) async fn reconfigure(shared: &Shared, arguments: Vec<Value>, held: Held) -> Result<Value, Failure> {
    let [id, radl, auth, vms] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, vms) = (arguments::infrastructure(&id)?, arguments::machine_list(&vms)?);
    let document = match arguments::is_blank(&radl) {
        true => None,
        false => Some(shared.document(&caller, radl, held).await?),
    };
    shared.engine().make(&caller, &id, Reconfigure { document, vms }).await?;
    Ok(values::nothing())
}

/// `ExportInfrastructure(inf, delete, auth)`
pub(super) async fn export(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [id, delete, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (id, delete) = (arguments::infrastructure(&id)?, flag(&delete, "delete", false)?);
    let engine = shared.engine();
    Ok(values::text(match delete {
        true => engine.make(&caller, &id, GiveAway {}).await?,
        false => engine.export(&caller, &id).await?,
    }))
}

/// `ImportInfrastructure(data, auth)`
pub(super) async fn import(shared: &Shared, arguments: Vec<Value>, _held: Held) -> Result<Value, Failure> {
    let [data, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    Ok(values::text(shared.engine().import(&caller, &arguments::text(&data, "data")?).await?))
}

/// `EstimateResources(radl, auth)`
pub(super) async fn estimate(shared: &Shared, arguments: Vec<Value>, held: Held) -> Result<Value, Failure> {
    let [radl, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let document = shared.document(&caller, radl, held).await?;
    Ok(values::json(shared.engine().estimate(&caller, document).await?))
}
