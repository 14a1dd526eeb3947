//! From a `DATA_DB` URL to a store.

#[cfg(feature = "mongodb")]
use super::mongo::MongoStore;
#[cfg(feature = "mysql")]
use super::mysql::MysqlStore;
use super::{Keyring, Store, StoreError, sqlite::SqliteStore};
use percent_encoding::percent_decode_str;
use std::{path::PathBuf, sync::Arc};

/// Where a `DATA_DB` URL points.
#[derive(Debug, PartialEq, Eq)]
enum Location {
    Memory,
    File {
        path: PathBuf,
        shared: bool,
    },
    #[cfg(feature = "mysql")]
    Mysql,
    #[cfg(feature = "mongodb")]
    Mongo,
}

/// Opens the store of a `DATA_DB` URL and makes its tables when it is new. Reads files: call it before serving.
///
/// Forms: `sqlite:///absolute/path` and `file:///absolute/path` (percent-encoded), a bare path (taken as it is),
/// `sqlite::memory:` for a store that ends with the process, `mysql://user:password@host[:port]/database[?options]`,
/// `mongodb://[user:password@]host[:port][,host]/database[?options]`.
/// With `?shared=yes` several daemons of one host may use the file of a `sqlite` URL.
///
/// # Errors
/// [`StoreError::Unavailable`] when it cannot be used now (rights, another daemon has it, no server answers);
/// [`StoreError::Corrupt`] when it never can: not our database, a newer one, another data key, an unsupported URL.
pub async fn open(url: &str, keyring: Arc<Keyring>) -> Result<Arc<dyn Store>, StoreError> {
    let store = open_with(url, keyring.clone()).await.map_err(|error| without_key(error, &keyring))?;
    if locate(url)? != Location::Memory
        && let Err(error) = keyring.belong_to(store.id())
    {
        // A key that lies on a read-only mount is as good; only a lost database is not noticed then.
        tracing::warn!("the data key file does not name its database ({}): {error}", store.id());
    }
    Ok(store)
}

async fn open_with(url: &str, keyring: Arc<Keyring>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match locate(url)? {
        Location::Memory => Arc::new(SqliteStore::in_memory(keyring)?),
        Location::File { path, shared } => Arc::new(SqliteStore::at(&path, shared, keyring)?),
        #[cfg(feature = "mysql")]
        Location::Mysql => Arc::new(MysqlStore::open(url, keyring, true).await?),
        #[cfg(feature = "mongodb")]
        Location::Mongo => Arc::new(MongoStore::open(url, keyring, true).await?),
    })
}

/// The error of a database that was not opened. A key that was made for it is not left in the place of the one it needs.
fn without_key(error: StoreError, keyring: &Keyring) -> StoreError {
    // In other cases another daemon may have begun to use it.
    let StoreError::Corrupt(text) = error else { return error };
    match keyring.take_back() {
        Ok(Some(path)) => StoreError::Corrupt(format!(
            "{text}. There is no data key file {}: bring it back from its copy (no new one was left there)",
            path.display()
        )),
        Ok(None) => StoreError::Corrupt(text),
        Err(failure) => {
            tracing::warn!("the data key file that was made is of no use, remove it: {failure}");
            StoreError::Corrupt(text)
        }
    }
}

/// Opens the store of a `DATA_DB` URL that exists already, for a tool that works on it while a daemon may be running.
///
/// # Errors
/// Those of [`open`]; also that there is no such database.
pub async fn open_beside(url: &str, keyring: Arc<Keyring>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match locate(url)? {
        Location::Memory => {
            return Err(StoreError::Unavailable("DATA_DB is in the memory of the daemon".to_owned()));
        }
        Location::File { path, .. } => Arc::new(SqliteStore::beside(&path, keyring)?),
        #[cfg(feature = "mysql")]
        Location::Mysql => Arc::new(MysqlStore::open(url, keyring, false).await?),
        #[cfg(feature = "mongodb")]
        Location::Mongo => Arc::new(MongoStore::open(url, keyring, false).await?),
    })
}

/// What the database of a `DATA_DB` URL is called where others read it: the whole path of a file, the URL of a server
/// without its password.
#[must_use]
pub fn name(url: &str) -> String {
    match locate(url) {
        Ok(Location::File { path, .. }) => std::path::absolute(&path).unwrap_or(path).display().to_string(),
        _ => crate::config::cover_password(url),
    }
}

