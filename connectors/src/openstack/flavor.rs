//! Which flavor a system gets.

use super::nova::Flavor;
use crate::candidate::{self, Size};
use radl::{Features, System};

const MEBIBYTE: u64 = 1 << 20;
const GIBIBYTE: u64 = 1 << 30;
/// GiB that a root disk needs where nobody says how many: it skips flavors without one.
const USUAL_DISK: u64 = 5;

/// What an image asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Minimum {
    /// GiB.
    pub disk: u64,
    /// MiB.
    pub ram: u64,
}

/// The size that a flavor is.
pub(super) fn size(flavor: &Flavor) -> Size {
    Size {
        name: flavor.name.clone(),
        cores: flavor.vcpus,
        memory: flavor.ram * MEBIBYTE,
        gpus: gpus(flavor),
        disk: Some(flavor.disk * GIBIBYTE),
        price: None,
    }
}

fn spec<'a>(flavor: &'a Flavor, name: &str) -> Option<&'a str> {
    flavor.extra_specs.as_ref()?.get(name).map(String::as_str)
}

fn specs<'a>(flavor: &'a Flavor, part: &'a str) -> impl Iterator<Item = &'a str> {
    let specs = flavor.extra_specs.iter().flatten();
    let named = specs.filter(move |(name, _)| name.to_ascii_lowercase().contains(part));
    named
        .map(|(_, value)| value.as_str())
        .filter(|value| !["false", "no", "0"].iter().any(|no| value.eq_ignore_ascii_case(no)))
}

/// Devices that are passed through: `name:count,...`, one where no count is told.
fn devices(flavor: &Flavor) -> impl Iterator<Item = (&str, u32)> {
    let alias = spec(flavor, "pci_passthrough:alias").unwrap_or_default();
    alias.split(',').filter(|item| !item.trim().is_empty()).map(|item| match item.split_once(':') {
        Some((name, count)) => (name.trim(), count.trim().parse().unwrap_or(1)),
        None => (item.trim(), 1),
    })
}

/// Graphics processors of a flavor.
fn gpus(flavor: &Flavor) -> u32 {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    if spec(flavor, "Accelerator:Type").is_some_and(|kind| kind.eq_ignore_ascii_case("GPU")) {
        return number(spec(flavor, "Accelerator:Number")).unwrap_or(1);
    }
    let passed: u32 =
        devices(flavor).filter(|(name, _)| name.to_ascii_lowercase().contains("gpu")).map(|(_, n)| n).sum();
    let virtual_ones = number(spec(flavor, "resources:VGPU")).unwrap_or(0);
    let named = specs(flavor, "gpu").filter_map(|value| value.parse::<u32>().ok()).max();
    let any = u32::from(specs(flavor, "gpu").next().is_some());
    passed.max(virtual_ones).max(named.unwrap_or(0)).max(any)
}

/// Whether a flavor has what is more than a size: kinds of accelerators, enclaves.
fn has_extras(flavor: &Flavor, features: &Features) -> bool {
    let is_named = |feature: &str, name: &str| {
        let (Some(wanted), Some(is)) = (features.text(feature), spec(flavor, name)) else { return true };
        is.eq_ignore_ascii_case(wanted)
    };
    let wants_enclave = features.text("cpu.sgx").is_some_and(|wanted| wanted.eq_ignore_ascii_case("yes"));
    let has_enclave = || specs(flavor, "sgx").next().is_some();
    let enclave = features.number("cpu.sgx.epc_size", "M").unwrap_or(0.0);
    let has_enclave_size = || specs(flavor, "epc").any(|size| size.parse::<f64>().is_ok_and(|size| size >= enclave));
    is_named("gpu.vendor", "Accelerator:Vendor")
        && is_named("gpu.model", "Accelerator:Model")
        && (!wants_enclave || has_enclave() && (enclave <= 0.0 || has_enclave_size()))
}

