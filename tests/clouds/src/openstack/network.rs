//! Neutron.

use super::state::{Answer, State, is_text, unknown_key};
use hyper::Method;
use serde_json::{Value, json};

fn refuse(status: u16, kind: &str, message: &str) -> Answer {
    Answer::new(status, json!({"NeutronError": {"type": kind, "message": message, "detail": ""}}))
}

fn missing(kind: &str) -> Answer {
    refuse(404, &format!("{kind}NotFound"), &format!("{kind} could not be found."))
}

/// What the query of a list may filter by.
fn fits(thing: &Value, name: &str, value: &str) -> Option<bool> {
    match name {
        "project_id" => Some(value == "demo-project"),
        "description" | "device_id" | "network_id" | "name" | "port_id" => Some(is_text(thing, name, value)),
        _ => None,
    }
}

impl State {
    pub(super) fn network(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &[(String, String)],
        body: &Value,
    ) -> Answer {
        match (method.as_str(), path) {
            ("GET", ["networks"]) => self.list("networks", query, fits),
            ("GET", ["subnets"]) => self.list("subnets", query, fits),
            ("GET", ["routers"]) => self.list("routers", query, fits),
            ("GET", ["ports"]) => self.list("ports", query, fits),
            ("GET", ["floatingips"]) => self.list("floatingips", query, fits),
            ("GET", ["security-groups"]) => {
                let rules: Vec<_> = self.of("security_group_rules").values().cloned().collect();
                for (id, group) in self.of("security_groups").iter_mut() {
                    let own = rules.iter().filter(|rule| rule["security_group_id"].as_str() == Some(id));
                    group["security_group_rules"] = own.cloned().collect();
                }
                self.list("security_groups", query, fits)
            }
            ("POST", ["networks"]) => self.make(
                "networks",
                "network",
                &body["network"],
                &["name", "description"],
                json!({
                    "router:external": false, "shared": false, "tags": [], "port_security_enabled": true,
                }),
            ),
            ("POST", ["subnets"]) => {
                let subnet = &body["subnet"];
                if !self.of("networks").contains_key(subnet["network_id"].as_str().unwrap_or_default()) {
                    return missing("Network");
                }
                let known = ["name", "description", "network_id", "cidr", "ip_version", "dns_nameservers"];
                self.make("subnets", "subnet", subnet, &known, json!({"host_routes": []}))
            }
            ("POST", ["routers"]) => {
                let known = ["name", "description", "admin_state_up", "external_gateway_info"];
                self.make("routers", "router", &body["router"], &known, json!({}))
            }
            ("PUT", ["routers", id, "add_router_interface"]) => self.connect(id, body),
            ("PUT", ["routers", id, "remove_router_interface"]) => {
                let port = body["port_id"].as_str().unwrap_or_default();
                match self.of("ports").get(port) {
                    Some(known) if known["device_id"].as_str() == Some(id) => {
                        self.of("ports").remove(port);
                        Answer::new(200, json!({"id": id, "port_id": port}))
                    }
                    _ => missing("RouterInterface"),
                }
            }
            ("POST", ["ports"]) => self.make_port(&body["port"]),
            ("PUT", ["ports", id]) => self.change("ports", "port", id, &body["port"], &["allowed_address_pairs"]),
            ("PUT", ["subnets", id]) => self.change("subnets", "subnet", id, &body["subnet"], &["host_routes"]),
            ("POST", ["floatingips"]) => self.float(&body["floatingip"]),
            ("PUT", ["floatingips", id]) => {
                self.change("floatingips", "floatingip", id, &body["floatingip"], &["port_id"])
            }
            ("POST", ["security-groups"]) => self.make(
                "security_groups",
                "security_group",
                &body["security_group"],
                &["name", "description"],
                json!({
                    "security_group_rules": [],
                }),
            ),
            ("POST", ["security-group-rules"]) => self.make_rule(&body["security_group_rule"]),
            ("GET", ["quotas", "demo-project", "details.json"]) => {
                let limit = |used: usize| json!({"used": used, "reserved": 0, "limit": 50});
                let (floating, groups) = (self.of("floatingips").len(), self.of("security_groups").len());
                Answer::new(200, json!({"quota": {"floatingip": limit(floating), "security_group": limit(groups)}}))
            }
            ("DELETE", [kind, id]) => self.remove(kind, id),
            _ => missing("Resource"),
        }
    }

