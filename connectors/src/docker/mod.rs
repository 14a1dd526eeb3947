#![doc = include_str!("docs.md")]

mod boot;
mod client;
mod container;
mod endpoint;
mod image;
mod labels;

use crate::{
    Candidate, Capabilities, CloudAccount, CloudImage, CloudType, Connector, ConnectorError, ErrorClass, FirstLogin,
    Found, GuestKind, Guests, ImageIntent, InfrastructureIntent, InfrastructureMark, Location, Observation,
    PowerOperation, ProviderId, Quota, Resize, SharedResources, VmIntent, VmMark, VmUid, candidate::IMAGE_URL,
    contract::is_named, http::Client, settings::DockerSettings,
};
use async_trait::async_trait;
use client::{Api, Container, Network};
use futures::{StreamExt, TryStreamExt, stream};
use image::Reference;
use ipnetwork::IpNetwork;
use labels::{IMAGE, INFRASTRUCTURE, MACHINE};
use radl::{Features, System};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What the registry knows of this type of clouds.
pub const CLOUD: CloudType = CloudType {
    kind: "Docker",
    guests: Guests { kind: GuestKind::Container, log_in: true },
    account_name: |account| {
        let endpoint = &account.endpoint;
        let port = endpoint.port.map(|port| port.to_string()).unwrap_or_default();
        format!("{}://{}:{port}{}", endpoint.protocol, endpoint.server, endpoint.path)
    },
    connect: |context, account| {
        let place = endpoint::place(account, &context.settings.docker)?;
        let client = Client::by_route(&context.settings.http, account, place.url, &place.route)?;
        Ok(Arc::new(Docker { api: Api::new(client), account: account.clone(), host: place.host }))
    },
};

/// Requests for containers that run side by side.
const SIDE_BY_SIDE: usize = 8;
/// How often, and how long after each other, the engine is asked for what it is doing for somebody else.
const LOOKS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Repository of the images that are made of containers.
const OWN_IMAGES: &str = "imd";

struct Docker {
    api: Api,
    account: CloudAccount,
    host: Option<String>,
}

fn invalid(text: String) -> ConnectorError {
    ConnectorError::new(ErrorClass::Invalid, text)
}

impl Docker {
    /// The container of a mark, by its id or by the mark alone; not one of another infrastructure.
    async fn container(&self, vm: &VmMark) -> Result<Option<Container>, ConnectorError> {
        // The name of a container is our id of its machine.
        let name = vm.id.as_ref().map_or(&vm.uid.0, |id| &id.0);
        let Some(found) = self.api.container(name).await? else { return Ok(None) };
        let owner = labels::value(&found.config.labels, INFRASTRUCTURE);
        match &vm.id {
            Some(_) => vm.admit(owner)?,
            None if owner == Some(&vm.infrastructure) => {}
            None => return Ok(None),
        }
        Ok(Some(found))
    }

    /// The container of a mark that has an id.
    async fn existing(&self, vm: &VmMark) -> Result<Container, ConnectorError> {
        vm.existing()?;
        let missing = || ConnectorError::new(ErrorClass::NotFound, "The engine has no container of this id");
        self.container(vm).await?.ok_or_else(missing)
    }

    /// Makes the volumes of a machine, with its mark; those that are there stay as they are.
    async fn make_volumes(&self, intent: &VmIntent) -> Result<(), ConnectorError> {
        for mount in container::mounts(intent)?.iter().filter(|mount| !mount.is_bound()) {
            let found = self.api.volume(&mount.source).await?;
            if found.is_none() && mount.is_users {
                let text = format!("The engine has no volume '{}'", mount.source);
                return Err(ConnectorError::new(ErrorClass::NotFound, text));
            }
            if found.is_none() {
                let labels = labels::of_machine(&intent.infrastructure, &intent.uid);
                let mut body = json!({"Name": mount.source, "Labels": labels});
                if let Some(driver) = &mount.driver {
                    body["Driver"] = json!(driver);
                }
                self.api.create_volume(&body).await?;
            }
        }
        Ok(())
    }

