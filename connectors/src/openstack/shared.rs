//! What the machines of an infrastructure share: networks, the router and security groups.

use super::{
    OpenStack, mark,
    network::{Landscape, Place, Places, demanded_range},
    neutron::{Network, Router, SecurityGroup},
};
use crate::{ConnectorError, ErrorClass, InfrastructureIntent, InfrastructureMark, SharedResources};
use ipnetwork::IpNetwork;
use radl::outports::{self, Outport, Protocol};
use serde_json::{Value, json};

/// Ranges that are tried for a network whose router is on such a range already.
const RANGES_TRIED: usize = 8;
const ROUTER_INTERFACE: &str = "network:router_interface";

impl OpenStack {
    pub(super) async fn landscape(&self) -> Result<Landscape, ConnectorError> {
        let (networks, subnets) = futures::try_join!(self.api.networks(), self.api.subnets())?;
        Ok(Landscape { networks, subnets })
    }

    pub(super) async fn share(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        let mut landscape = self.landscape().await?;
        let places = landscape.places(&intent.networks, &intent.infrastructure, &self.private)?;
        let own = mark::of_infrastructure(&intent.infrastructure);
        let mut shared = SharedResources::default();
        for wanted in &intent.networks {
            let network = match places.get(&wanted.id) {
                Some(Place::Network(id)) => landscape.network(id).cloned(),
                Some(Place::Make(name)) => {
                    let made = self.api.make_network(&json!({"name": name, "description": own})).await?;
                    landscape.networks.push(made.clone());
                    Some(made)
                }
                None => None,
            };
            let Some(network) = network else { continue };
            let features = shared.networks.entry(wanted.id.clone()).or_default();
            let is_one = landscape.networks.iter().filter(|other| other.name == network.name).count() == 1;
            features.set_text("provider_id", if is_one { &network.name } else { &network.id });
            if network.description.as_deref() == Some(&own) {
                let range = self.complete(intent, wanted, &network, &mut landscape, &places).await?;
                features.set_text("cidr", &range.to_string());
            }
        }
        self.guard(intent).await?;
        Ok(shared)
    }

    /// Gives a network of ours what it lacks: its subnet, and the way out.
    async fn complete(
        &self,
        intent: &InfrastructureIntent,
        wanted: &radl::Network,
        network: &Network,
        landscape: &mut Landscape,
        places: &Places,
    ) -> Result<IpNetwork, ConnectorError> {
        let mut used = intent.used_cidrs.clone();
        for _ in 0..RANGES_TRIED {
            let subnet = match landscape.subnet_of(&network.id) {
                Some(subnet) => subnet.clone(),
                None => {
                    let range = landscape.range(wanted, &used)?;
                    let subnet = self.api.make_subnet(&subnet_order(intent, wanted, network, range)).await?;
                    landscape.subnets.push(subnet.clone());
                    subnet
                }
            };
            let query = [("network_id", network.id.as_str())];
            let ports = self.api.ports(&query).await?;
            if ports.iter().any(|port| port.device_owner.starts_with(ROUTER_INTERFACE)) {
                return Ok(subnet.cidr);
            }
            let Some(router) = self.router(intent, landscape, places).await? else { return Ok(subnet.cidr) };
            let body = json!({"subnet_id": subnet.id});
            match self.api.router_interface(&router.id, "add_router_interface", &body).await {
                Ok(()) => return Ok(subnet.cidr),
                // Another network on this router has the range: somebody chose it at the same time.
                Err(error) if is_overlap(&error) && demanded_range(wanted).is_none_or(|cidr| cidr.contains('*')) => {
                    self.api.remove("subnets", &subnet.id).await?;
                    landscape.subnets.retain(|known| known.id != subnet.id);
                    used.push(subnet.cidr);
                }
                Err(error) => return Err(error),
            }
        }
        let text = format!("No range for network {} is free on the router of the cloud", wanted.id);
        Err(ConnectorError::new(ErrorClass::Capacity, text))
    }