/// Whether a [`name`] is that of a file which is not there.
#[must_use]
pub fn is_missing_file(name: &str) -> bool {
    let path = std::path::Path::new(name);
    path.is_absolute() && !path.exists()
}

/// Says what is wrong with a `DATA_DB` URL, as far as that shows without opening it.
///
/// # Errors
/// Those of a URL that [`open`] refuses.
pub fn check_url(url: &str) -> Result<(), StoreError> {
    match locate(url)? {
        Location::Memory | Location::File { .. } => Ok(()),
        #[cfg(feature = "mysql")]
        Location::Mysql => MysqlStore::check_url(url),
        #[cfg(feature = "mongodb")]
        Location::Mongo => MongoStore::check_url(url),
    }
}

/// Errors name the scheme only: the rest of a URL may hold a password.
fn locate(url: &str) -> Result<Location, StoreError> {
    let refused = |why: &str| {
        let forms =
            "sqlite:///path/of/a/file, mysql://user:password@host/database or mongodb://user:password@host/database";
        Err(StoreError::Corrupt(format!("{why}; set DATA_DB to {forms}")))
    };
    let scheme = url.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
    let mut shared = false;
    let path = match &scheme {
        Some((scheme, ":memory:")) if scheme == "sqlite" => return Ok(Location::Memory),
        Some((scheme, rest)) if scheme == "sqlite" || scheme == "file" => {
            let path = match rest.strip_prefix("//") {
                Some(path) if !path.starts_with('/') => {
                    return refused(&format!(
                        "DATA_DB has a host after {scheme}://, a path there begins with a third slash"
                    ));
                }
                Some(path) => path,
                None => rest,
            };
            let path = match path.strip_suffix("?shared=yes") {
                Some(path) => {
                    shared = true;
                    path
                }
                None => path,
            };
            if path.contains(['?', '#']) {
                return refused(&format!(
                    "DATA_DB takes no options but ?shared=yes after a {scheme} path (write ? as %3F and # as %23)"
                ));
            }
            match percent_decode_str(path).decode_utf8() {
                Ok(path) => path.into_owned(),
                Err(_) => return refused("the path in DATA_DB is not UTF-8 once percent-decoded"),
            }
        }
        #[cfg(feature = "mysql")]
        Some((scheme, rest)) if scheme == "mysql" && rest.starts_with("//") => return Ok(Location::Mysql),
        #[cfg(feature = "mongodb")]
        Some((scheme, rest)) if scheme == "mongodb" && rest.starts_with("//") => return Ok(Location::Mongo),
        Some((scheme, rest)) if rest.starts_with("//") => {
            return refused(&format!("DATA_DB names a {scheme} database, which is not supported"));
        }
        _ => url.to_owned(),
    };
    match path.as_str() {
        "" => refused("DATA_DB names no file"),
        path if path.ends_with('/') || path.contains('\0') => refused("DATA_DB names no file but a directory"),
        path => Ok(Location::File { path: PathBuf::from(path), shared }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn urls() {
        let file = |path: &str| Ok(Location::File { path: PathBuf::from(path), shared: false });
        let shared = Ok(Location::File { path: PathBuf::from("/im"), shared: true });
        assert_eq!(locate("sqlite:///im?shared=yes"), shared);
        assert_eq!(locate("sqlite:///etc/im/inf.dat"), file("/etc/im/inf.dat"));
        assert_eq!(locate("FILE:///var/a%20b%3Fc"), file("/var/a b?c"));
        assert_eq!(locate("file:/var/x"), file("/var/x"));
        assert_eq!(locate("/var/a%20b"), file("/var/a%20b"));
        assert_eq!(locate("inf.dat"), file("inf.dat"));
        assert_eq!(locate("sqlite::memory:"), Ok(Location::Memory));
        for (url, said) in [
            ("postgresql://im:sesame@db:5432/im", "postgresql"),
            ("sqlite://im:sesame@db/im", "third slash"),
            ("sqlite:///im?mode=ro", "options"),
            ("sqlite:///im/", "directory"),
            ("sqlite://", "slash"),
            ("sqlite:///%FF", "UTF-8"),
            ("", "no file"),
        ] {
            let error = locate(url).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("DATA_DB") && !error.contains("sesame"), "{url}: {error}");
        }
    }
}
