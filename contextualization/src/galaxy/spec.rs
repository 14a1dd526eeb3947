//! The grammar of a role or collection. Pure. Whatever passes is data for `ansible-galaxy` and `git`: no shell, no
//! template and no path can be made of it.
//!
//! ```text
//! spec    = source [ "," version ] [ "|" name [ "," version ] ]
//! source  = namespace "." name | https URL | git+https URL | git+ssh URL
//! ```

use percent_encoding::percent_decode_str;
use std::fmt;

/// What can be installed: Ansible calls both of them content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentKind {
    /// A role.
    Role,
    /// A collection.
    Collection,
}

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Role { "role" } else { "collection" })
    }
}

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A name on a Galaxy server.
    Galaxy(String),
    /// URL of an archive.
    Archive(String),
    /// URL of a git repository, without `git+`.
    Git(String),
}

/// A role or collection to install.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// What it is.
    pub kind: ContentKind,
    /// Where it comes from.
    pub source: Source,
    /// Name of the role, always known for roles.
    pub name: Option<String>,
    /// Version, branch or tag; for collections also a comparison such as `>=1.2.0`.
    pub version: Option<String>,
}

/// Why a text is neither role nor collection. Texts of the document are shown with escapes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Not a source.
    #[error("{0} {1:?}: {2}")]
    Source(ContentKind, String, &'static str),
    /// Not a version.
    #[error("{0} {1:?}: the version must be letters, digits and . _ + -, beginning with a letter or digit")]
    Version(ContentKind, String),
    /// Not a name.
    #[error("{0} {1:?}: the name after | must be letters, digits and . _ -, beginning with a letter or digit")]
    Name(ContentKind, String),
    /// Two versions.
    #[error("{0} {1:?}: two different versions are given")]
    Versions(ContentKind, String),
    /// Two things under one name.
    #[error("{0} and {1} have the same name: one infrastructure can have one of them")]
    Twice(String, String),
}

/// What the source of a role or collection may be.
const EXPECTED: &str = "expected NAMESPACE.NAME, or a URL that begins with https://, git+https:// or git+ssh://";
const PLAIN_HTTP: &str =
    "http:// is not secure, use https:// (only a mirror that CTXT_GALAXY_SERVER names may be without)";

fn word(text: &str, more: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

/// Whether the text is `NAMESPACE.NAME`.
fn is_galaxy_name(kind: ContentKind, text: &str) -> bool {
    let Some((namespace, name)) = text.split_once('.') else { return false };
    match kind {
        ContentKind::Role => word(namespace, "_-", 64) && word(name, "_-.", 128) && !name.contains(".."),
        ContentKind::Collection => word(namespace, "_", 64) && word(name, "_", 64),
    }
}

fn is_version(kind: ContentKind, text: &str) -> bool {
    let operators = [">=", "<=", "==", "!=", ">", "<"];
    let bare = operators.iter().find_map(|o| text.strip_prefix(o)).filter(|_| kind == ContentKind::Collection);
    word(bare.unwrap_or(text), "._+-", 64)
}

/// Whether what follows `://` is `[user@]host[:port]/path`.
fn is_place(text: &str) -> bool {
    let Some((authority, path)) = text.split_once('/') else { return false };
    let (user, server) = authority.rsplit_once('@').map_or((None, authority), |(user, server)| (Some(user), server));
    let (host, port) = server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port)));
    let climbs = |segment: &str| segment == ".." || segment.to_ascii_lowercase().contains("%2e");
    user.is_none_or(|user| word(user, "._~%:-", 256))
        && word(host, ".-", 253)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|n| n > 0))
        && (1..=1024).contains(&path.len())
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "._~%/@+=&?:-".contains(c))
        && !path.split('/').any(climbs)
}

/// Scheme, host and port of a URL, in lower case.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let server = authority.rsplit('@').next()?;
    Some(format!("{scheme}://{server}").to_ascii_lowercase())
}

fn source(kind: ContentKind, text: &str, mirror: Option<&str>) -> Result<Source, &'static str> {
    let Some((scheme, place)) = text.split_once("://") else {
        return if is_galaxy_name(kind, text) { Ok(Source::Galaxy(text.to_owned())) } else { Err(EXPECTED) };
    };
    let url = text.strip_prefix("git+").unwrap_or(text);
    match scheme {
        "https" | "git+https" | "git+ssh" => {}
        "http" | "git+http" if mirror.and_then(origin).is_some_and(|mirror| origin(url) == Some(mirror)) => {}
        "http" | "git+http" => return Err(PLAIN_HTTP),
        _ => return Err(EXPECTED),
    }
    if !is_place(place) {
        return Err("the URL must be SCHEME://[USER@]HOST[:PORT]/PATH without spaces, commas and ..");
    }
    // A page of a forge that is no archive is a repository, as ansible-galaxy takes it.
    let repository = place.ends_with(".git") || place.starts_with("github.com/") && !place.ends_with(".tar.gz");
    let git = scheme.starts_with("git+") || repository;
    Ok(if git { Source::Git(url.to_owned()) } else { Source::Archive(url.to_owned()) })
}

