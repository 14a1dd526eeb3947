//! A machine of a document as a container, and back: pure functions.

use super::{
    boot,
    client::Container,
    image::Reference,
    labels::{self, INFRASTRUCTURE, NETWORKS},
};
use crate::{
    Address, CloudAccount, ConnectorError, DiskSource, ErrorClass, MappedPort, NewDisk, Observation, PowerState,
    ProviderId, Resize, VmIntent,
    candidate::{self, IMAGE_URL},
};
use radl::{Features, Network, System, outports::Protocol};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, net::IpAddr};

/// Login user of containers that name none.
pub(super) const DEFAULT_USER: &str = "root";
/// What a key of [`NETWORKS`] is where the address is that of the engine's host.
const HOST: &str = "";

fn invalid(text: String) -> ConnectorError {
    ConnectorError::new(ErrorClass::Invalid, text)
}

/// One system per image that is a container's; a system without an image is none.
pub(super) fn candidates(system: &System, account: &CloudAccount) -> Result<Vec<System>, ConnectorError> {
    let features = &system.features;
    if !features.has(IMAGE_URL) {
        return Ok(Vec::new());
    }
    if features.text("disk.0.os.name").is_some_and(|name| !name.eq_ignore_ascii_case("linux")) {
        return Err(invalid("Containers run Linux, and disk.0.os.name is another system".to_owned()));
    }
    if features.has("instance_type") {
        return Err(invalid("Containers have no instance_type: ask for cpu.count and memory.size".to_owned()));
    }
    let mut systems = candidate::per_image(system, account, |url| Reference::of_url(url).is_some());
    for system in &mut systems {
        let wanted = |name: &str, unit: &str| features.number(name, unit).filter(|number| *number > 0.0);
        if let Some(cores) = wanted("cpu.count", "") {
            system.features.set_number("cpu.count", amount(cores), "");
        }
        if let Some(size) = wanted("memory.size", "M") {
            system.features.set_number("memory.size", amount(size), "M");
        }
        system.features.set_text("virtual_system_type", "docker");
        candidate::set_default_user(&mut system.features, DEFAULT_USER);
    }
    Ok(systems)
}

fn amount(number: f64) -> radl::Amount {
    if number.fract() == 0.0 && number.abs() < 9e15 { (number as i64).into() } else { number.into() }
}

/// A volume of a container.
#[derive(Debug, PartialEq)]
pub(super) struct Mount {
    /// Its name; a path of the engine's host where it is one.
    pub source: String,
    /// Where it is seen in the container.
    pub target: String,
    /// Driver that makes it.
    pub driver: Option<String>,
    /// Whether it exists and belongs to the user, so that it is never made.
    pub is_users: bool,
}

impl Mount {
    /// Whether it is a directory of the engine's host.
    pub fn is_bound(&self) -> bool {
        self.source.starts_with('/')
    }
}

/// The data disks of a machine, each a volume at its `mount_path`.
pub(super) fn mounts(intent: &VmIntent) -> Result<Vec<Mount>, ConnectorError> {
    let features = &intent.system.features;
    let mut mounts = Vec::new();
    for index in 1.. {
        let text = |name: &str| features.text(&format!("disk.{index}.{name}")).filter(|text| !text.is_empty());
        let disk = NewDisk::of(&intent.system, index);
        let (path, device) = (text("mount_path"), text("device"));
        if disk.is_none() && path.is_none() && device.is_none() {
            break;
        }
        let path = path.filter(|path| path.starts_with('/')).ok_or_else(|| {
            invalid(format!("disk.{index}.mount_path must be a path: a disk of a container is a volume mounted there"))
        })?;
        let source = disk.map(|disk| disk.source).unwrap_or_default();
        let (source, is_users) = match (&source, device) {
            (DiskSource::Volume(url), _) => (url.rsplit('/').next().unwrap_or_default().to_owned(), true),
            (DiskSource::Image(_), _) => {
                let text =
                    "containers have no disks of images. A volume that exists is docker://<engine>/volume/<name>";
                return Err(invalid(format!("disk.{index}.image.url: {text}")));
            }
            (DiskSource::Empty, Some(name)) => (name.to_owned(), false),
            (DiskSource::Empty, None) => (format!("{}-{index}", intent.uid), false),
        };
        let driver = text("fstype").map(str::to_owned);
        mounts.push(Mount { source, target: path.to_owned(), driver, is_users });
    }
    Ok(mounts)
}

