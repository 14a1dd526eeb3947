//! Instance types: what a region offers, which of them a system gets, and in which zones it is to be had.

use super::{
    client::Api,
    replies::{InstanceType, InstanceTypes, Offering, Offerings, SpotPrice, SpotPrices},
    request::Call,
};
use crate::{ConnectorError, candidate};
use radl::{Features, System};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long what a region offers is believed to stay as it is.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How many names are asked for at once.
const MOST_NAMES: usize = 100;
/// `cpu.arch` where a document has none.
const DEFAULT_ARCHITECTURE: &str = "x86_64";

/// Region and name of a type.
type Place = (String, String);

/// What regions offer, as far as it was asked for.
#[derive(Default)]
pub(super) struct Sizes {
    /// The current generation of a region.
    types: Mutex<HashMap<String, Kept<Arc<[InstanceType]>>>>,
    /// Types by name, of whatever generation.
    named: Mutex<HashMap<Place, InstanceType>>,
    /// Zones with a type of a region.
    zones: Mutex<HashMap<Place, Kept<Vec<String>>>>,
}

struct Kept<T> {
    value: T,
    since: Instant,
}

/// What is kept and not too old.
fn fresh<K: std::hash::Hash + Eq, T: Clone>(known: &Mutex<HashMap<K, Kept<T>>>, key: &K) -> Option<T> {
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(key).filter(|kept| kept.since.elapsed() < LIFETIME).map(|kept| kept.value.clone())
}

fn keep<K: std::hash::Hash + Eq, T>(known: &Mutex<HashMap<K, Kept<T>>>, key: K, value: T) {
    known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Kept { value, since: Instant::now() });
}

impl Sizes {
    /// The types of the current generation.
    pub(super) async fn current(&self, api: &Api, region: &str) -> Result<Arc<[InstanceType]>, ConnectorError> {
        let region = region.to_owned();
        if let Some(known) = fresh(&self.types, &region) {
            return Ok(known);
        }
        let call =
            Call::new("DescribeInstanceTypes").filter("current-generation", ["true"]).filter("bare-metal", ["false"]);
        let found: Arc<[_]> = api.list::<InstanceTypes>(&region, call).await?.into();
        keep(&self.types, region, Arc::clone(&found));
        Ok(found)
    }

    /// The types of these names that exist.
    pub(super) async fn named<'a>(
        &self,
        api: &Api,
        region: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<HashMap<String, InstanceType>, ConnectorError> {
        let mut found = HashMap::new();
        let mut unknown = Vec::new();
        {
            let known = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            for name in names {
                match known.get(&(region.to_owned(), name.to_owned())) {
                    Some(size) => drop(found.insert(name.to_owned(), size.clone())),
                    None if unknown.contains(&name) => {}
                    None => unknown.push(name),
                }
            }
        }
        for part in unknown.chunks(MOST_NAMES) {
            let call = Call::new("DescribeInstanceTypes").filter("instance-type", part);
            for size in api.list::<InstanceTypes>(region, call).await? {
                let key = (region.to_owned(), size.instance_type.clone());
                self.named.lock().unwrap_or_else(PoisonError::into_inner).insert(key, size.clone());
                found.insert(size.instance_type.clone(), size);
            }
        }
        Ok(found)
    }

    /// The types that a system may get: all current ones, and the one that it names.
    pub(super) async fn offered(
        &self,
        api: &Api,
        region: &str,
        system: &System,
    ) -> Result<Vec<InstanceType>, ConnectorError> {
        match system.features.text("instance_type") {
            Some(name) if !name.contains('*') => Ok(self.named(api, region, [name]).await?.into_values().collect()),
            // Older generations are had by name or by a pattern for names.
            Some(pattern) => {
                let call = Call::new("DescribeInstanceTypes").filter("instance-type", [pattern]);
                api.list::<InstanceTypes>(region, call).await
            }
            None => Ok(self.current(api, region).await?.to_vec()),
        }
    }