/// Name of a role by the URL it comes from.
fn name_of(url: &str) -> &str {
    let last = url.rsplit('/').next().unwrap_or(url);
    last.strip_suffix(".git").or_else(|| last.strip_suffix(".tar.gz")).unwrap_or(last)
}

impl Requirement {
    /// Reads the text after `ansible.roles.` or `ansible.collections.`; `feature` is the version given beside the name.
    /// `mirror` is the Galaxy server of the operator: if that is plain http, so may be URLs on it.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn parse(
        kind: ContentKind,
        text: &str,
        feature: Option<&str>,
        mirror: Option<&str>,
    ) -> Result<Self, SpecError> {
        let shown = || text.chars().take(200).collect::<String>();
        let (left, right) = text.split_once('|').map_or((text, None), |(left, right)| (left, Some(right)));
        let version_of = |text: &'_ str| text.split_once(',').map(|(_, version)| version.to_owned());
        let place = left.split(',').next().unwrap_or(left);
        let name = right.map(|right| right.split(',').next().unwrap_or(right));
        let given = [version_of(left), right.and_then(version_of), feature.map(str::to_owned)];
        let mut versions: Vec<String> = given.into_iter().flatten().filter(|v| !v.is_empty()).collect();
        versions.dedup();
        if versions.iter().any(|version| !is_version(kind, version)) {
            return Err(SpecError::Version(kind, shown()));
        }
        if versions.len() > 1 {
            return Err(SpecError::Versions(kind, shown()));
        }
        let source = source(kind, place, mirror).map_err(|why| SpecError::Source(kind, shown(), why))?;
        let name = match (kind, name, &source) {
            (ContentKind::Collection, Some(_), _) => {
                let why = "a collection has its name inside: leave out what follows |";
                return Err(SpecError::Source(kind, shown(), why));
            }
            (ContentKind::Collection, None, _) => None,
            (ContentKind::Role, Some(name), _) => Some(name.to_owned()),
            (ContentKind::Role, None, Source::Galaxy(name)) => Some(name.clone()),
            (ContentKind::Role, None, Source::Archive(url) | Source::Git(url)) => Some(name_of(url).to_owned()),
        };
        if name.as_deref().is_some_and(|name| !word(name, "._-", 128) || name.contains("..")) {
            return Err(SpecError::Name(kind, shown()));
        }
        Ok(Self { kind, source, name, version: versions.pop() })
    }

    /// What a URL holds before its host, where that is a secret: everything but the user name of SSH.
    fn credentials(&self) -> Option<&str> {
        let (Source::Archive(url) | Source::Git(url)) = &self.source else { return None };
        let (scheme, place) = url.split_once("://")?;
        let (user, _) = place.split('/').next()?.rsplit_once('@')?;
        (user.contains(':') || scheme != "ssh").then_some(user)
    }

    /// A text of others, such as an error of git, without the credentials of the URL.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let Some(credentials) = self.credentials() else { return text.to_owned() };
        let hidden = text.replace(&format!("{credentials}@"), "***@");
        let password = credentials.split_once(':').map_or(credentials, |(_, password)| password);
        let decoded = percent_decode_str(password).decode_utf8_lossy();
        // A shorter one may be a part of any word.
        let secrets = [password, &decoded].into_iter().filter(|secret| secret.len() >= 4);
        secrets.fold(hidden, |text, secret| text.replace(secret, "***"))
    }

    /// Name under which it will be there: of the role, or what stands for a collection's.
    #[must_use]
    pub fn installed_name(&self) -> &str {
        match (&self.name, &self.source) {
            (Some(name), _) => name,
            (None, Source::Galaxy(text) | Source::Archive(text) | Source::Git(text)) => text,
        }
    }
}

impl fmt::Display for Requirement {
    /// Writes it as a document does, without the password that a URL may hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Galaxy(name) => f.write_str(name)?,
            Source::Archive(url) | Source::Git(url) => {
                let git = if matches!(self.source, Source::Git(_)) { "git+" } else { "" };
                let shown = self.credentials().map(|secret| url.replacen(&format!("{secret}@"), "***@", 1));
                write!(f, "{git}{}", shown.as_ref().unwrap_or(url))?;
            }
        }
        if let Some(version) = &self.version {
            write!(f, ",{version}")?;
        }
        match (&self.name, &self.source) {
            (Some(name), Source::Galaxy(source)) if name == source => Ok(()),
            (Some(name), _) => write!(f, "|{name}"),
            (None, _) => Ok(()),
        }
    }
}
