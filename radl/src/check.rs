//! Semantic rules on a whole document.

use crate::error::RadlError;
use crate::features::{Features, Value};
use crate::json::RESERVED;
use crate::model::{AnsibleHost, Configure, Contextualize, Deploy, Network, Radl, System, Tool};
use crate::recipes;
use crate::rules::{
    Known, ansible_host_rule, check_features, disk_rule, error_at, interface_rule, network_rule, python_list,
    system_rule,
};
use std::collections::{BTreeSet, HashSet};

impl Radl {
    /// Checks the semantic rules, class by class: networks, ansible hosts, systems, deploys, configures, contextualize.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), RadlError> {
        self.check_with(recipes::check)
    }

    /// Checks by the rules of [`Radl::check`] a document put together from checked ones, whose recipes need not be read again.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn check_all_but_recipes(&self) -> Result<(), RadlError> {
        self.check_with(|_| Ok(()))
    }

    fn check_with(&self, recipe: impl Fn(&Configure) -> Result<(), RadlError>) -> Result<(), RadlError> {
        let known = Known {
            networks: self.networks.iter().map(|network| network.id.as_str()).collect(),
            ansible_hosts: self.ansible_hosts.iter().map(|host| host.id.as_str()).collect(),
        };
        let systems: HashSet<&str> = self.systems.iter().map(|system| system.name.as_str()).collect();
        let configures: HashSet<&str> = self.configures.iter().map(|configure| configure.name.as_str()).collect();
        self.networks.iter().try_for_each(|network| check_network(network, &known))?;
        self.ansible_hosts.iter().try_for_each(|host| check_ansible_host(host, &known))?;
        self.systems.iter().try_for_each(check_system_name)?;
        self.systems.iter().try_for_each(|system| {
            let checked = check_system(&system.features, &known);
            checked.map_err(|error| error.inside("system", &system.name).placed(system.line, None))
        })?;
        self.deploys.iter().try_for_each(|deploy| check_deploy(deploy, &systems))?;
        self.configures.iter().try_for_each(recipe)?;
        self.contextualize.iter().try_for_each(|c| check_contextualize(c, &systems, &configures))?;
        recipes::check_use(self)?;
        if systems.len() < self.systems.len() {
            return Err(RadlError::without_line("Some System name duplicated."));
        }
        if known.networks.len() < self.networks.len() {
            return Err(RadlError::without_line("Some Network name duplicated."));
        }
        Ok(())
    }
}

fn check_network(network: &Network, known: &Known<'_>) -> Result<(), RadlError> {
    let features = &network.features;
    let checked = check_names(features).and_then(|()| check_features(features, known, network_rule));
    checked.map_err(|error| error.inside("network", &network.id))
}

fn check_ansible_host(host: &AnsibleHost, known: &Known<'_>) -> Result<(), RadlError> {
    let checked = check_names(&host.features).and_then(|()| check_features(&host.features, known, ansible_host_rule));
    checked.map_err(|error| error.inside("ansible", &host.id))?;
    let missing = |what| {
        let error = RadlError::at_line(host.line, format!("Ansible host must have a {what}"));
        Err(error.about(&host.id).inside("ansible", &host.id))
    };
    let has = |name| host.features.has(name);
    if !has("host") {
        return missing("host");
    }
    if !has("credentials.username") {
        return missing("credentials.username");
    }
    if !has("credentials.password") && !has("credentials.private_key") {
        return missing("credentials.password or credentials.private_key");
    }
    Ok(())
}

/// System names are groups of the inventory, where these three mean something else.
fn check_system_name(system: &System) -> Result<(), RadlError> {
    let name = &system.name;
    if matches!(name.as_str(), "all" | "ungrouped" | "localhost") {
        let text = format!("Invalid system id '{name}'; it has another meaning for Ansible");
        return Err(RadlError::at_line(system.line, text).about(name).inside("system", name));
    }
    Ok(())
}