    /// Connects a container to those of its networks that it is not in.
    async fn connect(&self, intent: &VmIntent, found: &Container) -> Result<(), ConnectorError> {
        let has = |name: &str| found.network_settings.networks.as_ref().is_some_and(|names| names.contains_key(name));
        for card in container::cards(intent)? {
            let Some(name) = card.network.as_deref().filter(|name| !has(name)) else { continue };
            let body = json!({"Container": found.id, "EndpointConfig": container::attachment(intent, &card)});
            match self.api.connect(name, &body).await {
                // Somebody else did in the meantime.
                Err(error) if error.message.contains("already exists in network") => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// The network that the document names, or the one that was made for it; none when one is to be made.
    async fn network(
        &self,
        intent: &InfrastructureIntent,
        network: &radl::Network,
    ) -> Result<Option<Network>, ConnectorError> {
        let Some(name) = container::users_network(network) else {
            return self.api.network(&container::network_name(&intent.infrastructure, network)).await;
        };
        let missing = || {
            let text = format!("network {}: provider_id: the engine has no network '{name}'", network.id);
            ConnectorError::new(ErrorClass::NotFound, text)
        };
        self.api.network(name).await?.ok_or_else(missing).map(Some)
    }

    /// Looks again and again for what the engine has begun to make or to delete for somebody else, until `seen` of it.
    async fn until<T>(
        &self,
        name: &str,
        seen: impl Fn(Option<Container>) -> Option<T>,
        error: ConnectorError,
    ) -> Result<T, ConnectorError> {
        for _ in 0..LOOKS {
            if let Some(done) = seen(self.api.container(name).await?) {
                return Ok(done);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err(error)
    }

    /// Makes a private network of an infrastructure.
    async fn make_network(&self, intent: &InfrastructureIntent, network: &radl::Network) -> Result<(), ConnectorError> {
        let name = container::network_name(&intent.infrastructure, network);
        let mut body = json!({
            "Name": name, "Driver": "bridge", "CheckDuplicate": true,
            "Labels": {INFRASTRUCTURE: intent.infrastructure},
        });
        // A range that was chosen for another infrastructure is a wish that the engine cannot fulfil twice.
        let is_demanded = !network.features.has("provider_id");
        let range = network.features.text("cidr").filter(|_| is_demanded).map(str::parse::<IpNetwork>);
        if let Some(range) = range {
            let range = range.map_err(|_| invalid(format!("network {}: cidr is no range of addresses", network.id)))?;
            body["IPAM"] = json!({"Driver": "default", "Config": [{"Subnet": range.to_string()}]});
            body["EnableIPv6"] = json!(range.is_ipv6());
        }
        match self.api.create_network(&body).await {
            // Somebody else made it in the meantime.
            Err(error) if error.class == ErrorClass::Conflict => Ok(()),
            Err(error) if error.class == ErrorClass::Denied && error.message.contains("Pool overlaps") => {
                let text = format!("network {}: cidr overlaps another network of the engine", network.id);
                Err(invalid(text))
            }
            result => result,
        }
    }

    /// Deletes a network; the engine takes the last container out of it a little after that is gone.
    async fn delete_network(&self, id: &str) -> Result<(), ConnectorError> {
        let mut looks = 0;
        loop {
            match self.api.delete_network(id).await {
                Err(error) if error.class == ErrorClass::Conflict && looks < LOOKS => looks += 1,
                result => return result,
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// The image that an intent made, as the engine calls it.
    async fn image_of(&self, intent: &ImageIntent) -> Result<Option<client::Image>, ConnectorError> {
        Ok(self.api.images(Some(&labels::filter(IMAGE, &intent.uid.0))).await?.into_iter().next())
    }

    /// Changes the power of a container that is not so yet.
    async fn bring(&self, id: &str, operation: PowerOperation) -> Result<(), ConnectorError> {
        let done = match operation {
            PowerOperation::Start => self.api.start(id).await,
            PowerOperation::Stop => self.api.stop(id).await,
            PowerOperation::Reboot => self.api.restart(id).await,
        };
        match (done, operation) {
            (Err(error), PowerOperation::Start | PowerOperation::Stop) if error.class == ErrorClass::Conflict => {
                let found = self.api.container(id).await?;
                let is_up = found.is_some_and(|found| found.state.status == "running");
                if is_up == (operation == PowerOperation::Start) { Ok(()) } else { Err(error) }
            }
            (done, _) => done,
        }
    }
}

#[async_trait]
impl Connector for Docker {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            guests: CLOUD.guests,
            first_login: FirstLogin::Daemon,
            stop_start: true,
            reboot: true,
            resize: true,
            snapshot: true,
            images: true,
            quotas: true,
            networks: true,
            outports: true,
            ..Capabilities::default()
        }
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        Ok(container::candidates(system, &self.account)?.into_iter().map(Candidate::from).collect())
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        let mut shared = SharedResources::default();
        for network in intent.networks.iter().filter(|network| !network.is_public()) {
            let found = match self.network(intent, network).await? {
                Some(found) => found,
                None => {
                    self.make_network(intent, network).await?;
                    let name = container::network_name(&intent.infrastructure, network);
                    let lost =
                        || ConnectorError::new(ErrorClass::Transient, format!("The network {name} is gone again"));
                    self.api.network(&name).await?.ok_or_else(lost)?
                }
            };
            let mut features = Features::new();
            features.set_text("provider_id", &found.name);
            let range = found.addresses.config.unwrap_or_default().into_iter().next();
            if let Some(range) = range.filter(|range| !range.subnet.is_empty()) {
                features.set_text("cidr", &range.subnet);
            }
            shared.networks.insert(network.id.clone(), features);
        }
        Ok(shared)
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        let body = container::body(intent)?;
        let url = intent.system.features.text(IMAGE_URL).unwrap_or_default();
        let image = Reference::of_url(url).ok_or_else(|| invalid(format!("'{url}' is no image of an engine")))?;
        let mark = intent.mark();
        let found = match self.container(&mark).await? {
            Some(found) => found,
            None => {
                self.api.pull(&image).await?;
                self.make_volumes(intent).await?;
                let is_own = |found: &Container| {
                    labels::value(&found.config.labels, INFRASTRUCTURE) == Some(&intent.infrastructure)
                };
                match self.api.create_container(&intent.uid.0, &body).await {
                    Ok(id) => {
                        let lost = ConnectorError::new(ErrorClass::Transient, "The container is gone again");
                        self.until(&id, |found| found, lost).await?
                    }
                    // Somebody else made it in the meantime: the name is taken before the container is seen.
                    Err(error) if error.class == ErrorClass::Conflict => {
                        self.until(&intent.uid.0, |found| found.filter(is_own), error).await?
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        if found.state.status == "created" {
            self.connect(intent, &found).await?;
            self.api.unpack(&found.id, boot::archive(&intent.login(), container::DEFAULT_USER)?).await?;
            self.bring(&found.id, PowerOperation::Start).await?;
        }
        Ok(ProviderId(found.id))
    }

    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        let found = self.api.containers(&labels::filter(INFRASTRUCTURE, &mark.infrastructure)).await?;
        let found = found.into_iter().filter_map(|container| {
            let uid = VmUid(labels::value(&container.labels, MACHINE)?.to_owned());
            Some(Found { uid, id: ProviderId(container.id), location: Location::default() })
        });
        Ok(found.collect())
    }

    async fn observe(&self, _location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        let looks: Vec<_> = ids.iter().map(|id| self.api.container(&id.0)).collect();
        let found: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
        let host = endpoint::address(self.host.as_deref()).await;
        Ok(found.into_iter().flatten().map(|container| container::observation(container, host)).collect())
    }

    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        if let Some(found) = self.container(vm).await? {
            match self.api.delete_container(&found.id).await {
                // Somebody else deletes it.
                Err(error) if error.class == ErrorClass::Conflict => {
                    self.until(&found.id, |found| found.is_none().then_some(()), error).await?;
                }
                result => result?,
            }
        }
        for volume in self.api.volumes(&labels::filter(MACHINE, &vm.uid.0)).await? {
            if labels::value(&volume.labels, INFRASTRUCTURE) == Some(&vm.infrastructure) {
                self.api.delete_volume(&volume.name).await?;
            }
        }
        Ok(())
    }

    async fn delete_shared(&self, mark: &InfrastructureMark) -> Result<(), ConnectorError> {
        for network in self.api.networks(&labels::filter(INFRASTRUCTURE, &mark.infrastructure)).await? {
            self.delete_network(&network.id).await?;
        }
        Ok(())
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        let found = self.existing(vm).await?;
        self.bring(&found.id, operation).await
    }

    async fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        let limits = container::resized(resize)?;
        let found = self.existing(vm).await?;
        self.api.update(&found.id, &limits).await
    }

    async fn snapshot(&self, vm: &VmMark, intent: &ImageIntent) -> Result<String, ConnectorError> {
        if intent.disk != 0 {
            return Err(invalid(format!("disk {}: an image is made of the root of a container, disk 0", intent.disk)));
        }
        let found = self.existing(vm).await?;
        let (name, tag) = (format!("{OWN_IMAGES}/{}", image::repository(&intent.name)), &intent.uid.0);
        if self.image_of(intent).await?.is_none() {
            self.api.commit(&found.id, &name, tag, &json!({"Labels": labels::of_image(intent)})).await?;
        }
        Ok(image::url(&format!("{name}:{tag}")))
    }

    async fn discard_snapshot(&self, intent: &ImageIntent) -> Result<(), ConnectorError> {
        match self.image_of(intent).await? {
            Some(image) => self.api.delete_image(&image.id).await,
            None => Ok(()),
        }
    }

    async fn delete_image(&self, url: &str, _location: &Location) -> Result<(), ConnectorError> {
        let Some(image) = Reference::of_url(url) else { return Ok(()) };
        let name = image.text();
        match self.api.image(&name).await? {
            None => Ok(()),
            Some(labels) if labels.contains_key(IMAGE) => self.api.delete_image(&name).await,
            Some(_) => {
                let text = format!("The image {name} was not made of a machine, and is not deleted");
                Err(ConnectorError::new(ErrorClass::Denied, text))
            }
        }
    }

    async fn images(&self, filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        let names = self.api.images(None).await?.into_iter().flat_map(|image| image.repo_tags.unwrap_or_default());
        // Images whose name was taken by another one are called <none>.
        let names = names.filter(|name| !name.starts_with('<') && is_named(name, filters));
        Ok(names.map(|name| CloudImage { uri: image::url(&name), name }).collect())
    }

    async fn quotas(&self, _region: Option<&str>) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        let (info, own) = tokio::try_join!(self.api.info(), self.api.containers(INFRASTRUCTURE))?;
        let ids: Vec<_> = own.into_iter().map(|container| container.id).collect();
        let looks: Vec<_> = ids.iter().map(|id| self.api.container(id)).collect();
        let found: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
        let found: Vec<_> = found.into_iter().flatten().collect();
        let cores: u64 = found.iter().map(|container| container.host_config.nano_cpus).sum();
        let memory: u64 = found.iter().map(|container| container.host_config.memory).sum();
        let quota = |name: &str, used: f64, limit: f64| (name.to_owned(), Quota { used, limit });
        Ok([
            quota("cores", cores as f64 / 1e9, f64::from(info.cores)),
            quota("ram", memory as f64 / 1e9, info.memory as f64 / 1e9),
            quota("instances", found.len() as f64, -1.0),
        ]
        .into())
    }
}