/// What names of networks begin with that are made for infrastructures.
const OWN_NETWORKS: &str = "im_";

/// The name of the network that is made for one of an infrastructure's.
pub(super) fn network_name(infrastructure: &str, network: &Network) -> String {
    format!("{OWN_NETWORKS}{infrastructure}_{}", network.id)
}

/// The network of the user that a document names. The name of one that was made for an infrastructure comes from where it
/// was written back: the document of one infrastructure makes another, with networks of its own.
pub(super) fn users_network(network: &Network) -> Option<&str> {
    network.features.text("provider_id").filter(|name| !name.is_empty() && !name.starts_with(OWN_NETWORKS))
}

/// An interface of a container.
pub(super) struct Card<'a> {
    /// Name of the engine's network; none for the ports of the engine's host.
    pub network: Option<String>,
    /// Network of the document.
    pub of: &'a Network,
    ip: Option<String>,
}

/// The interfaces of a machine; a public network is the ports of the engine's host.
pub(super) fn cards(intent: &VmIntent) -> Result<Vec<Card<'_>>, ConnectorError> {
    let mut cards = Vec::new();
    for interface in intent.system.interfaces() {
        let id = interface.connection;
        let of = intent.networks.iter().find(|network| network.id == id);
        let of = of.ok_or_else(|| invalid(format!("net_interface.{}: no network '{id}'", interface.index)))?;
        let name = || users_network(of).map_or_else(|| network_name(&intent.infrastructure, of), str::to_owned);
        let network = (!of.is_public()).then(name);
        cards.push(Card { network, of, ip: interface.ip.filter(|_| !of.is_public()).map(str::to_owned) });
    }
    Ok(cards)
}

/// How a container stands in a network.
pub(super) fn attachment(intent: &VmIntent, card: &Card<'_>) -> Value {
    let host = intent.fqdn.split('.').next().unwrap_or_default();
    let mut attachment = json!({"Aliases": [host, intent.fqdn]});
    if let Some(ip) = &card.ip {
        attachment["IPAMConfig"] = json!({"IPv4Address": ip});
    }
    attachment
}

/// The ports that are bound on the engine's host: what `outports` say, and SSH at a port of the engine's choice unless they
/// have it. (Key of the API, port of the host.)
fn bindings(network: &Network) -> Result<BTreeMap<String, String>, ConnectorError> {
    let mut bindings = BTreeMap::new();
    for rule in network.outports() {
        if rule.range {
            for port in rule.remote..=rule.local {
                bindings.insert(format!("{port}/{}", rule.protocol.as_str()), port.to_string());
            }
        } else if rule.protocol != Protocol::Icmp {
            // Machines share the host's port 22, which is its own server's.
            let outside = if (rule.remote, rule.local) == (22, 22) { String::new() } else { rule.remote.to_string() };
            bindings.insert(format!("{}/{}", rule.local, rule.protocol.as_str()), outside);
        }
    }
    bindings.entry("22/tcp".to_owned()).or_default();
    Ok(bindings)
}

/// The limits of a container.
pub(super) fn limits(cores: Option<f64>, memory: Option<u64>) -> Map<String, Value> {
    let mut limits = Map::new();
    if let Some(cores) = cores {
        limits.insert("NanoCpus".to_owned(), json!((cores * 1e9) as u64));
    }
    if let Some(memory) = memory {
        limits.insert("Memory".to_owned(), json!(memory));
        // As much again of swap, as the engine has it by default; it is told, since an old value may be below the memory.
        limits.insert("MemorySwap".to_owned(), json!(memory.saturating_mul(2)));
    }
    limits
}

/// The new limits of a container.
///
/// # Errors
/// What is asked for that no container can be given later.
pub(super) fn resized(resize: &Resize) -> Result<Value, ConnectorError> {
    let refused = |what: &str| {
        Err(ConnectorError::new(ErrorClass::Unsupported, format!("{what} of a container cannot be changed")))
    };
    match resize {
        Resize { gpu_count: Some(_), .. } => refused("gpu.count"),
        Resize { instance_type: Some(_), .. } => refused("instance_type"),
        Resize { public_address: Some(_), .. } => refused("net_interface: the networks"),
        Resize { disks, .. } if !disks.is_empty() => refused("disk.N: the volumes"),
        Resize { cpu_count, memory, .. } => Ok(Value::Object(limits(*cpu_count, *memory))),
    }
}

