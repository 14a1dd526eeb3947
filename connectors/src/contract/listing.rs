//! Images and limits of an account.

use serde::{Deserialize, Serialize};

/// An image of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudImage {
    /// Image URL as used in `disk.0.image.url`.
    pub uri: String,
    /// Display name.
    pub name: String,
}

/// One limit of an account; -1 means unlimited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// In use.
    pub used: f64,
    /// Limit.
    pub limit: f64,
}
