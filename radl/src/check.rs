//! Semantic rules on a whole document.

use crate::error::RadlError;
use crate::features::{Amount, Constraint, Features, Operator, Value};
use crate::json::RESERVED;
use crate::model::{AnsibleHost, Configure, Contextualize, Deploy, Network, Radl, Tool};
use crate::{outports, recipes, units};
use std::collections::{BTreeSet, HashSet};

const YES_NO: &[&str] = &["YES", "NO"];
const SIZES: &[&str] =
    &["", "B", "K", "M", "G", "T", "KB", "MB", "GB", "TB", "KI", "MI", "GI", "KIB", "MIB", "GIB", "TIB"];
const PERFORMANCES: &[&str] = &["ECU", "GCEU", "HRZ"];

/// What a feature has to be.
#[derive(Clone, Copy)]
enum Rule {
    /// Any text.
    Text,
    /// A text that is not empty.
    Filled,
    /// One of some texts, in any case.
    OneOf(&'static [&'static str]),
    /// Digits and dots, or empty.
    Version,
    /// A text of one line.
    Secret,
    /// A secret that is hard to guess.
    Password,
    /// Port rules.
    Outports,
    /// Id of a network of the document.
    Network,
    /// Id of an ansible sentence of the document.
    AnsibleHost,
    /// A text or a list of texts.
    Urls,
    /// A number from 0 in one of some units (none: without unit).
    Number { whole: bool, units: &'static [&'static str] },
    /// Applications.
    Applications,
}

/// Ids that features may refer to.
struct Known<'a> {
    networks: HashSet<&'a str>,
    ansible_hosts: HashSet<&'a str>,
}

impl Radl {
    /// Checks the semantic rules, class by class: networks, ansible hosts, systems, deploys, configures, contextualize.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), RadlError> {
        self.check_with(recipes::check)
    }

    /// As [`Radl::check`] for a document put together from checked ones, whose recipes need not be read again.
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
        self.systems.iter().try_for_each(|system| check_system_name(&system.name, system.line))?;
        self.systems.iter().try_for_each(|system| check_system(&system.features, &known))?;
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

    /// Units that mean nothing, which count as 1 wherever no rule looks at them: worth a warning, not an error.
    #[must_use]
    pub fn unknown_units(&self) -> Vec<RadlError> {
        let mut found = Vec::new();
        let hosts = self.ansible_hosts.iter().map(|host| &host.features);
        let networks = self.networks.iter().map(|network| &network.features);
        for features in hosts.chain(networks).chain(self.systems.iter().map(|system| &system.features)) {
            find_unknown_units(features, &mut found);
        }
        found
    }
}

fn find_unknown_units(features: &Features, found: &mut Vec<RadlError>) {
    for (name, value) in features.iter() {
        match value {
            Value::Number { lower, upper } => {
                let bound = |bound: &&Constraint| bound.unit.as_deref().is_some_and(|u| units::factor(u).is_none());
                if let Some(bound) = lower.as_deref().into_iter().chain(upper.as_deref()).find(bound) {
                    let text = format!("Unknown unit '{}' in '{name}'", bound.unit.as_deref().unwrap_or(""));
                    found.push(RadlError::at_line(bound.line, text).about(name));
                }
            }
            Value::Contains(groups) => groups.values().for_each(|group| find_unknown_units(group, found)),
            _ => {}
        }
    }
    features.softs.iter().for_each(|group| find_unknown_units(&group.features, found));
}

fn check_network(network: &Network, known: &Known<'_>) -> Result<(), RadlError> {
    check_names(&network.features)?;
    let rule = |name: &str| match name {
        "outbound" => Some(Rule::OneOf(YES_NO)),
        "outports" => Some(Rule::Outports),
        "provider_id" => Some(Rule::Text),
        _ => None,
    };
    check_features(&network.features, known, rule)
}