/// The body that makes a container.
pub(super) fn body(intent: &VmIntent) -> Result<Value, ConnectorError> {
    let features = &intent.system.features;
    let url = features.text(IMAGE_URL).unwrap_or_default();
    let image = Reference::of_url(url).ok_or_else(|| invalid(format!("{IMAGE_URL}: '{url}' is no docker://image")))?;
    let cards = cards(intent)?;
    let (host, domain) = intent.fqdn.split_once('.').unwrap_or((&intent.fqdn, ""));
    let memory = features.number("memory.size", "").map(|bytes| bytes as u64).filter(|bytes| *bytes > 0);
    let mut host_config = limits(features.number("cpu.count", "").filter(|cores| *cores > 0.0), memory);
    let mounts: Vec<_> = mounts(intent)?.iter().map(mount).collect();
    host_config.insert("Mounts".to_owned(), json!(mounts));
    host_config.insert("RestartPolicy".to_owned(), json!({"Name": "unless-stopped"}));
    if features.text("docker.privileged").is_some_and(|text| matches!(text, "yes" | "true" | "1")) {
        host_config.insert("Privileged".to_owned(), json!(true));
    }
    if let Some(count) = features.number("gpu.count", "").filter(|count| *count > 0.0) {
        let request = json!({"Driver": "", "Count": count as u64, "Capabilities": [["gpu"]]});
        host_config.insert("DeviceRequests".to_owned(), json!([request]));
    }
    let mut exposed = BTreeMap::from([("22/tcp".to_owned(), json!({}))]);
    let mut bound = Map::new();
    for card in cards.iter().filter(|card| card.network.is_none()) {
        for (port, outside) in bindings(card.of)? {
            exposed.insert(port.clone(), json!({}));
            bound.insert(port, json!([{"HostPort": outside}]));
        }
    }
    host_config.insert("PortBindings".to_owned(), Value::Object(bound));
    // The first network is given at the creation, the others are connected to.
    let first = cards.iter().find(|card| card.network.is_some());
    let has_public = cards.iter().any(|card| card.network.is_none());
    let mut networking = Map::new();
    if let (Some(card), false) = (first, has_public) {
        let name = card.network.clone().unwrap_or_default();
        host_config.insert("NetworkMode".to_owned(), json!(name));
        networking.insert(name, attachment(intent, card));
    }
    let names = cards.iter().map(|card| (card.network.clone().unwrap_or_default(), card.of.id.clone()));
    let names: BTreeMap<String, String> = names.collect();
    let mut labels = labels::of_machine(&intent.infrastructure, &intent.uid);
    labels.extend(intent.tags.iter().cloned());
    labels.insert(NETWORKS.to_owned(), json!(names).to_string());
    let command = json!(["-c", boot::SCRIPT]);
    let mut body = json!({
        "Hostname": host, "Domainname": domain, "Image": image.text(), "User": "0", "Labels": labels,
        "Entrypoint": ["/bin/sh"], "Cmd": command, "ExposedPorts": exposed, "StopSignal": "SIGTERM",
        "HostConfig": host_config,
    });
    if !networking.is_empty() {
        body["NetworkingConfig"] = json!({"EndpointsConfig": networking});
    }
    Ok(body)
}

fn mount(mount: &Mount) -> Value {
    let kind = if mount.is_bound() { "bind" } else { "volume" };
    json!({"Type": kind, "Source": mount.source, "Target": mount.target, "ReadOnly": false})
}

