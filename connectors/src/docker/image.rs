//! References of images (distribution/reference: `[registry[:port]/]path[:tag][@digest]`) and their URLs.

/// What image URLs of this type of clouds begin with.
const SCHEME: &str = "docker://";

/// An image as the engine is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Registry and path.
    pub name: String,
    /// Tag, or digest with its algorithm.
    pub version: String,
    is_digest: bool,
}

impl Reference {
    /// The image of a URL; none when the URL is none of this type of clouds, or names nothing.
    pub fn of_url(url: &str) -> Option<Self> {
        let text = url.strip_prefix(SCHEME)?.trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        if text.is_empty() || text.starts_with(['/', ':', '@']) || !text.chars().all(is_plain) {
            return None;
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is that of a registry's port.
        let path = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[path..].split_once(':') {
            Some((_, "")) => return None,
            Some((last, tag)) => (&rest[..path + last.len()], tag),
            None => (rest, "latest"),
        };
        let version = digest.unwrap_or(tag).to_owned();
        (!version.is_empty()).then(|| Self { name: name.to_owned(), version, is_digest: digest.is_some() })
    }

    /// As the engine writes it.
    pub fn text(&self) -> String {
        format!("{}{}{}", self.name, if self.is_digest { '@' } else { ':' }, self.version)
    }
}

/// The URL of an image that the engine calls by this name.
pub(super) fn url(name: &str) -> String {
    format!("{SCHEME}{name}")
}

/// A name that a repository of images may have, of one that a user chose: lower-case letters, digits and single dashes.
pub(super) fn repository(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            text.push(c);
        } else if !text.is_empty() && !text.ends_with('-') {
            text.push('-');
        }
    }
    text.truncate(100);
    let text = text.trim_end_matches('-');
    if text.is_empty() { "image".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn references() {
        for (url, text) in [
            ("docker://ubuntu", Some("ubuntu:latest")),
            ("docker://ubuntu:22.04", Some("ubuntu:22.04")),
            ("docker://grycap/jenkins:ubuntu22.04-im", Some("grycap/jenkins:ubuntu22.04-im")),
            ("docker://reg.example:5000/a/b", Some("reg.example:5000/a/b:latest")),
            ("docker://reg.example:5000/a/b:1", Some("reg.example:5000/a/b:1")),
            ("docker://a/b:1@sha256:0123", Some("a/b@sha256:0123")),
            ("docker://", None),
            ("docker:///etc", None),
            ("docker://a:", None),
            ("docker://a b", None),
            ("one://server/1", None),
            ("ubuntu", None),
        ] {
            assert_eq!(Reference::of_url(url).map(|reference| reference.text()).as_deref(), text, "{url}");
        }
    }

    #[test]
    fn repositories_have_names_that_the_engine_takes() {
        for (name, text) in [("My image (2)", "my-image-2"), ("--", "image"), ("señal", "se-al"), ("a.b_c", "a-b-c")] {
            assert_eq!(repository(name), text);
        }
    }
}
