//! Machines that are started, stopped and rebooted.
//!
//! Races: nothing is kept of the wish, so there is no order between two of them but that of the cloud. A machine that is
//! deleted meanwhile is refused by its cloud, which is told to the caller. What the machines are afterwards is what the look
//! at them says.

use crate::engine::{
    error::OperationError,
    operations::change::{Change, Here, present},
    settings::Access,
    state::{
        accounts::Accounts,
        model::{Lifecycle, Vm},
    },
    work::refresh,
};
use connectors::PowerOperation;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// How long the answer waits for the look at the machines after the change, which is made by then.
const LOOK: Duration = Duration::from_secs(10);

/// Starts, stops or reboots machines.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// The machine; none: all that the clouds have.
    pub number: Option<u32>,
    /// What is done to it.
    pub operation: PowerOperation,
}

impl Change for Power {
    const NAME: &'static str = "power";
    const ACCESS: Access = Access::Change;
    /// The clouds have done it.
    type Answer = ();

    /// The texts of clouds about all machines joined, one a line.
    async fn perform(self, mut here: Here<'_>) -> Result<(), OperationError> {
        let Self { number, operation } = self;
        let shown = here.shown()?;
        here.claim(&shown.accounts).await;
        let vms: Vec<Arc<Vm>> = match number {
            Some(number) => vec![present(&here.model, number)?.clone()],
            None => here.model.vms.iter().filter(|vm| matches!(vm.lifecycle, Lifecycle::Present(_))).cloned().collect(),
        };
        let services = &here.engine.services;
        // What cannot be stored afterwards is not done: the caller would not be told.
        services.writable(here.id).await?;
        let numbers: Vec<u32> = vms.iter().map(|vm| vm.number).collect();
        let (here, accounts) = (&here, &shown.accounts);
        let errors: Vec<String> =
            stream::iter(vms)
                .map(|vm| async move {
                    ask_cloud(here, accounts, &vm, operation).await.err().map(|error| error.to_string())
                })
                .buffered(services.launch_slots())
                .filter_map(std::future::ready)
                .collect()
                .await;
        let look = refresh::observe(services, &here.handle, &here.model, numbers, Some(accounts));
        if tokio::time::timeout(LOOK, look).await.is_err() {
            tracing::warn!(inf = here.id, "what the cloud says after the change is not known or stored yet");
        }
        let gerund = match operation {
            PowerOperation::Start => "starting",
            PowerOperation::Stop => "stopping",
            PowerOperation::Reboot => "rebooting",
        };
        match (errors.is_empty(), number) {
            (true, _) => Ok(()),
            (_, Some(_)) => Err(OperationError::Cloud(format!("Error {gerund} the VM: {}", errors.join("\n")))),
            (_, None) => {
                Err(OperationError::Cloud(format!("Error {gerund} the infrastructure: {}\n", errors.join("\n"))))
            }
        }
    }
}

async fn ask_cloud(
    here: &Here<'_>,
    accounts: &Accounts,
    vm: &Vm,
    operation: PowerOperation,
) -> Result<(), OperationError> {
    let connector = here.engine.services.connector(Some(accounts), &vm.cloud)?;
    let _call = here.engine.services.cloud_call().await;
    connector.power(&vm.mark(here.id), operation).await.map_err(OperationError::from)
}
