//! Images: copies of the writable layer of a node, by name.

use super::{
    mark::State,
    tool::{During, Result, run},
};
use crate::error::{ConnectorError, ErrorClass};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The image that is the host's root as it is.
pub(super) const HOST: &str = "host";
const SCHEME: &str = "local://";

/// The image name in a URL: `local://NAME`, `local:NAME` or a bare name; empty names mean the host. None for the URL
/// of another cloud.
pub(super) fn name(url: &str) -> Option<&str> {
    let name = match url.strip_prefix(SCHEME).or_else(|| url.strip_prefix("local:")) {
        Some(name) => name.trim_matches('/'),
        None if url.contains(':') => return None,
        // A bare text names no image of ours: whatever it is, the host stands for it.
        None => HOST,
    };
    Some(if name.is_empty() { HOST } else { name })
}

/// The URL of an image.
pub(super) fn url(name: &str) -> String {
    format!("{SCHEME}{name}")
}

/// Where the image is; the name comes from outside and becomes a file name.
fn folder(images: &Path, name: &str) -> Result<PathBuf> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !name.starts_with('.')
        && name != HOST;
    if fits {
        return Ok(images.join(name));
    }
    Err(ConnectorError::new(
        ErrorClass::Invalid,
        format!("'{name}' is no image name (letters, digits, '.', '_' and '-', at most 64, not '{HOST}')"),
    ))
}

/// The directory of an existing image.
pub(super) fn find(images: &Path, name: &str) -> Result<PathBuf> {
    let path = folder(images, name)?;
    if path.is_dir() {
        return Ok(path);
    }
    Err(ConnectorError::new(ErrorClass::NotFound, format!("The local cloud has no image '{name}'")))
}

/// Names of all images.
pub(super) fn list(images: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let entries = match fs::read_dir(images) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(names),
        other => other.during("listing images")?,
    };
    for entry in entries {
        let name = entry.during("listing images")?.file_name().to_string_lossy().into_owned();
        // A copy in the making starts with a dot.
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Keeps a copy of a node's writable layer under a new name and returns its URL.
pub(super) fn make(images: &Path, name: &str, upper: &Path) -> Result<String> {
    let target = folder(images, name)?;
    let taken = || ConnectorError::new(ErrorClass::Conflict, format!("The local cloud already has an image '{name}'"));
    if target.exists() {
        return Err(taken());
    }
    let draft = State::draft(images);
    let made = copy(upper, &draft).and_then(|()| match fs::rename(&draft, &target) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Err(taken()),
        other => other.during("naming the image"),
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    made.map(|()| url(name))
}

/// Copies a layer with all that an overlay knows of it: owners, devices, extended attributes.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    run("cp", &["--archive", "--reflink=auto", "--no-target-directory", "--", &from, &to], "").map(drop)
}

/// Deletes an image; a missing one is fine.
pub(super) fn delete(images: &Path, name: &str) -> Result<()> {
    match fs::remove_dir_all(folder(images, name)?) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.during("deleting the image"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_images_of_this_cloud_only() {
        for (url, expected) in [
            ("local://web-1", Some("web-1")),
            ("local:///web-1/", Some("web-1")),
            ("local://host", Some(HOST)),
            ("local:", Some(HOST)),
            ("debian-12", Some(HOST)),
            ("one://server/1", None),
            ("docker://debian:12", None),
        ] {
            assert_eq!(name(url), expected, "{url}");
        }
        for hostile in ["../vms", "a/b", ".x", "host", "", "a b"] {
            assert!(folder(Path::new("/images"), hostile).is_err(), "{hostile}");
        }
    }
}
