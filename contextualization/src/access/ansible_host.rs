//! External Ansible hosts: the daemon logs in as their section says and changes nothing about their accounts.

use super::{LoginKind, NodeTask, Target, errors::failure};
use crate::{
    contract::{ErrorCode, InstalledCredentials, VmError},
    ssh::{Endpoint, Login},
};
use radl::AnsibleHost;

/// The host as a target of [`super::reach`]; `host_key` is the one of an earlier connection.
///
/// # Errors
/// SSH_AUTH when the section names no user or no secret.
pub fn ansible_host(host: &AnsibleHost, host_key: Option<String>) -> Result<Target, VmError> {
    let text = |name: &str| host.features.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let missing = |what: &str| failure(ErrorCode::SshAuth, format!("ansible host {}: no {what} is given", host.id));
    let password = text("credentials.password").map(Login::Password);
    let key = text("credentials.private_key").map(Login::PrivateKey);
    let logins: Vec<_> = password.into_iter().chain(key).map(|login| (LoginKind::Initial, login)).collect();
    if logins.is_empty() {
        return Err(missing("credentials.password or credentials.private_key"));
    }
    let place = Endpoint::new(ansible_host_address(host), 22);
    Ok(Target {
        vm: 0,
        user: text("credentials.username").ok_or_else(|| missing("credentials.username"))?,
        addresses: vec![place.clone()],
        outside: place,
        logins,
        host_key,
        proxy: None,
        task: NodeTask::default(),
        installs: InstalledCredentials::default(),
        notes: Vec::new(),
    })
}

/// Address of an external host, as written in its section.
#[must_use]
pub fn ansible_host_address(host: &AnsibleHost) -> &str {
    host.features.text("host").unwrap_or_default()
}
