//! What of a document is no error and probably a slip all the same.

use crate::features::{Constraint, Features, Value};
use crate::model::Radl;
use crate::units;
use crate::units::Amount;

/// How many warnings are told of a document.
pub const MAX_WARNINGS: usize = 10;

/// Bytes below which nothing that has a size is of any use.
const SMALLEST: i64 = 1_000_000;

impl Radl {
    /// What is probably meant otherwise, in sentences: amounts whose unit means nothing, which count as they stand, and
    /// memories and disks of a few bytes, which lack their unit. [`MAX_WARNINGS`] at most. They name no value.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let hosts = self.ansible_hosts.iter().map(|host| ("ansible", &host.id, &host.features));
        let networks = self.networks.iter().map(|network| ("network", &network.id, &network.features));
        let systems = self.systems.iter().map(|system| ("system", &system.name, &system.features));
        let mut found = Vec::new();
        for (class, id, features) in hosts.chain(networks).chain(systems) {
            look_at(features, &format!("{class} {id}"), &mut found);
            if found.len() >= MAX_WARNINGS {
                found.truncate(MAX_WARNINGS);
                break;
            }
        }
        found
    }
}

fn look_at(features: &Features, place: &str, found: &mut Vec<String>) {
    for (name, value) in features.iter() {
        match value {
            Value::Number { lower, upper } => {
                let warning = lower.iter().chain(upper).find_map(|bound| of_bound(name, bound, place));
                found.extend(warning);
            }
            Value::Contains(groups) => groups.values().for_each(|group| look_at(group, place, found)),
            _ => {}
        }
    }
    features.softs().iter().for_each(|group| look_at(&group.features, place, found));
}

fn of_bound(name: &str, bound: &Constraint, place: &str) -> Option<String> {
    let unit = bound.unit.as_deref().unwrap_or("");
    if units::factor(unit).is_none() {
        return Some(format!("{place}: the unit of {name} means nothing: the number counts as it stands"));
    }
    let is_small = is_size(name)
        && units::compare(bound.amount, unit, Amount::Integer(0), "").is_gt()
        && units::compare(bound.amount, unit, Amount::Integer(SMALLEST), "").is_lt();
    is_small.then(|| format!("{place}: {name} is less than a megabyte: without a unit (M, G, ...) it counts bytes"))
}

/// Whether a feature is an amount of bytes.
fn is_size(name: &str) -> bool {
    let of_disk = |suffix: &str| matches!(suffix.split_once('.'), Some((_, "size" | "free_size")));
    matches!(name, "memory.size" | "disks.free_size") || name.strip_prefix("disk.").is_some_and(of_disk)
}
