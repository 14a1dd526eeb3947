//! Concrete systems: what the system of a document becomes in one cloud (docs/spec/connectors.md, 2.2), and which of a
//! cloud's sizes it gets (2.12).

use crate::CloudAccount;
use radl::{Features, System};
use std::cmp::Ordering;

/// The feature with the URL of the image, or several to choose from.
pub const IMAGE_URL: &str = "disk.0.image.url";
/// The feature with the login user.
pub const USERNAME: &str = "disk.0.os.credentials.username";

const MEBIBYTE: u64 = 1 << 20;

/// One concrete system for each image URL that `is_ours`; for a system that names no image, the system alone. All say
/// which cloud they are for.
#[must_use]
pub fn per_image(system: &System, account: &CloudAccount, is_ours: impl Fn(&str) -> bool) -> Vec<System> {
    let concrete = |url: Option<&str>| {
        let mut system = system.clone();
        if let Some(url) = url {
            system.features.set_text(IMAGE_URL, url);
        }
        set_provider(&mut system.features, account);
        system
    };
    if !system.features.has(IMAGE_URL) {
        return vec![concrete(None)];
    }
    system.features.texts(IMAGE_URL).filter(|url| is_ours(url)).map(|url| concrete(Some(url))).collect()
}

/// Says which cloud a system is for: type, host and port, as far as the credential line has them.
fn set_provider(features: &mut Features, account: &CloudAccount) {
    features.set_text("provider.type", &account.kind);
    if !account.endpoint.server.is_empty() {
        features.set_text("provider.host", &account.endpoint.server);
    }
    if let Some(port) = account.endpoint.port {
        features.set_number("provider.port", i64::from(port), "");
    }
}

/// Sets the login user where the document names none.
pub fn set_default_user(features: &mut Features, user: &str) {
    if !features.has(USERNAME) {
        features.set_text(USERNAME, user);
    }
}

/// A size that a cloud offers (flavor, instance type, offering).
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Its name, for `instance_type`.
    pub name: String,
    /// Cores.
    pub cores: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Accelerators.
    pub gpus: u32,
    /// Root disk in bytes, where it comes with the size.
    pub disk: Option<u64>,
    /// What it costs per hour, where the cloud says.
    pub price: Option<f64>,
}

impl Size {
    /// Whether it is all that the system asks for.
    fn fits(&self, features: &Features) -> bool {
        let amount = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        // Clouds count in MiB what documents of the Python IM call M: `= 512M` and `= 512Mi` are both met by 512 MiB.
        let has_memory = features.admits("memory.size", amount(self.memory), "")
            || features.admits("memory.size", amount(self.memory / MEBIBYTE), "M");
        has_memory
            && features.admits("cpu.count", i64::from(self.cores), "")
            && features.admits("gpu.count", i64::from(self.gpus), "")
            && self.disk.is_none_or(|disk| features.admits("disks.free_size", amount(disk), ""))
            && features.text("instance_type").is_none_or(|pattern| is_named(&self.name, pattern))
    }

    /// The cheaper, then the smaller one first. Accelerators that nobody asked for are the last thing to take.
    fn order(&self, other: &Self) -> Ordering {
        let price = |size: &Self| size.price.unwrap_or(f64::INFINITY);
        let amounts = |size: &Self| (size.gpus, size.cores, size.memory, size.disk);
        price(self).total_cmp(&price(other)).then_with(|| amounts(self).cmp(&amounts(other)))
    }

    /// Writes it into a concrete system. Memory is told in MiB under the name M, as the Python IM does.
    pub fn write(&self, features: &mut Features) {
        features.set_text("instance_type", &self.name);
        features.set_number("cpu.count", i64::from(self.cores), "");
        features.set_number("memory.size", i64::try_from(self.memory / MEBIBYTE).unwrap_or(i64::MAX), "M");
        if self.gpus > 0 {
            features.set_number("gpu.count", i64::from(self.gpus), "");
        }
        if let Some(price) = self.price {
            features.set_number("price", price, "");
        }
    }
}

/// The smallest of the sizes that is all that the system asks for: cores, memory, accelerators, disk and name.
pub fn smallest<'a>(sizes: impl IntoIterator<Item = &'a Size>, system: &System) -> Option<&'a Size> {
    sizes.into_iter().filter(|size| size.fits(&system.features)).min_by(|one, other| one.order(other))
}

