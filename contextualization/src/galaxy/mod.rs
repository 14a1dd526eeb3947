//! Roles and collections that a document asks for: `ansible.roles.X`, `ansible.modules.X` (the old word for roles) and
//! `ansible.collections.X` among the applications of a system (docs/spec/contextualization.md 1.15, 2.5, 5.4 SR5).
//!
//! | module | subject |
//! |---|---|
//! | [`spec`] | the grammar of one of them |
//! | [`sources`] | where it comes from: a directory of archives, or the network |
//! | [`install`] | installing on the master |

pub mod install;
pub mod sources;
pub mod spec;

use indexmap::IndexMap;
use radl::{Features, Radl, System, Value};
use spec::{ContentKind, Requirement, SpecError};
use std::collections::{BTreeMap, BTreeSet};

/// Beginnings of application names and what they mean.
const PREFIXES: [(&str, ContentKind); 3] = [
    ("ansible.roles.", ContentKind::Role),
    ("ansible.modules.", ContentKind::Role),
    ("ansible.collections.", ContentKind::Collection),
];

/// Kind and text of a role or collection; none for other applications.
#[must_use]
pub fn split(application: &str) -> Option<(ContentKind, &str)> {
    PREFIXES.iter().find_map(|(prefix, kind)| Some((*kind, application.strip_prefix(prefix)?)))
}

/// Something to install, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What.
    pub requirement: Requirement,
    /// Systems whose machines need it.
    pub systems: BTreeSet<String>,
}

fn requirements<'a>(
    system: &'a System,
    mirror: Option<&'a str>,
) -> impl Iterator<Item = Result<Requirement, SpecError>> + 'a {
    let groups = match system.features.get("disk.0.applications") {
        Some(Value::Contains(groups)) => Some(groups),
        _ => None,
    };
    let parse = move |(name, group): (&'a String, &'a Features)| {
        let (kind, text) = split(name)?;
        Some(Requirement::parse(kind, text, group.text("version"), mirror))
    };
    groups.into_iter().flat_map(|groups| groups.iter()).filter_map(parse)
}

/// What the document asks for, each thing once, in its order. `mirror` is the Galaxy server of the operator. What the
/// grammar refuses is left out: [`check`] refuses such documents.
#[must_use]
pub fn wanted(radl: &Radl, mirror: Option<&str>) -> Vec<Wanted> {
    let mut all: IndexMap<Requirement, BTreeSet<String>> = IndexMap::new();
    for system in &radl.systems {
        for requirement in requirements(system, mirror).flatten() {
            all.entry(requirement).or_default().insert(system.name.clone());
        }
    }
    all.into_iter().map(|(requirement, systems)| Wanted { requirement, systems }).collect()
}

/// Refuses what no grammar covers, and two versions under one name: there is one place for each.
///
/// # Errors
/// The first fault, in words for the author of the document.
pub fn check(radl: &Radl, mirror: Option<&str>) -> Result<(), SpecError> {
    let mut names: BTreeMap<(ContentKind, String), Requirement> = BTreeMap::new();
    for requirement in radl.systems.iter().flat_map(|system| requirements(system, mirror)) {
        let requirement = requirement?;
        let name = (requirement.kind, requirement.installed_name().to_owned());
        if let Some(other) = names.insert(name, requirement.clone()).filter(|other| *other != requirement) {
            return Err(SpecError::Twice(requirement.to_string(), other.to_string()));
        }
    }
    Ok(())
}

/// The application that stands for what a recipe misses which failed with this text of Ansible; none when nothing is
/// missing.
fn missing(text: &str) -> Option<String> {
    let quoted = |before: &str| text.split_once(before)?.1.split_once('\'').map(|(name, _)| name);
    let content = quoted("couldn't resolve module/action '").or_else(|| quoted("No filter named '"));
    let collection = content.filter(|name| name.matches('.').count() >= 2).map(|name| {
        let collection: Vec<&str> = name.splitn(3, '.').take(2).collect();
        format!("ansible.collections.{}", collection.join("."))
    });
    let role = || quoted("the role '").filter(|_| text.contains("was not found")).map(|r| format!("ansible.roles.{r}"));
    collection.or_else(role)
}

/// What to add to a document whose recipe failed with this text of Ansible; none when nothing is missing.
#[must_use]
pub fn hint(text: &str) -> Option<String> {
    let can_be_had =
        |name: &String| split(name).is_some_and(|(kind, text)| Requirement::parse(kind, text, None, None).is_ok());
    let application = missing(text).filter(can_be_had)?;
    Some(format!("it is not on the master: add {application} to disk.0.applications of the system"))
}

/// Why a recipe failed with this text of Ansible, when it misses something that could not be installed; `faults` say
/// of each why, by [`fault_key`].
#[must_use]
pub fn cause<'f>(text: &str, faults: &'f BTreeMap<String, String>) -> Option<&'f String> {
    let application = missing(text)?;
    let (kind, name) = split(&application)?;
    faults.get(&fault_key(kind, name))
}

/// What a fault of a role or collection is kept under.
#[must_use]
pub fn fault_key(kind: ContentKind, name: &str) -> String {
    format!("{kind} {name}")
}

#[cfg(test)]
mod tests;
