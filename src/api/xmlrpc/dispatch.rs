//! From a call to its answer: the way that every call goes.

use super::{
    Shared, clouds,
    fault::{self, Failure},
    infrastructures,
    methods::{self, Operation},
    metrics::End,
    statistics, values, vms,
    wire::{Call, Malformed},
};
use crate::{
    api::{CONTRACT_VERSION, http::body::Held},
    bounds::Share,
};
use connectors::PowerOperation;
use dxr::{Fault, Value};
use std::{sync::Arc, time::Instant};

/// Answers a call with the result of its method, or the fault of what is no call. `held` is what it holds of the memory
/// for bodies, `share` its place among the calls.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    call: Result<Call, Malformed>,
    held: Held,
    share: Share,
) -> Result<Value, Fault> {
    let started = Instant::now();
    let (method, result) = match call.map_err(Failure::from).and_then(called) {
        Ok((name, operation, arguments)) => (Some(name), make(shared.clone(), operation, arguments, held, share).await),
        Err(failure) => (None, Err(failure)),
    };
    let end = match &result {
        Ok(_) => End::Success,
        Err(Failure::Refused(_) | Failure::Credentials(_)) => End::Refusal,
        Err(Failure::Protocol(_)) => End::Fault,
    };
    if let Err(Failure::Credentials(error)) = &result {
        tokio::time::sleep(error.pause()).await;
    }
    shared.metrics.count(method, end, started.elapsed());
    fault::outcome(result)
}

/// What is called, and with what.
fn called(call: Call) -> Result<(&'static str, Operation, Vec<Value>), Failure> {
    let method = methods::find(&call.name)?;
    Ok((method.name, method.operation, method.complete(call.arguments)?))
}

/// Makes a call. It goes on when the client hangs up, and a defect ends in an answer.
async fn make(
    shared: Arc<Shared>,
    what: Operation,
    arguments: Vec<Value>,
    held: Held,
    share: Share,
) -> Result<Value, Failure> {
    let call = async move {
        let _share = share;
        run(&shared, what, arguments, held).await
    };
    let made = tokio::spawn(call).await;
    // The log has it already.
    made.unwrap_or_else(|_| Err(fault::internal()))
}

async fn run(shared: &Shared, operation: Operation, arguments: Vec<Value>, held: Held) -> Result<Value, Failure> {
    use Operation as O;
    // What is long in other calls was not worth keeping.
    let reads = matches!(operation, O::Create | O::Add | O::Reconfigure | O::Import | O::Estimate | O::Alter);
    let held = if reads { held } else { Held::default() };
    match operation {
        O::Version => Ok(values::text(CONTRACT_VERSION)),
        O::List => infrastructures::list(shared, arguments).await,
        O::Create => infrastructures::create(shared, arguments, held).await,
        O::Machines => infrastructures::machines(shared, arguments).await,
        O::Log => infrastructures::log(shared, arguments).await,
        O::State => infrastructures::state(shared, arguments).await,
        O::Document => infrastructures::document(shared, arguments).await,
        O::Owners => infrastructures::owners(shared, arguments).await,
        O::ChangeOwners => infrastructures::change_owners(shared, arguments).await,
        O::Destroy => infrastructures::destroy(shared, arguments).await,
        O::Add => infrastructures::add(shared, arguments, held).await,
        O::Remove => infrastructures::remove(shared, arguments).await,
        O::StartAll => infrastructures::power(shared, arguments, PowerOperation::Start).await,
        O::StopAll => infrastructures::power(shared, arguments, PowerOperation::Stop).await,
        O::Reconfigure => infrastructures::reconfigure(shared, arguments, held).await,
        O::Export => infrastructures::export(shared, arguments).await,
        O::Import => infrastructures::import(shared, arguments, held).await,
        O::Machine => vms::info(shared, arguments).await,
        O::MachineProperty => vms::property(shared, arguments).await,
        O::MachineLog => vms::log(shared, arguments).await,
        O::Alter => vms::alter(shared, arguments, held).await,
        O::Start => vms::power(shared, arguments, PowerOperation::Start).await,
        O::Stop => vms::power(shared, arguments, PowerOperation::Stop).await,
        O::Reboot => vms::power(shared, arguments, PowerOperation::Reboot).await,
        O::Snapshot => vms::snapshot(shared, arguments).await,
        O::CloudImages => clouds::images(shared, arguments).await,
        O::CloudQuotas => clouds::quotas(shared, arguments).await,
        O::Estimate => infrastructures::estimate(shared, arguments, held).await,
        O::Statistics => statistics::statistics(shared, arguments).await,
    }
}