/// Whether a name is the pattern, or begins with what matches it where the pattern has a `*`.
fn is_named(name: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return name == pattern };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    rest.split('*').all(|part| {
        let found = left.find(part).map(|at| &left[at + part.len()..]);
        left = found.unwrap_or_default();
        found.is_some()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Endpoint;
    use radl::Radl;

    fn system(features: &str) -> System {
        Radl::parse(&format!("system node ({features})")).unwrap().systems.remove(0)
    }

    #[test]
    fn each_image_of_the_cloud_is_a_candidate_that_names_it() {
        let endpoint = Endpoint { server: "cloud.example".into(), port: Some(2633), ..Endpoint::default() };
        let account =
            CloudAccount { id: "one".into(), kind: "OpenNebula".into(), endpoint, fields: Default::default() };
        let wanted = system("disk.0.image.url = ['one://cloud.example/1', 'aws://r/ami', 'one://cloud.example/2']");
        let found = per_image(&wanted, &account, |url| url.starts_with("one://cloud.example/"));
        let urls: Vec<_> = found.iter().map(|system| system.features.text(IMAGE_URL).unwrap()).collect();
        assert_eq!(urls, ["one://cloud.example/1", "one://cloud.example/2"]);
        let features = &found[1].features;
        assert_eq!(features.text("provider.type"), Some("OpenNebula"));
        assert_eq!(features.text("provider.host"), Some("cloud.example"));
        assert_eq!(features.integer("provider.port", ""), Some(2633));
        assert_eq!(per_image(&system("cpu.count = 1"), &account, |_| false).len(), 1, "no image is named");
        assert!(per_image(&system("disk.0.image.url = 'aws://r/ami'"), &account, |_| false).is_empty());
    }

    fn size(name: &str, cores: u32, mebibytes: u64, gpus: u32, price: Option<f64>) -> Size {
        Size { name: name.into(), cores, memory: mebibytes * MEBIBYTE, gpus, disk: None, price }
    }

    #[test]
    fn the_smallest_size_that_is_enough_is_chosen() {
        let sizes = [
            size("large", 4, 8192, 0, None),
            size("gpu.small", 2, 2048, 1, None),
            size("small", 1, 512, 0, None),
            size("medium", 2, 4096, 0, None),
        ];
        for (asked, name) in [
            ("", Some("small")),
            ("cpu.count >= 2", Some("medium")),
            ("cpu.count >= 2 and memory.size >= 5G", Some("large")),
            ("memory.size = 512M", Some("small")),
            ("memory.size = 512Mi", Some("small")),
            ("memory.size >= 536M", Some("small")),
            ("memory.size >= 537M", Some("medium")),
            ("gpu.count >= 1", Some("gpu.small")),
            ("cpu.count > 4", None),
            ("cpu.count < 4 and cpu.count > 1", Some("medium")),
            ("instance_type = 'large'", Some("large")),
            ("instance_type = 'm*um'", Some("medium")),
            ("instance_type = '*.sm'", Some("gpu.small")),
            ("instance_type = 'small*x'", None),
            ("instance_type = 'edium*'", None),
        ] {
            let found = smallest(&sizes, &system(asked)).map(|size| size.name.as_str());
            assert_eq!(found, name, "{asked}");
        }
        let priced = [size("a", 1, 512, 0, Some(0.2)), size("b", 2, 1024, 0, Some(0.1)), size("c", 1, 512, 0, None)];
        assert_eq!(smallest(&priced, &system("")).map(|size| size.name.as_str()), Some("b"), "the cheapest");
    }

    #[test]
    fn a_size_is_written_as_the_document_counts() {
        let mut system = system("cpu.count >= 1 and memory.size >= 500M");
        size("small", 2, 512, 0, Some(0.5)).write(&mut system.features);
        let features = &system.features;
        assert_eq!((features.integer("cpu.count", ""), features.integer("memory.size", "M")), (Some(2), Some(512)));
        assert_eq!((features.text("instance_type"), features.number("price", "")), (Some("small"), Some(0.5)));
        assert!(smallest(&[size("small", 2, 512, 0, None)], &system).is_some(), "what was chosen is chosen again");
    }
}
