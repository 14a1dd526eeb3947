//! What follows the boot of a machine: its cloud makes what is missing of it, and says then that nothing is; and its names are
//! made to lead to it. A failure is told
//! in the log of the machine and tried again with back-off.

use crate::engine::{
    keeper::handle::Handle,
    services::Services,
    state::model::{Infrastructure, Vm},
    transitions::{CompletionOutcome, Event, altering},
    work::{intent, names},
};
use connectors::ConnectorError;
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// Attempts before it is given up, with waits of 1, 2, 4, ... seconds between them.
const ROUNDS: u32 = 7;

/// How an attempt ended.
enum Attempt {
    /// Nobody needs to try again.
    Ended(CompletionOutcome),
    /// Why it may succeed later.
    Failed(String),
    /// Another change of the machine goes first.
    Later,
}

/// Makes what is missing of a machine, and reports. It has its turn with other changes of the machine.
pub async fn run(services: Arc<Services>, handle: Handle, vm: u32, turn: Arc<Mutex<()>>) {
    let outcome = rounds(&services, &handle, vm, &turn).await;
    handle.report(Event::CompletionEnded { vm, outcome });
}

async fn rounds(services: &Arc<Services>, handle: &Handle, number: u32, turn: &Mutex<()>) -> CompletionOutcome {
    let mut round = 0;
    loop {
        let attempt = {
            let _turn = turn.lock().await;
            attempt(services, handle, number).await
        };
        match attempt {
            Attempt::Ended(outcome) => return outcome,
            Attempt::Failed(why) if round + 1 == ROUNDS => return CompletionOutcome::GivenUp(why),
            Attempt::Failed(why) => {
                tracing::warn!(vm = number, round, "what follows the boot is not complete: {why}");
                handle.report(Event::CompletionFailed { vm: number, why });
                let pause = tokio::time::sleep(Duration::from_secs(1 << round));
                tokio::select! {
                    () = pause => {}
                    () = until(handle, |model| to_complete(model, number).is_none()) => {}
                }
                round += 1;
            }
            Attempt::Later => until(handle, |model| !waits_for_alteration(model, number)).await,
        }
    }
}

/// Waits for a state of the infrastructure; for ever when its keeper ends, which ends this task as well.
async fn until(handle: &Handle, mut is_so: impl FnMut(&Infrastructure) -> bool) {
    if handle.watch().wait_for(|model| is_so(model)).await.is_err() {
        std::future::pending().await
    }
}

/// The machine, while something of it is missing and can be made.
fn to_complete(model: &Infrastructure, number: u32) -> Option<&Arc<Vm>> {
    model.vm(number).filter(|vm| vm.is_to_be_completed())
}

/// Whether an alteration of the machine is under way: what is to be there is known when it has ended.
fn waits_for_alteration(model: &Infrastructure, number: u32) -> bool {
    altering::is_altered(model, number) && to_complete(model, number).is_some()
}

async fn attempt(services: &Arc<Services>, handle: &Handle, number: u32) -> Attempt {
    let model = handle.snapshot();
    let Some((vm, id)) = to_complete(&model, number).and_then(|vm| Some((vm, vm.provider_id()?))) else {
        return Attempt::Ended(CompletionOutcome::Interrupted);
    };
    if waits_for_alteration(&model, number) {
        return Attempt::Later;
    }
    let Some(intent) = intent::machine(services, &model, vm) else {
        return Attempt::Ended(CompletionOutcome::GivenUp("its stored document has no system".to_owned()));
    };
    let result = async {
        let connector = services.connector(model.accounts.as_deref(), &vm.cloud)?;
        let call = services.cloud_call().await;
        connector.reconcile(&intent, id).await?;
        drop(call);
        let seen = connector.observe(&vm.cloud.location, std::slice::from_ref(id)).await?;
        Ok((connector, seen))
    };
    match result.await {
        Ok((connector, seen)) => {
            let missing: Vec<String> = seen.iter().flat_map(|machine| machine.missing.clone()).collect();
            handle.report_and_wait(Event::Observed { asked: vec![number], answer: Ok(seen), account: None }).await;
            let named = names::complete(services, handle, &*connector, number).await;
            match named {
                _ if !missing.is_empty() => Attempt::Failed(format!("{} is missing", missing.join(", "))),
                Ok(()) => Attempt::Ended(CompletionOutcome::Complete),
                Err(error) => after(error),
            }
        }
        Err(error) => after(error),
    }
}

/// How an attempt ends that met this.
fn after(error: ConnectorError) -> Attempt {
    match error.class.is_final() {
        true => Attempt::Ended(CompletionOutcome::GivenUp(error.message)),
        false => Attempt::Failed(error.message),
    }
}
