//! Names: of machines, and of files and groups made from ids that a tenant chose (docs/spec/contextualization.md 1.12, 5.4).

use crate::{
    contract::{Settings, VmFacts},
    digest::digest,
};
use radl::names::{Defaults, split};
use std::fmt::Write;

/// A host name with its domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fqdn {
    /// Up to the first dot.
    pub host: String,
    /// After it.
    pub domain: String,
}

impl std::fmt::Display for Fqdn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.host, self.domain)
    }
}

impl Fqdn {
    fn of((host, domain): (String, Option<String>), settings: &Settings) -> Self {
        let domain = domain.filter(|domain| !domain.is_empty()).unwrap_or_else(|| settings.default_domain.clone());
        Self { host, domain }
    }
}

/// The name requested for interface `index`, none when there is no request.
#[must_use]
pub fn requested(vm: &VmFacts, index: usize, settings: &Settings) -> Option<Fqdn> {
    let system = vm.info.systems.first()?;
    Some(Fqdn::of(system.requested_name(index, Some(vm.id.into()), Defaults::default())?, settings))
}

/// The machine's name: requested for its first interface, or made from DEFAULT_VM_NAME.
#[must_use]
pub fn of_vm(vm: &VmFacts, settings: &Settings) -> Fqdn {
    let default = || split(&settings.default_vm_name, Some(vm.id.into())).unwrap_or_default();
    requested(vm, 0, settings).unwrap_or_else(|| Fqdn::of(default(), settings))
}

/// An id as a file or group name: ids of `[A-Za-z0-9_.-]{1,128}` without leading `.` or `-` stay, all others are
/// written with percent escapes, so that different ids have different names.
#[must_use]
pub fn safe(id: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let mut name = String::new();
    for (i, c) in id.char_indices() {
        if fine(c) && !(i == 0 && (c == '.' || c == '-')) {
            name.push(c);
        } else {
            for byte in c.to_string().bytes() {
                // Writing to a String cannot fail.
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    if name.is_empty() {
        return "%".to_owned();
    }
    if name.len() > 128 {
        let short = digest(&[id.as_bytes()], 8);
        name = format!("{}%{short}", name.chars().take(100).collect::<String>());
    }
    name
}
