//! The reference's collection in a MongoDB: a document per infrastructure, with `data` and `auth` as documents inside.
//! Copies of SQL databases keep texts there.

use super::{FoundRow, ReferenceError, ReferenceRow, Source, TABLE, Target, at};
use async_trait::async_trait;
use futures::TryStreamExt;
use mongodb::{
    Client, Collection, Database, IndexModel,
    bson::{Bson, Document, deserialize_from_bson, doc},
    options::{Acknowledgment, ClientOptions, IndexOptions, WriteConcern},
};
use serde_json::Value;
use std::time::Duration;

/// How long a server is looked for, unless the URL says otherwise.
const CONNECT: Duration = Duration::from_secs(5);

fn unusable(error: &mongodb::error::Error) -> ReferenceError {
    ReferenceError::Unusable(error.to_string())
}

async fn connect(url: &str) -> Result<Database, ReferenceError> {
    // The message of the driver may hold a part of the URL, and that one of the password.
    let mut options = ClientOptions::parse(url)
        .await
        .map_err(|_| ReferenceError::Url("this is no connection string of a MongoDB".to_owned()))?;
    let Some(name) = options.default_database.take().filter(|name| !name.is_empty()) else {
        return Err(ReferenceError::Url("the URL names no database".to_owned()));
    };
    // The reference hands the driver the URL without its path: users are those of `admin` where nothing else is said.
    let says_where = url.split_once('?').is_some_and(|(_, query)| query.to_ascii_lowercase().contains("authsource="));
    if let Some(credential) = &mut options.credential
        && !says_where
        && credential.source.as_ref() == Some(&name)
    {
        credential.source = Some("admin".to_owned());
    }
    options.server_selection_timeout.get_or_insert(CONNECT);
    options.connect_timeout.get_or_insert(CONNECT);
    options.write_concern.get_or_insert(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    let client = Client::with_options(options).map_err(|error| unusable(&error))?;
    Ok(client.database(&name))
}

async fn collections(database: &Database) -> Result<Vec<String>, ReferenceError> {
    let mut names = database.list_collection_names().await.map_err(|error| unusable(&error))?;
    names.retain(|name| !name.starts_with("system."));
    Ok(names)
}

/// A database that is only read.
pub(super) struct MongoSource {
    infrastructures: Collection<Document>,
}

impl MongoSource {
    pub(super) async fn open(url: &str) -> Result<Self, ReferenceError> {
        let database = connect(url).await?;
        if !collections(&database).await?.iter().any(|name| name == TABLE) {
            return Err(ReferenceError::Foreign(format!("it has no collection {TABLE}")));
        }
        Ok(Self { infrastructures: database.collection(TABLE) })
    }
}

#[async_trait]
impl Source for MongoSource {
    async fn ids(&self) -> Result<Vec<String>, ReferenceError> {
        let find = self.infrastructures.find(doc! {}).projection(doc! { "id": 1 }).sort(doc! { "_id": 1 });
        let found: Vec<Document> = async { find.await?.try_collect().await }.await.map_err(|error| unusable(&error))?;
        let id = |found: Document| match found.get_str("id") {
            Ok(id) => Ok(id.to_owned()),
            Err(_) => Err(ReferenceError::Foreign(format!("a document of {TABLE} has no id"))),
        };
        found.into_iter().map(id).collect()
    }

    async fn row(&self, id: &str) -> Result<Option<FoundRow>, ReferenceError> {
        let find = self.infrastructures.find_one(doc! { "id": id }).projection(doc! { "auth": 0 });
        let found = find.await.map_err(|error| unusable(&error))?;
        Ok(found.map(|mut found| FoundRow {
            deleted: found.get("deleted").is_some_and(|deleted| number(deleted) != 0),
            saved: found.get("date").map_or(0, number),
            data: found.remove("data").map_or_else(Vec::new, bytes),
        }))
    }
}

/// A number, a flag, or the seconds of a time in any form; 0 for anything else.
#[allow(clippy::cast_possible_truncation)]
fn number(value: &Bson) -> i64 {
    match value {
        Bson::Int32(number) => i64::from(*number),
        Bson::Int64(number) => *number,
        Bson::Double(number) => *number as i64,
        Bson::Boolean(flag) => i64::from(*flag),
        Bson::DateTime(time) => time.timestamp_millis().div_euclid(1000),
        Bson::String(text) => at(text),
        _ => 0,
    }
}

/// JSON of a document, or the text or the bytes that hold it. What is neither reads as no document.
fn bytes(value: Bson) -> Vec<u8> {
    match value {
        Bson::String(text) => text.into_bytes(),
        Bson::Binary(binary) => binary.bytes,
        value @ Bson::Document(_) => {
            deserialize_from_bson::<Value>(value).map(|value| value.to_string().into_bytes()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// A database that is being written. Each infrastructure is durable once it is put: a server alone has no transactions.
pub(super) struct MongoTarget {
    infrastructures: Collection<Document>,
}

impl MongoTarget {
    pub(super) async fn create(url: &str, force: bool) -> Result<Self, ReferenceError> {
        let database = connect(url).await?;
        let infrastructures = database.collection::<Document>(TABLE);
        let names = collections(&database).await?;
        if names.iter().any(|name| name == TABLE) {
            let count = infrastructures.count_documents(doc! {}).await.map_err(|error| unusable(&error))?;
            if count > 0 && !force {
                return Err(ReferenceError::InUse(format!("the database holds {count} infrastructures")));
            }
        } else if !names.is_empty() {
            return Err(ReferenceError::Foreign("it holds the collections of another program".to_owned()));
        }
        for (field, unique) in [("id", true), ("deleted", false), ("auth", false)] {
            let options = IndexOptions::builder().unique(unique.then_some(true)).build();
            let index = IndexModel::builder().keys(doc! { field: 1 }).options(options).build();
            infrastructures.create_index(index).await.map_err(|error| unusable(&error))?;
        }
        Ok(Self { infrastructures })
    }
}

#[async_trait]
impl Target for MongoTarget {
    async fn put(&self, row: ReferenceRow) -> Result<(), ReferenceError> {
        let ReferenceRow { id, deleted, saved, data, auth } = row;
        let inside = |text: &str| serde_json::from_str(text).map(bson).unwrap_or(Bson::Null);
        #[allow(clippy::cast_precision_loss)]
        let document = doc! {
            "id": &id, "deleted": i32::from(deleted), "data": inside(&data), "date": saved as f64, "auth": inside(&auth),
        };
        let replace = self.infrastructures.replace_one(doc! { "id": id }, document).upsert(true);
        replace.await.map(drop).map_err(|error| unusable(&error))
    }

    async fn finish(&self) -> Result<(), ReferenceError> {
        Ok(())
    }
}

/// A value of JSON as it is: the driver's own conversion takes keys such as `$date` for types. Numbers are as small as
/// Python's driver makes them.
fn bson(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => flag.into(),
        Value::String(text) => text.into(),
        Value::Array(items) => Bson::Array(items.into_iter().map(bson).collect()),
        Value::Object(fields) => Bson::Document(fields.into_iter().map(|(key, value)| (key, bson(value))).collect()),
        Value::Number(number) => match number.as_i64() {
            Some(number) => i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32),
            None => number.as_f64().unwrap_or_default().into(),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use mongodb::bson::{Binary, DateTime, spec::BinarySubtype};
    use serde_json::json;

    #[test]
    fn documents_mean_what_their_json_means() {
        let document = json!({
            "id": "i", "n": 7, "large": 5_000_000_000_i64, "ratio": 0.5, "none": null, "list": [true, {"$date": 1}, "text"],
        });
        let stored = bson(document.clone());
        assert_eq!(serde_json::from_slice::<Value>(&bytes(stored.clone())).unwrap(), document);
        let stored = stored.as_document().unwrap();
        assert_eq!((stored.get("n"), stored.get("large")), (Some(&Bson::Int32(7)), Some(&Bson::Int64(5_000_000_000))));
        // As copies of SQL databases have it.
        assert_eq!(bytes("{\"id\": 3".into()), b"{\"id\": 3");
        let binary = Binary { subtype: BinarySubtype::Generic, bytes: b"{}".to_vec() };
        assert_eq!((bytes(binary.into()), bytes(Bson::Undefined)), (b"{}".to_vec(), Vec::new()));
    }

    #[test]
    fn times_of_all_forms() {
        let second = 1_557_126_429;
        for time in [
            Bson::Double(1_557_126_429.75),
            Bson::Int64(second),
            Bson::DateTime(DateTime::from_millis(second * 1000 + 750)),
            "2019-05-06 07:07:09".into(),
        ] {
            assert_eq!(number(&time), second, "{time}");
        }
        assert_eq!((number(&Bson::Null), number(&true.into())), (0, 1));
    }
}