    fn make(&mut self, kind: &'static str, one: &'static str, order: &Value, known: &[&str], more: Value) -> Answer {
        if let Some(key) = unknown_key(order, known) {
            return refuse(400, "HTTPBadRequest", &format!("Unrecognized attribute(s) '{key}'"));
        }
        let id = format!("{one}-{:06}", self.number());
        let mut thing = order.clone();
        thing["id"] = id.as_str().into();
        for (name, value) in more.as_object().unwrap() {
            thing[name] = value.clone();
        }
        self.keep(kind, &id, thing.clone());
        Answer::new(201, json!({ one: thing }))
    }

    fn change(&mut self, kind: &'static str, one: &'static str, id: &str, change: &Value, known: &[&str]) -> Answer {
        if let Some(key) = unknown_key(change, known) {
            return refuse(400, "HTTPBadRequest", &format!("Unrecognized attribute(s) '{key}'"));
        }
        let Some(thing) = self.of(kind).get_mut(id) else { return missing(one) };
        for (name, value) in change.as_object().unwrap() {
            thing[name] = value.clone();
        }
        Answer::new(200, json!({ one: thing }))
    }

    fn connect(&mut self, router: &str, body: &Value) -> Answer {
        let id = body["subnet_id"].as_str().unwrap_or_default();
        let Some(subnet) = self.of("subnets").get(id).cloned() else { return missing("Subnet") };
        let ports: Vec<_> =
            self.of("ports").values().filter(|port| port["device_id"].as_str() == Some(router)).cloned().collect();
        for port in &ports {
            let other = port["fixed_ips"][0]["subnet_id"].as_str().unwrap_or_default().to_owned();
            let range = self.of("subnets").get(&other).map(|subnet| subnet["cidr"].clone());
            if other == id || range.as_ref() == Some(&subnet["cidr"]) {
                let text = format!(
                    "Bad router request: Cidr {} of subnet {id} overlaps with cidr of subnet {other}.",
                    subnet["cidr"]
                );
                return refuse(400, "BadRequest", &text);
            }
        }
        let port = format!("port-{:06}", self.number());
        self.keep(
            "ports",
            &port,
            json!({
                "id": port, "name": "", "description": "", "network_id": subnet["network_id"], "device_id": router,
                "device_owner": "network:router_interface", "allowed_address_pairs": [],
                "fixed_ips": [{"subnet_id": id, "ip_address": "10.0.0.1"}],
            }),
        );
        Answer::new(200, json!({"id": router, "subnet_id": id, "port_id": port}))
    }

    fn make_port(&mut self, order: &Value) -> Answer {
        let network = order["network_id"].clone();
        let Some(subnet) = self.of("subnets").values().find(|subnet| subnet["network_id"] == network).cloned() else {
            return missing("Network");
        };
        for group in order["security_groups"].as_array().into_iter().flatten() {
            if !self.of("security_groups").contains_key(group.as_str().unwrap_or_default()) {
                return missing("SecurityGroup");
            }
        }
        let known = [
            "name",
            "description",
            "network_id",
            "admin_state_up",
            "security_groups",
            "fixed_ips",
            "allowed_address_pairs",
        ];
        let range: ipnetwork::Ipv4Network = subnet["cidr"].as_str().unwrap().parse().unwrap();
        let free = range.iter().skip(10).find(|ip| {
            let ip = ip.to_string();
            let is_taken = |port: &Value| port["fixed_ips"][0]["ip_address"] == ip && port["network_id"] == network;
            !self.things.get("ports").is_some_and(|ports| ports.values().any(is_taken))
        });
        let address =
            order["fixed_ips"][0]["ip_address"].as_str().map_or_else(|| free.unwrap().to_string(), str::to_owned);
        let mut answer = self.make(
            "ports",
            "port",
            order,
            &known,
            json!({
                "device_id": "", "device_owner": "",
                "fixed_ips": [{"subnet_id": subnet["id"], "ip_address": address}],
            }),
        );
        if let Some(id) = answer.body["port"]["id"].as_str().map(str::to_owned) {
            let port = self.of("ports").get_mut(&id).unwrap();
            if port["allowed_address_pairs"].is_null() {
                port["allowed_address_pairs"] = json!([]);
            }
            answer.body["port"] = port.clone();
        }
        answer
    }

