//! What the value of a feature has to be.

use crate::error::RadlError;
use crate::features::{Constraint, Features, Operator, Value};
use crate::outports;
use crate::units::Amount;
use std::collections::HashSet;

const YES_NO: &[&str] = &["YES", "NO"];
const SIZES: &[&str] =
    &["", "B", "K", "M", "G", "T", "KB", "MB", "GB", "TB", "KI", "MI", "GI", "KIB", "MIB", "GIB", "TIB"];
const PERFORMANCES: &[&str] = &["ECU", "GCEU", "HRZ"];

/// What a feature has to be.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
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
pub(crate) struct Known<'a> {
    pub networks: HashSet<&'a str>,
    pub ansible_hosts: HashSet<&'a str>,
}

/// The rule of a feature of a network.
pub(crate) fn network_rule(name: &str) -> Option<Rule> {
    Some(match name {
        "outbound" => Rule::OneOf(YES_NO),
        "outports" => Rule::Outports,
        "provider_id" => Rule::Text,
        _ => return None,
    })
}

/// The rule of a feature of an external control node.
pub(crate) fn ansible_host_rule(name: &str) -> Option<Rule> {
    Some(match name {
        "host" | "credentials.username" => Rule::Filled,
        "credentials.password" => Rule::Secret,
        "credentials.private_key" => Rule::Text,
        _ => return None,
    })
}

/// The rule of a feature of a system.
pub(crate) fn system_rule(name: &str) -> Option<Rule> {
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

/// The rule of what stands behind `net_interface.N.`
pub(crate) fn interface_rule(suffix: &str) -> Option<Rule> {
    match suffix {
        "connection" => Some(Rule::Network),
        "ip" | "dns_name" => Some(Rule::Text),
        _ => None,
    }
}

/// The rule of what stands behind `disk.N.`
pub(crate) fn disk_rule(suffix: &str) -> Option<Rule> {
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

pub(crate) fn error_at(value: &Value, text: impl Into<String>) -> RadlError {
    RadlError::at_line(value.line(), text)
}

/// Checks every feature that has a rule.
pub(crate) fn check_features(
    features: &Features,
    known: &Known<'_>,
    rule: impl Fn(&str) -> Option<Rule>,
) -> Result<(), RadlError> {
    features.iter().try_for_each(|(name, value)| rule(name).map_or(Ok(()), |rule| rule.check(name, value, known)))
}

impl Rule {
    /// Type, operator, value, unit: in this order.
    pub(crate) fn check(self, name: &str, value: &Value, known: &Known<'_>) -> Result<(), RadlError> {
        match (self, value) {
            (Self::Number { whole, units }, Value::Number { lower, upper }) => {
                // An exact number stands on both sides; testing it twice changes nothing.
                lower.iter().chain(upper).try_for_each(|bound| match bound.amount {
                    Amount::Float(_) if whole => Err(self.wrong_type(name, bound.line)),
                    _ => check_number(name, bound, units),
                })
            }
            (Self::Applications, Value::Contains(groups)) => {
                groups.values().try_for_each(|group| check_features(group, known, application_rule))
            }
            (Self::Applications, Value::Object(_)) => {
                Err(error_at(value, "Invalid operator; expected 'contains'").about(name))
            }
            (Self::Urls, Value::List { .. }) => Ok(()),
            (Self::Number { .. } | Self::Applications, _) => Err(self.wrong_type(name, value.line())),
            (_, Value::Text { operator, text, line }) => self.check_text(name, *operator, text, *line, known),
            (Self::Version, Value::Versions { lower, upper }) => [lower, upper]
                .iter()
                .try_for_each(|bound| self.check_text(name, bound.operator, &bound.text, bound.line, known)),
            (_, Value::Versions { .. }) => Err(error_at(value, "Invalid operator; expected '='").about(name)),
            _ => Err(self.wrong_type(name, value.line())),
        }
    }

    fn wrong_type(self, name: &str, line: u32) -> RadlError {
        // Where vectors bind them, the words are those that clients know.
        let (expected, is) = match self {
            Self::Number { whole: true, .. } => ("<class 'int'>", "a whole number"),
            Self::Number { whole: false, .. } => ("a number", "a number"),
            Self::Applications => ("<class 'radl.radl.Features'>", "a group: NAME contains ( features )"),
            Self::Urls => ("a text or a list of texts", "a text in single quotes, or a list of such"),
            _ => ("<class 'str'>", "a text in single quotes"),
        };
        let text = format!("Invalid type; expected {expected}");
        RadlError::at_line(line, text).about(name).because(format!("the value of {name} has to be {is}"))
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
        if let Self::OneOf(allowed) = self {
            let is_one = allowed.contains(&text.to_uppercase().as_str());
            return if is_one {
                Ok(())
            } else {
                fail(format!("Invalid value; expected one of {}", python_list(allowed)))
            };
        }
        let invalid = || RadlError::at_line(line, format!("Invalid value in property '{name}'")).about(name);
        let wrong = |why: &str| Err(invalid().because(why));
        match self {
            Self::Filled if text.is_empty() => wrong("it is empty"),
            Self::Version if !is_version(text) => wrong("a version is made of numbers and dots, as '22.04'"),
            Self::Secret | Self::Password if !is_one_line(text) => wrong("it has to be one line"),
            Self::Password if !is_strong(text) => wrong(
                "it needs 7 characters at least, among them a capital letter, a digit and one that is neither letter \
                 nor digit",
            ),
            Self::Outports => {
                outports::parse(text).map(|_| ()).or_else(|fault| wrong(fault.detail().unwrap_or_default()))
            }
            Self::Network if !known.networks.contains(text) => {
                Err(invalid().missing("network", text).because("the document has no network of this id"))
            }
            Self::AnsibleHost if !known.ansible_hosts.contains(text) => {
                Err(invalid().missing("ansible", text).because("the document has no ansible host of this id"))
            }
            _ => Ok(()),
        }
    }
}

/// One bound of a number: a whole one where that is wanted, not negative, in one of the units.
fn check_number(name: &str, bound: &Constraint, units: &[&str]) -> Result<(), RadlError> {
    let fail = |text: String| RadlError::at_line(bound.line, text).about(name);
    if bound.amount.as_f64().is_nan() || bound.amount.as_f64() < 0.0 {
        return Err(fail(format!("Invalid value in property '{name}'")).because("a number from 0 is expected"));
    }
    let unit = bound.unit.as_deref().unwrap_or("").to_uppercase();
    if units.is_empty() && !unit.is_empty() {
        return Err(fail("Invalid unit; expected none".to_owned()));
    }
    // TI is missing in the list that clients know, though the other binary units stand there in both forms.
    let fits = units.is_empty() || units.contains(&unit.as_str()) || unit == "TI" && units.contains(&"GI");
    if fits { Ok(()) } else { Err(fail(format!("Invalid unit; expected one of {}", python_list(units)))) }
}

/// A list as it reads in messages that clients know.
pub(crate) fn python_list(items: &[&str]) -> String {
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
