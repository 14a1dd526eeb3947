//! The document as recipes see it: IM_INFRASTRUCTURE_RADL (docs/spec/contextualization.md 1.12).

use radl::{Features, Radl};

/// Networks, systems and deploys with `.` in keys replaced by `_`; secret features only when `expose_secrets`.
#[must_use]
pub fn infrastructure_radl(radl: &Radl, expose_secrets: bool) -> serde_json::Value {
    if expose_secrets {
        return radl.inventory_json();
    }
    let mut radl = radl.clone();
    radl.systems.iter_mut().for_each(|system| strip(&mut system.features));
    radl.networks.iter_mut().for_each(|network| strip(&mut network.features));
    radl.inventory_json()
}

/// Removes what nobody but the daemon needs to know (docs/spec/contextualization.md 5.4, SR9).
fn strip(features: &mut Features) {
    let secret = |name: &str| {
        let credential = name.contains("credentials.") && !name.ends_with(".username");
        credential || matches!(name, "vault.password" | "proxy_key" | "proxy_host")
    };
    features.retain(&|name| !secret(name));
}