    fn float(&mut self, order: &Value) -> Answer {
        if order["floating_network_id"] != "outside" {
            return refuse(400, "BadRequest", "Bad floatingip request: Network is not a valid external network.");
        }
        let port = order["port_id"].as_str().unwrap_or_default();
        let Some(port) = self.of("ports").get(port).cloned() else { return missing("Port") };
        let is_way_out = |other: &Value| {
            other["device_owner"] == "network:router_interface" && other["network_id"] == port["network_id"]
        };
        if !self.of("ports").values().any(is_way_out) {
            return refuse(
                404,
                "ExternalGatewayForFloatingIPNotFound",
                "External network is not reachable from subnet.",
            );
        }
        if self.of("floatingips").values().any(|floating| floating["port_id"] == port["id"]) {
            return refuse(
                409,
                "FloatingIPPortAlreadyAssociated",
                "Cannot associate floating IP with port using fixed IP",
            );
        }
        let address = format!("203.0.113.{}", self.number() % 200 + 20);
        let known = ["floating_network_id", "port_id", "description"];
        self.make("floatingips", "floatingip", order, &known, json!({"floating_ip_address": address}))
    }

    fn make_rule(&mut self, order: &Value) -> Answer {
        let known = [
            "security_group_id",
            "direction",
            "ethertype",
            "protocol",
            "port_range_min",
            "port_range_max",
            "remote_ip_prefix",
            "remote_group_id",
        ];
        let is_same = |rule: &Value| known.iter().all(|key| rule[*key] == order[*key]);
        if self.of("security_group_rules").values().any(is_same) {
            return refuse(409, "SecurityGroupRuleExists", "Security group rule already exists.");
        }
        self.make("security_group_rules", "security_group_rule", order, &known, json!({}))
    }

    fn remove(&mut self, kind: &str, id: &str) -> Answer {
        let in_use = |what: &str| refuse(409, what, "There are one or more things in use.");
        let uses = |ports: &super::state::Things, key: &str| ports.values().any(|port| port[key].as_str() == Some(id));
        let kind = match kind {
            "ports" => "ports",
            "floatingips" => "floatingips",
            "networks" if uses(self.of("ports"), "network_id") => return in_use("NetworkInUse"),
            "networks" => {
                self.of("subnets").retain(|_, subnet| subnet["network_id"].as_str() != Some(id));
                "networks"
            }
            "routers" if uses(self.of("ports"), "device_id") => return in_use("RouterInUse"),
            "routers" => "routers",
            "subnets" => "subnets",
            "security-group-rules" => "security_group_rules",
            "security-groups" => {
                let holds =
                    |port: &Value| port["security_groups"].as_array().is_some_and(|groups| groups.contains(&id.into()));
                if self.of("ports").values().any(holds) {
                    return in_use("SecurityGroupInUse");
                }
                self.of("security_group_rules").retain(|_, rule| rule["security_group_id"].as_str() != Some(id));
                "security_groups"
            }
            _ => return missing("Resource"),
        };
        match self.of(kind).remove(id) {
            Some(_) => {
                // The address of a port that goes leads nowhere.
                for floating in
                    self.of("floatingips").values_mut().filter(|floating| floating["port_id"].as_str() == Some(id))
                {
                    floating["port_id"] = Value::Null;
                }
                Answer::new(204, Value::Null)
            }
            None => missing(kind),
        }
    }
}
