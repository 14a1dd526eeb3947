//! What `scripts/make-bundle` left in the directory of bundles (CTXT_BUNDLE_DIR).

use super::version::Line;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Ansible and the libraries it needs, for one minor version of Python on one kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Bundle {
    /// Its name.
    pub name: String,
    /// Version of ansible-core.
    pub core: String,
    /// Minor version of Python it is for (`3.11`).
    pub python: String,
    /// Machine it is for (`x86_64`).
    pub machine: String,
    /// C library it is for (`glibc`, `musl`).
    pub libc: String,
    /// Hash of the archive, the name of the tree on the master.
    pub sha256: String,
    /// The archive on the daemon's host.
    #[serde(skip)]
    pub archive: PathBuf,
}

/// Collections for a line of ansible-core, whatever the Python and the machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Collections {
    /// Its name.
    pub name: String,
    /// Line of ansible-core (`2.16`).
    pub line: String,
    /// Which ones: `slim`, `default`, `full`.
    pub set: String,
    /// Version of the community package they are from.
    pub package: String,
    /// Hash of the archive, the name of the tree on the master.
    pub sha256: String,
    /// The archive on the daemon's host.
    #[serde(skip)]
    pub archive: PathBuf,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Description {
    Ansible(Bundle),
    Collections(Collections),
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf {
    /// Ansible.
    pub bundles: Vec<Bundle>,
    /// Collections.
    pub collections: Vec<Collections>,
}

impl Shelf {
    /// Reads the descriptions; those that are none are left out with a warning in the daemon's log.
    pub async fn read(directory: &Path) -> Self {
        let mut shelf = Self::default();
        let Ok(mut entries) = tokio::fs::read_dir(directory).await else { return shelf };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let path = entry.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let text = tokio::fs::read(&path).await.unwrap_or_default();
            let archive = path.with_extension("tar.gz");
            match serde_json::from_slice(&text) {
                Ok(Description::Ansible(bundle)) => shelf.bundles.push(Bundle { archive, ..bundle }),
                Ok(Description::Collections(set)) => shelf.collections.push(Collections { archive, ..set }),
                Err(error) => tracing::warn!(path = %path.display(), %error, "not the description of a bundle"),
            }
        }
        shelf.bundles.sort_by(|a, b| a.name.cmp(&b.name));
        shelf.collections.sort_by(|a, b| a.name.cmp(&b.name));
        shelf
    }

    /// The collections for a line: the wished set, else the largest there is.
    #[must_use]
    pub fn collections(&self, line: Line, set: &str) -> Option<&Collections> {
        let of_line = || self.collections.iter().filter(|c| Line::of(&c.line) == line);
        let named = |name: &str| of_line().find(|c| c.set == name);
        [set, "full", "default", "slim"].into_iter().find_map(named)
    }
}
