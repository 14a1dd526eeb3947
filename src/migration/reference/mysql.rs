//! The reference's table in a MySQL or MariaDB server, read in a session that may not write.

use super::{FoundRow, ReferenceError, ReferenceRow, Source, TABLE, Target};
use async_trait::async_trait;
use mysql_async::{Conn, Opts, OptsBuilder, params, prelude::Queryable};
use tokio::sync::Mutex;

fn unusable(error: &mysql_async::Error) -> ReferenceError {
    ReferenceError::Unusable(error.to_string())
}

async fn connect(url: &str) -> Result<Conn, ReferenceError> {
    // The message of the driver may hold a part of the URL, and that one of the password.
    let options =
        Opts::from_url(url).map_err(|_| ReferenceError::Url("this is no URL of a MySQL database".to_owned()))?;
    if options.db_name().is_none() {
        return Err(ReferenceError::Url("the URL names no database".to_owned()));
    }
    // The server's socket would be another way than the one that was asked for.
    Conn::new(OptsBuilder::from_opts(options).prefer_socket(false)).await.map_err(|error| unusable(&error))
}

/// Columns of the table, none when it is not there.
async fn columns(connection: &mut Conn) -> Result<Vec<String>, ReferenceError> {
    let query = "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?";
    connection.exec(query, (TABLE,)).await.map_err(|error| unusable(&error))
}

/// A database that is only read.
pub(super) struct MysqlSource {
    connection: Mutex<Conn>,
    numbered: bool,
}

impl MysqlSource {
    pub(super) async fn open(url: &str) -> Result<Self, ReferenceError> {
        let mut connection = connect(url).await?;
        connection.query_drop("SET SESSION TRANSACTION READ ONLY").await.map_err(|error| unusable(&error))?;
        let columns = columns(&mut connection).await?;
        if columns.is_empty() {
            return Err(ReferenceError::Foreign(format!("it has no table {TABLE}")));
        }
        let numbered = columns.iter().any(|name| name == "rowid");
        Ok(Self { connection: Mutex::new(connection), numbered })
    }
}

#[async_trait]
impl Source for MysqlSource {
    async fn ids(&self) -> Result<Vec<String>, ReferenceError> {
        // The column of numbers came with 1.7.
        let order = if self.numbered { "rowid" } else { "date, id" };
        let mut connection = self.connection.lock().await;
        connection.query(format!("SELECT id FROM inf_list ORDER BY {order}")).await.map_err(|error| unusable(&error))
    }

    async fn row(&self, id: &str) -> Result<Option<FoundRow>, ReferenceError> {
        let query = "SELECT deleted, CAST(UNIX_TIMESTAMP(date) AS SIGNED), data FROM inf_list WHERE id = ?";
        let mut connection = self.connection.lock().await;
        let row: Option<(Option<i64>, Option<i64>, Option<Vec<u8>>)> =
            connection.exec_first(query, (id,)).await.map_err(|error| unusable(&error))?;
        Ok(row.map(|(deleted, saved, data)| FoundRow {
            deleted: deleted.unwrap_or(0) != 0,
            saved: saved.unwrap_or(0),
            data: data.unwrap_or_default(),
        }))
    }
}

/// A database that is being written, in one transaction.
pub(super) struct MysqlTarget {
    connection: Mutex<Conn>,
}

impl MysqlTarget {
    pub(super) async fn create(url: &str, force: bool) -> Result<Self, ReferenceError> {
        let mut connection = connect(url).await?;
        if columns(&mut connection).await?.is_empty() {
            let query = "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
            let others: Option<u64> = connection.query_first(query).await.map_err(|error| unusable(&error))?;
            if others.unwrap_or(0) > 0 {
                return Err(ReferenceError::Foreign("it holds the tables of another program".to_owned()));
            }
        } else {
            let rows: Option<u64> =
                connection.query_first("SELECT count(*) FROM inf_list").await.map_err(|error| unusable(&error))?;
            let rows = rows.unwrap_or(0);
            if rows > 0 && !force {
                return Err(ReferenceError::InUse(format!("the database holds {rows} infrastructures")));
            }
        }
        let statements = [
            "CREATE TABLE IF NOT EXISTS inf_list (
                 rowid INTEGER NOT NULL AUTO_INCREMENT UNIQUE, id VARCHAR(255) PRIMARY KEY, deleted INTEGER,
                 date TIMESTAMP, data LONGTEXT, auth TEXT, INDEX (deleted), FULLTEXT (auth))",
            "START TRANSACTION",
        ];
        for statement in statements {
            connection.query_drop(statement).await.map_err(|error| unusable(&error))?;
        }
        Ok(Self { connection: Mutex::new(connection) })
    }
}

#[async_trait]
impl Target for MysqlTarget {
    async fn put(&self, row: ReferenceRow) -> Result<(), ReferenceError> {
        let statement = "REPLACE INTO inf_list (id, deleted, date, data, auth)
                         VALUES (:id, :deleted, FROM_UNIXTIME(:saved), :data, :auth)";
        let ReferenceRow { id, deleted, saved, data, auth } = row;
        // The server keeps no time before the epoch's second second.
        let values = params! { id, "deleted" => i64::from(deleted), "saved" => saved.max(1), data, auth };
        self.connection.lock().await.exec_drop(statement, values).await.map_err(|error| unusable(&error))
    }

    async fn finish(&self) -> Result<(), ReferenceError> {
        self.connection.lock().await.query_drop("COMMIT").await.map_err(|error| unusable(&error))
    }
}
