//! Networks: declared ones, and those that endpoints ask for (docs/spec/tosca.md 6.3 and 6.5).

use super::outports::{Absent, rule, rules};
use super::{Translator, free_name};
use crate::error::{Class, Problem};
use crate::template::{BINDS_TO, LINKS_TO, Node, Role};
use crate::yaml::{Data, Map, Value};
use radl::{Features, Value as Feature};

const ENDPOINT: &str = "tosca.capabilities.Endpoint";

/// Whether machines on a network are reachable from outside.
pub(super) fn is_public(features: &Features) -> bool {
    features.text("outbound") == Some("yes")
}

/// The networks of a system.
pub(super) fn connections(features: &Features) -> Vec<&str> {
    (0..).map_while(|n| features.text(&format!("net_interface.{n}.connection"))).collect()
}

/// What the endpoints of a node ask for together.
#[derive(Debug, Default)]
struct Wishes {
    is_public: bool,
    /// Whether there is to be no private interface beside a public one.
    is_public_only: bool,
    /// Id at the provider of the private network.
    provider: Option<String>,
    /// Id at the provider of the public network.
    pool: Option<String>,
    dns_name: Option<String>,
    additional_ip: Option<String>,
    additional_names: Vec<String>,
    outports: Vec<String>,
}

impl Wishes {
    /// Takes the name of a network, which says more than a name.
    fn network_name(&mut self, name: &str, is_given: bool) {
        if let Some((network, pool)) = name.split_once(',') {
            self.is_public = true;
            self.one_name(network.trim());
            self.pool = Some(pool.trim().to_owned()).filter(|pool| !pool.is_empty());
            return;
        }
        if is_given {
            self.pool = None;
        }
        self.one_name(name);
    }

    fn one_name(&mut self, name: &str) {
        let (provider, is_public) = match name {
            "" | "PRIVATE" => return,
            "PUBLIC" => (None, true),
            _ => match (name.strip_suffix(".PUBLIC"), name.strip_suffix(".PRIVATE")) {
                (Some(provider), _) => (Some(provider), true),
                (_, Some(provider)) => (Some(provider), false),
                _ => (Some(name), false),
            },
        };
        self.is_public |= is_public;
        if let Some(provider) = provider {
            self.provider = Some(provider.to_owned());
        }
    }
}

