//! Names: of machines, and of files and groups made from ids that a tenant chose (docs/spec/contextualization.md 1.12, 5.4).

use crate::contract::{Settings, VmFacts};
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
    fn of(template: &str, vm: u32, default_domain: &str) -> Self {
        let name = template.replace("#N#", &vm.to_string());
        let (host, domain) = name.split_once('.').unwrap_or((&name, default_domain));
        let domain = if domain.is_empty() { default_domain } else { domain };
        Self { host: host.to_owned(), domain: domain.to_owned() }
    }
}

/// The name requested for interface `index`, none when there is no request.
#[must_use]
pub fn requested(vm: &VmFacts, index: usize, settings: &Settings) -> Option<Fqdn> {
    let features = &vm.info.systems.first()?.features;
    let new_form = features.text(&format!("net_interface.{index}.dns.0.name"));
    let template = new_form.or_else(|| features.text(&format!("net_interface.{index}.dns_name")))?;
    (!template.is_empty()).then(|| Fqdn::of(template, vm.id, &settings.default_domain))
}

/// The machine's name: requested for its first interface, or made from DEFAULT_VM_NAME.
#[must_use]
pub fn of_vm(vm: &VmFacts, settings: &Settings) -> Fqdn {
    requested(vm, 0, settings).unwrap_or_else(|| Fqdn::of(&settings.default_vm_name, vm.id, &settings.default_domain))
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
        let digest = openssl::sha::sha256(id.as_bytes());
        let short: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        name = format!("{}%{short}", name.chars().take(100).collect::<String>());
    }
    name
}
