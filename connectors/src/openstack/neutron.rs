//! Neutron: networks, routers, ports, security groups and floating addresses.

use super::client::{Api, Service};
use crate::{ConnectorError, ErrorClass, http::Method};
use ipnetwork::IpNetwork;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr};

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Network {
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub description: Option<String>,
    #[serde(rename = "router:external", default)]
    pub external: bool,
    #[serde(default)]
    pub shared: bool,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub is_default: Option<bool>,
    #[serde(default = "yes")]
    pub port_security_enabled: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Subnet {
    pub id: String,
    pub network_id: String,
    pub cidr: IpNetwork,
    #[serde(default)]
    pub host_routes: Vec<Route>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub(super) struct Route {
    pub destination: String,
    pub nexthop: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Router {
    pub id: String,
    pub description: Option<String>,
    pub external_gateway_info: Option<Gateway>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Gateway {
    pub network_id: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Port {
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub description: Option<String>,
    pub network_id: String,
    #[serde(default)]
    pub device_id: String,
    #[serde(default)]
    pub device_owner: String,
    #[serde(default)]
    pub fixed_ips: Vec<FixedIp>,
    #[serde(default)]
    pub allowed_address_pairs: Vec<Value>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct FixedIp {
    pub subnet_id: String,
    pub ip_address: IpAddr,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct FloatingIp {
    pub id: String,
    pub description: Option<String>,
    pub floating_ip_address: IpAddr,
    pub port_id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct SecurityGroup {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    #[serde(default)]
    pub security_group_rules: Vec<SecurityGroupRule>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct SecurityGroupRule {
    pub id: String,
    pub direction: String,
    pub ethertype: String,
    pub protocol: Option<String>,
    pub port_range_min: Option<u16>,
    pub port_range_max: Option<u16>,
    pub remote_ip_prefix: Option<String>,
    pub remote_group_id: Option<String>,
}

impl Api {
    async fn neutron<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        key: &str,
        body: &Value,
    ) -> Result<T, ConnectorError> {
        let reply = self.send(Service::Network, method, path, &json!({ key: body })).await?;
        let mut values: BTreeMap<String, Value> = reply.json()?;
        let unreadable = || ConnectorError::new(ErrorClass::Transient, format!("The cloud answers without {key}"));
        serde_json::from_value(values.remove(key).ok_or_else(unreadable)?).map_err(|_| unreadable())
    }

    async fn neutron_list<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, ConnectorError> {
        self.list(Service::Network, &[path], key, query).await
    }

    pub async fn networks(&self) -> Result<Vec<Network>, ConnectorError> {
        self.neutron_list("networks", "networks", &[]).await
    }

    pub async fn subnets(&self) -> Result<Vec<Subnet>, ConnectorError> {
        self.neutron_list("subnets", "subnets", &[]).await
    }

    pub async fn make_network(&self, body: &Value) -> Result<Network, ConnectorError> {
        self.neutron(Method::POST, &["networks"], "network", body).await
    }

    pub async fn make_subnet(&self, body: &Value) -> Result<Subnet, ConnectorError> {
        self.neutron(Method::POST, &["subnets"], "subnet", body).await
    }

    pub async fn set_routes(&self, subnet: &str, routes: &[Route]) -> Result<(), ConnectorError> {
        let body = json!({ "host_routes": routes });
        self.neutron::<Value>(Method::PUT, &["subnets", subnet], "subnet", &body).await.map(drop)
    }

    /// Routers; none where the policy of the cloud keeps them secret.
    pub async fn routers(&self) -> Result<Vec<Router>, ConnectorError> {
        match self.neutron_list("routers", "routers", &[]).await {
            Err(error) if matches!(error.class, ErrorClass::Denied | ErrorClass::NotFound) => Ok(Vec::new()),
            found => found,
        }
    }

    pub async fn make_router(&self, body: &Value) -> Result<Router, ConnectorError> {
        self.neutron(Method::POST, &["routers"], "router", body).await
    }

    /// Connects a subnet to a router, or disconnects it.
    pub async fn router_interface(&self, router: &str, change: &str, body: &Value) -> Result<(), ConnectorError> {
        self.send(Service::Network, Method::PUT, &["routers", router, change], body).await.map(drop)
    }

    pub async fn ports(&self, query: &[(&str, &str)]) -> Result<Vec<Port>, ConnectorError> {
        self.neutron_list("ports", "ports", query).await
    }

    pub async fn make_port(&self, body: &Value) -> Result<Port, ConnectorError> {
        self.neutron(Method::POST, &["ports"], "port", body).await
    }

    pub async fn set_port(&self, id: &str, body: &Value) -> Result<(), ConnectorError> {
        self.neutron::<Value>(Method::PUT, &["ports", id], "port", body).await.map(drop)
    }

    /// Floating addresses of the project; none in a cloud without them.
    pub async fn floating_ips(&self) -> Result<Vec<FloatingIp>, ConnectorError> {
        let project = self.project().await?;
        let query: Vec<_> = project.iter().map(|project| ("project_id", project.as_str())).collect();
        match self.neutron_list("floatingips", "floatingips", &query).await {
            Err(error) if error.class == ErrorClass::NotFound => Ok(Vec::new()),
            found => found,
        }
    }

    pub async fn make_floating_ip(&self, body: &Value) -> Result<FloatingIp, ConnectorError> {
        self.neutron(Method::POST, &["floatingips"], "floatingip", body).await
    }

    /// Attaches a floating address to a port; none takes it off.
    pub async fn attach_floating_ip(&self, id: &str, port: Option<&str>) -> Result<(), ConnectorError> {
        let body = json!({ "port_id": port });
        self.neutron::<Value>(Method::PUT, &["floatingips", id], "floatingip", &body).await.map(drop)
    }

    pub async fn security_groups(&self) -> Result<Vec<SecurityGroup>, ConnectorError> {
        let project = self.project().await?;
        let query: Vec<_> = project.iter().map(|project| ("project_id", project.as_str())).collect();
        self.neutron_list("security-groups", "security_groups", &query).await
    }

    pub async fn make_security_group(&self, name: &str, description: &str) -> Result<SecurityGroup, ConnectorError> {
        let body = json!({"name": name, "description": description});
        self.neutron(Method::POST, &["security-groups"], "security_group", &body).await
    }

    /// Adds a rule; one that is there is a success.
    pub async fn make_rule(&self, body: &Value) -> Result<(), ConnectorError> {
        let path = ["security-group-rules"];
        match self.neutron::<Value>(Method::POST, &path, "security_group_rule", body).await {
            Err(error) if error.class != ErrorClass::Conflict => Err(error),
            _ => Ok(()),
        }
    }

    pub async fn remove(&self, kind: &str, id: &str) -> Result<(), ConnectorError> {
        self.delete(Service::Network, &[kind, id]).await
    }
}
