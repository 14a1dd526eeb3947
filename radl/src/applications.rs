//! Applications of a system: what is requested, and what an image has.

use crate::features::{Features, Value};
use crate::model::System;
use crate::versions;

/// Where the applications of a system stand: those of the boot disk.
const APPLICATIONS: &str = "disk.0.applications";

/// Whether an application in `have` fulfils the wish for the one in `want`: the same name, and no version wished or one
/// that is at least as new. An application of unknown version fulfils no wish for a version.
#[must_use]
pub fn satisfies(have: &Features, want: &Features) -> bool {
    if have.text("name") != want.text("name") {
        return false;
    }
    match (have.text("version"), want.text("version")) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(have), Some(want)) => versions::compare(have, want).is_ge(),
    }
}

/// The name without the version that galaxy content carries after a comma.
fn bare_name(name: &str) -> &str {
    name.split_once(',').map_or(name, |(bare, _)| bare)
}

impl System {
    /// The requested applications (or those of an image), in order.
    pub fn applications(&self) -> impl Iterator<Item = &Features> {
        applications(&self.features)
    }

    /// Takes over the applications of `change`: each replaces the one of the same name (the part after a comma apart) and
    /// goes to the end.
    pub(crate) fn replace_applications(&mut self, change: &Self) {
        let Some(Value::Contains(new)) = change.features.get(APPLICATIONS) else {
            return;
        };
        let mut groups = match self.features.get(APPLICATIONS) {
            Some(Value::Contains(groups)) => groups.clone(),
            _ => Box::default(),
        };
        let replaced: std::collections::HashSet<&str> = new.keys().map(|name| bare_name(name)).collect();
        groups.retain(|name, _| !replaced.contains(bare_name(name)));
        groups.extend(new.iter().map(|(name, group)| (name.clone(), group.clone())));
        self.features.set(APPLICATIONS, Value::Contains(groups));
    }
}

/// The applications among some features.
pub(crate) fn applications(features: &Features) -> impl Iterator<Item = &Features> {
    features.groups(APPLICATIONS)
}

/// The application among some features that has the name of another one: each name is there once.
pub(crate) fn namesake<'a>(features: &'a Features, application: &Features) -> Option<&'a Features> {
    match features.get(APPLICATIONS)? {
        Value::Contains(groups) => groups.get(application.text("name").unwrap_or_default()),
        _ => None,
    }
}
