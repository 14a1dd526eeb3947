//! All files that one document needs: a reader says which it wants, gets them, and reads again, until it wants no more or a
//! limit is reached.
//!
//! ```text
//! let mut files = Gathering::new(fetcher);
//! let template = loop {
//!     match Template::parse(text, surroundings(&files)) {
//!         Err(tosca::Error::Wanted(urls)) => files.fetch(urls).await,
//!         other => break other?,
//!     }
//! };
//! ```
//!
//! The loop ends: what was asked for once is a text or an error, and after the limits everything is an error.

use super::fetcher::{FetchError, Fetcher};
use futures::{StreamExt, stream};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use tosca::{Fetched, Sources};

/// Most files of one document.
const MOST_FILES: usize = 64;
/// Most bytes of all files of one document.
const MOST_BYTES: usize = 4 << 20;
/// How often files may lead to further ones.
const MOST_ROUNDS: usize = 10;
/// The longest that fetching all of them may take.
const LONGEST: Duration = Duration::from_secs(45);
/// How many are fetched at the same time.
const AT_ONCE: usize = 8;

/// The files of one document, as far as they are fetched.
#[derive(Clone)]
pub struct Gathering {
    fetcher: Arc<Fetcher>,
    files: HashMap<String, Result<Arc<str>, FetchError>>,
    bytes: usize,
    rounds: usize,
    until: Option<Instant>,
}

impl Gathering {
    /// No file yet. The time runs from the first one that is fetched.
    #[must_use]
    pub fn new(fetcher: Arc<Fetcher>) -> Self {
        Self { fetcher, files: HashMap::new(), bytes: 0, rounds: 0, until: None }
    }

    /// Fetches files. Why one cannot be had is told when it is asked for again.
    pub async fn fetch(&mut self, wanted: Vec<String>) {
        self.rounds += 1;
        let until = *self.until.get_or_insert_with(|| Instant::now() + LONGEST);
        let room = if self.rounds > MOST_ROUNDS { 0 } else { MOST_FILES.saturating_sub(self.files.len()) };
        let fetcher = self.fetcher.clone();
        let fetch = |(at, url): (usize, String)| {
            let fetcher = fetcher.clone();
            async move {
                let outcome = if at < room {
                    timeout_at(until, fetcher.fetch(&url)).await.unwrap_or(Err(FetchError::TooSlow(LONGEST)))
                } else {
                    Err(FetchError::TooMany(MOST_FILES, MOST_ROUNDS))
                };
                (url, outcome)
            }
        };
        let fetched: Vec<_> = stream::iter(wanted.into_iter().enumerate()).map(fetch).buffered(AT_ONCE).collect().await;
        for (url, outcome) in fetched {
            let size = outcome.as_ref().map_or(0, |text| text.len());
            let fits = self.bytes + size <= MOST_BYTES;
            self.bytes += if fits { size } else { 0 };
            self.files.insert(url, if fits { outcome } else { Err(FetchError::TooLarge(MOST_BYTES)) });
        }
    }
}

impl Sources for Gathering {
    fn text(&self, url: &str) -> Fetched {
        match self.files.get(url) {
            None => Fetched::NotYet,
            Some(Ok(text)) => Fetched::Text(text.to_string()),
            Some(Err(error)) => Fetched::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::templates::{Network, Permission};
    use std::{fs, path::Path};
    use tosca::{Error, Surroundings, Template};

    async fn read(mirror: &Path, document: &str) -> Result<Template, Error> {
        let fetcher = Fetcher::new(Permission::default(), Some(mirror.to_owned()), Network::public(Vec::new()));
        let mut files = Gathering::new(Arc::new(fetcher));
        loop {
            let random = |length| "x".repeat(length);
            let surroundings =
                Surroundings { sources: &files, template_repository: None, access_token: None, random: &random };
            match Template::parse(document, &surroundings) {
                Err(Error::Wanted(urls)) => files.fetch(urls).await,
                other => return other,
            }
        }
    }

    #[tokio::test]
    async fn imports_of_imports_are_read_and_an_endless_chain_ends() {
        let folder = tempfile::tempdir().unwrap();
        let types = folder.path().join("example.org");
        fs::create_dir_all(&types).unwrap();
        let write = |name: String, text: String| fs::write(types.join(name), text).unwrap();
        let node = |name: &str, parent: &str| format!("node_types:\n  {name}: {{ derived_from: {parent} }}\n");
        write("a.yaml".into(), format!("imports: [b.yaml]\n{}", node("my.Front", "my.Base")));
        write("b.yaml".into(), node("my.Base", "tosca.nodes.Compute"));
        let document = |file: &str| {
            format!(
                "tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [https://example.org/{file}]\n\
                 topology_template:\n  node_templates:\n    front: {{ type: my.Front }}\n"
            )
        };
        read(folder.path(), &document("a.yaml")).await.unwrap();

        for number in 0..100 {
            write(format!("{number}.yaml"), format!("imports: [{}.yaml]\n", number + 1));
        }
        let endless = read(folder.path(), &document("0.yaml")).await.err().unwrap().to_string();
        assert!(endless.contains("levels"), "{endless}");

        let missing = read(folder.path(), &document("none.yaml")).await.err().unwrap().to_string();
        let expected = "Failed to reach server \"https://example.org/none.yaml\". Reason is: documents may not import \
                        from example.org";
        assert!(missing.contains(expected) && missing.contains("TOSCA_IMPORT_HOSTS"), "{missing}");
    }
}
