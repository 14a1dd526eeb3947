#![doc = include_str!("docs.md")]
//!
//! | module | subject |
//! |---|---|
//! | `client` | signed requests and their replies |
//! | `request`, `replies` | the Query API: parameters out, XML in |
//! | `sign`, `fault` | signatures and the clock; what refusals mean |
//! | `map` | RADL to EC2 and back, pure |
//! | `sizes` | instance types and zones |
//! | `network`, `groups` | VPCs, subnets, gateways, routes; security groups |
//! | `machine` | machines from their order to their end |
//! | `storage`, `address` | volumes and elastic addresses |
//! | `images`, `limits` | images, quotas |

mod address;
mod client;
mod fault;
mod groups;
mod images;
mod limits;
mod machine;
mod map;
mod network;
mod replies;
mod request;
mod sign;
mod sizes;
mod storage;
#[cfg(test)]
mod tests;

use crate::{
    Candidate, Capabilities, CloudAccount, CloudImage, CloudType, Connector, ConnectorError, FirstLogin, Found,
    GuestKind, Guests, ImageIntent, InfrastructureIntent, InfrastructureMark, Location, Observation, PowerOperation,
    PrivateNetworks, ProviderId, Quota, Resize, SharedResources, VmIntent, VmMark, VmUid, candidate,
};
use async_trait::async_trait;
use client::Api;
use network::Subnetting;
use radl::System;
use replies::Image;
use request::Call;
use sizes::Sizes;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// What the registry knows of this type of clouds.
pub const CLOUD: CloudType = CloudType {
    kind: "EC2",
    guests: Guests { kind: GuestKind::Machine, log_in: true },
    account_name: |account| format!("{}@{}", account.field("username").unwrap_or(""), account.endpoint.server),
    connect: |context, account| {
        Ok(Arc::new(Ec2 {
            api: Api::new(&context.settings.http, account)?,
            account: account.clone(),
            private_networks: context.settings.private_networks.clone(),
            sizes: Sizes::default(),
            images_seen: ImagesSeen::default(),
            turns: Turns::default(),
        }))
    },
};

/// How many values a filter of the API takes.
const MOST_VALUES: usize = 200;
/// How many images are remembered.
const MOST_IMAGES: usize = 256;

/// An account of Amazon EC2, or of a cloud with the same API.
struct Ec2 {
    api: Api,
    account: CloudAccount,
    private_networks: PrivateNetworks,
    sizes: Sizes,
    images_seen: ImagesSeen,
    turns: Turns,
}

/// What is known of images; ids are never used again.
#[derive(Default)]
struct ImagesSeen(Mutex<HashMap<String, Image>>);

impl ImagesSeen {
    fn get(&self, id: &str) -> Option<Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn insert(&self, id: &str, image: &Image) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_IMAGES {
            known.clear();
        }
        known.insert(id.to_owned(), image.clone());
    }
}

/// Lets those that make the same machine at the same time make it one after the other.
#[derive(Default)]
struct Turns(Mutex<HashMap<VmUid, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    fn of(&self, uid: &VmUid) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = turns.get(uid).and_then(Weak::upgrade) {
            return known;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(uid.clone(), Arc::downgrade(&turn));
        turn
    }
}

impl Ec2 {
    /// The region of a place.
    fn region<'a>(&'a self, location: &'a Location) -> &'a str {
        location.region.as_deref().unwrap_or_else(|| self.api.default_region())
    }

    /// The places where a system may be made, the best first: the region, where EC2 or the networks choose the zone, then
    /// each zone that has the type. A zone that the document names is the only one; spot machines go where they are cheap.
    async fn places(&self, region: &str, system: &System) -> Result<Vec<Location>, ConnectorError> {
        let place = |zone: Option<String>| Location { region: Some(region.to_owned()), zone, ..Location::default() };
        if let Some(zone) = system.features.text("availability_zone") {
            return Ok(vec![place(Some(zone.to_owned()))]);
        }
        let Some(kind) = system.features.text("instance_type") else { return Ok(vec![place(None)]) };
        if system.features.text("spot").is_some_and(|spot| spot.eq_ignore_ascii_case("yes")) {
            let prices = self.sizes.spot_prices(&self.api, region, kind).await?;
            if !prices.is_empty() {
                return Ok(prices.into_iter().map(|(zone, _)| place(Some(zone))).collect());
            }
        }
        let zones = self.sizes.zones(&self.api, region, kind).await?;
        Ok(std::iter::once(None).chain(zones.into_iter().map(Some)).map(place).collect())
    }
}

