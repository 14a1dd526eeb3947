#![doc = include_str!("docs.md")]

mod change;
mod client;
mod egi;
mod flavor;
mod flights;
mod image;
mod keystone;
mod line;
mod machine;
mod map;
mod mark;
mod network;
mod neutron;
mod nova;
mod quota;
mod shared;
mod storage;

pub use egi::CLOUD as EGI;

use crate::{
    Candidate, Capabilities, CloudAccount, CloudImage, CloudType, ConnectContext, Connector, ConnectorError,
    FirstLogin, Found, GuestKind, Guests, ImageIntent, InfrastructureIntent, InfrastructureMark, Location, Observation,
    PowerOperation, PrivateNetworks, ProviderId, Quota, Resize, SharedResources, VmIntent, VmMark, candidate,
};
use async_trait::async_trait;
use client::Api;
use egi::CloudInfo;
use flavor::Minimum;
use flights::Flights;
use map::Source;
use nova::Flavor;
use radl::System;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What the registry knows of this type of clouds.
pub const CLOUD: CloudType = CloudType {
    kind: "OpenStack",
    guests: Guests { kind: GuestKind::Machine, log_in: true },
    account_name: |account| {
        let field = |key: &str| account.field(key).unwrap_or_default();
        let endpoint = &account.endpoint;
        let (server, path) = (&endpoint.server, endpoint.path.trim_end_matches('/'));
        let port = endpoint.port.map(|port| format!(":{port}")).unwrap_or_default();
        let who = [field("username"), field("tenant"), field("domain"), field("service_region")].join("/");
        format!("{who}@{server}{port}{path}")
    },
    connect: |context, account| Ok(Arc::new(OpenStack::new(context, account)?)),
};

/// What the connector can do; also at the sites of EGI.
const CAPABILITIES: Capabilities = Capabilities {
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
    networks: true,
    user_data: true,
};

/// How long the list of flavors is believed.
const FLAVORS_KEPT: Duration = Duration::from_secs(600);

/// One project of a cloud.
struct OpenStack {
    api: Api,
    account: CloudAccount,
    private: PrivateNetworks,
    flights: Flights,
    cloud_info: CloudInfo,
    flavors: Mutex<Option<(Instant, Arc<[Flavor]>)>>,
}

impl OpenStack {
    fn new(context: &ConnectContext, account: &CloudAccount) -> Result<Self, ConnectorError> {
        Ok(Self {
            api: Api::new(&context.settings.http, account)?,
            account: account.clone(),
            private: context.settings.private_networks.clone(),
            flights: Flights::default(),
            cloud_info: CloudInfo::new(&context.settings.http, account)?,
            flavors: Mutex::default(),
        })
    }

    /// All flavors of the project, as they were lately.
    async fn flavors(&self) -> Result<Arc<[Flavor]>, ConnectorError> {
        let kept = self.flavors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, flavors)) = kept.filter(|(since, _)| since.elapsed() < FLAVORS_KEPT) {
            return Ok(flavors);
        }
        let flavors: Arc<[Flavor]> = self.api.flavors().await?.into();
        *self.flavors.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&flavors)));
        Ok(flavors)
    }

    /// What a URL names in this cloud; none where it names something of another one.
    async fn source(&self, url: &str) -> Result<Option<Source>, ConnectorError> {
        if egi::is_url(url) {
            let vo = self.account.field("vo");
            return Ok(self.cloud_info.image(url, &self.account.endpoint.server, vo).await?.map(Source::Image));
        }
        Ok(map::source(url, &self.account.endpoint.server))
    }

    /// What an image asks of a flavor; none where there is no such image, or it is of another architecture.
    async fn minimum(&self, source: &Source, system: &System) -> Result<Option<Minimum>, ConnectorError> {
        let Source::Image(id) = source else {
            return Ok(self.api.volume(source.id()).await?.map(|_| Minimum::default()));
        };
        let Some(image) = self.api.image(id).await? else { return Ok(None) };
        let wanted = system.features.text("cpu.arch");
        let is = image.property("hw_architecture").or_else(|| image.property("architecture"));
        if let (Some(wanted), Some(is)) = (wanted, is)
            && !is.eq_ignore_ascii_case(wanted)
        {
            return Ok(None);
        }
        let (disk, ram) = (image.min_disk.unwrap_or_default(), image.min_ram.unwrap_or_default());
        Ok(Some(Minimum { disk, ram }))
    }

    async fn zones(&self, system: &System) -> Result<Vec<Option<String>>, ConnectorError> {
        let zones = self.api.zones().await?;
        Ok(match system.features.text("availability_zone") {
            Some(wanted) => zones.into_iter().filter(|zone| zone == wanted).map(Some).collect(),
            None if zones.len() > 1 => zones.into_iter().map(Some).collect(),
            None => vec![None],
        })
    }
}