    /// The router for networks of ours: our own, or one of the project that leads outside, or a new one; none in a cloud
    /// with nothing outside.
    async fn router(
        &self,
        intent: &InfrastructureIntent,
        landscape: &Landscape,
        places: &Places,
    ) -> Result<Option<Router>, ConnectorError> {
        let own = mark::of_infrastructure(&intent.infrastructure);
        let routers = self.api.routers().await?;
        if let Some(ours) = routers.iter().find(|router| router.description.as_deref() == Some(&own)) {
            return Ok(Some(ours.clone()));
        }
        let public = intent.networks.iter().filter(|network| network.is_public());
        let named: Vec<_> = public.filter_map(|network| places.get(&network.id)).collect();
        let gateway = |router: &Router| router.external_gateway_info.as_ref().map(|gateway| gateway.network_id.clone());
        let usable: Vec<_> = routers.iter().filter(|router| !mark::is_of_some(router.description.as_deref())).collect();
        let leads_there = |router: &&&Router| gateway(router).is_some_and(|id| named.contains(&&Place::Network(id)));
        let known = usable.iter().find(leads_there).or_else(|| usable.iter().find(|router| gateway(router).is_some()));
        if let Some(known) = known {
            return Ok(Some((**known).clone()));
        }
        let of_pool = |place: &&Place| match place {
            Place::Network(id) => landscape.network(id).filter(|network| network.external),
            Place::Make(_) => None,
        };
        let outside = named.iter().find_map(of_pool).or_else(|| landscape.pools().next());
        let Some(outside) = outside else { return Ok(None) };
        let order = json!({
            "name": mark::router_name(&intent.infrastructure),
            "description": own,
            "admin_state_up": true,
            "external_gateway_info": {"network_id": outside.id},
        });
        self.api.make_router(&order).await.map(Some)
    }