/// The features of a system, or those of a soft group, which has to be complete in itself.
fn check_system(features: &Features, known: &Known<'_>) -> Result<(), RadlError> {
    check_names(features)?;
    let is_indexed = |name: &str| name.starts_with("net_interface.") || name.starts_with("disk.");
    let mut softs = features.softs.iter();
    for (at, (name, value)) in features.iter().enumerate() {
        if at == features.before_softs {
            softs.by_ref().try_for_each(|group| check_system(&group.features, known))?;
        }
        if let Some(rule) = system_rule(name).filter(|_| !is_indexed(name)) {
            rule.check(name, value, known)?;
        }
    }
    softs.try_for_each(|group| check_system(&group.features, known))?;
    let (mut interfaces, mut disks, mut connected) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (name, value) in features.iter().filter(|(name, _)| is_indexed(name)) {
        let (prefix, rest) = name.split_once('.').unwrap_or_default();
        let (index, suffix) = rest.split_once('.').unwrap_or((rest, ""));
        let index = canonical_index(index).ok_or_else(|| {
            let error = error_at(value, "Invalid property name; expected an index.").about(name);
            error.because(format!("{prefix}.N.NAME is counted with N = 0, 1, 2, ..."))
        })?;
        let is_disk = prefix == "disk";
        let Some(rule) = (if is_disk { disk_rule(suffix) } else { interface_rule(suffix) }) else {
            continue;
        };
        rule.check(name, value, known)?;
        if is_disk { &mut disks } else { &mut interfaces }.insert(index);
        if suffix == "connection" && !is_disk {
            connected.insert(index);
        }
    }
    for (indices, prefix) in [(&interfaces, "net_interface"), (&disks, "disk")] {
        if let Some(gap) = (0..).zip(indices).find(|(wanted, index)| wanted != *index) {
            let text = format!("Invalid indices values in properties '{prefix}'");
            let used: Vec<String> = indices.iter().take(SHOWN_INDICES).map(usize::to_string).collect();
            let more = if indices.len() > used.len() { ", ..." } else { "" };
            let why = format!("they count from 0 without a gap; {} is missing in {}{more}", gap.0, used.join(", "));
            return Err(RadlError::without_line(text).because(why));
        }
    }
    if let Some(index) = interfaces.iter().find(|index| !connected.contains(index)) {
        let error = RadlError::without_line("Some net_interface does not have a connection");
        return Err(error.because(format!("net_interface.{index}.connection has to name a network")));
    }
    Ok(())
}

/// How many indices an error lists.
const SHOWN_INDICES: usize = 16;

/// The number that a canonical index spells: digits only, no leading zeros.
fn canonical_index(text: &str) -> Option<usize> {
    let index: usize = text.parse().ok()?;
    (index.to_string() == text && index < usize::MAX).then_some(index)
}

/// Names that would come back from the JSON form as something else.
fn check_names(features: &Features) -> Result<(), RadlError> {
    for (name, value) in features.iter() {
        let is_bound = matches!(value, Value::Number { .. }) && (name.ends_with("_min") || name.ends_with("_max"));
        if RESERVED.contains(&name) || is_bound {
            let text = format!("Invalid property name '{name}'; it has another meaning in the JSON form");
            return Err(error_at(value, text).about(name));
        }
    }
    Ok(())
}

fn check_deploy(deploy: &Deploy, systems: &HashSet<&str>) -> Result<(), RadlError> {
    let fail = |text: &str| RadlError::at_line(deploy.line, text).about(&deploy.system).inside("deploy", "");
    if !systems.contains(deploy.system.as_str()) {
        return Err(fail("Invalid system id in the deploy.").missing("system", &deploy.system));
    }
    if deploy.number < 0 {
        let error = fail("Invalid number of virtual machines to deploy.");
        return Err(error.because("a whole number from 0 is expected"));
    }
    Ok(())
}

fn check_contextualize(
    contextualize: &Contextualize,
    systems: &HashSet<&str>,
    configures: &HashSet<&str>,
) -> Result<(), RadlError> {
    if contextualize.max_time < 0 {
        let error = RadlError::without_line("Invalid 'max time' in 'contextualize'").placed(contextualize.line, None);
        return Err(error.because("a whole number of seconds from 0 is expected"));
    }
    for item in &contextualize.items {
        let fail = |text: String, id: &str| RadlError::at_line(item.line, text).about(id).inside("contextualize", "");
        let (system, configure) = (&item.system, &item.configure);
        if !systems.contains(system.as_str()) {
            return Err(fail(format!("Invalid system id '{system}'"), system).missing("system", system));
        }
        if !configures.contains(configure.as_str()) {
            return Err(fail(format!("Invalid configure id '{configure}'"), configure).missing("configure", configure));
        }
        if item.step < 0 {
            return Err(fail("Invalid step; expected a whole number from 0".to_owned(), system));
        }
        if let (None, Some(tool)) = (item.tool(), &item.tool) {
            let expected = python_list(&Tool::NAMES);
            return Err(fail(format!("Invalid tool '{tool}'; expected one of {expected}"), tool));
        }
    }
    Ok(())
}
