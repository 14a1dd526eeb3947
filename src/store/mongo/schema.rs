//! The collections: their indexes are made when the database is new, and changed when it is older.

use super::{
    Db,
    document::{binary, collection},
    error::{DUPLICATE, code, store_error},
};
use crate::store::{
    Keyring, StoreError,
    rows::{database_id, new_key_check},
};
use mongodb::{
    IndexModel,
    bson::{Binary, Document, doc},
    options::IndexOptions,
};
use serde::{Deserialize, Serialize};

/// Version of the collections. A change of them increases it and adds to [`step`].
const VERSION: i32 = 3;

#[derive(Serialize, Deserialize)]
struct Schema {
    #[serde(rename = "_id")]
    id: i32,
    version: i32,
    key_check: Binary,
    checks: i64,
}

/// Makes or migrates the collections of a database; proves that they are ours, of this version, and sealed with a key of
/// the keyring. Nothing is written to a database that is not ours, nor to any without `make`. Daemons may do it at the
/// same time. Tells the id of the database.
pub(super) async fn prepare(db: &Db, keyring: &Keyring, make: bool) -> Result<String, StoreError> {
    let names = db.ask(db.database.list_collection_names()).await?;
    let has = |name: &str| names.iter().any(|found| found == name);
    if names.iter().any(|name| !name.starts_with("system.")) && !has(collection::SCHEMA) {
        return Err(StoreError::foreign(has("inf_list"), "database"));
    }
    let not_made = || StoreError::Unavailable("imd has not made its collections there yet".to_owned());
    let schemas = db.database.collection::<Schema>(collection::SCHEMA);
    let find = async || db.ask(schemas.find_one(doc! { "_id": 1 })).await;
    let schema = match find().await? {
        Some(schema) => schema,
        None if !make => return Err(not_made()),
        None if !keyring.fits(None) => return Err(StoreError::not_ours(None)),
        None => {
            // Of two daemons, one's document stands.
            let key_check = binary(new_key_check(keyring)?);
            match schemas.insert_one(Schema { id: 1, version: 0, key_check, checks: 0 }).await {
                Err(error) if code(&error) != Some(DUPLICATE) => return Err(store_error(&error)),
                _ => find().await?.ok_or_else(not_made)?,
            }
        }
    };
    if schema.version > VERSION {
        return Err(StoreError::newer_schema(schema.version, VERSION, "database"));
    }
    if schema.version < VERSION && !make {
        return Err(not_made());
    }
    let id = match database_id(keyring, &schema.key_check.bytes)? {
        Some(id) if make && !keyring.fits(Some(&id)) => return Err(StoreError::not_ours(Some(&id))),
        Some(id) => id,
        None => {
            // Of two daemons, one's id stands.
            let update = doc! { "$set": { "key_check": binary(new_key_check(keyring)?) } };
            db.ask(schemas.update_one(doc! { "_id": 1, "key_check": schema.key_check }, update)).await?;
            let schema = find().await?.ok_or_else(not_made)?;
            let missing = || StoreError::Corrupt("its id is missing; restore it from a backup".to_owned());
            database_id(keyring, &schema.key_check.bytes)?.ok_or_else(missing)?
        }
    };
    for version in schema.version..VERSION {
        step(db, version).await?;
        let update = doc! { "$set": { "version": version + 1 } };
        db.ask(schemas.update_one(doc! { "_id": 1, "version": version }, update)).await?;
    }
    Ok(id)
}

/// What brings the collections from a version to the next one; may be done again.
async fn step(db: &Db, version: i32) -> Result<(), StoreError> {
    let indexes = match version {
        0 => vec![
            (collection::VMS, doc! { "i": 1, "n": 1 }, true),
            (collection::EVENTS, doc! { "i": 1, "s": 1 }, true),
            (collection::EVENTS, doc! { "i": 1, "k": 1, "v": 1, "s": 1 }, false),
            (collection::CHUNKS, doc! { "i": 1, "mark": 1 }, false),
        ],
        // Leases.
        1 => vec![
            (collection::INFRASTRUCTURES, doc! { "session": 1 }, false),
            (collection::INFRASTRUCTURES, doc! { "pending": 1, "deleted": 1 }, false),
            (collection::INFRASTRUCTURES, doc! { "owners": 1 }, false),
        ],
        // Rows of machines say what they share, which an older daemon cannot read; it reads older rows as they are.
        _ => vec![],
    };
    for (name, keys, unique) in indexes {
        let options = IndexOptions::builder().unique(unique).build();
        let index = IndexModel::builder().keys(keys).options(options).build();
        db.ask(db.database.collection::<Document>(name).create_index(index)).await?;
    }
    Ok(())
}