    /// Makes the security groups, and brings their rules to what the document says.
    async fn guard(&self, intent: &InfrastructureIntent) -> Result<(), ConnectorError> {
        let known = self.api.security_groups().await?;
        for network in intent.networks.iter().filter(|network| !network.features.has("router")) {
            let group = match find_group(&known, network, &intent.infrastructure) {
                Some(group) => group.clone(),
                None => {
                    let name = group_name(network, &intent.infrastructure);
                    let description = mark::security_group(&intent.infrastructure);
                    self.api.make_security_group(&name, &description).await?
                }
            };
            let wanted = rules(network, &group.id);
            let missing = wanted.iter().filter(|rule| !group.security_group_rules.iter().any(|has| is_rule(has, rule)));
            for rule in missing {
                self.api.make_rule(rule).await?;
            }
            // The rules of a group of the user are his.
            if mark::is_our_security_group(&group, &intent.infrastructure) {
                let stale = group.security_group_rules.iter().filter(|rule| rule.direction == "ingress");
                for rule in stale.filter(|has| !wanted.iter().any(|rule| is_rule(has, rule))) {
                    self.api.remove("security-group-rules", &rule.id).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn unshare(&self, shared: &InfrastructureMark) -> Result<(), ConnectorError> {
        let id = &shared.infrastructure;
        for group in self.api.security_groups().await? {
            if mark::is_our_security_group(&group, id) {
                self.api.remove("security-groups", &group.id).await?;
            }
        }
        for network in self.api.networks().await? {
            if mark::is_of_infrastructure(&network.name, network.description.as_deref(), id) {
                self.delete_network(&network, &format!("{}:", mark::of_infrastructure(id))).await?;
            }
        }
        let own = mark::of_infrastructure(id);
        for router in self.api.routers().await? {
            if router.description.as_deref() == Some(&own) {
                self.api.remove("routers", &router.id).await?;
            }
        }
        Ok(())
    }

    /// Deletes a network of ours, after what of ours is on it.
    async fn delete_network(&self, network: &Network, ours: &str) -> Result<(), ConnectorError> {
        for port in self.api.ports(&[("network_id", &network.id)]).await? {
            if port.device_owner.starts_with(ROUTER_INTERFACE) || port.device_owner.starts_with("network:ha_router") {
                let body = json!({"port_id": port.id});
                match self.api.router_interface(&port.device_id, "remove_router_interface", &body).await {
                    Err(error) if error.class != ErrorClass::NotFound => return Err(error),
                    _ => {}
                }
            } else if port.description.as_deref().is_some_and(|text| text.starts_with(ours)) {
                self.api.remove("ports", &port.id).await?;
            }
        }
        self.api.remove("networks", &network.id).await
    }
}

fn subnet_order(intent: &InfrastructureIntent, wanted: &radl::Network, network: &Network, range: IpNetwork) -> Value {
    let mut order = json!({
        "name": format!("im-{}-sub{}", intent.infrastructure, wanted.id),
        "description": mark::of_infrastructure(&intent.infrastructure),
        "network_id": network.id,
        "cidr": range.to_string(),
        "ip_version": if range.is_ipv4() { 4 } else { 6 },
    });
    let servers: Vec<_> = wanted.features.text("dnsserver").into_iter().flat_map(|list| list.split(',')).collect();
    if !servers.is_empty() {
        order["dns_nameservers"] = servers.into_iter().map(str::trim).collect();
    }
    order
}

fn is_overlap(error: &ConnectorError) -> bool {
    error.class == ErrorClass::Invalid && error.message.to_lowercase().contains("overlap")
}

/// Name of the security group of a network.
fn group_name(network: &radl::Network, infrastructure: &str) -> String {
    let named = network.features.text("sg_name").map(str::to_owned);
    named.unwrap_or_else(|| mark::network_name(infrastructure, &network.id))
}

/// The security group of a network: ours, or one of the user of the name that the document says.
pub(super) fn find_group<'a>(
    groups: &'a [SecurityGroup],
    network: &radl::Network,
    infrastructure: &str,
) -> Option<&'a SecurityGroup> {
    let name = group_name(network, infrastructure);
    let named = || groups.iter().filter(|group| group.name == name);
    let ours = named().find(|group| mark::is_our_security_group(group, infrastructure));
    let is_theirs = |group: &&SecurityGroup| {
        let text = group.description.as_deref().unwrap_or_default();
        network.features.has("sg_name") && !text.starts_with("Security group created by the IM")
    };
    ours.or_else(|| named().find(is_theirs))
}

/// The rules of a network's group: its members reach each other, everybody reaches the ports of the document.
fn rules(network: &radl::Network, group: &str) -> Vec<Value> {
    let rule = |ethertype: &str| json!({"security_group_id": group, "direction": "ingress", "ethertype": ethertype});
    let mut rules = Vec::new();
    for protocol in ["tcp", "udp"] {
        let mut inner = rule("IPv4");
        inner["protocol"] = protocol.into();
        inner["remote_group_id"] = group.into();
        rules.push(inner);
    }
    let is_reached = network.is_public() || network.features.has("proxy_host");
    let outports = network.outports();
    let outports = if is_reached { outports::with_ssh(outports) } else { outports };
    for outport in &outports {
        for (ethertype, everybody) in [("IPv4", "0.0.0.0/0"), ("IPv6", "::/0")] {
            // A range of addresses is one of IPv4.
            let remote = match (&outport.cidr, ethertype) {
                (Some(cidr), "IPv4") => cidr.as_str(),
                (Some(_), _) => continue,
                (None, _) => everybody,
            };
            let mut outer = rule(ethertype);
            outer["remote_ip_prefix"] = remote.into();
            set_ports(&mut outer, outport);
            if !rules.contains(&outer) {
                rules.push(outer);
            }
        }
    }
    rules
}

fn set_ports(rule: &mut Value, outport: &Outport) {
    let is_v6 = rule["ethertype"] == "IPv6";
    rule["protocol"] = match outport.protocol {
        Protocol::Icmp if is_v6 => "ipv6-icmp".into(),
        protocol => protocol.as_str().into(),
    };
    if outport.protocol != Protocol::Icmp {
        // Nothing translates ports here: a machine listens on the port that is reached from outside.
        rule["port_range_min"] = outport.remote.into();
        rule["port_range_max"] = if outport.range { outport.local } else { outport.remote }.into();
    }
}

/// Whether a rule that is there is the wanted one.
fn is_rule(has: &super::neutron::SecurityGroupRule, wanted: &Value) -> bool {
    let text = |name: &str| wanted.get(name).and_then(Value::as_str);
    let number = |name: &str| wanted.get(name).and_then(Value::as_u64);
    let is_everybody = |cidr: &Option<String>| {
        cidr.as_deref().filter(|cidr| !matches!(*cidr, "0.0.0.0/0" | "::/0")).map(str::to_owned)
    };
    has.direction == "ingress"
        && Some(has.ethertype.as_str()) == text("ethertype")
        && has.protocol.as_deref() == text("protocol")
        && has.port_range_min.map(u64::from) == number("port_range_min")
        && has.port_range_max.map(u64::from) == number("port_range_max")
        && has.remote_group_id.as_deref() == text("remote_group_id")
        && is_everybody(&has.remote_ip_prefix) == is_everybody(&text("remote_ip_prefix").map(str::to_owned))
}

/// The groups of a port on networks of a document; none of a machine on a routed network.
pub(super) fn groups_of<'a>(
    groups: &'a [SecurityGroup],
    networks: &[radl::Network],
    of: &[&str],
    infrastructure: &str,
) -> Vec<&'a str> {
    if networks.iter().any(|network| network.features.has("router")) {
        return Vec::new();
    }
    let on_it = networks.iter().filter(|network| of.contains(&network.id.as_str()));
    on_it.filter_map(|network| find_group(groups, network, infrastructure)).map(|group| group.id.as_str()).collect()
}
