#![doc = include_str!("docs.md")]

#[cfg(test)]
mod tests;

use crate::{
    Candidate, Capabilities, CloudType, Connector, ConnectorError, ErrorClass, Found, GuestKind, Guests,
    InfrastructureIntent, InfrastructureMark, Location, Observation, PowerState, ProviderId, SharedResources, VmIntent,
    VmMark,
};
use async_trait::async_trait;
use radl::{Features, System};
use std::sync::Arc;

/// What the registry knows of this type. Somebody logs in to these machines. There is no account: a record is as good under
/// any credential line.
pub const CLOUD: CloudType = CloudType {
    kind: "DeployedNode",
    guests: Guests { kind: GuestKind::Machine, log_in: true },
    account_name: |_| String::new(),
    connect: |_, _| Ok(Arc::new(DeployedNode)),
};

/// Machines that exist already. It keeps nothing: the id of a machine says all there is to say.
pub struct DeployedNode;

/// What a system lacks to be the description of a machine.
fn missing(system: &System) -> Option<&'static str> {
    let credentials = system.credentials();
    if system.features.text("net_interface.0.ip").is_none_or(str::is_empty) {
        Some("net_interface.0.ip")
    } else if credentials.username.is_none() {
        Some("disk.0.os.credentials.username")
    } else if credentials.password.is_none() && credentials.private_key.is_none() {
        Some("disk.0.os.credentials.password or disk.0.os.credentials.private_key")
    } else {
        None
    }
}

#[async_trait]
impl Connector for DeployedNode {
    fn capabilities(&self) -> Capabilities {
        Capabilities { guests: CLOUD.guests, ..Capabilities::default() }
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        if let Some(missing) = missing(system) {
            let text = format!(
                "A machine that exists already is described by its address and its login: {missing} is missing"
            );
            return Err(ConnectorError::new(ErrorClass::Invalid, text));
        }
        let mut system = system.clone();
        system.features.set_text("provider.type", CLOUD.kind);
        Ok(vec![system.into()])
    }

    async fn ensure_shared(&self, _intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        Ok(SharedResources::default())
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        Ok(ProviderId(intent.uid.0.clone()))
    }

    async fn find(&self, _mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        // A record that was lost in the making is made again, with the same id.
        Ok(Vec::new())
    }

    async fn observe(&self, _location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        let running = |id: &ProviderId| Observation {
            id: id.clone(),
            state: PowerState::Running,
            // The document has them.
            addresses: Vec::new(),
            features: Features::new(),
            fault: None,
            infrastructure: None,
            ports: Vec::new(),
            missing: Vec::new(),
        };
        Ok(ids.iter().map(running).collect())
    }

    async fn delete_vm(&self, _vm: &VmMark) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn delete_shared(&self, _mark: &InfrastructureMark) -> Result<(), ConnectorError> {
        Ok(())
    }
}