/// What the engine says of a container; `host` is the address of its own ports.
pub(super) fn observation(container: Container, host: Option<IpAddr>) -> Observation {
    let Container { id, state, config, host_config, network_settings } = container;
    let power = match state.status.as_str() {
        "created" | "restarting" => PowerState::Pending,
        "running" => PowerState::Running,
        "exited" | "paused" => PowerState::Stopped,
        "removing" => PowerState::Off,
        _ => PowerState::Failed,
    };
    let infrastructure = labels::value(&config.labels, INFRASTRUCTURE).map(str::to_owned);
    let labels = config.labels.unwrap_or_default();
    let names: BTreeMap<String, String> =
        labels.get(NETWORKS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut features = Features::new();
    features.set_text("instance_id", &id);
    if host_config.nano_cpus > 0 {
        features.set_number("cpu.count", amount(host_config.nano_cpus as f64 / 1e9), "");
    }
    if host_config.memory > 0 {
        features.set_number("memory.size", amount(host_config.memory as f64 / 1e6), "M");
    }
    let mut addresses = Vec::new();
    if let (Some(network), Some(ip), PowerState::Running) = (names.get(HOST), host, power) {
        addresses.push(Address { ip, public: true, network: Some(network.clone()) });
    }
    for (name, attachment) in network_settings.networks.unwrap_or_default() {
        // The engine's own bridge is no network of the document.
        let Some(network) = names.get(&name) else { continue };
        for address in [&attachment.address, &attachment.address_v6] {
            if let Ok(ip) = address.parse() {
                addresses.push(Address { ip, public: false, network: Some(network.clone()) });
            }
        }
    }
    let ports = network_settings.ports.unwrap_or_default();
    let outside = |bindings: &Option<Vec<super::client::Binding>>| bindings.as_ref()?.first()?.host_port.parse().ok();
    let ports = ports.iter().filter_map(|(port, bindings)| {
        Some(MappedPort { outside: outside(bindings)?, inside: port.strip_suffix("/tcp")?.parse().ok()? })
    });
    Observation {
        state: power,
        addresses,
        ports: ports.collect(),
        features,
        fault: Some(state.error).filter(|error| !error.is_empty() && power == PowerState::Failed),
        infrastructure,
        missing: Vec::new(),
        id: ProviderId(id),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Location, VmUid};
    use radl::Radl;

    /// The machine of a document, as the engine is to make it.
    fn intent(networks: &str, features: &str) -> VmIntent {
        let text = format!("{networks}\nsystem node (disk.0.image.url = 'docker://reg.example:5000/a/b:1' {features})");
        let document = Radl::parse(&text).unwrap();
        let system = document.systems.into_iter().next().unwrap();
        VmIntent {
            infrastructure: "inf".to_owned(),
            uid: VmUid("uid".to_owned()),
            number: 3,
            fqdn: "node-3.example.org".to_owned(),
            location: Location::default(),
            requested: system.clone(),
            system,
            networks: document.networks,
            tags: vec![("owner".to_owned(), "me".to_owned())],
            user_data: Default::default(),
        }
    }

    #[test]
    fn a_container_has_all_that_its_machine_is_to_have() {
        let intent = intent(
            "network open (outbound = 'yes' and outports = '8080-80/tcp,7000:7002/udp,22-22/tcp,9/icmp')\n\
             network inside (cidr = '10.7.0.0/24')\nnetwork users (provider_id = 'theirs')",
            "and cpu.count = 1.5 and memory.size = 512M and gpu.count = 2 and docker.privileged = 'yes' and \
             net_interface.0.connection = 'open' and net_interface.1.connection = 'inside' and \
             net_interface.1.ip = '10.7.0.9' and net_interface.2.connection = 'users' and \
             disk.1.mount_path = '/data' and disk.1.fstype = 'local' and \
             disk.2.mount_path = '/host' and disk.2.device = '/srv/x' and \
             disk.3.mount_path = '/kept' and disk.3.image.url = 'docker://engine/volume/kept'",
        );
        let mut body = body(&intent).unwrap();
        assert_eq!(body["Cmd"].take(), json!(["-c", boot::SCRIPT]));
        let bound = |source: &str, target: &str, kind: &str| json!({"Type": kind, "Source": source, "Target": target, "ReadOnly": false});
        assert_eq!(
            body,
            json!({
                "Hostname": "node-3", "Domainname": "example.org", "Image": "reg.example:5000/a/b:1", "User": "0",
                "Labels": {
                    "im.infra": "inf", "im.vm": "uid", "owner": "me",
                    "im.networks": r#"{"":"open","im_inf_inside":"inside","theirs":"users"}"#,
                },
                "Entrypoint": ["/bin/sh"], "Cmd": null, "StopSignal": "SIGTERM",
                "ExposedPorts": {"22/tcp": {}, "80/tcp": {}, "7000/udp": {}, "7001/udp": {}, "7002/udp": {}},
                "HostConfig": {
                    "NanoCpus": 1_500_000_000, "Memory": 512_000_000, "MemorySwap": 1_024_000_000,
                    "Mounts": [
                        bound("uid-1", "/data", "volume"), bound("/srv/x", "/host", "bind"), bound("kept", "/kept", "volume"),
                    ],
                    "RestartPolicy": {"Name": "unless-stopped"}, "Privileged": true,
                    "DeviceRequests": [{"Driver": "", "Count": 2, "Capabilities": [["gpu"]]}],
                    // SSH at a port of the engine's choice: the host's own server has 22.
                    "PortBindings": {
                        "22/tcp": [{"HostPort": ""}], "80/tcp": [{"HostPort": "8080"}], "7000/udp": [{"HostPort": "7000"}],
                        "7001/udp": [{"HostPort": "7001"}], "7002/udp": [{"HostPort": "7002"}],
                    },
                },
            })
        );
        let inside = &cards(&intent).unwrap()[1];
        let stands = json!({"Aliases": ["node-3", "node-3.example.org"], "IPAMConfig": {"IPv4Address": "10.7.0.9"}});
        assert_eq!(attachment(&intent, inside), stands);
    }

    #[test]
    fn a_private_container_is_in_its_first_network_alone() {
        let intent = intent("network inside ()", "and net_interface.0.connection = 'inside'");
        let body = body(&intent).unwrap();
        assert_eq!(body["HostConfig"]["NetworkMode"], "im_inf_inside");
        assert_eq!(body["HostConfig"]["PortBindings"], json!({}));
        assert_eq!(body["HostConfig"].get("Memory"), None, "no limit that nobody asked for");
        let host = json!({"EndpointsConfig": {"im_inf_inside": {"Aliases": ["node-3", "node-3.example.org"]}}});
        assert_eq!(body["NetworkingConfig"], host);
    }

    #[test]
    fn what_no_container_has_is_refused_by_its_name() {
        for (features, named) in [
            ("and disk.1.size = 1G", "disk.1.mount_path"),
            ("and disk.1.mount_path = '/x' and disk.1.image.url = 'one://s/1'", "disk.1.image.url"),
            ("and net_interface.0.connection = 'nowhere'", "net_interface.0"),
        ] {
            let mut intent = intent("network nowhere ()", features);
            intent.networks.clear();
            let error = body(&intent).unwrap_err();
            assert!(error.class == ErrorClass::Invalid && error.message.contains(named), "{error}");
        }
    }

    #[test]
    fn observations_tell_ports_and_addresses() {
        let told = |status: &str, error: &str| {
            let container = json!({
                "Id": "abc", "State": {"Status": status, "Error": error},
                "Config": {"Labels": {"im.infra": "inf", "im.networks": r#"{"":"open","im_inf_inside":"inside"}"#}},
                "HostConfig": {"NanoCpus": 1_500_000_000, "Memory": 512_000_000},
                "NetworkSettings": {
                    "Ports": {
                        "22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}, {"HostIp": "::", "HostPort": "32769"}],
                        "80/tcp": null, "53/udp": [{"HostIp": "", "HostPort": "53"}],
                    },
                    "Networks": {
                        "bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""},
                        "im_inf_inside": {"IPAddress": "10.7.0.9", "GlobalIPv6Address": "fd00::9"},
                    },
                },
            });
            observation(serde_json::from_value(container).unwrap(), Some("192.0.2.1".parse().unwrap()))
        };
        let seen = told("running", "");
        let address = |ip: &str, public: bool, network: &str| Address {
            ip: ip.parse().unwrap(),
            public,
            network: Some(network.to_owned()),
        };
        let inside = |ip: &str| address(ip, false, "inside");
        assert_eq!(seen.addresses, [address("192.0.2.1", true, "open"), inside("10.7.0.9"), inside("fd00::9")]);
        assert_eq!(seen.ports, [MappedPort { outside: 32768, inside: 22 }]);
        assert_eq!((seen.state, seen.fault), (PowerState::Running, None));
        assert_eq!(seen.infrastructure.as_deref(), Some("inf"));
        assert_eq!(seen.features.number("memory.size", "M"), Some(512.0));
        for (status, state) in [
            ("created", PowerState::Pending),
            ("restarting", PowerState::Pending),
            ("exited", PowerState::Stopped),
            ("paused", PowerState::Stopped),
            ("removing", PowerState::Off),
        ] {
            assert_eq!(told(status, "").state, state, "{status}");
        }
        let dead = told("dead", "no such device");
        assert_eq!((dead.state, dead.fault.as_deref()), (PowerState::Failed, Some("no such device")));
    }
}
