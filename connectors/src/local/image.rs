//! Images: copies of the writable layer of a node, by name. A file beside each, `.mark-NAME`, holds the mark of who made
//! it; it is there before the image, and whoever makes it first has the name.

use super::{
    mark::State,
    tool::{During, Result, run},
};
use crate::{
    contract::ImageIntent,
    error::{ConnectorError, ErrorClass},
};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The image that is the host's root as it is.
pub(super) const HOST: &str = "host";
const SCHEME: &str = "local://";

/// The image name in a URL: `local://NAME`, `local://ANY-HOST/NAME` (clients know image URLs of this form alone),
/// `local:NAME` or a bare name; empty names mean the host. None for the URL of another cloud.
pub(super) fn name(url: &str) -> Option<&str> {
    let name = match url.strip_prefix(SCHEME).or_else(|| url.strip_prefix("local:")) {
        Some(path) => {
            let path = path.trim_matches('/');
            path.split_once('/').map_or(path, |(_, name)| name)
        }
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

/// Keeps a copy of a node's writable layer under a new name, unless it does already, and returns its URL.
pub(super) fn make(images: &Path, image: &ImageIntent, upper: &Path) -> Result<String> {
    let name = image.name.as_str();
    let target = folder(images, name)?;
    let taken = || ConnectorError::new(ErrorClass::Conflict, format!("The local cloud already has an image '{name}'"));
    match maker(images, name)? {
        Some(maker) if maker == image.uid.0 => {
            if target.exists() {
                return Ok(url(name));
            }
        }
        Some(_) => return Err(taken()),
        None if target.exists() => return Err(taken()),
        None => {
            // The file appears with its content.
            let draft = State::draft(images);
            fs::write(&draft, &image.uid.0).during("marking the image")?;
            let linked = fs::hard_link(&draft, mark(images, name));
            let _ = fs::remove_file(&draft);
            match linked {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(taken()),
                other => other.during("marking the image")?,
            }
        }
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

/// The file with the mark of an image.
fn mark(images: &Path, name: &str) -> PathBuf {
    images.join(format!(".mark-{name}"))
}

/// The mark of whoever made, or began to make, the image of this name.
fn maker(images: &Path, name: &str) -> Result<Option<String>> {
    match fs::read_to_string(mark(images, name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.during("reading the mark of an image").map(Some),
    }
}

/// Deletes an image; a missing one is fine, as is a name that no image can have.
pub(super) fn delete(images: &Path, name: &str) -> Result<()> {
    let Ok(folder) = folder(images, name) else { return Ok(()) };
    for gone in [fs::remove_dir_all(folder), fs::remove_file(mark(images, name))] {
        match gone {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other.during("deleting the image")?,
        }
    }
    Ok(())
}

/// Deletes the image of this intent, and no other one of its name.
pub(super) fn discard(images: &Path, image: &ImageIntent) -> Result<()> {
    let name = &image.name;
    // What was refused for its name left nothing.
    if folder(images, name).is_ok() && maker(images, name)?.is_some_and(|maker| maker == image.uid.0) {
        return delete(images, name);
    }
    Ok(())
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
            ("local://localhost/host", Some(HOST)),
            ("local://im.example.org:8899/web-1", Some("web-1")),
            ("local://localhost/", Some("localhost")),
            ("local://localhost/a/b", Some("a/b")),
            ("local:", Some(HOST)),
            ("debian-12", Some(HOST)),
            ("one://server/1", None),
            ("docker://debian:12", None),
        ] {
            assert_eq!(name(url), expected, "{url}");
        }
        for hostile in ["../vms", "a/b", ".x", "host", "", "a b"] {
            assert!(folder(Path::new("/images"), hostile).is_err(), "{hostile}");
            assert_eq!(delete(Path::new("/images"), hostile), Ok(()), "{hostile}");
        }
    }
}
