//! What is not in the document: files at addresses, and who asks. It is handed in, so that the crate has no network.

use crate::error::{Class, Problem};

/// What stands at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// This text.
    Text(String),
    /// Nothing that can be used, for this reason (`Not Found`).
    Failed(String),
    /// It was not fetched yet: [`crate::Error::Wanted`] names the addresses, and the same call with them goes on.
    NotYet,
}

/// Gives the texts at addresses. Whether an address may be asked at all is decided there.
pub trait Sources {
    /// What stands at `url`.
    fn text(&self, url: &str) -> Fetched;
}

impl<F: Fn(&str) -> Fetched> Sources for F {
    fn text(&self, url: &str) -> Fetched {
        self(url)
    }
}

/// No address gives anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSources;

impl Sources for NoSources {
    fn text(&self, _: &str) -> Fetched {
        Fetched::Failed("Not Found".to_owned())
    }
}

/// What surrounds a document while it is read.
pub struct Surroundings<'a> {
    /// Files at addresses.
    pub sources: &'a dyn Sources,
    /// The only place that templates may be imported from whole (docs/spec/tosca.md 2.4).
    pub template_repository: Option<&'a str>,
    /// What `access_token()` stands for (docs/spec/tosca.md 4).
    pub access_token: Option<&'a str>,
    /// That many random characters of `[A-Za-z0-9]`.
    pub random: &'a dyn Fn(usize) -> String,
}

impl Surroundings<'_> {
    /// The text at a web address.
    ///
    /// # Errors
    /// It cannot be had; `None` while it was not fetched yet.
    pub(crate) fn fetch(&self, url: &str) -> Result<String, Option<Problem>> {
        let refuse = |reason: &str| {
            Some(Problem::new(Class::Url, format!("Failed to reach server \"{url}\". Reason is: {reason}.")))
        };
        if !is_web_address(url) {
            return Err(refuse("only http and https addresses can be fetched"));
        }
        match self.sources.text(url) {
            Fetched::Text(text) => Ok(text),
            Fetched::Failed(reason) => Err(refuse(&reason)),
            Fetched::NotYet => Err(None),
        }
    }
}

/// Whether an address can be fetched at all.
pub(crate) fn is_web_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// Whether a text is an address of any kind, and no name of a file.
pub(crate) fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'))
    })
}

/// The address that a name of a file has beside another one: `..` leads to the folder above, and never to another host.
pub(crate) fn beside(base: &str, name: &str) -> Option<String> {
    if is_address(name) {
        return Some(name.to_owned());
    }
    if name.starts_with('/') {
        return None;
    }
    let (scheme, rest) = base.split_once("://")?;
    let (folder, _) = rest.rsplit_once('/')?;
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in name.split('/') {
        match part {
            "." => {}
            // The first part is the host.
            ".." if parts.len() > 1 => drop(parts.pop()),
            ".." => return None,
            part => parts.push(part),
        }
    }
    Some(format!("{scheme}://{}", parts.join("/")))
}
