//! The checks that make the settings safe to act on.

use super::subnet::is_reserved;
use crate::{
    error::{ConnectorError, ErrorClass},
    settings::LocalSettings,
};
use std::path::{Path, PathBuf};

impl LocalSettings {
    /// Refuses pools outside the reserved ranges and directories that cannot be given to the kernel.
    ///
    /// # Errors
    /// `Invalid`, naming the setting.
    pub(super) fn check(&self) -> Result<(), ConnectorError> {
        let invalid = |text: String| Err(ConnectorError::new(ErrorClass::Invalid, text));
        for (name, pool) in [("PUBLIC_POOL", self.public_pool), ("PRIVATE_POOL", self.private_pool)] {
            if !is_reserved(pool) {
                return invalid(format!(
                    "[Local] {name} = {pool} is not reserved for private use, documentation or benchmarks \
                     (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, \
                     198.18.0.0/15)"
                ));
            }
            if pool.prefix() > 24 {
                return invalid(format!("[Local] {name} = {pool} has no room for a /24 network"));
            }
        }
        if self.public_pool.overlaps(self.private_pool) {
            return invalid("[Local] PUBLIC_POOL and PRIVATE_POOL overlap".to_owned());
        }
        for (name, path) in
            std::iter::once(("STATE_DIR", &self.state_dir)).chain(self.hide.iter().map(|path| ("HIDE", path)))
        {
            if !is_plain(path) {
                return invalid(format!(
                    "[Local] {name} = {}: an absolute path without '..', colon, comma, backslash or blank is needed",
                    path.display()
                ));
            }
        }
        Ok(())
    }

    /// All directories that nodes see empty.
    pub(super) fn hidden(&self) -> impl Iterator<Item = &Path> {
        ["/root", "/home"]
            .into_iter()
            .map(Path::new)
            .chain([self.state_dir.as_path()])
            .chain(self.hide.iter().map(PathBuf::as_path))
    }
}

/// Whether the path can stand in the option list of an overlay mount as it is.
fn is_plain(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return false };
    path.is_absolute()
        && path != Path::new("/")
        && !path.components().any(|part| part == std::path::Component::ParentDir)
        && !text.contains(|c: char| ":,\\".contains(c) || c.is_whitespace() || c.is_control())
}
