//! MySQL: the behaviour suite on a MariaDB server, what is stored, versions, and several stores on one database.

use crate::{
    behaviour::{self, event, payload, row},
    leases,
    mariadb::MariaDb,
    sqlite::{KEY, KEY_CHECK, keyring, refusal},
};
use imd::store::{Changes, EventKind, Keyring, Store, StoreError, open, open_beside};
use std::{fs, sync::Arc};

pub async fn open_at(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    open(url, keyring()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behaves_like_a_store() {
    let server = MariaDb::start();
    behaviour::all(open_at(&server.url()).await.unwrap()).await;
    leases::all(open_at(&server.url()).await.unwrap()).await;
}

#[tokio::test]
async fn values_are_sealed_anew_with_a_new_key() {
    let server = MariaDb::start();
    let url = server.url();
    let error = refusal(open_beside(&url, keyring()).await);
    assert!(error.to_string().contains("has not made its tables"), "{error}");
    behaviour::reseal(async |keyring| open(&url, Arc::new(keyring)).await.unwrap()).await;
    let error = refusal(open_at(&url).await);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("DATA_KEY_FILE")), "{error}");
}

/// Both of two stores that are opened at once make the tables; each sees what the other one wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_share_a_database_and_keep_it_over_a_restart() {
    let mut server = MariaDb::start();
    let url = server.url();
    let (first, second) = tokio::join!(open_at(&url), open_at(&url));
    let (first, second) = (first.unwrap(), second.unwrap());
    let secret = "CANARY-5e5a3e";
    let changes = Changes {
        vms: vec![(3, format!("vm {secret}").into())],
        progress: Some(Some(format!("progress {secret}").into())),
        events: vec![event(Some(3), EventKind::Log, secret), event(Some(3), EventKind::State, secret)],
        first_sequence: 1,
        ..payload(&format!("infrastructure {secret}"))
    };
    let mut listed = row("kept", 10);
    listed.owners = vec![keyring().owner_key(secret, secret)];
    first.create(listed.clone(), changes).await.unwrap();
    assert_eq!(second.create(row("kept", 10), Changes::default()).await, Err(StoreError::AlreadyExists));
    let before = (second.load("kept").await.unwrap(), second.events("kept", 0, 9).await.unwrap());
    assert_eq!(before.0.as_ref().unwrap().infrastructure, format!("infrastructure {secret}").into_bytes());

    behaviour::concurrent_creations(&[first.clone(), second.clone()]).await;
    behaviour::race(&[first.clone(), second.clone()], "between").await;
    leases::changing_hands(&[first.clone(), second.clone()]).await;

    // The server comes back and both go on with new connections.
    server.stop();
    let unavailable =
        |error: &StoreError| matches!(error, StoreError::Unavailable(text) if text.contains("connection"));
    let refused = first.commit("kept", 1, payload("lost")).await.unwrap_err();
    assert!(unavailable(&refused) && !refused.to_string().contains("same"), "{refused}");
    assert!(unavailable(&second.load("kept").await.unwrap_err()));
    assert!(second.check().await.is_err());
    let mut files = vec![server.data()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let content = fs::read(&path).unwrap();
            assert!(!content.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", path.display());
        }
    }
    server.run();
    for store in [&first, &second, &open_at(&url).await.unwrap()] {
        assert_eq!((store.load("kept").await.unwrap(), store.events("kept", 0, 9).await.unwrap()), before);
        store.check().await.unwrap();
    }
    assert!(first.index().await.unwrap().contains(&listed));
    assert_eq!(second.commit("kept", 1, payload("next")).await, Ok(2));
    // One that crashes between two changes is not noticed but by the time it takes.
    server.crash();
    server.run();
    assert_eq!(first.commit("kept", 2, payload("next")).await, Ok(3));
    assert_eq!(second.load("kept").await.unwrap().unwrap().version, 3);
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_alone() {
    let server = MariaDb::start();
    let url = server.url();
    for (sql, said) in [
        ("CREATE TABLE inf_list (id VARCHAR(255) PRIMARY KEY, data LONGTEXT)", "import-db"),
        ("CREATE TABLE recipes (name TEXT)", "another program"),
    ] {
        server.sql(&format!("DROP DATABASE im; CREATE DATABASE im; USE im; {sql}"));
        let error = refusal(open_at(&url).await);
        assert!(matches!(&error, StoreError::Corrupt(text) if text.contains(said)), "{error}");
        assert!(error.to_string().contains("DATA_DB"), "{error}");
        assert_eq!(server.sql("USE im; SHOW TABLES").lines().count(), 1);
    }
    server.sql("DROP DATABASE im");
    let error = refusal(open_at(&url).await).to_string();
    assert!(error.contains("does not exist, create it") && error.contains("127.0.0.1 port"), "{error}");
    server.sql("CREATE DATABASE im");

    // A start that was cut short while it made the tables is gone on with.
    open_at(&url).await.unwrap();
    server.sql("USE im; DROP TABLE events, progress; UPDATE schema_version SET version = 0");
    open_at(&url).await.unwrap().create(row("a", 1), payload("x")).await.unwrap();

    let wrong = Arc::new(Keyring::new([8; 32], &[]));
    let error = refusal(open(&url, wrong).await);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("DATA_KEY_FILE")), "{error}");
    let both = Arc::new(Keyring::new([8; 32], &[KEY]));
    assert!(open(&url, both).await.unwrap().load("a").await.unwrap().is_some());

    server.sql("USE im; UPDATE schema_version SET version = 99");
    let error = refusal(open_at(&url).await);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("newer imd")), "{error}");

    for wrong in [url.replace("same", "salt"), url.replace("/im", "/elsewhere")] {
        let error = refusal(open_at(&wrong).await).to_string();
        assert!(error.contains("refuses the user") && !error.contains("salt") && !error.contains("same"), "{error}");
    }
}

