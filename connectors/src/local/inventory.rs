//! What an operator sees of the cloud and may clean, by the marks: also what no record tells of any more.

use super::{cloud::LocalCloud, tool::Result};
use crate::contract::{PowerState, ProviderId, VmUid};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNode {
    /// Its mark.
    pub uid: VmUid,
    /// The infrastructure that it was made for.
    pub infrastructure: String,
    /// Host name, with its domain.
    pub fqdn: String,
    /// Whether it runs.
    pub state: PowerState,
    /// Its addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// The database with the record of it, as it was called when it was made; none of a node of earlier versions.
    pub database: Option<String>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNetwork {
    /// Its bridge.
    pub bridge: String,
    /// Its subnet.
    pub cidr: Ipv4Network,
    /// Whether the host is in it.
    pub public: bool,
    /// The infrastructures that use it.
    pub infrastructures: Vec<String>,
    /// As that of a [`LocalNode`].
    pub database: Option<String>,
}

impl LocalCloud {
    /// All nodes, by infrastructure and number.
    ///
    /// # Errors
    /// A state directory that cannot be read.
    pub fn nodes(&self) -> Result<Vec<LocalNode>> {
        let mut marks = self.state.all_vms()?;
        marks.sort_by(|a, b| (&a.infrastructure, a.number).cmp(&(&b.infrastructure, b.number)));
        let nodes = marks.into_iter().filter_map(|mark| {
            let observed = self.observe(&ProviderId(mark.uid.0.clone())).transpose()?;
            Some(observed.map(|seen| LocalNode {
                state: seen.state,
                addresses: mark.cards.iter().map(|card| card.ip).collect(),
                uid: mark.uid,
                infrastructure: mark.infrastructure,
                fqdn: mark.fqdn,
                database: mark.database,
            }))
        });
        nodes.collect()
    }

    /// All networks, by bridge.
    ///
    /// # Errors
    /// A state directory that cannot be read.
    pub fn all_networks(&self) -> Result<Vec<LocalNetwork>> {
        let mut networks = self.state.all_networks()?;
        networks.sort_by(|a, b| a.bridge.cmp(&b.bridge));
        let network = |made: super::mark::Reservation| LocalNetwork {
            bridge: made.bridge,
            cidr: made.cidr,
            public: made.public,
            infrastructures: std::iter::once(made.infrastructure).chain(made.guests).collect(),
            database: made.database,
        };
        Ok(networks.into_iter().map(network).collect())
    }

    /// Ends a node and removes all of it, whatever is known of it elsewhere; a missing one is fine.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn clean_node(&self, uid: &VmUid) -> Result<()> {
        match self.locked(&ProviderId(uid.0.clone()))? {
            Some((_lock, mark)) => self.remove(&mark),
            None => Ok(()),
        }
    }

    /// Removes the networks that only this infrastructure uses; it has no nodes any more.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn clean_networks(&self, infrastructure: &str) -> Result<()> {
        self.networks().delete(infrastructure)?;
        self.state.sweep()
    }
}
