//! Images and limits of an account.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An image of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudImage {
    /// Image URL as used in `disk.0.image.url`.
    pub uri: String,
    /// Display name.
    pub name: String,
}

/// Whether the name of an image has what a user asks for: the filters `distribution` and `version`, in whatever case of letters
/// (docs/spec/connectors.md, 2.20).
#[must_use]
pub fn is_named(name: &str, filters: &BTreeMap<String, String>) -> bool {
    let name = name.to_lowercase();
    let wanted = ["distribution", "version"].into_iter().filter_map(|key| filters.get(key));
    wanted.into_iter().all(|part| name.contains(&part.to_lowercase()))
}

/// One limit of an account; -1 means unlimited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// In use.
    pub used: f64,
    /// Limit.
    pub limit: f64,
}