/// The flavor that is all that the system and its image ask for: the one with the fewest devices, then the smallest.
pub(super) fn choose<'a>(flavors: &'a [Flavor], system: &System, minimum: Minimum) -> Option<&'a Flavor> {
    let features = &system.features;
    let has_own_disk = features.has("disk.0.size");
    let disk = match (has_own_disk, features.has("disks.free_size")) {
        (true, _) => 0,
        (false, true) => minimum.disk,
        (false, false) => minimum.disk.max(USUAL_DISK),
    };
    let fits = |flavor: &&Flavor| {
        let mut offered = size(flavor);
        // The root disk is a volume of its own size.
        offered.disk = offered.disk.filter(|_| !has_own_disk);
        !flavor.disabled
            && flavor.disk >= disk
            && flavor.ram >= minimum.ram
            && has_extras(flavor, features)
            && candidate::smallest([&offered], system).is_some()
    };
    let order = |flavor: &&Flavor| {
        let passed: u32 = devices(flavor).map(|(_, count)| count).sum();
        (passed.max(gpus(flavor)), flavor.vcpus, flavor.ram, flavor.disk, flavor.name.clone())
    };
    flavors.iter().filter(fits).min_by_key(order)
}

/// Writes the flavor into a concrete system.
pub(super) fn write(flavor: &Flavor, features: &mut Features) {
    size(flavor).write(features);
    let disk = if flavor.ephemeral > 0 { flavor.ephemeral } else { flavor.disk };
    features.set_number("disk.0.free_size", i64::try_from(disk).unwrap_or(i64::MAX), "G");
    for (feature, name) in [("gpu.vendor", "Accelerator:Vendor"), ("gpu.model", "Accelerator:Model")] {
        if let Some(value) = spec(flavor, name) {
            features.set_text(feature, value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use radl::Radl;

    fn flavor(name: &str, vcpus: u32, ram: u64, disk: u64, specs: &[(&str, &str)]) -> Flavor {
        let specs = specs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Flavor { id: name.into(), name: name.into(), vcpus, ram, disk, extra_specs: Some(specs), ..Flavor::default() }
    }

    #[test]
    fn the_smallest_flavor_that_is_enough_is_chosen() {
        let flavors = [
            flavor("g.small", 1, 2048, 10, &[("pci_passthrough:alias", "GPU:2,FPGA:1")]),
            flavor("tiny", 1, 512, 0, &[]),
            flavor("small", 1, 2048, 10, &[]),
            flavor("big", 4, 8192, 40, &[]),
            flavor(
                "v100",
                8,
                8192,
                40,
                &[
                    ("Accelerator:Type", "GPU"),
                    ("Accelerator:Number", "1"),
                    ("Accelerator:Vendor", "NVIDIA"),
                    ("Accelerator:Model", "Tesla V100"),
                ],
            ),
            flavor("enclave", 2, 4096, 20, &[("trait:HW_CPU_X86_SGX", "required"), ("resources:SGX_EPC_MB", "64")]),
            Flavor { disabled: true, ..flavor("off", 1, 1024, 10, &[]) },
        ];
        for (asked, name) in [
            ("cpu.count >= 1", Some("small")),
            ("cpu.count >= 1 and disk.0.size = 20G", Some("tiny")),
            ("instance_type = 'g.*'", Some("g.small")),
            ("gpu.count >= 2", Some("g.small")),
            ("gpu.count >= 1 and gpu.vendor = 'nvidia' and gpu.model = 'tesla v100' and cpu.count >= 5", Some("v100")),
            ("gpu.count >= 3", None),
            ("cpu.sgx = 'yes'", Some("enclave")),
            ("cpu.sgx = 'yes' and cpu.sgx.epc_size >= 128M", None),
            ("disks.free_size >= 30G", Some("big")),
            ("cpu.count >= 64", None),
        ] {
            let system = Radl::parse(&format!("system node ({asked})")).unwrap().systems.remove(0);
            let found = choose(&flavors, &system, Minimum::default()).map(|flavor| flavor.name.as_str());
            assert_eq!(found, name, "{asked}");
        }
        let system = Radl::parse("system node (cpu.count >= 1)").unwrap().systems.remove(0);
        let found = choose(&flavors, &system, Minimum { disk: 30, ram: 0 }).map(|flavor| flavor.name.as_str());
        assert_eq!(found, Some("big"), "an image needs its disk");
    }
}
