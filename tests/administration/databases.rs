//! Databases of the reference in a file and in a MongoDB, looked at from outside.

use crate::mongo::Mongo;
use futures::TryStreamExt;
use mongodb::{
    Client, Database,
    bson::{Document, deserialize_from_document, doc},
};
use rusqlite::Connection;
use serde_json::Value;
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// Two places for databases of the reference: the one it has, and one for an export.
pub enum Databases {
    /// Files in a directory.
    Files(TempDir),
    /// Databases of a server, behind a user of `admin`, whom the reference's URLs mean.
    Mongo(Mongo),
}

/// Which of them.
#[derive(Clone, Copy)]
pub enum Which {
    /// The one of the reference.
    Old,
    /// The one for an export.
    New,
}

impl Databases {
    /// Files.
    pub fn files() -> Self {
        Self::Files(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    /// Databases of a MongoDB.
    pub async fn mongo() -> Self {
        let mut server = Mongo::start();
        let client = Client::with_uri_str(server.url()).await.unwrap();
        let user = doc! { "createUser": "im", "pwd": "s@same/x", "roles": ["root"] };
        client.database("admin").run_command(user).await.unwrap();
        client.shutdown().await;
        server.stop();
        server.run(&["--auth"]);
        Self::Mongo(server)
    }

    fn file(place: &TempDir, which: Which) -> PathBuf {
        place.path().join(which.name())
    }

    async fn database(server: &Mongo, which: Which) -> Database {
        let url = format!("mongodb://im:s%40same%2Fx@127.0.0.1:{}/?directConnection=true", server.port);
        Client::with_uri_str(url).await.unwrap().database(which.name())
    }

    /// As `DATA_DB` of the reference names it.
    pub fn url(&self, which: Which) -> String {
        match self {
            Self::Files(place) => format!("sqlite://{}", Self::file(place, which).display()),
            Self::Mongo(server) => format!("mongodb://im:s%40same%2Fx@127.0.0.1:{}/{}", server.port, which.name()),
        }
    }

    /// As our own `DATA_DB` would name it.
    pub fn our_url(&self, which: Which) -> String {
        match self {
            Self::Files(_) => self.url(which),
            Self::Mongo(_) => format!("{}?authSource=admin&directConnection=true", self.url(which)),
        }
    }

    /// Every byte, or every document, of the place of both.
    pub async fn content(&self) -> Vec<(String, Vec<u8>)> {
        let mut content = Vec::new();
        match self {
            Self::Files(place) => {
                for entry in fs::read_dir(place.path()).unwrap() {
                    let path = entry.unwrap().path();
                    content.push((path.display().to_string(), fs::read(path).unwrap()));
                }
            }
            Self::Mongo(server) => {
                let client = Self::database(server, Which::Old).await.client().clone();
                for name in client.list_database_names().await.unwrap() {
                    if matches!(name.as_str(), "admin" | "config" | "local") {
                        continue;
                    }
                    let database = client.database(&name);
                    for name in database.list_collection_names().await.unwrap() {
                        let collection = database.collection::<Document>(&name);
                        let found: Vec<Document> = collection
                            .find(doc! {})
                            .sort(doc! { "_id": 1 })
                            .await
                            .unwrap()
                            .try_collect()
                            .await
                            .unwrap();
                        let indexes = collection.list_index_names().await.unwrap();
                        content.push((format!("{name}: {indexes:?}"), format!("{found:?}").into_bytes()));
                    }
                }
            }
        }
        content.sort();
        content
    }

    /// Whether nothing is there yet.
    pub async fn is_missing(&self, which: Which) -> bool {
        match self {
            Self::Files(place) => !Self::file(place, which).exists(),
            Self::Mongo(server) => {
                Self::database(server, which).await.list_collection_names().await.unwrap().is_empty()
            }
        }
    }

    /// Adds an infrastructure `broken` whose document is none.
    pub async fn spoil(&self, which: Which) {
        match self {
            Self::Files(place) => {
                let connection = Connection::open(Self::file(place, which)).unwrap();
                let row = "INSERT INTO inf_list VALUES ('broken', 0, '2024-01-01', '{\"id\": 3', '[]')";
                connection.execute(row, []).unwrap();
            }
            Self::Mongo(server) => {
                let row = doc! { "id": "broken", "deleted": 0, "date": 1e9, "data": { "id": 3 }, "auth": [] };
                let database = Self::database(server, which).await;
                database.collection("inf_list").insert_one(row).await.unwrap();
            }
        }
    }

    /// The cloud's id of the first machine of an infrastructure.
    pub async fn cloud_id(&self, which: Which, path: &str) -> String {
        let id = path.rsplit('/').next().unwrap();
        let document: Value = match self {
            Self::Files(place) => {
                let connection = Connection::open(Self::file(place, which)).unwrap();
                let query = "SELECT data FROM inf_list WHERE id = ?";
                let data: String = connection.query_row(query, [id], |row| row.get(0)).unwrap();
                serde_json::from_str(&data).unwrap()
            }
            Self::Mongo(server) => {
                let rows = Self::database(server, which).await.collection::<Document>("inf_list");
                let found = rows.find_one(doc! { "id": id, "auth.username": "user" }).await.unwrap().unwrap();
                deserialize_from_document(found.get_document("data").unwrap().clone()).unwrap()
            }
        };
        document["vm_list"][0]["id"].as_str().unwrap().to_owned()
    }
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Old => "im",
            Self::New => "im_new",
        }
    }
}