#[async_trait]
impl Connector for Ec2 {
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
            networks: true,
            user_data: true,
        }
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        let mut candidates = Vec::new();
        for mut system in candidate::per_image(system, &self.account, |url| map::image(url).is_some()) {
            let url = system.features.text(candidate::IMAGE_URL).unwrap_or_default();
            let region = map::image(url).map_or_else(|| self.api.default_region(), |(region, _)| region).to_owned();
            let offered = self.sizes.offered(&self.api, &region, &system).await?;
            let Some(size) = sizes::choose(&offered, &system) else { continue };
            sizes::write(size, &mut system.features);
            candidate::set_default_user(&mut system.features, map::DEFAULT_USER);
            let places = self.places(&region, &system).await?;
            candidates.extend(places.into_iter().map(|location| Candidate { system: system.clone(), location }));
        }
        Ok(candidates)
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        let region = self.region(&intent.location);
        let (location, infrastructure) = (&intent.location, &intent.infrastructure);
        let mut subnetting = Subnetting::look(&self.api, region, location, infrastructure, &intent.networks).await?;
        let networks = subnetting.create(intent).await?;
        self.share_groups(region, infrastructure, &subnetting, &intent.networks).await?;
        Ok(SharedResources { networks: networks.into_iter().collect() })
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        let made = self.make(intent).await?;
        Ok(map::provider_id(self.region(&intent.location), &made.instance_id))
    }

    fn is_completed_after_boot(&self, vm: &VmIntent) -> bool {
        let has_volumes =
            crate::NewDisk::all_of(&vm.system).any(|disk| matches!(disk.source, crate::DiskSource::Volume(_)));
        let nics = vm.system.interfaces().count();
        has_volumes
            || map::routes(vm).next().is_some()
            || matches!(map::public_address(vm, nics), map::Public::Elastic(_))
    }

    async fn reconcile(&self, vm: &VmIntent, id: &ProviderId) -> Result<(), ConnectorError> {
        let mark = VmMark { id: Some(id.clone()), ..vm.mark() };
        let (region, instance) = self.existing(&mark).await?;
        self.complete(&region, &mark, &instance, None).await?;
        self.route(&region, vm, &instance).await
    }

    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        let region = self.region(&mark.location);
        let mut call = Call::new("DescribeInstances")
            .filter(&format!("tag:{}", map::INFRASTRUCTURE), [&mark.infrastructure])
            .filter("instance-state-name", ["pending", "running", "stopping", "stopped", "shutting-down"]);
        if let Some(zone) = &mark.location.zone {
            call = call.filter("availability-zone", [zone]);
        }
        let found = self.instances(region, call).await?;
        let found = found.iter().filter_map(|instance| {
            Some(Found {
                uid: map::uid(&instance.tag_set)?,
                id: map::provider_id(region, &instance.instance_id),
                location: map::location(region, &mark.location, instance),
            })
        });
        Ok(found.collect())
    }

    async fn observe(&self, location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        let mut by_region: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (region, instance) in ids.iter().filter_map(map::instance_id) {
            by_region.entry(region).or_default().insert(instance);
        }
        if by_region.is_empty() && !ids.is_empty() {
            // None of them is an id of ours; whether the credentials are good is told all the same.
            by_region.entry(self.region(location)).or_default().insert("i-0");
        }
        let mut observations = Vec::new();
        for (region, instances) in by_region {
            let instances: Vec<_> = instances.into_iter().collect();
            for part in instances.chunks(MOST_VALUES) {
                // A filter, for an id that is unknown would let all of them fail.
                let call = Call::new("DescribeInstances").filter("instance-id", part);
                let found = self.instances(region, call).await?;
                let names = found.iter().map(|instance| instance.instance_type.as_str()).collect::<BTreeSet<_>>();
                let sizes = self.sizes.named(&self.api, region, names).await?;
                observations.extend(found.iter().map(|instance| {
                    map::observation(region, instance, sizes.get(&instance.instance_type), &self.private_networks)
                }));
            }
        }
        Ok(observations)
    }

    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        self.delete(vm).await
    }

    async fn delete_shared(&self, mark: &InfrastructureMark) -> Result<(), ConnectorError> {
        let region = self.region(&mark.location);
        // Machines in other zones of the region share them; they go with the last.
        if network::is_used(&self.api, region, mark).await? {
            return Ok(());
        }
        groups::delete(&self.api, region, &mark.infrastructure).await?;
        network::delete(&self.api, region, &mark.infrastructure).await
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        self.switch(vm, operation).await
    }

    async fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        self.change(vm, resize).await
    }

    async fn snapshot(&self, vm: &VmMark, image: &ImageIntent) -> Result<String, ConnectorError> {
        self.capture(vm, image).await
    }

    async fn discard_snapshot(&self, image: &ImageIntent) -> Result<(), ConnectorError> {
        self.discard(image).await
    }

    async fn delete_image(&self, url: &str, _location: &Location) -> Result<(), ConnectorError> {
        self.delete_url(url).await
    }

    async fn images(&self, filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        self.list_images(filters).await
    }

    async fn quotas(&self, region: Option<&str>) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        self.limits(region.unwrap_or_else(|| self.api.default_region())).await
    }
}
