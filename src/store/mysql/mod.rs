//! The store in a MySQL or MariaDB server: one writing connection, a few reading ones, all made when they are needed.

mod error;
mod leases;
mod read;
mod reseal;
mod schema;
mod sql;
mod write;
mod writer;

use self::{
    error::Failure,
    writer::{Session, Writer},
};
use super::{
    Changes, IndexRow, Keyring, Leases, Store, StoreError, StoredEvent, StoredInfrastructure, Version, change::Change,
    rows::SealedChanges,
};
use async_trait::async_trait;
use mysql_async::{Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, UrlError, prelude::Queryable};
use std::{sync::Arc, time::Duration};

/// How long a server may take to accept a connection and a login.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may take to answer, a large commit on a slow disk included.
const ANSWER: Duration = Duration::from_secs(30);
/// After how long without use a reading connection is closed.
const IDLE: Duration = Duration::from_secs(60);
/// How many reads run at once.
const READERS: usize = 4;
/// Nobody waits for a locked row longer than a client waits: this many seconds.
const LOCKED: &str = "SET SESSION innodb_lock_wait_timeout = 2";
/// A server of a Galera cluster answers before it has what another one has committed, unless every statement waits for it.
const CAUSAL: &str = "SET SESSION wsrep_sync_wait = 7";
/// How often it is tried to make the tables while others do the same.
const ATTEMPTS: usize = 5;

/// What a server is like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It has the whole database to itself.
    Alone,
    /// It is one of a Galera cluster. MariaDB may answer well to a COMMIT behind other statements in a packet when another
    /// server's change was ordered before it and it was rolled back: there a COMMIT goes alone (seen with 10.11.19).
    Replicated,
}

/// A store in a database of a server.
pub(super) struct MysqlStore {
    writer: Writer,
    readers: Pool,
    kind: Kind,
    keyring: Arc<Keyring>,
    id: String,
}

impl MysqlStore {
    /// Connects to the server of a URL; verifies the tables, which are made or migrated first if that is wanted.
    pub(super) async fn open(url: &str, keyring: Arc<Keyring>, make: bool) -> Result<Self, StoreError> {
        let options = options(url)?;
        let place = format!("{} port {}", options.ip_or_hostname(), options.tcp_port());
        let prepare = async {
            let mut session = Session::open(&options, Kind::Alone).await?;
            let (mut options, mut kind) = (options.clone(), Kind::Alone);
            if is_replicated(session.connection()).await? {
                options = OptsBuilder::from_opts(options).init(vec![LOCKED, CAUSAL]).into();
                kind = Kind::Replicated;
                session = Session::open(&options, kind).await?;
            }
            let mut attempts = ATTEMPTS;
            loop {
                attempts -= 1;
                match schema::prepare(session.connection(), &keyring, make).await {
                    Err(Failure::Busy(_)) if attempts > 0 => {}
                    prepared => return prepared.map(|id| (session, options, kind, id)),
                }
            }
        };
        let (first, options, kind, id) =
            prepare.await.map_err(|failure: Failure| failure.into_error().about(&place))?;
        let readers = Pool::new(options.clone());
        Ok(Self { writer: Writer::start(first, options), readers, kind, keyring, id })
    }

    /// Says what is wrong with a URL.
    pub(super) fn check_url(url: &str) -> Result<(), StoreError> {
        options(url).map(drop)
    }
}

/// Whether the server is one of several that replicate to each other.
async fn is_replicated(connection: &mut Conn) -> Result<bool, Failure> {
    let found: Option<(String, String)> = connection.query_first("SHOW VARIABLES LIKE 'wsrep_on'").await?;
    Ok(found.is_some_and(|(_, value)| value == "ON"))
}

/// What a URL of the form `mysql://user:password@host[:port]/database[?options]` says. No error repeats a part of it that
/// may be of the password.
fn options(url: &str) -> Result<Opts, StoreError> {
    let refused = |why: &str| {
        StoreError::Corrupt(format!(
            "{why}; set DATA_DB to mysql://user:password@host:port/database, with special characters of the password in \
             percent encoding"
        ))
    };
    let options = Opts::from_url(url).map_err(|error| {
        refused(&match error {
            UrlError::UnknownParameter { param } => format!("DATA_DB has an unknown option {param}"),
            UrlError::InvalidParamValue { param, .. } => format!("DATA_DB has a wrong value of {param}"),
            _ => "DATA_DB is not a URL of a MySQL database".to_owned(),
        })
    })?;
    // A password with a slash looks like a database.
    match options.db_name() {
        None => return Err(refused("DATA_DB names no database")),
        Some(name) if name.contains(['@', '/', ':']) => return Err(refused("DATA_DB names no usable database")),
        Some(_) => {}
    }
    let constraints = PoolConstraints::new(0, READERS).unwrap_or_default();
    let pool = PoolOpts::new()
        .with_constraints(constraints)
        .with_inactive_connection_ttl(IDLE)
        .with_ttl_check_interval(IDLE)
        // Reading leaves nothing behind in a session.
        .with_reset_connection(false);
    Ok(OptsBuilder::from_opts(options)
        .pool_opts(pool)
        // The server's socket would be another way than the one that was configured.
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .stmt_cache_size(0)
        .init(vec![LOCKED])
        .into())
}

#[async_trait]
impl Store for MysqlStore {
    async fn create(&self, row: IndexRow, mut changes: Changes) -> Result<(), StoreError> {
        // An infrastructure without a payload still gets a sealed one: every stored payload opens.
        changes.infrastructure.get_or_insert_default();
        let changes = SealedChanges::seal(&self.keyring, &row.id, changes)?;
        self.writer.write(Change::Create { row, changes }).await.map(drop)
    }

    async fn commit(&self, id: &str, expected: Version, changes: Changes) -> Result<Version, StoreError> {
        let changes = SealedChanges::seal(&self.keyring, id, changes)?;
        self.writer.write(Change::Commit { id: id.to_owned(), expected, changes }).await
    }

    fn id(&self) -> &str {
        &self.id
    }

    async fn version(&self, id: &str) -> Result<Option<Version>, StoreError> {
        read::version(&self.readers, id).await
    }

    async fn load(&self, id: &str) -> Result<Option<StoredInfrastructure>, StoreError> {
        read::load(&self.readers, &self.keyring, id).await
    }

    async fn index(&self) -> Result<Vec<IndexRow>, StoreError> {
        read::index(&self.readers).await
    }

    async fn events(&self, id: &str, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        read::events(&self.readers, &self.keyring, id, after, limit).await
    }

    async fn last_sequence(&self, id: &str) -> Result<u64, StoreError> {
        read::last_sequence(&self.readers, id).await
    }

    async fn log(&self, id: &str, vm: Option<u32>) -> Result<String, StoreError> {
        read::log(&self.readers, &self.keyring, id, vm).await
    }

    async fn vm_logs(&self, id: &str) -> Result<Vec<(u32, String)>, StoreError> {
        read::vm_logs(&self.readers, &self.keyring, id).await
    }

    async fn purge(&self, created_before: i64, limit: usize) -> Result<u64, StoreError> {
        self.writer.write(Change::Purge { created_before, limit }).await
    }

    async fn reseal(&self, id: Option<&str>, limit: usize) -> Result<u64, StoreError> {
        reseal::reseal(&self.readers, self.kind, &self.keyring, id, limit).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.writer.write(Change::Check).await?;
        read::check(&self.readers).await
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }
}
