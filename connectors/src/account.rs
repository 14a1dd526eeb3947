//! One credential line that names a cloud (docs/spec/connectors.md, 2.1).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Where a cloud answers: the parts of `[scheme://]name[:port][/path]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Scheme; empty when the line gave none.
    pub protocol: String,
    /// Host name or address; empty when the line has no `host`.
    pub server: String,
    /// Port, when given.
    pub port: Option<u16>,
    /// Path with its leading slash; empty when absent.
    pub path: String,
}

/// What tells one account of a cloud from the others: the same text for every credential line of that account, whatever
/// passwords and tokens it has at the time, and none of them in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountName(pub String);

impl std::fmt::Display for AccountName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cloud and the credentials for it, as one item of the caller's authorization names them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudAccount {
    /// Label of the cloud, unique within the caller's credentials (`id`, or type and position).
    pub id: String,
    /// Connector type, e.g. `Dummy`, `OpenStack`.
    pub kind: String,
    /// Parsed `host`.
    pub endpoint: Endpoint,
    /// Every key of the item but `id`, `type` and `host`; values are secrets.
    pub fields: IndexMap<String, String>,
}

impl CloudAccount {
    /// The value of a key of the line.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }
}

impl std::fmt::Debug for CloudAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudAccount")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