/// Whether routes lead from the machine through others, which have to be there.
fn has_routes(vm: &VmIntent) -> bool {
    vm.networks.iter().any(|network| network.features.has("router"))
}

impl Source {
    fn id(&self) -> &str {
        let (Self::Image(id) | Self::Volume(id)) = self;
        id
    }
}

#[async_trait]
impl Connector for OpenStack {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        let mut found = Vec::new();
        let urls: Vec<_> = system.features.texts(candidate::IMAGE_URL).map(str::to_owned).collect();
        let (flavors, zones) = futures::try_join!(self.flavors(), self.zones(system))?;
        let mut minima = BTreeMap::new();
        for url in urls {
            if let Some(source) = self.source(&url).await?
                && let Some(minimum) = self.minimum(&source, system).await?
            {
                minima.insert(url, minimum);
            }
        }
        for mut concrete in candidate::per_image(system, &self.account, |url| minima.contains_key(url)) {
            let url = concrete.features.text(candidate::IMAGE_URL);
            let minimum = url.and_then(|url| minima.get(url)).copied().unwrap_or_default();
            let Some(flavor) = flavor::choose(&flavors, &concrete, minimum) else { continue };
            flavor::write(flavor, &mut concrete.features);
            candidate::set_default_user(&mut concrete.features, map::DEFAULT_USER);
            if let Some(vo) = self.account.field("vo") {
                concrete.features.set_text("provider.vo", vo);
            }
            for zone in &zones {
                let mut concrete = concrete.clone();
                if let Some(zone) = zone {
                    concrete.features.set_text("availability_zone", zone);
                }
                found.push(Candidate::from(concrete));
            }
        }
        Ok(found)
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        self.share(intent).await
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        self.create(intent).await
    }

    fn is_completed_after_boot(&self, vm: &VmIntent) -> bool {
        has_routes(vm)
    }

    async fn reconcile(&self, vm: &VmIntent, id: &ProviderId) -> Result<(), ConnectorError> {
        self.complete_machine(vm, id).await
    }

    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        self.find_all(mark).await
    }

    async fn observe(&self, _location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        self.look_at(ids).await
    }

    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        self.delete(vm).await
    }

    async fn delete_shared(&self, mark: &InfrastructureMark) -> Result<(), ConnectorError> {
        self.unshare(mark).await
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        self.change_power(vm, operation).await
    }

    async fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        self.change(vm, resize).await
    }

    async fn snapshot(&self, vm: &VmMark, image: &ImageIntent) -> Result<String, ConnectorError> {
        self.make_image(vm, image).await
    }

    async fn discard_snapshot(&self, image: &ImageIntent) -> Result<(), ConnectorError> {
        self.discard_image(image).await
    }

    async fn delete_image(&self, url: &str, _location: &Location) -> Result<(), ConnectorError> {
        self.delete_image_of(url).await
    }

    async fn images(&self, filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        self.list_images(filters).await
    }

    async fn quotas(&self, region: Option<&str>) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        self.limits_of(region).await
    }
}
