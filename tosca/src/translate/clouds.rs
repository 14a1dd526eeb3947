//! A private network lies in one cloud: systems of another one get their own (docs/spec/tosca.md 6.7).

use super::{Translator, networks};
use radl::Features;
use std::collections::{HashMap, HashSet};

/// Where an image comes from: scheme and host.
fn origin(features: &Features) -> Option<(String, String)> {
    let url = features.texts("disk.0.image.url").next()?;
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(h, _)| h);
    Some((scheme.to_owned(), host.to_owned()))
}

/// Which cloud a private network belongs to.
#[derive(Default)]
struct Owners {
    by_network: HashMap<String, (String, String)>,
    by_origin: HashMap<(String, String), String>,
}

impl Owners {
    fn set(&mut self, network: &str, origin: &(String, String)) {
        self.by_network.insert(network.to_owned(), origin.clone());
        self.by_origin.entry(origin.clone()).or_insert_with(|| network.to_owned());
    }
}

impl Translator<'_> {
    pub(super) fn split_private_networks(&mut self) {
        let mut owners = Owners::default();
        self.networks_of_machines(&mut owners);
        let deployed: HashSet<&str> = self.draft.deploys.iter().map(|deploy| deploy.system.as_str()).collect();
        let moving: Vec<(String, (String, String))> = self
            .draft
            .systems
            .iter()
            .filter(|(name, _)| deployed.contains(name.as_str()) || self.groups.contains_key(name.as_str()))
            .filter_map(|(name, features)| Some((name.clone(), origin(features)?)))
            .collect();
        for (system, origin) in moving {
            self.place(&system, &origin, &mut owners);
        }
    }

    /// What the last machine of every group lives in stays as it is; a network that an earlier translation made is there
    /// again.
    fn networks_of_machines(&mut self, owners: &mut Owners) {
        let names: Vec<String> = self.draft.systems.keys().cloned().collect();
        for name in names {
            let Some(machine) = self.groups.get(name.as_str()).and_then(|group| group.last()) else { continue };
            let Some(system) = machine.radl.systems.first() else { continue };
            let Some(origin) = origin(&system.features) else { continue };
            for connection in networks::connections(&system.features) {
                let known = machine.radl.network(connection);
                if known.is_none_or(|network| networks::is_public(&network.features)) {
                    continue;
                }
                if !self.draft.networks.contains_key(connection)
                    && connection.starts_with("private.")
                    && let Some(network) = known
                {
                    self.draft.networks.insert(connection.to_owned(), network.features.clone());
                }
                if !owners.by_network.contains_key(connection) {
                    owners.set(connection, &origin);
                }
            }
        }
    }

    fn place(&mut self, system: &str, origin: &(String, String), owners: &mut Owners) {
        let Some(features) = self.draft.systems.get(system) else { return };
        let connections: Vec<String> = networks::connections(features).into_iter().map(str::to_owned).collect();
        for network in connections {
            let Some(shared) = self.draft.networks.get(&network).filter(|features| !networks::is_public(features))
            else {
                continue;
            };
            match owners.by_network.get(&network) {
                None => {
                    owners.set(&network, origin);
                    continue;
                }
                Some(owner) if owner == origin => continue,
                Some(_) => {}
            }
            let target = match owners.by_origin.get(origin) {
                Some(own) => own.clone(),
                None => {
                    let name = networks::new_name(&format!("private.{}", origin.1), &self.draft.networks);
                    let mut features = Features::new();
                    features.set_text("outbound", "no");
                    // Ports are opened in both; what the provider calls the shared one stays with its owner.
                    if let Some(outports) = shared.text("outports") {
                        features.set_text("outports", outports);
                    }
                    self.draft.networks.insert(name.clone(), features);
                    let reason =
                        format!("is a network of its own, because {system} is in another cloud than {network} (6.7)");
                    self.draft.because(&name, reason);
                    owners.set(&name, origin);
                    name
                }
            };
            self.reconnect(system, &network, &target);
        }
    }

    fn reconnect(&mut self, system: &str, from: &str, to: &str) {
        let Some(features) = self.draft.systems.get_mut(system) else { return };
        for n in 0.. {
            let name = format!("net_interface.{n}.connection");
            match features.text(&name) {
                Some(network) if network == from => features.set_text(&name, to),
                Some(_) => {}
                None => break,
            }
        }
    }
}