#[tokio::test]
async fn an_older_database_is_brought_to_this_version() {
    let server = MariaDb::start();
    let url = server.url();
    open_at(&url).await.unwrap().create(row("a", 1), payload("x")).await.unwrap();
    // The first version had nothing in the key check.
    let check = keyring().seal(&KEY_CHECK, b"").unwrap();
    let check = hex::encode(check);
    server.sql(&format!("USE im; UPDATE schema_version SET version = 1, key_check = x'{check}'"));
    let (one, other) = tokio::join!(open_at(&url), open_at(&url));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(!one.id().is_empty() && one.id() == other.id());
    assert_eq!(other.load("a").await.unwrap().unwrap().infrastructure, b"x");
    assert_eq!(open_at(&url).await.unwrap().id(), one.id());
}

#[tokio::test]
async fn a_damaged_or_moved_value_is_named_and_the_rest_still_opens() {
    let server = MariaDb::start();
    let store = open_at(&server.url()).await.unwrap();
    let changes = || Changes {
        vms: vec![(0, b"same length".to_vec()), (1, b"other value".to_vec())],
        events: vec![event(Some(0), EventKind::Log, "text")],
        first_sequence: 1,
        ..payload("x")
    };
    for id in ["moved", "whole", "retold"] {
        store.create(row(id, 1), changes()).await.unwrap();
    }
    let of = |id| format!("(SELECT number FROM infrastructures WHERE id = '{id}')");
    server.sql(&format!(
        "USE im; SET @sealed = (SELECT data FROM vms WHERE number = 1 AND infrastructure = {moved});
         UPDATE vms SET data = @sealed WHERE number = 0 AND infrastructure = {moved};
         UPDATE events SET vm = 1 WHERE infrastructure = {retold}",
        moved = of("moved"),
        retold = of("retold"),
    ));
    let error = store.load("moved").await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt(text) if text.contains("machine 0") && text.contains("moved")),
        "{error}"
    );
    assert_eq!(store.log("retold", Some(1)).await.unwrap(), "[event 1 is damaged]\n");
    assert_eq!(store.load("whole").await.unwrap().unwrap().vms, changes().vms);
}
