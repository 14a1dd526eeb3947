//! RADL to the tiny cloud's API and back: pure functions.

use super::client::{Machine, Order, Size};
use connectors::{
    Address, CloudAccount, ConnectorError, ErrorClass, Guest, Observation, PowerState, ProviderId, VmIntent, VmUid,
    candidate,
};
use radl::{Features, System};

const DEFAULT_USER: &str = "cloudadm";

/// The image of a URL, where it is one of this cloud: `example://<server>/<image>`.
fn image<'a>(url: &'a str, server: &str) -> Option<&'a str> {
    url.strip_prefix("example://")?.strip_prefix(server)?.strip_prefix('/')
}

pub fn image_url(id: &str, server: &str) -> String {
    format!("example://{server}/{id}")
}

/// One system for each image of this cloud, with the smallest size that is enough; none where no size is.
pub fn candidates(system: &System, account: &CloudAccount, sizes: &[Size]) -> Vec<System> {
    let offered = |size: &Size| candidate::Size {
        name: size.name.clone(),
        cores: size.cores,
        memory: size.mebibytes << 20,
        gpus: 0,
        disk: None,
        price: None,
    };
    let sizes: Vec<_> = sizes.iter().map(offered).collect();
    let Some(size) = candidate::smallest(&sizes, system) else { return Vec::new() };
    let mut systems = candidate::per_image(system, account, |url| image(url, &account.endpoint.server).is_some());
    for system in &mut systems {
        size.write(&mut system.features);
        candidate::set_default_user(&mut system.features, DEFAULT_USER);
    }
    systems
}

pub fn order(intent: &VmIntent, account: &CloudAccount) -> Result<Order, ConnectorError> {
    let features = &intent.system.features;
    let url = features.text(candidate::IMAGE_URL).unwrap_or_default();
    let lacking = |what: &str| ConnectorError::new(ErrorClass::Invalid, format!("{what} is none of this cloud"));
    Ok(Order {
        name: intent.uid.0.clone(),
        infrastructure: intent.infrastructure.clone(),
        image: image(url, &account.endpoint.server).ok_or_else(|| lacking(candidate::IMAGE_URL))?.to_owned(),
        size: features.text("instance_type").ok_or_else(|| lacking("instance_type"))?.to_owned(),
        user_data: intent.user_data.text(&Guest::of(intent, DEFAULT_USER))?,
    })
}

/// Our id of a machine: its name.
pub fn uid(machine: &Machine) -> VmUid {
    VmUid(machine.name.clone())
}

pub fn observation(machine: Machine) -> Result<Observation, ConnectorError> {
    let state = match (machine.state.as_str(), &machine.job) {
        (_, Some(_)) => PowerState::Off,
        ("building", _) => PowerState::Pending,
        ("on", _) => PowerState::Running,
        ("stopped", _) => PowerState::Stopped,
        _ => PowerState::Failed,
    };
    let no_address = |_| ConnectorError::new(ErrorClass::Transient, "The cloud tells an address that is none");
    let mut features = Features::new();
    features.set_text("instance_id", &machine.id);
    features.set_text("instance_type", &machine.size);
    Ok(Observation {
        state,
        addresses: vec![Address { ip: machine.address.parse().map_err(no_address)?, public: true, network: None }],
        features,
        fault: None,
        infrastructure: Some(machine.infrastructure),
        ports: Vec::new(),
        missing: Vec::new(),
        id: ProviderId(machine.id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_those_of_the_own_server() {
        assert_eq!(image("example://cloud/linux", "cloud"), Some("linux"));
        assert_eq!(image("example://other/linux", "cloud"), None);
        assert_eq!(image("one://cloud/linux", "cloud"), None);
    }
}