    /// The zones that offer a type, by name.
    pub(super) async fn zones(&self, api: &Api, region: &str, name: &str) -> Result<Vec<String>, ConnectorError> {
        let key = (region.to_owned(), name.to_owned());
        if let Some(known) = fresh(&self.zones, &key) {
            return Ok(known);
        }
        let call = Call::new("DescribeInstanceTypeOfferings")
            .with("LocationType", "availability-zone")
            .filter("instance-type", [name]);
        let offered = api.list::<Offerings>(region, call).await?;
        let mut zones: Vec<String> = offered.into_iter().map(|Offering { location }| location).collect();
        zones.sort_unstable();
        zones.dedup();
        keep(&self.zones, key, zones.clone());
        Ok(zones)
    }

    /// The zones where a type is to be had on the spot market, the cheapest first, and what it costs there per hour.
    pub(super) async fn spot_prices(
        &self,
        api: &Api,
        region: &str,
        name: &str,
    ) -> Result<Vec<(String, f64)>, ConnectorError> {
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let call = Call::new("DescribeSpotPriceHistory")
            .list("InstanceType", [name])
            .list("ProductDescription", ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"])
            .with("StartTime", now);
        let history = api.list::<SpotPrices>(region, call).await?;
        Ok(cheapest_zones(&history))
    }
}

/// Zones by their last price, ties by name.
fn cheapest_zones(history: &[SpotPrice]) -> Vec<(String, f64)> {
    let mut zones: Vec<(String, f64)> = Vec::new();
    for SpotPrice { availability_zone, spot_price } in history {
        let Ok(price) = spot_price.parse::<f64>() else { continue };
        // The newest is told first.
        if zones.iter().all(|(zone, _)| zone != availability_zone) {
            zones.push((availability_zone.clone(), price));
        }
    }
    zones.sort_by(|one, other| one.1.total_cmp(&other.1).then_with(|| one.0.cmp(&other.0)));
    zones
}

/// The best of the types that are all that a system asks for.
pub(super) fn choose<'a>(types: &'a [InstanceType], system: &System) -> Option<&'a InstanceType> {
    let wanted = |name: &str| system.features.text(name).map(str::to_lowercase);
    let architecture = wanted("cpu.arch").unwrap_or_else(|| DEFAULT_ARCHITECTURE.to_owned());
    let architecture = if architecture == "aarch64" { "arm64".to_owned() } else { architecture };
    let (model, vendor) = (wanted("gpu.model"), wanted("gpu.vendor"));
    let fits = |size: &&InstanceType| {
        let has_gpu = |part: &Option<String>, of: fn(&super::replies::Gpu) -> &str| {
            let mut gpus = size.gpu_info.iter().flat_map(|info| info.gpus.iter());
            part.as_ref().is_none_or(|part| gpus.any(|gpu| of(gpu).to_lowercase().contains(part.as_str())))
        };
        size.processor_info.supported_architectures.contains(&architecture)
            && has_gpu(&model, |gpu| &gpu.name)
            && has_gpu(&vendor, |gpu| &gpu.manufacturer)
    };
    let sizes: Vec<_> = types.iter().filter(fits).map(size).collect();
    let name = &candidate::smallest(&sizes, system)?.name;
    types.iter().find(|size| size.instance_type == *name)
}

/// A type as all connectors choose by. What orders them is what they cost about.
fn size(of: &InstanceType) -> candidate::Size {
    candidate::Size {
        name: of.instance_type.clone(),
        cores: of.cpu.cores,
        memory: of.memory_info.mebibytes << 20,
        gpus: gpus(of),
        disk: of.instance_storage_info.as_ref().map(|storage| storage.gigabytes * 1_000_000_000),
        price: Some(cost(of)),
    }
}

fn gpus(of: &InstanceType) -> u32 {
    of.gpu_info.iter().flat_map(|info| info.gpus.iter()).map(|gpu| gpu.count).sum()
}

