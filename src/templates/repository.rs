//! The repository of templates that the configuration names: which files it has, and what their `metadata` say.
//!
//! A repository is a folder of a public repository on GitHub (`https://github.com/OWNER/REPOSITORY/blob/BRANCH/FOLDER/`, or the
//! raw form of that), or a copy of any folder in TOSCA_MIRROR_DIR.

use super::{
    fetcher::{FetchError, Fetcher},
    permission,
};
use futures::{StreamExt, stream};
use reqwest::Url;
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, time::timeout};
use tosca::yaml::{self, Value};

/// Most templates of a repository.
const MOST: usize = 1000;
/// Most bytes of a listing.
const MOST_LISTED: usize = 8 << 20;
/// Most bytes of a template.
const MOST_BYTES: usize = 1 << 20;
/// Templates that are read at the same time.
const AT_ONCE: usize = 8;
/// The longest that reading all of them may take.
const LONGEST: Duration = Duration::from_secs(60);
/// How long what was read counts.
const FRESH: Duration = Duration::from_secs(3600);
/// How long what was read counts on, after it could not be read again.
const AGAIN: Duration = Duration::from_secs(60);

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its file, below the folder of the repository.
    pub name: String,
    /// Its `metadata`, in their order: one value for a scalar, several for a list.
    pub metadata: Vec<(String, Vec<String>)>,
}

/// The repository.
pub struct Repository {
    base: String,
    folder: Url,
    fetcher: Arc<Fetcher>,
    known: Mutex<Option<(Instant, Arc<[Entry]>)>>,
}

#[derive(Deserialize)]
struct Tree {
    tree: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Repository {
    /// The repository at a URL.
    ///
    /// # Errors
    /// It is no URL of a folder on the web.
    pub fn new(base: &str, fetcher: Arc<Fetcher>) -> Result<Self, FetchError> {
        let base = format!("{}/", base.trim_end_matches('/'));
        let folder = permission::read(&base)?;
        permission::secure(&folder)?;
        Ok(Self { base, folder, fetcher, known: Mutex::new(None) })
    }

    /// Its URL as the configuration says it, `/` at its end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its templates with metadata, sorted by name; an hour old at most, unless they cannot be read again.
    ///
    /// # Errors
    /// They could never be read.
    pub async fn entries(&self) -> Result<Arc<[Entry]>, FetchError> {
        // Whoever comes meanwhile waits for the same answer.
        let mut known = self.known.lock().await;
        let old = match &*known {
            Some((until, entries)) if Instant::now() < *until => return Ok(entries.clone()),
            Some((_, entries)) => Some(entries.clone()),
            None => None,
        };
        match (timeout(LONGEST, self.read()).await.unwrap_or(Err(FetchError::TooSlow(LONGEST))), old) {
            (Ok(entries), _) => {
                *known = Some((Instant::now() + FRESH, entries.clone()));
                Ok(entries)
            }
            (Err(error), Some(entries)) => {
                tracing::warn!(%error, "the repository of templates cannot be read again, what is known of it stays");
                *known = Some((Instant::now() + AGAIN, entries.clone()));
                Ok(entries)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn read(&self) -> Result<Arc<[Entry]>, FetchError> {
        let names = match self.fetcher.mirrored(&self.folder, MOST).await? {
            Some(names) => names,
            None => self.listed().await?,
        };
        let is_template = |name: &String| name.ends_with(".yaml") || name.ends_with(".yml");
        let read = stream::iter(names.into_iter().filter(is_template).take(MOST)).map(|name| self.entry(name));
        let mut entries: Vec<Entry> = read.buffered(AT_ONCE).filter_map(std::future::ready).collect().await;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries.into())
    }

    /// A template; one that cannot be read or has no metadata is left out.
    async fn entry(&self, name: String) -> Option<Entry> {
        let text = match self.folder.join(&name) {
            Ok(url) => self.fetcher.fetch_configured(url, MOST_BYTES).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let metadata = text.and_then(|text| metadata(&text));
        match metadata {
            Ok(metadata) => Some(Entry { name, metadata }),
            Err(error) => {
                tracing::warn!(template = name, %error, "a file of the repository of templates is left out");
                None
            }
        }
    }

    /// The names of the files in the folder on GitHub.
    async fn listed(&self) -> Result<Vec<String>, FetchError> {
        let place = self.folder.path().trim_matches('/');
        let parts: Vec<&str> = place.splitn(4, '/').collect();
        let ([owner, repository, branch, folder @ ..], Some("raw.githubusercontent.com")) =
            (parts.as_slice(), self.folder.host_str())
        else {
            let text = "only folders on github.com can be listed: keep a copy of the repository in TOSCA_MIRROR_DIR";
            return Err(FetchError::Connection(text.to_owned()));
        };
        let address = format!("https://api.github.com/repos/{owner}/{repository}/git/trees/{branch}?recursive=1");
        let url = Url::parse(&address).map_err(|_| FetchError::NoUrl)?;
        let listing = self.fetcher.fetch_configured(url, MOST_LISTED).await?;
        let tree: Tree = serde_json::from_str(&listing)
            .map_err(|error| FetchError::Connection(format!("the listing of {address} is not understood: {error}")))?;
        let folder = folder.first().map(|folder| format!("{folder}/")).unwrap_or_default();
        let files = tree.tree.into_iter().filter(|node| node.kind == "blob");
        Ok(files.filter_map(|node| node.path.strip_prefix(&folder).map(str::to_owned)).collect())
    }
}

/// The metadata of a template.
fn metadata(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let document = yaml::parse(text).map_err(|fault| fault.message)?;
    let metadata = document.get("metadata").and_then(Value::as_map).ok_or("it has no metadata")?;
    let values = |value: &Value| match value.as_list() {
        Some(items) => items.iter().filter_map(Value::scalar).collect(),
        None => value.scalar().into_iter().collect(),
    };
    Ok(metadata.iter().map(|(name, value)| (name.clone(), values(value))).collect())
}