impl Translator<'_> {
    /// A declared network.
    pub(super) fn network(&mut self, node: &Node) -> Result<(), Problem> {
        let mut features = Features::new();
        if self.text(node, "network_type")?.is_some_and(|kind| kind.eq_ignore_ascii_case("public")) {
            features.set_text("outbound", "yes");
        }
        for (property, feature) in [("network_name", "provider_id"), ("cidr", "cidr"), ("gateway_ip", "router")] {
            if let Some(text) = self.text(node, property)? {
                features.set_text(feature, &text);
            }
        }
        if features.has("cidr") {
            features.set_text("create", "yes");
        }
        if let Some(host) = self.text(node, "proxy_host")? {
            let credential = self.property(node, "proxy_credential")?;
            let text = |key: &str| credential.get(key).and_then(Value::scalar).filter(|text| !text.is_empty());
            if credential.is_empty() {
                return Err(Problem::new(
                    Class::Other,
                    "Property 'proxy_credential' must bet set if proxy_host is set.",
                ));
            }
            let Some(user) = text("user") else {
                return Err(Problem::new(Class::Other, "Property 'user' must bet set in proxy_credential."));
            };
            let kind = text("token_type").unwrap_or_else(|| "password".to_owned());
            match (kind.as_str(), text("token")) {
                ("password", Some(token)) => features.set_text("proxy_host", &format!("{user}:{token}@{host}")),
                (_, token) => {
                    features.set_text("proxy_host", &format!("{user}@{host}"));
                    if let (Some(token), "private_key") = (token, kind.as_str()) {
                        features.set_text("proxy_key", &token);
                    }
                }
            }
        }
        let what = if is_public(&features) { "public" } else { "private" };
        let reason =
            format!("is a {what} network, because its type is tosca.nodes.network.Network or derives from it (6.5)");
        self.draft.because(&node.name, reason);
        self.draft.networks.insert(node.name.clone(), features);
        Ok(())
    }

    /// The networks of a Compute node.
    pub(super) fn connect(&mut self, node: &Node, features: &mut Features) -> Result<(), Problem> {
        let wishes = self.wishes(node)?;
        for (feature, text) in [("dns_name", &wishes.dns_name), ("additional_ip", &wishes.additional_ip)] {
            if let Some(text) = text {
                features.set_text(&format!("net_interface.0.{feature}"), text);
            }
        }
        let ports = self.index.ports.get(node.name.as_str()).cloned().unwrap_or_default();
        if ports.is_empty() {
            self.connect_by_endpoints(node, wishes, features);
            return Ok(());
        }
        let mut networks = Vec::new();
        for port in ports {
            networks.push(self.connect_port(node, port, features)?);
        }
        let public = networks.iter().rev().find(|name| self.draft.networks.get(*name).is_some_and(is_public));
        if let Some(name) = public.or_else(|| networks.first()).cloned() {
            self.open(&name, &wishes.outports);
        }
        Ok(())
    }

    fn connect_by_endpoints(&mut self, node: &Node, wishes: Wishes, features: &mut Features) {
        let mut interface = 0;
        let mut connect = |features: &mut Features, network: &str| {
            features.set_text(&format!("net_interface.{interface}.connection"), network);
            interface += 1;
            interface - 1
        };
        let mut private = None;
        if !(wishes.is_public && wishes.is_public_only) {
            let name = self.private_network(&node.name);
            connect(features, &name);
            private = Some(name);
        }
        let mut public = None;
        if wishes.is_public {
            let name = self.new_public_network(&node.name);
            let at = connect(features, &name);
            public = Some((name, at));
        }
        let public_name = public.as_ref().map(|(name, _)| name);
        if let Some(name) = public_name.or(private.as_ref()).cloned() {
            self.open(&name, &wishes.outports);
        }
        let at = public.as_ref().map_or(0, |(_, at)| *at);
        if !wishes.additional_names.is_empty() {
            let list = Feature::List { items: wishes.additional_names, line: 0 };
            features.set(&format!("net_interface.{at}.additional_dns_names"), list);
        }
        if let (Some(provider), Some(name)) = (&wishes.provider, private.as_ref().or(public_name)) {
            self.set_on_network(name, "provider_id", provider);
        }
        if let (Some(pool), Some(name)) = (&wishes.pool, public_name) {
            self.set_on_network(name, "provider_id", pool);
        }
    }

    fn set_on_network(&mut self, network: &str, feature: &str, text: &str) {
        if let Some(features) = self.draft.networks.get_mut(network) {
            features.set_text(feature, text);
        }
    }

    /// Adds port rules to a network.
    fn open(&mut self, network: &str, rules: &[String]) {
        let Some(features) = self.draft.networks.get_mut(network).filter(|_| !rules.is_empty()) else { return };
        let known = features.text("outports").map(|known| format!("{known},")).unwrap_or_default();
        features.set_text("outports", &(known + &rules.join(",")));
    }

    /// The first network that is not public; a new one when there is none.
    fn private_network(&mut self, node: &str) -> String {
        if let Some(name) = &self.draft.private_network {
            return name.clone();
        }
        let known = self.draft.networks.iter().find(|(_, features)| !is_public(features)).map(|(name, _)| name.clone());
        let name = known.clone().unwrap_or_else(|| new_name("private_net", &self.draft.networks));
        self.draft.private_network = Some(name.clone());
        if known.is_some() {
            return name;
        }
        let mut features = Features::new();
        features.set_text("outbound", "no");
        self.draft.networks.insert(name.clone(), features);
        self.draft
            .because(&name, format!("is a new private network, because {node} needs one and none is there (6.3)"));
        name
    }

    fn new_public_network(&mut self, node: &str) -> String {
        let numbered = |n: usize| if n == 0 { "public_net".to_owned() } else { format!("public_net_{n}") };
        let networks = &self.draft.networks;
        let mut n = self.draft.public_networks;
        while networks.contains_key(&numbered(n)) {
            n += 1;
        }
        self.draft.public_networks = n;
        let name = numbered(n);
        let mut features = Features::new();
        features.set_text("outbound", "yes");
        self.draft.networks.insert(name.clone(), features);
        self.draft.because(&name, format!("is a new public network, because an endpoint of {node} is PUBLIC (6.3)"));
        name
    }

    /// What the endpoints of all nodes on a Compute node and its own one ask for; later ones win.
    fn wishes(&mut self, node: &Node) -> Result<Wishes, Problem> {
        let mut wishes = Wishes::default();
        let hosted = self.index.hosted.get(node.name.as_str()).cloned().unwrap_or_default();
        for hosted in hosted.into_iter().filter(|hosted| hosted.role != Role::Compute) {
            for (name, capability) in &hosted.capabilities {
                if capability.flat.is(ENDPOINT) {
                    let result = self.endpoint(hosted, name, &mut wishes);
                    self.noted(hosted, result);
                }
            }
        }
        if node.capabilities.contains_key("endpoint") {
            let result = self.endpoint(node, "endpoint", &mut wishes);
            self.noted(node, result);
        }
        if self.property(node, "public_ip")?.truth() == Some(true) {
            wishes.is_public = true;
        }
        Ok(wishes)
    }

    fn endpoint(&self, node: &Node, capability: &str, wishes: &mut Wishes) -> Result<(), Problem> {
        let value = |name: &str| self.of_capability(node, capability, name);
        let text = |name: &str| Ok::<_, Problem>(value(name)?.scalar().filter(|text| !text.is_empty()));
        let is_given = |name: &str| {
            node.capabilities.get(capability).is_some_and(|capability| capability.assigned.contains_key(name))
        };
        if let Some(name) = text("network_name")? {
            wishes.network_name(&name, is_given("network_name"));
        }
        wishes.dns_name = text("dns_name")?.or(wishes.dns_name.take());
        wishes.additional_ip = text("additional_ip")?.or(wishes.additional_ip.take());
        let names = value("additional_dns_names")?;
        if let Some(names) = names.as_list().filter(|names| !names.is_empty()) {
            wishes.additional_names = names.iter().filter_map(Value::scalar).filter(|name| !name.is_empty()).collect();
        }
        // The default says nothing, or a later endpoint would take back what an earlier one said.
        if is_given("private_ip") {
            wishes.is_public_only = value("private_ip")?.truth() == Some(false);
        }
        let located = |problem: Problem| {
            let path = format!("node_templates.{}.capabilities.{capability}.properties.ports", node.name);
            problem.at(node.place, &path)
        };
        let ports = value("ports")?;
        if !ports.is_empty() {
            wishes.outports.extend(rules(&ports, Absent::IsTheOther).map_err(located)?);
        } else if let Some(port) = text("port")? {
            let mut spec = Map::from([("source".to_owned(), Value::from(port))]);
            for name in ["protocol", "remote_cidr"] {
                if let Some(text) = text(name)? {
                    spec.insert(name.to_owned(), text.into());
                }
            }
            wishes.outports.push(rule(&Data::Map(spec).into(), Absent::IsTheOther).map_err(located)?);
        }
        Ok(())
    }

    /// Connects a system to the network of a Port; gives the name of the network.
    fn connect_port(&self, node: &Node, port: &Node, features: &mut Features) -> Result<String, Problem> {
        let located = |problem: Problem| problem.at(port.place, &format!("node_templates.{}", port.name));
        let order = self.property(port, "order")?;
        let order = order.integer().unwrap_or(0);
        let link = port.related(LINKS_TO).unwrap_or_default();
        if !self.template.node(link).is_some_and(|node| node.role == Role::Network) {
            let message = format!("Node {} with a port binded to a non existing network: {link}.", node.name);
            return Err(located(Problem::new(Class::Other, message)));
        }
        features.set_text(&format!("net_interface.{order}.connection"), link);
        for (property, feature) in [("ip_address", "ip"), ("dns_name", "dns_name"), ("additional_ip", "additional_ip")]
        {
            if let Some(text) = self.text(port, property)? {
                features.set_text(&format!("net_interface.{order}.{feature}"), &text);
            }
        }
        let names = self.property(port, "additional_dns_names")?;
        if let Some(names) = names.as_list().filter(|names| !names.is_empty()) {
            let items = names.iter().filter_map(Value::scalar).collect();
            features.set(&format!("net_interface.{order}.additional_dns_names"), Feature::List { items, line: 0 });
        }
        Ok(link.to_owned())
    }

    /// Ports that lead nowhere are told: a port of something else than a Compute node has no effect.
    pub(super) fn check_ports(&mut self) {
        let ports = self.template.nodes.values().filter(|node| node.role == Role::Port);
        for port in ports {
            let bound = port.related(BINDS_TO).and_then(|name| self.template.node(name));
            if bound.is_none_or(|node| node.role != Role::Compute) {
                let text = format!("the port {} is bound to no Compute node and has no effect", port.name);
                self.draft.warnings.push(text);
            }
        }
    }
}

/// The name of a network beside others.
pub(super) fn new_name(base: &str, networks: &indexmap::IndexMap<String, Features>) -> String {
    free_name(base, |name| networks.contains_key(name))
}
