//! What the machines of an infrastructure share: the choice of networks, and security groups.

use super::{OpenNebula, group, map, map::Nic, network, network::VirtualNetwork, wait, xml::Element};
use crate::{ConnectorError, ErrorClass, InfrastructureIntent, SharedResources, VmIntent};
use radl::{Features, Network};

impl OpenNebula {
    /// The networks of the cloud that this account may use.
    pub(super) async fn virtual_networks(&self) -> Result<Vec<VirtualNetwork>, ConnectorError> {
        let networks = self.api.networks().await?;
        Ok(networks.iter().filter_map(|vnet| VirtualNetwork::of(vnet, &self.private)).collect())
    }

    /// Chooses the networks, so that all machines are on the same ones, and makes the groups.
    pub(super) async fn share(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        let mut shared = SharedResources::default();
        if intent.networks.is_empty() {
            return Ok(shared);
        }
        let networks = self.virtual_networks().await?;
        let mut taken = Vec::new();
        for network in &intent.networks {
            let vnet = network::choose(network, &networks, &taken)?;
            taken.push(vnet.id);
            let mut features = Features::new();
            features.set_text("provider_id", &vnet.name);
            shared.networks.insert(network.id.clone(), features);
        }
        for network in &intent.networks {
            self.ensure_group(&intent.infrastructure, network).await?;
        }
        Ok(shared)
    }

    /// Makes the group of a network, or brings ours up to date; one of the user's stays as it is.
    async fn ensure_group(&self, infrastructure: &str, network: &Network) -> Result<Option<i32>, ConnectorError> {
        let Some(name) = group::name(infrastructure, network) else { return Ok(None) };
        let template = group::template(infrastructure, network, &name)?;
        let creation = self.creation(&name);
        let _alone = creation.lock().await;
        let groups = self.api.groups().await?;
        let id = match found(&groups, infrastructure, &name) {
            Some(group) => {
                let id = group.number("ID");
                if let (Some(id), Some(_)) = (id, owner(group).filter(|owner| *owner == infrastructure))
                    && !has_rules_of(group, template.text())
                {
                    self.api.update_group(id, template.text()).await?;
                }
                id
            }
            None => Some(self.api.make_group(template.text()).await?),
        };
        Ok(id)
    }

    /// Deletes the groups of an infrastructure. A group is in use until the machines of it are gone.
    pub(super) async fn delete_groups(&self, infrastructure: &str) -> Result<(), ConnectorError> {
        let groups = self.api.groups().await?;
        let ours = groups.iter().filter(|group| owner(group) == Some(infrastructure));
        for id in ours.filter_map(|group| group.number::<i32>("ID")) {
            wait::until(wait::GROUP, || async move {
                match self.api.delete_group(id).await {
                    Ok(()) => Ok(Some(())),
                    Err(error) if error.class == ErrorClass::NotFound => Ok(Some(())),
                    Err(error) if is_in_use(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        }
        Ok(())
    }

    /// The interfaces of a machine, with their networks and groups.
    pub(super) async fn nics(&self, intent: &VmIntent) -> Result<Vec<Nic>, ConnectorError> {
        let interfaces: Vec<_> = intent.system.interfaces().collect();
        if interfaces.is_empty() {
            return Ok(Vec::new());
        }
        let networks = self.virtual_networks().await?;
        let (mut nics, mut taken) = (Vec::new(), Vec::new());
        for interface in interfaces {
            let lacking = || {
                let text = format!("net_interface.{}.connection: there is no such network", interface.index);
                ConnectorError::new(ErrorClass::Invalid, text)
            };
            let network =
                intent.networks.iter().find(|network| network.id == interface.connection).ok_or_else(lacking)?;
            let vnet = network::choose(network, &networks, &taken)?;
            taken.push(vnet.id);
            // An address is a wish where the user wrote it, not where it was found out of an earlier machine.
            let wished = intent.requested.features.text(&format!("net_interface.{}.ip", interface.index));
            nics.push(Nic {
                network: network.id.clone(),
                vnet: vnet.id,
                group: self.ensure_group(&intent.infrastructure, network).await?,
                ip: wished.map(str::to_owned),
                public: vnet.public.unwrap_or_else(|| network.is_public()),
            });
        }
        Ok(nics)
    }
}

fn owner(group: &Element) -> Option<&str> {
    group.text(&format!("TEMPLATE/{}", map::INFRASTRUCTURE))
}

/// The group of this name: ours, else one that the user made.
fn found<'a>(groups: &'a [Element], infrastructure: &str, name: &str) -> Option<&'a Element> {
    let named = || groups.iter().filter(|group| group.text("NAME") == Some(name));
    named().find(|group| owner(group) == Some(infrastructure)).or_else(|| named().find(|group| owner(group).is_none()))
}

/// Whether a group has as many rules of each kind as its template, word for word.
fn has_rules_of(group: &Element, template: &str) -> bool {
    let rules = group.all("TEMPLATE/RULE");
    let lines: Vec<_> = template.lines().filter(|line| line.starts_with("RULE = ")).collect();
    let is_written = |rule: &&Element| {
        lines.iter().any(|line| {
            let has = |pair: &Element| line.contains(&format!("{} = \"{}\"", pair.name, pair.text.trim()));
            rule.children.iter().all(has) && line.matches(" = \"").count() == rule.children.len()
        })
    };
    rules.len() == lines.len() && rules.iter().all(is_written)
}

/// Whether a group cannot be deleted for the machines that use it.
fn is_in_use(error: &ConnectorError) -> bool {
    error.class == ErrorClass::Conflict || error.message.to_ascii_lowercase().contains("in use")
}
