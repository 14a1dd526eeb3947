//! Network interfaces of systems, and credentials: reading them across a document, removing, updating.

use crate::features::Features;
use crate::model::{Credentials, Interface, Network, Radl, System};
use std::collections::HashMap;

impl System {
    /// The number of the first interface on this network.
    #[must_use]
    pub fn interface_on(&self, network: &str) -> Option<usize> {
        self.interfaces().find(|interface| interface.connection == network).map(|interface| interface.index)
    }

    /// Removes an interface with all its features; the following ones move one down.
    pub fn remove_interface(&mut self, index: usize) {
        let prefix = "net_interface.";
        let indexed = |name: &str| -> Option<(usize, String)> {
            let (number, suffix) = name.strip_prefix(prefix)?.split_once('.')?;
            Some((number.parse().ok()?, suffix.to_owned()))
        };
        let old = std::mem::take(&mut self.features);
        let mut features = Features { softs: old.softs, before_softs: old.before_softs, ..Features::new() };
        for (at, (name, value)) in old.values.iter().enumerate() {
            let name = match indexed(name) {
                Some((number, _)) if number == index => {
                    if at < old.before_softs {
                        features.before_softs -= 1;
                    }
                    continue;
                }
                Some((number, suffix)) if number > index => format!("{prefix}{}.{suffix}", number - 1),
                _ => name.to_owned(),
            };
            features.values.insert(&name, value.clone());
        }
        self.features = features;
    }

    /// Moves the new password, the new key pair, or both, over the current ones; the user name never changes.
    pub fn update_credentials(&mut self, password: bool, key: bool) {
        let moves = [("password", password), ("public_key", key), ("private_key", key)];
        for (key, _) in moves.into_iter().filter(|(_, moves)| *moves) {
            if let Some(value) = self.features.remove(&format!("disk.0.os.credentials.new.{key}")) {
                self.features.set(&format!("disk.0.os.credentials.{key}"), value);
            }
        }
    }
}

/// How a machine is logged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// With the private key.
    Key,
    /// With the password.
    Password,
}

impl Credentials {
    /// How to log in: a key, if any, wins over a password. None without any credential.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        if self.private_key.is_some() {
            Some(Login::Key)
        } else {
            (self.username.is_some() || self.password.is_some()).then_some(Login::Password)
        }
    }
}

impl Radl {
    /// The interfaces of the first system, each with its network.
    fn connected(&self) -> impl Iterator<Item = (Interface<'_>, &Network)> {
        let networks: HashMap<&str, &Network> =
            self.networks.iter().map(|network| (network.id.as_str(), network)).collect();
        let interfaces = self.systems.first().into_iter().flat_map(System::interfaces);
        interfaces.filter_map(move |interface| networks.get(interface.connection).map(|network| (interface, *network)))
    }

    /// Whether the first system is connected to a public network.
    #[must_use]
    pub fn has_public_connection(&self) -> bool {
        self.connected().any(|(_, network)| network.is_public())
    }

    /// The first IPv4 address of the first system on a public network.
    #[must_use]
    pub fn public_ip(&self) -> Option<&str> {
        self.connected().filter(|(_, network)| network.is_public()).find_map(|(interface, _)| interface.ip)
    }

    /// The first IPv4 address of the first system on a private network.
    #[must_use]
    pub fn private_ip(&self) -> Option<&str> {
        self.connected().filter(|(_, network)| !network.is_public()).find_map(|(interface, _)| interface.ip)
    }

    /// The first IPv6 address of the first system on a public network.
    #[must_use]
    pub fn public_ipv6(&self) -> Option<&str> {
        self.connected().filter(|(_, network)| network.is_public()).find_map(|(interface, _)| interface.ipv6)
    }
}

/// Name of a feature of an interface.
pub(crate) fn interface_feature(index: usize, key: &str) -> String {
    format!("net_interface.{index}.{key}")
}
