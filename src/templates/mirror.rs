//! Copies of files on the web that the operator keeps on this host: `DIRECTORY/HOST/PATH` in the place of `https://HOST/PATH`.

use super::fetcher::FetchError;
use reqwest::Url;
use std::{
    io,
    path::{Component, Path, PathBuf},
};
use tokio::io::AsyncReadExt;

/// Deepest folder of a listing, below its beginning.
const MAX_DEPTH: usize = 8;

/// A directory of copies.
#[derive(Debug, Clone)]
pub(super) struct Mirror(PathBuf);

impl Mirror {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Where the copy of a URL is: never above the directory, and never one of a URL with a port or query.
    fn place(&self, url: &Url) -> Option<PathBuf> {
        let path = Path::new(url.path().trim_start_matches('/'));
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let host = url.host_str().filter(|host| !host.starts_with('.'))?;
        (is_plain && url.query().is_none() && url.port().is_none()).then(|| self.0.join(host).join(path))
    }

    /// The copy of a URL, none if there is none.
    ///
    /// # Errors
    /// It cannot be read, or has more than `most` bytes.
    pub(super) async fn read(&self, url: &Url, most: usize) -> Result<Option<Vec<u8>>, FetchError> {
        let Some(place) = self.place(url) else { return Ok(None) };
        let unreadable = |error: io::Error| FetchError::Copy(error.to_string());
        match tokio::fs::metadata(&place).await {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(unreadable(error)),
        }
        let file = tokio::fs::File::open(&place).await.map_err(unreadable)?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes).await.map_err(unreadable)?;
        if bytes.len() > most { Err(FetchError::TooLarge(most)) } else { Ok(Some(bytes)) }
    }

    /// The names of the files below a URL, `most` of them at most, sorted; none if there is no copy of that folder.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub(super) async fn list(&self, url: &Url, most: usize) -> Result<Option<Vec<String>>, FetchError> {
        let Some(place) = self.place(url).filter(|place| place.is_dir()) else { return Ok(None) };
        let listed = tokio::task::spawn_blocking(move || {
            let mut names = Vec::new();
            walk(&place, "", 0, most, &mut names).map(|()| names)
        });
        let mut names = listed.await.map_err(io::Error::from).and_then(|names| names);
        if let Ok(names) = &mut names {
            names.sort();
        }
        names.map(Some).map_err(|error| FetchError::Copy(error.to_string()))
    }
}

/// Links to folders are not followed: they may go in circles.
fn walk(folder: &Path, prefix: &str, depth: usize, most: usize, names: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if names.len() >= most || name.starts_with('.') {
            continue;
        }
        let (kind, name) = (entry.file_type()?, format!("{prefix}{name}"));
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(&entry.path(), &format!("{name}/"), depth + 1, most, names)?;
        } else if !kind.is_dir() {
            names.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn copies_are_found_below_the_directory_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("mirror/example.org/types/more")).unwrap();
        fs::write(folder.path().join("secret"), "no").unwrap();
        fs::write(folder.path().join("mirror/secret"), "no").unwrap();
        for name in ["a.yaml", "more/b.yaml", ".hidden"] {
            fs::write(folder.path().join("mirror/example.org/types").join(name), "text").unwrap();
        }
        let mirror = Mirror::new(folder.path().join("mirror"));
        let read = async |url: &str| mirror.read(&Url::parse(url).unwrap(), 10).await;
        assert_eq!(read("https://example.org/types/a.yaml").await, Ok(Some(b"text".to_vec())));
        for url in [
            "https://example.org/../secret",
            "https://example.org/%2e%2e/secret",
            "https://example.org/..%2fsecret",
            "https://example.org//secret",
            "https://example.org/types",
            "https://example.org/types/a.yaml?x",
            "https://example.org:8443/types/a.yaml",
            "https://example.net/types/a.yaml",
        ] {
            assert_eq!(read(url).await, Ok(None), "{url}");
        }
        let small = mirror.read(&Url::parse("https://example.org/types/a.yaml").unwrap(), 3).await;
        assert_eq!(small, Err(FetchError::TooLarge(3)));
        let listed = mirror.list(&Url::parse("https://example.org/types/").unwrap(), 10).await;
        assert_eq!(listed, Ok(Some(vec!["a.yaml".to_owned(), "more/b.yaml".to_owned()])));
    }
}
