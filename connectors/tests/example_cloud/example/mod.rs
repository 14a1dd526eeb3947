#![doc = include_str!("docs.md")]

mod client;
mod map;

use async_trait::async_trait;
use client::Api;
use connectors::{
    Candidate, Capabilities, CloudAccount, CloudImage, CloudType, Connector, ConnectorError, ErrorClass, FirstLogin,
    Found, Guests, InfrastructureIntent, InfrastructureMark, Location, Observation, PowerOperation, ProviderId,
    SharedResources, VmIntent, VmMark,
    http::{Handle, Patience},
};
use futures::{StreamExt, TryStreamExt, stream};
use radl::System;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What the registry knows of this type of clouds.
pub const CLOUD: CloudType = CloudType {
    kind: "Example",
    guests: Guests { kind: connectors::GuestKind::Machine, log_in: true },
    account_name: |account| format!("{}@{}", account.field("username").unwrap_or(""), account.endpoint.server),
    connect: |context, account| {
        let api = Api::new(&context.settings.http, account)?;
        Ok(Arc::new(Example { api, account: account.clone() }))
    },
};

/// Requests for machines that run side by side.
const SIDE_BY_SIDE: usize = 8;
/// Jobs of this cloud are short.
const JOBS: Patience =
    Patience { first: Duration::from_millis(5), longest: Duration::from_secs(1), deadline: Duration::from_secs(60) };

struct Example {
    api: Api,
    account: CloudAccount,
}

impl Example {
    /// The machine of a mark, by its id or by the mark alone; not one of another infrastructure.
    async fn machine(&self, vm: &VmMark) -> Result<Option<client::Machine>, ConnectorError> {
        let machine = match &vm.id {
            Some(id) => self.api.machine(&id.0).await?,
            None => self.api.machines(&vm.infrastructure).await?.into_iter().find(|found| map::uid(found) == vm.uid),
        };
        machine.map(|machine| vm.admit(Some(&machine.infrastructure)).map(|()| machine)).transpose()
    }

    async fn end_of(&self, job: &Handle) -> Result<(), ConnectorError> {
        JOBS.wait(job, || self.api.job(job)).await
    }
}

#[async_trait]
impl Connector for Example {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            guests: CLOUD.guests,
            first_login: FirstLogin::Daemon,
            stop_start: true,
            reboot: true,
            images: true,
            user_data: true,
            ..Capabilities::default()
        }
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        let systems = map::candidates(system, &self.account, &self.api.sizes().await?);
        Ok(systems.into_iter().map(Candidate::from).collect())
    }

    async fn ensure_shared(&self, _intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        Ok(SharedResources::default())
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        let order = map::order(intent, &self.account)?;
        match self.machine(&intent.mark()).await? {
            Some(client::Machine { job: Some(job), .. }) => self.end_of(&job).await?,
            Some(machine) => return Ok(ProviderId(machine.id)),
            None => {}
        }
        match self.api.make(&order).await {
            Ok(machine) => Ok(ProviderId(machine.id)),
            // Somebody else made it in the meantime.
            Err(error) if error.class == ErrorClass::Conflict => {
                self.machine(&intent.mark()).await?.map(|machine| ProviderId(machine.id)).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        let found = |machine: client::Machine| Found {
            uid: map::uid(&machine),
            id: ProviderId(machine.id),
            location: Location::default(),
        };
        Ok(self.api.machines(&mark.infrastructure).await?.into_iter().map(found).collect())
    }

    async fn observe(&self, _location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        let looks: Vec<_> = ids.iter().map(|id| self.api.machine(&id.0)).collect();
        let machines: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
        machines.into_iter().flatten().map(map::observation).collect()
    }

    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        let Some(machine) = self.machine(vm).await? else { return Ok(()) };
        let begun = match machine.job {
            // An earlier attempt began it: the cloud tells the handle with the machine, so nobody needs to remember it.
            Some(job) => Ok(job),
            None => self.api.delete(&machine.id).await,
        };
        match begun {
            Ok(job) => self.end_of(&job).await,
            Err(error) if error.class == ErrorClass::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn delete_shared(&self, _mark: &InfrastructureMark) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        vm.existing()?;
        let missing = || ConnectorError::new(ErrorClass::NotFound, "The cloud has no machine of this id");
        let machine = self.machine(vm).await?.ok_or_else(missing)?;
        let operation = match operation {
            PowerOperation::Start => "start",
            PowerOperation::Stop => "stop",
            PowerOperation::Reboot => "reset",
        };
        self.api.power(&machine.id, operation).await
    }

    async fn images(&self, _filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        let server = &self.account.endpoint.server;
        let image = |image: client::Image| CloudImage { uri: map::image_url(&image.id, server), name: image.name };
        Ok(self.api.images().await?.into_iter().map(image).collect())
    }
}
