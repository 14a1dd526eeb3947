//! The store in a MongoDB server or a set of them, by the public driver. See [`document`] for how commits are atomic
//! without transactions, which a server alone does not have.

mod document;
mod error;
mod leases;
mod read;
mod schema;
mod upkeep;
mod write;

use self::error::{is_worth_another_try, store_error};
use super::{
    Changes, IndexRow, Keyring, Leases, Store, StoreError, StoredEvent, StoredInfrastructure, Version,
    rows::SealedChanges,
};
use async_trait::async_trait;
use mongodb::{
    Client, Database,
    options::{Acknowledgment, ClientOptions, ConnectionString, ReadConcern, ReadPreference, WriteConcern},
};
use std::{sync::Arc, time::Duration};

/// How long a server is looked for, and may take to accept a connection, unless the URL says otherwise.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may take to answer, a large commit on a slow disk included.
const ANSWER: Duration = Duration::from_secs(30);
/// How often something is tried when the connection breaks.
const ATTEMPTS: usize = 3;
/// After how long without use a connection is closed.
const IDLE: Duration = Duration::from_secs(60);

/// A database, with what this process knows of it.
#[derive(Clone)]
struct Db {
    database: Database,
    settling: Arc<write::Settling>,
    sessions: Arc<leases::Sessions>,
}

impl Db {
    /// Waits for an answer, but not for ever.
    async fn try_ask<T>(
        &self,
        question: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<mongodb::error::Result<T>, StoreError> {
        let silence = |_| StoreError::Unavailable("the database server does not answer".to_owned());
        tokio::time::timeout(ANSWER, question.into_future()).await.map_err(silence)
    }

    async fn ask<T>(&self, question: impl IntoFuture<Output = mongodb::error::Result<T>>) -> Result<T, StoreError> {
        self.try_ask(question).await?.map_err(|error| store_error(&error))
    }

    /// Asks what may be asked again when the connection breaks.
    async fn ask_again<T, Q>(&self, question: impl Fn() -> Q) -> Result<T, StoreError>
    where
        Q: IntoFuture<Output = mongodb::error::Result<T>>,
    {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match self.try_ask(question()).await? {
                Ok(answer) => return Ok(answer),
                Err(error) if attempts > 0 && is_worth_another_try(&error) => {}
                Err(error) => return Err(store_error(&error)),
            }
        }
    }
}

/// A store in a database of MongoDB.
pub(super) struct MongoStore {
    db: Db,
    keyring: Arc<Keyring>,
    id: String,
}

impl MongoStore {
    /// Connects to the servers of a URL; verifies the collections, which are made or migrated first if that is wanted.
    pub(super) async fn open(url: &str, keyring: Arc<Keyring>, make: bool) -> Result<Self, StoreError> {
        let (options, name) = options(url).await?;
        let place = options.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let client = Client::with_options(options).map_err(|error| store_error(&error).about(&place))?;
        let db = Db { database: client.database(&name), settling: Arc::default(), sessions: Arc::default() };
        let id = schema::prepare(&db, &keyring, make).await.map_err(|error| error.about(&place))?;
        Ok(Self { db, keyring, id })
    }

    /// Says what is wrong with a URL, as far as that shows without looking at files that it names.
    pub(super) fn check_url(url: &str) -> Result<(), StoreError> {
        let parsed = ConnectionString::parse(url).map_err(|_| malformed())?;
        // What was just written would not be found there.
        if parsed.read_preference.is_some_and(|preference| !matches!(preference, ReadPreference::Primary)) {
            return Err(refused("DATA_DB has a readPreference, and reads are those of the server that is written"));
        }
        parsed.default_database.map(drop).ok_or_else(no_database)
    }
}

/// The driver's message would repeat parts of the URL.
fn malformed() -> StoreError {
    refused("DATA_DB is not a connection string of MongoDB, or has an unknown option or a wrong value")
}

fn no_database() -> StoreError {
    refused("DATA_DB names no database")
}

fn refused(why: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{why}; set DATA_DB to mongodb://user:password@host:port,host:port/database?options, with special characters of \
         the password in percent encoding"
    ))
}

/// What a connection string says, and what it does not say.
async fn options(url: &str) -> Result<(ClientOptions, String), StoreError> {
    MongoStore::check_url(url)?;
    let mut options = ClientOptions::parse(url).await.map_err(|_| malformed())?;
    let name = options.default_database.clone().ok_or_else(no_database)?;
    options.app_name.get_or_insert_with(|| "imd".to_owned());
    options.server_selection_timeout.get_or_insert(CONNECT);
    options.connect_timeout.get_or_insert(CONNECT);
    options.max_idle_time.get_or_insert(IDLE);
    // Commits are tried again by the store, which has to know whether one may have taken place.
    options.retry_writes = Some(false);
    // A commit that was acknowledged stays whatever server is lost, and nobody sees one that may still go.
    let durable = || WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    options.write_concern.get_or_insert_with(durable);
    options.read_concern.get_or_insert_with(ReadConcern::majority);
    Ok((options, name))
}

#[async_trait]
impl Store for MongoStore {
    async fn create(&self, row: IndexRow, mut changes: Changes) -> Result<(), StoreError> {
        // An infrastructure without a payload still gets a sealed one: every stored payload opens.
        changes.infrastructure.get_or_insert_default();
        let changes = SealedChanges::seal(&self.keyring, &row.id, changes)?;
        write::create(&self.db, row, changes).await
    }

    async fn commit(&self, id: &str, expected: Version, changes: Changes) -> Result<Version, StoreError> {
        let changes = SealedChanges::seal(&self.keyring, id, changes)?;
        write::commit(&self.db, id, expected, changes).await
    }

    fn id(&self) -> &str {
        &self.id
    }

    async fn version(&self, id: &str) -> Result<Option<Version>, StoreError> {
        read::version(&self.db, id).await
    }

    async fn load(&self, id: &str) -> Result<Option<StoredInfrastructure>, StoreError> {
        read::load(&self.db, &self.keyring, id).await
    }

    async fn index(&self) -> Result<Vec<IndexRow>, StoreError> {
        read::index(&self.db).await
    }

    async fn events(&self, id: &str, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        read::events(&self.db, &self.keyring, id, after, limit).await
    }

    async fn last_sequence(&self, id: &str) -> Result<u64, StoreError> {
        read::last_sequence(&self.db, id).await
    }

    async fn log(&self, id: &str, vm: Option<u32>) -> Result<String, StoreError> {
        read::log(&self.db, &self.keyring, id, vm).await
    }

    async fn vm_logs(&self, id: &str) -> Result<Vec<(u32, String)>, StoreError> {
        read::vm_logs(&self.db, &self.keyring, id).await
    }

    async fn purge(&self, created_before: i64, limit: usize) -> Result<u64, StoreError> {
        upkeep::purge(&self.db, created_before, limit).await
    }

    async fn reseal(&self, id: Option<&str>, limit: usize) -> Result<u64, StoreError> {
        upkeep::reseal(&self.db, &self.keyring, id, limit).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        upkeep::check(&self.db).await
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }
}
