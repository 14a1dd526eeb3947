#![doc = include_str!("docs.md")]

mod alter;
mod client;
mod fault;
mod group;
mod map;
mod network;
mod shared;
mod snapshot;
mod state;
mod template;
mod wait;
mod xml;

use crate::{
    Candidate, Capabilities, CloudAccount, CloudImage, CloudType, Connector, ConnectorError, ErrorClass, FirstLogin,
    Found, Guests, ImageIntent, InfrastructureIntent, InfrastructureMark, Location, Observation, PowerOperation,
    PrivateNetworks, ProviderId, Quota, Resize, SharedResources, VmIntent, VmMark, settings::OpenNebulaSettings,
};
use async_trait::async_trait;
use client::Api;
use futures::{StreamExt, TryStreamExt, stream};
use radl::System;
use state::State;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
};
use xml::Element;

/// What the registry knows of this type of clouds.
pub const CLOUD: CloudType = CloudType {
    kind: "OpenNebula",
    guests: Guests { kind: crate::GuestKind::Machine, log_in: true },
    account_name: |account| {
        let endpoint = &account.endpoint;
        let port = endpoint.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}@{}{port}{}", account.field("username").unwrap_or(""), endpoint.server, endpoint.path)
    },
    connect: |context, account| {
        Ok(Arc::new(OpenNebula {
            api: Api::new(&context.settings.http, account)?,
            account: account.clone(),
            settings: context.settings.opennebula.clone(),
            private: context.settings.private_networks.clone(),
            creations: Mutex::default(),
        }))
    },
};

/// Requests for machines that run side by side.
const SIDE_BY_SIDE: usize = 8;

