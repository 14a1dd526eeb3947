//! Which URLs may be fetched because a document names them: pure. What the names in them resolve to is looked at later.

use super::fetcher::FetchError;
use reqwest::Url;

/// Most bytes of a URL.
const LONGEST: usize = 2048;

/// What the configuration allows.
#[derive(Debug, Clone, Default)]
pub struct Permission {
    hosts: Vec<Host>,
    repository: Option<Url>,
}

/// An entry of TOSCA_IMPORT_HOSTS.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    /// In lower case; `*` for any, `*.name` for those below a name.
    name: String,
    port: u16,
}

impl Host {
    fn read(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        let port = text.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
        let (name, port) = port.filter(|(name, _)| !name.contains(':') || name.ends_with(']')).unwrap_or((&text, 443));
        Self { name: name.to_owned(), port }
    }

    fn has(&self, host: &str, port: u16) -> bool {
        let below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        let named = match self.name.strip_prefix("*") {
            Some("") => true,
            Some(domain) => domain.strip_prefix('.').is_some_and(below),
            None => self.name == host,
        };
        named && self.port == port
    }
}

impl Permission {
    /// Files of these hosts (`name`, `name:port`, `*.name` or `*`), and those of the repository of templates.
    #[must_use]
    pub fn new(hosts: &[String], repository: Option<&str>) -> Self {
        let hosts = hosts.iter().filter(|text| !text.trim().is_empty()).map(|text| Host::read(text)).collect();
        Self { hosts, repository: repository.and_then(|url| read(url).ok()) }
    }

    /// Whether a URL may be fetched.
    ///
    /// # Errors
    /// Why not, and what makes it possible.
    pub fn check(&self, url: &Url) -> Result<(), FetchError> {
        secure(url)?;
        let (host, port) = (host(url)?, url.port_or_known_default().unwrap_or_default());
        if self.hosts.iter().any(|allowed| allowed.has(host, port)) || self.is_in_repository(url) {
            return Ok(());
        }
        let name = if port == 443 { host.to_owned() } else { format!("{host}:{port}") };
        Err(FetchError::Host(name))
    }

    fn is_in_repository(&self, url: &Url) -> bool {
        let Some(repository) = &self.repository else { return false };
        let rest = url.path().strip_prefix(repository.path().trim_end_matches('/'));
        repository.origin() == url.origin() && rest.is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The URL that a document names, as it is fetched: without fragment, and the raw file where it names a page that shows it.
///
/// # Errors
/// It is no URL of a file on the web.
pub fn read(text: &str) -> Result<Url, FetchError> {
    let url = Some(text).filter(|text| text.len() <= LONGEST).and_then(|text| Url::parse(text).ok());
    let mut url = url.filter(|url| matches!(url.scheme(), "https" | "http")).ok_or(FetchError::NoUrl)?;
    host(&url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Credentials);
    }
    url.set_fragment(None);
    Ok(raw_form(&url).unwrap_or(url))
}

/// Whether a URL is one that is fetched at all.
///
/// # Errors
/// It is not encrypted.
pub(super) fn secure(url: &Url) -> Result<(), FetchError> {
    if url.scheme() == "https" { Ok(()) } else { Err(FetchError::NotEncrypted) }
}

fn host(url: &Url) -> Result<&str, FetchError> {
    url.host_str().filter(|host| !host.is_empty()).ok_or(FetchError::NoUrl)
}

/// The file behind a page of GitHub that shows it: `/OWNER/REPOSITORY/blob/REF/PATH`.
fn raw_form(url: &Url) -> Option<Url> {
    if url.host_str() != Some("github.com") {
        return None;
    }
    let mut parts = url.path().trim_start_matches('/').splitn(4, '/');
    let (owner, repository, kind, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if !matches!(kind, "blob" | "raw" | "tree") {
        return None;
    }
    Url::parse(&format!("https://raw.githubusercontent.com/{owner}/{repository}/{rest}")).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(permission: &Permission, url: &str) -> Result<String, FetchError> {
        let url = read(url)?;
        permission.check(&url).map(|()| url.to_string())
    }

    #[test]
    fn only_what_the_configuration_names_may_be_fetched() {
        let none = Permission::default();
        assert_eq!(asked(&none, "https://example.org/a"), Err(FetchError::Host("example.org".into())));
        let hosts = ["Example.org", "files.example.net:8443", "*.example.com"].map(str::to_owned);
        let some = Permission::new(&hosts, Some("https://github.com/o/r/blob/main/templates/"));
        let raw = "https://raw.githubusercontent.com/o/r/main/templates/a.yaml";
        let allowed = [
            ("https://EXAMPLE.org/a/../b#c", "https://example.org/b"),
            ("https://files.example.net:8443/a", "https://files.example.net:8443/a"),
            ("https://x.y.example.com/a", "https://x.y.example.com/a"),
            ("https://github.com/o/r/blob/main/templates/a.yaml", raw),
            (raw, raw),
        ];
        for (url, fetched) in allowed {
            assert_eq!(asked(&some, url).as_deref(), Ok(fetched));
        }
        let refused = [
            ("http://example.org/a", FetchError::NotEncrypted),
            ("file:///etc/passwd", FetchError::NoUrl),
            ("https://user@example.org/a", FetchError::Credentials),
            ("https://example.org:8443/a", FetchError::Host("example.org:8443".into())),
            ("https://files.example.net/a", FetchError::Host("files.example.net".into())),
            ("https://example.com/a", FetchError::Host("example.com".into())),
            ("https://badexample.com/a", FetchError::Host("badexample.com".into())),
            ("https://github.com/o/r/blob/main/templates/../a", FetchError::Host("raw.githubusercontent.com".into())),
            ("https://github.com/o/r/blob/main/templates2/a", FetchError::Host("raw.githubusercontent.com".into())),
        ];
        for (url, error) in refused {
            assert_eq!(asked(&some, url), Err(error), "{url}");
        }
        let any = Permission::new(&["*".to_owned()], None);
        assert!(asked(&any, "https://1.1.1.1/a").is_ok() && asked(&any, "https://example.org:80/").is_err());
    }
}
