//! Databases of the reference: one table or collection, `inf_list`, with a JSON document per infrastructure (docs/spec/api.md 7).

#[cfg(feature = "mongodb")]
mod mongo;
#[cfg(feature = "mysql")]
mod mysql;
mod sqlite;

use async_trait::async_trait;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use percent_encoding::percent_decode_str;
use std::path::PathBuf;

/// Name of the table or collection.
pub const TABLE: &str = "inf_list";

/// Why a database of the reference cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The URL names none.
    #[error(
        "{0}; name a database as sqlite:///path/of/a/file, mysql://user:password@host/database or mongodb://user:password@host/database, with special characters of the password in percent encoding"
    )]
    Url(String),
    /// It cannot be reached, read or written.
    #[error("the database of IM cannot be used: {0}")]
    Unusable(String),
    /// It is not one of IM.
    #[error("it is no database of IM: {0}")]
    Foreign(String),
    /// A new one would cover what is there.
    #[error("{0}; nothing was written: name a new database, or say --force to replace infrastructures of the same ids")]
    InUse(String),
}

/// A stored infrastructure as it was found. Its owners are in the document as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRow {
    /// Whether it was deleted.
    pub deleted: bool,
    /// When it was saved last, seconds since the epoch; some writers keep the day only.
    pub saved: i64,
    /// The document, JSON; bytes, for nobody has looked yet whether they are text.
    pub data: Vec<u8>,
}

/// An infrastructure to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceRow {
    /// Its id.
    pub id: String,
    /// Whether it was deleted.
    pub deleted: bool,
    /// When it was saved last, seconds since the epoch.
    pub saved: i64,
    /// The document, JSON.
    pub data: String,
    /// Its owners, JSON.
    pub auth: String,
}

/// A database of the reference that is only read.
#[async_trait]
pub trait Source: Send + Sync {
    /// All ids, in the order in which they were saved last.
    async fn ids(&self) -> Result<Vec<String>, ReferenceError>;

    /// An infrastructure; none when it is gone.
    async fn row(&self, id: &str) -> Result<Option<FoundRow>, ReferenceError>;
}

/// A database of the reference that is being made.
#[async_trait]
pub trait Target: Send + Sync {
    /// Adds an infrastructure, in the place of one of the same id.
    async fn put(&self, row: ReferenceRow) -> Result<(), ReferenceError>;

    /// Makes what was put durable.
    async fn finish(&self) -> Result<(), ReferenceError>;
}

/// Opens a database to read it; nothing of it changes.
///
/// # Errors
/// The URL; a database that cannot be read or is not one of IM.
pub async fn open(url: &str) -> Result<Box<dyn Source>, ReferenceError> {
    Ok(match Location::of(url)? {
        Location::File(path) => Box::new(sqlite::SqliteSource::open(&path)?),
        #[cfg(feature = "mysql")]
        Location::Mysql => Box::new(mysql::MysqlSource::open(url).await?),
        #[cfg(feature = "mongodb")]
        Location::Mongo => Box::new(mongo::MongoSource::open(url).await?),
    })
}

/// Opens a database to write to it: a new or empty one, or with `force` any of IM.
///
/// # Errors
/// The URL; a database that cannot be written, or holds something.
pub async fn create(url: &str, force: bool) -> Result<Box<dyn Target>, ReferenceError> {
    Ok(match Location::of(url)? {
        Location::File(path) => Box::new(sqlite::SqliteTarget::create(&path, force)?),
        #[cfg(feature = "mysql")]
        Location::Mysql => Box::new(mysql::MysqlTarget::create(url, force).await?),
        #[cfg(feature = "mongodb")]
        Location::Mongo => Box::new(mongo::MongoTarget::create(url, force).await?),
    })
}

/// Where a URL points.
#[derive(Debug, PartialEq, Eq)]
enum Location {
    File(PathBuf),
    #[cfg(feature = "mysql")]
    Mysql,
    #[cfg(feature = "mongodb")]
    Mongo,
}

impl Location {
    /// The forms of the reference's `DATA_DB`. Errors name the scheme only: the rest may hold a password.
    fn of(url: &str) -> Result<Self, ReferenceError> {
        let path = match url.split_once(':') {
            Some((scheme, rest)) if matches!(scheme.to_ascii_lowercase().as_str(), "sqlite" | "file") => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                let path = percent_decode_str(path).decode_utf8();
                path.map_err(|_| ReferenceError::Url("the path is not UTF-8".to_owned()))?.into_owned()
            }
            #[cfg(feature = "mysql")]
            Some((scheme, rest)) if rest.starts_with("//") && scheme.eq_ignore_ascii_case("mysql") => {
                return Ok(Self::Mysql);
            }
            #[cfg(feature = "mongodb")]
            Some((scheme, rest)) if rest.starts_with("//") && scheme.eq_ignore_ascii_case("mongodb") => {
                return Ok(Self::Mongo);
            }
            Some((scheme, rest)) if rest.starts_with("//") => {
                return Err(ReferenceError::Url(format!("databases of {scheme} are not supported")));
            }
            _ => url.to_owned(),
        };
        if path.is_empty() {
            return Err(ReferenceError::Url("the URL names no file".to_owned()));
        }
        Ok(Self::File(path.into()))
    }
}

/// Seconds since the epoch of a day, or of a day with a time; 0 for anything else.
fn at(text: &str) -> i64 {
    let day = text.get(..10).and_then(|day| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok());
    let time = NaiveDateTime::parse_from_str(text.get(..19).unwrap_or_default(), "%Y-%m-%d %H:%M:%S");
    let at = time.ok().or_else(|| day.map(|day| day.and_time(NaiveTime::MIN)));
    at.map_or(0, |at| at.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls() {
        let file = |path: &str| Ok(Location::File(path.into()));
        assert_eq!(Location::of("sqlite:///etc/im/inf.dat"), file("/etc/im/inf.dat"));
        assert_eq!(Location::of("/etc/im/inf.dat"), file("/etc/im/inf.dat"));
        assert_eq!(Location::of("file:///a%20b"), file("/a b"));
        let error = Location::of("oracle://im:sesame@db/im").unwrap_err().to_string();
        assert!(error.contains("oracle") && !error.contains("sesame"), "{error}");
        #[cfg(feature = "mysql")]
        assert_eq!(Location::of("mysql://im:sesame@db/im"), Ok(Location::Mysql));
        #[cfg(feature = "mongodb")]
        assert_eq!(Location::of("mongodb://im:sesame@db,db2:27018/im?replicaSet=im"), Ok(Location::Mongo));
        assert!(Location::of("sqlite://").is_err());
    }
}