/// A cloud as one account sees it.
struct OpenNebula {
    api: Api,
    account: CloudAccount,
    settings: OpenNebulaSettings,
    private: PrivateNetworks,
    /// Creations that are under way, by the id of their machine or group: there is one at a time for each.
    creations: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl OpenNebula {
    /// What is held while the thing of this name is made.
    fn creation(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut creations = self.creations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = creations.get(name).and_then(Weak::upgrade) {
            return known;
        }
        creations.retain(|_, creation| creation.strong_count() > 0);
        let made = Arc::default();
        creations.insert(name.to_owned(), Arc::downgrade(&made));
        made
    }

    /// The machine of this id, or none where it is gone; not one of another infrastructure.
    async fn machine(&self, vm: &VmMark, id: &ProviderId) -> Result<Option<Element>, ConnectorError> {
        let Ok(id) = id.0.parse() else { return Ok(None) };
        let found = self.api.machine(id).await?.filter(|vm| !State::of(vm).is_done());
        found.map(|found| vm.admit(map::infrastructure_of(&found)).map(|()| found)).transpose()
    }

    /// The machine of a mark that has an id.
    ///
    /// # Errors
    /// `NotFound` where there is none, besides those of the cloud.
    async fn existing(&self, vm: &VmMark) -> Result<(i32, Element), ConnectorError> {
        let missing = || ConnectorError::new(ErrorClass::NotFound, "OpenNebula has no machine of this id");
        let found = self.machine(vm, vm.existing()?).await?.ok_or_else(missing)?;
        Ok((found.number("ID").ok_or_else(missing)?, found))
    }

    /// The machine of a mark once it takes requests, which it does not while it goes from one state to another.
    async fn at_rest(&self, vm: &VmMark) -> Result<(i32, Element), ConnectorError> {
        let (id, found) = self.existing(vm).await?;
        let found = if State::of(&found).is_on_its_way() { self.settled(id).await? } else { found };
        Ok((id, found))
    }

    /// Waits until a machine takes requests.
    async fn settled(&self, id: i32) -> Result<Element, ConnectorError> {
        self.until_machine(id, |state| !state.is_on_its_way()).await
    }

    /// The machines that carry this mark, the oldest first: more than one only where an earlier daemon died with a request
    /// under way.
    async fn marked(&self, vm: &VmMark) -> Result<Vec<Element>, ConnectorError> {
        let machines = self.api.machines().await?;
        let is_it = |found: &&Element| map::uid_in(found, &vm.infrastructure).is_some_and(|uid| uid == vm.uid);
        let mut found: Vec<_> = machines.iter().filter(is_it).cloned().collect();
        found.sort_by_key(|vm| vm.number::<i32>("ID"));
        Ok(found)
    }

    /// The machine that counts of those with a mark: it goes on, and the others end.
    async fn adopt(&self, found: &[Element]) -> Result<Option<ProviderId>, ConnectorError> {
        let Some((first, others)) = found.split_first() else { return Ok(None) };
        for other in others {
            if let Some(id) = other.number("ID") {
                self.terminate(id).await?;
            }
        }
        let Some(id) = first.number::<i32>("ID") else { return Ok(None) };
        if State::of(first).is_held() {
            self.release(id).await?;
        }
        Ok(Some(ProviderId(id.to_string())))
    }

    /// Lets a machine go that was made on hold. What was released already is as good.
    async fn release(&self, id: i32) -> Result<(), ConnectorError> {
        match self.api.action("release", id).await {
            Err(error) if error.class == ErrorClass::Conflict => {
                let found = self.api.machine(id).await?;
                if found.is_some_and(|vm| !State::of(&vm).is_held()) { Ok(()) } else { Err(error) }
            }
            result => result,
        }
    }

    /// The numbers of images by their URLs.
    async fn image_ids(&self, urls: &[String]) -> Result<BTreeMap<String, i32>, ConnectorError> {
        let server = &self.account.endpoint.server;
        let by_name = |url: &String| map::image(url, server).is_some_and(|name| name.parse::<i32>().is_err());
        let images = if urls.iter().any(by_name) { self.api.images().await? } else { Arc::default() };
        let owner = &self.settings.image_uname;
        urls.iter().map(|url| Ok((url.clone(), map::image_id(url, server, owner, &images)?))).collect()
    }
}

#[async_trait]
impl Connector for OpenNebula {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            guests: CLOUD.guests,
            first_login: FirstLogin::Daemon,
            stop_start: true,
            reboot: true,
            resize: true,
            attach_disk: true,
            public_address: true,
            snapshot: true,
            images: true,
            quotas: true,
            outports: true,
            networks: false,
            user_data: true,
        }
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        Ok(map::candidates(system, &self.account).into_iter().map(Candidate::from).collect())
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        self.share(intent).await
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        let mark = intent.mark();
        let creation = self.creation(&intent.uid.0);
        let _alone = creation.lock().await;
        if let Some(id) = self.adopt(&self.marked(&mark).await?).await? {
            return Ok(id);
        }
        let images = self.image_ids(&map::image_urls(intent)).await?;
        let nics = self.nics(intent).await?;
        let template = map::machine(intent, &nics, &images, &self.settings)?;
        let made = self.api.allocate(template.text()).await?;
        // It waits until it is known to be the only one: a request that was given up may have been done after all.
        let found = self.marked(&mark).await?;
        match self.adopt(&found).await? {
            Some(id) => Ok(id),
            None => {
                self.release(made).await?;
                Ok(ProviderId(made.to_string()))
            }
        }
    }

    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        let found = |vm: &Element| {
            let uid = map::uid_in(vm, &mark.infrastructure)?;
            Some(Found { uid, id: ProviderId(vm.text("ID")?.to_owned()), location: Location::default() })
        };
        Ok(self.api.machines().await?.iter().filter_map(found).collect())
    }

    async fn observe(&self, _location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let machines = self.api.machines().await?;
        let known: HashMap<_, _> = machines.iter().filter_map(|vm| Some((vm.text("ID")?, vm))).collect();
        // What is not in the list is DONE or another user's: it is asked for by its id before it counts as gone.
        let look = |id: &ProviderId| {
            let known = known.get(id.0.as_str()).map(|vm| (*vm).clone());
            let number = id.0.parse();
            async move {
                match (known, number) {
                    (Some(vm), _) => Ok(Some(vm)),
                    (None, Ok(number)) => self.api.machine(number).await,
                    (None, Err(_)) => Ok::<_, ConnectorError>(None),
                }
            }
        };
        let looks: Vec<_> = ids.iter().map(look).collect();
        let found: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
        let is_there = |vm: &Element| !State::of(vm).is_done();
        Ok(found
            .iter()
            .flatten()
            .filter(|vm| is_there(vm))
            .filter_map(|vm| map::observation(vm, &self.private))
            .collect())
    }

    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        let mut ids: Vec<i32> = self.marked(vm).await?.iter().filter_map(|vm| vm.number("ID")).collect();
        if let Some(id) = &vm.id
            && let Some(named) = self.machine(vm, id).await?.and_then(|vm| vm.number("ID"))
            && !ids.contains(&named)
        {
            ids.push(named);
        }
        for id in ids {
            self.terminate(id).await?;
        }
        Ok(())
    }

    async fn delete_shared(&self, mark: &InfrastructureMark) -> Result<(), ConnectorError> {
        self.delete_groups(&mark.infrastructure).await
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        let (id, found) = self.at_rest(vm).await?;
        let state = State::of(&found);
        match operation {
            PowerOperation::Stop if state.is_stopped() || state.is_stopping() => Ok(()),
            PowerOperation::Stop => self.api.action("suspend", id).await,
            PowerOperation::Start if state.is_running() || state.is_resuming() => Ok(()),
            PowerOperation::Start => self.api.action("resume", id).await,
            PowerOperation::Reboot => self.api.action("reboot-hard", id).await,
        }
    }

    async fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        self.alter(vm, resize).await
    }

    async fn snapshot(&self, vm: &VmMark, image: &ImageIntent) -> Result<String, ConnectorError> {
        self.save(vm, image).await
    }

    async fn discard_snapshot(&self, image: &ImageIntent) -> Result<(), ConnectorError> {
        self.discard(image).await
    }

    async fn delete_image(&self, url: &str, _location: &Location) -> Result<(), ConnectorError> {
        self.delete_image_at(url).await
    }

    async fn images(&self, filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        Ok(map::images(&self.api.images().await?, &self.account.endpoint.server, filters))
    }

    async fn quotas(&self, _region: Option<&str>) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        let user = self.api.user().await?;
        Ok(map::quotas(&user, &self.virtual_networks().await?))
    }
}