/// What a type costs per hour, about, to choose the cheaper one: the API does not tell prices. The list prices of EC2 are
/// proportional to the memory for the burstable families (`t`), and near a sum over cores and memory for all others;
/// processors of AMD (`a`) and Graviton (`g`) cost a tenth and a fifth less.
fn cost(of: &InstanceType) -> f64 {
    let family = of.instance_type.split('.').next().unwrap_or_default();
    let gibibytes = of.memory_info.mebibytes as f64 / 1024.0;
    let attributes = family.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let attributes = attributes.trim_start_matches(|c: char| c.is_ascii_digit());
    let discount = if attributes.starts_with('g') {
        0.8
    } else if attributes.starts_with('a') {
        0.9
    } else {
        1.0
    };
    let burstable = family.starts_with('t') && family[1..].starts_with(|c: char| c.is_ascii_digit());
    let base = if burstable {
        // The second generation is a tenth above the third.
        gibibytes * if family.starts_with("t2") { 0.0116 } else { 0.0104 }
    } else {
        f64::from(of.cpu.cores) * 0.033 + gibibytes * 0.00375
    };
    base * discount + f64::from(gpus(of)) * 0.5
}

/// Writes a type into a system.
pub(super) fn write(of: &InstanceType, features: &mut Features) {
    candidate::Size { price: None, ..size(of) }.write(features);
    if let Some(storage) = &of.instance_storage_info {
        features.set_number("disks.free_size", i64::try_from(storage.gigabytes).unwrap_or(i64::MAX), "G");
    }
    if let Some(gpu) = of.gpu_info.as_ref().and_then(|info| info.gpus.first()) {
        features.set_text("gpu.model", &gpu.name);
        features.set_text("gpu.vendor", &gpu.manufacturer);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ec2::replies::{CpuInfo, Gpu, GpuInfo, MemoryInfo, ProcessorInfo, Set};
    use radl::Radl;

    fn offer(name: &str, cores: u32, mebibytes: u64, architecture: &str) -> InstanceType {
        InstanceType {
            instance_type: name.to_owned(),
            cpu: CpuInfo { cores },
            memory_info: MemoryInfo { mebibytes },
            instance_storage_info: None,
            gpu_info: None,
            processor_info: ProcessorInfo { supported_architectures: Set { items: vec![architecture.to_owned()] } },
        }
    }

    #[test]
    fn the_cheapest_that_is_enough_is_chosen() {
        let mut gpu = offer("g4dn.xlarge", 4, 16_384, "x86_64");
        let t4 = Gpu { name: "T4".to_owned(), manufacturer: "NVIDIA".to_owned(), count: 1 };
        gpu.gpu_info = Some(GpuInfo { gpus: Set { items: vec![t4] } });
        let types = [
            gpu,
            offer("m5.large", 2, 8192, "x86_64"),
            offer("t2.nano", 1, 512, "x86_64"),
            offer("t3.nano", 2, 512, "x86_64"),
            offer("t3a.nano", 2, 512, "x86_64"),
            offer("t3a.small", 2, 2048, "x86_64"),
            offer("t3.small", 2, 2048, "x86_64"),
            offer("t4g.nano", 2, 512, "arm64"),
            offer("m6g.medium", 1, 4096, "arm64"),
        ];
        for (asked, name) in [
            ("cpu.count >= 1 and memory.size >= 512M", Some("t3a.nano")),
            ("instance_type = 't2.*'", Some("t2.nano")),
            ("cpu.count >= 2 and memory.size >= 2048M", Some("t3a.small")),
            ("cpu.count >= 1 and cpu.arch = 'aarch64'", Some("t4g.nano")),
            ("gpu.count >= 1", Some("g4dn.xlarge")),
            ("gpu.count >= 1 and gpu.vendor = 'nvidia' and gpu.model = 't4'", Some("g4dn.xlarge")),
            ("gpu.count >= 1 and gpu.vendor = 'AMD'", None),
            ("cpu.count >= 64", None),
        ] {
            let system = Radl::parse(&format!("system node ({asked})")).unwrap().systems.remove(0);
            assert_eq!(choose(&types, &system).map(|size| size.instance_type.as_str()), name, "{asked}");
        }
    }

    #[test]
    fn zones_are_ordered_by_their_last_price() {
        let price = |zone: &str, price: &str| SpotPrice { availability_zone: zone.into(), spot_price: price.into() };
        let history = [price("b", "0.2"), price("a", "0.3"), price("b", "0.1"), price("c", "0.2"), price("d", "?")];
        let zones = cheapest_zones(&history);
        assert_eq!(zones, [("b".to_owned(), 0.2), ("c".to_owned(), 0.2), ("a".to_owned(), 0.3)]);
    }
}