fn check_ansible_host(host: &AnsibleHost, known: &Known<'_>) -> Result<(), RadlError> {
    check_names(&host.features)?;
    let rule = |name: &str| {
        Some(match name {
            "host" | "credentials.username" => Rule::Filled,
            "credentials.password" => Rule::Secret,
            "credentials.private_key" => Rule::Text,
            _ => return None,
        })
    };
    check_features(&host.features, known, rule)?;
    let missing = |what| Err(RadlError::at_line(host.line, format!("Ansible host must have a {what}")).about(&host.id));
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
fn check_system_name(name: &str, line: u32) -> Result<(), RadlError> {
    if matches!(name, "all" | "ungrouped" | "localhost") {
        let text = format!("Invalid system id '{name}'; it has another meaning for Ansible");
        return Err(RadlError::at_line(line, text).about(name));
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
        let index = canonical_index(index)
            .ok_or_else(|| error_at(value, "Invalid property name; expected an index.").about(name))?;
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
        if indices.last().is_some_and(|last| last + 1 != indices.len()) {
            return Err(RadlError::without_line(format!("Invalid indices values in properties '{prefix}'")));
        }
    }
    if connected.len() < interfaces.len() {
        return Err(RadlError::without_line("Some net_interface does not have a connection"));
    }
    Ok(())
}

/// The number that a canonical index spells: digits only, no leading zeros.
fn canonical_index(text: &str) -> Option<usize> {
    let index: usize = text.parse().ok()?;
    (index.to_string() == text && index < usize::MAX).then_some(index)
}

fn system_rule(name: &str) -> Option<Rule> {
    Some(match name {
        "cpu.count" | "price" => Rule::Number { whole: false, units: &[] },
        "cpu.performance" => Rule::Number { whole: false, units: PERFORMANCES },
        "memory.size" => Rule::Number { whole: true, units: SIZES },
        "cpu.arch" => Rule::OneOf(&["I386", "X86_64"]),
        "image_type" => Rule::OneOf(&["VMDK", "QCOW", "QCOW2", "RAW"]),
        "virtual_system_type" => Rule::Text,
        "spot" => Rule::OneOf(YES_NO),
        "ansible_host" => Rule::AnsibleHost,
        _ => return None,
    })
}

fn interface_rule(suffix: &str) -> Option<Rule> {
    match suffix {
        "connection" => Some(Rule::Network),
        "ip" | "dns_name" => Some(Rule::Text),
        _ => None,
    }
}

fn disk_rule(suffix: &str) -> Option<Rule> {
    Some(match suffix {
        "image.url" => Rule::Urls,
        "size" | "free_size" => Rule::Number { whole: false, units: SIZES },
        "os.name" => Rule::OneOf(&["LINUX", "WINDOWS", "MAC OS X"]),
        "os.version" => Rule::Version,
        "os.credentials.new.password" => Rule::Password,
        "applications" => Rule::Applications,
        "image.name" | "type" | "device" | "mount_path" | "fstype" | "os.flavour" => Rule::Text,
        _ => match suffix.strip_prefix("os.credentials.")? {
            "password" => Rule::Secret,
            "username" | "public_key" | "private_key" => Rule::Text,
            _ => return None,
        },
    })
}

fn application_rule(name: &str) -> Option<Rule> {
    Some(match name {
        "name" | "path" => Rule::Filled,
        "version" => Rule::Version,
        "preinstalled" => Rule::OneOf(YES_NO),
        _ => return None,
    })
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

fn check_features(
    features: &Features,
    known: &Known<'_>,
    rule: impl Fn(&str) -> Option<Rule>,
) -> Result<(), RadlError> {
    features.iter().try_for_each(|(name, value)| rule(name).map_or(Ok(()), |rule| rule.check(name, value, known)))
}

fn error_at(value: &Value, text: impl Into<String>) -> RadlError {
    RadlError::at_line(value.line(), text)
}

impl Rule {
    /// Type, operator, value, unit: in this order.
    fn check(self, name: &str, value: &Value, known: &Known<'_>) -> Result<(), RadlError> {
        match (self, value) {
            (Self::Number { whole, units }, Value::Number { lower, upper }) => {
                // An exact number stands on both sides; testing it twice changes nothing.
                lower.iter().chain(upper).try_for_each(|bound| check_number(name, bound, whole, units))
            }
            (Self::Applications, Value::Contains(groups)) => {
                groups.values().try_for_each(|group| check_features(group, known, application_rule))
            }
            (Self::Applications, Value::Object(_)) => {
                Err(error_at(value, "Invalid operator; expected 'contains'").about(name))
            }
            (Self::Urls, Value::List { .. }) => Ok(()),
            (Self::Number { .. } | Self::Applications, _) => Err(self.wrong_type(name, value)),
            (_, Value::Text { operator, text, line }) => self.check_text(name, *operator, text, *line, known),
            (Self::Version, Value::Versions { lower, upper }) => [lower, upper]
                .iter()
                .try_for_each(|bound| self.check_text(name, bound.operator, &bound.text, bound.line, known)),
            (_, Value::Versions { .. }) => Err(error_at(value, "Invalid operator; expected '='").about(name)),
            _ => Err(self.wrong_type(name, value)),
        }
    }

    fn wrong_type(self, name: &str, value: &Value) -> RadlError {
        let expected = match self {
            Self::Number { whole: true, .. } => "<class 'int'>",
            Self::Number { whole: false, .. } => "<class 'float'>",
            Self::Applications => "<class 'radl.radl.Features'>",
            Self::Urls => "<class 'str'> or <class 'list'>",
            _ => "<class 'str'>",
        };
        error_at(value, format!("Invalid type; expected {expected}")).about(name)
    }

    fn check_text(
        self,
        name: &str,
        operator: Operator,
        text: &str,
        line: u32,
        known: &Known<'_>,
    ) -> Result<(), RadlError> {
        let fail = |text: String| Err(RadlError::at_line(line, text).about(name));
        if operator != Operator::Eq && !name.contains("version") {
            return fail("Invalid operator; expected '='".to_owned());
        }
        let is_valid = match self {
            Self::OneOf(allowed) if !allowed.contains(&text.to_uppercase().as_str()) => {
                return fail(format!("Invalid value; expected one of {}", python_list(allowed)));
            }
            Self::Filled => !text.is_empty(),
            Self::Version => is_version(text),
            Self::Secret => is_one_line(text),
            Self::Password => is_one_line(text) && is_strong(text),
            Self::Outports => outports::parse(text).is_ok(),
            Self::Network => known.networks.contains(text),
            Self::AnsibleHost => known.ansible_hosts.contains(text),
            _ => true,
        };
        if is_valid { Ok(()) } else { fail(format!("Invalid value in property '{name}'")) }
    }
}

fn check_number(name: &str, bound: &Constraint, whole: bool, allowed: &[&str]) -> Result<(), RadlError> {
    let fail = |text: String| Err(RadlError::at_line(bound.line, text).about(name));
    if whole && matches!(bound.amount, Amount::Float(_)) {
        return fail("Invalid type; expected <class 'int'>".to_owned());
    }
    if bound.amount.as_f64().is_nan() || bound.amount.as_f64() < 0.0 {
        return fail(format!("Invalid value in property '{name}'"));
    }
    let unit = bound.unit.as_deref().unwrap_or("").to_uppercase();
    if allowed.is_empty() && !unit.is_empty() {
        return fail("Invalid unit; expected none".to_owned());
    }
    // TI is missing in the list that clients know, though the other binary units stand there in both forms.
    let fits = allowed.is_empty() || allowed.contains(&unit.as_str()) || unit == "TI" && allowed.contains(&"GI");
    if fits { Ok(()) } else { fail(format!("Invalid unit; expected one of {}", python_list(allowed))) }
}

/// A list as it reads in messages that clients know.
fn python_list(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("'{item}'")).collect();
    format!("[{}]", quoted.join(", "))
}

fn is_version(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.is_empty() || text.split('.').all(is_number)
}

/// What no tool that sets passwords can take in.
fn is_one_line(text: &str) -> bool {
    !text.contains(['\n', '\r', '\0'])
}

fn is_strong(password: &str) -> bool {
    password.chars().count() > 6
        && password.chars().any(char::is_uppercase)
        && password.chars().any(char::is_numeric)
        && password.chars().any(|c| !c.is_alphanumeric())
}

fn check_deploy(deploy: &Deploy, systems: &HashSet<&str>) -> Result<(), RadlError> {
    let fail = |text: &str| Err(RadlError::at_line(deploy.line, text).about(&deploy.system));
    if !systems.contains(deploy.system.as_str()) {
        return fail("Invalid system id in the deploy.");
    }
    if deploy.number < 0 {
        return fail("Invalid number of virtual machines to deploy.");
    }
    Ok(())
}

fn check_contextualize(
    contextualize: &Contextualize,
    systems: &HashSet<&str>,
    configures: &HashSet<&str>,
) -> Result<(), RadlError> {
    if contextualize.max_time < 0 {
        return Err(RadlError::without_line("Invalid 'max time' in 'contextualize'"));
    }
    for item in &contextualize.items {
        let fail = |text: String, id: &str| Err(RadlError::at_line(item.line, text).about(id));
        if !systems.contains(item.system.as_str()) {
            return fail(format!("Invalid system id '{}'", item.system), &item.system);
        }
        if !configures.contains(item.configure.as_str()) {
            return fail(format!("Invalid configure id '{}'", item.configure), &item.configure);
        }
        if item.step < 0 {
            return fail("Invalid step; expected a whole number from 0".to_owned(), &item.system);
        }
        if let (None, Some(tool)) = (item.tool(), &item.tool) {
            return fail(format!("Invalid tool '{tool}'; expected one of {}", python_list(&Tool::NAMES)), tool);
        }
    }
    Ok(())
}
