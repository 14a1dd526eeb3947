//! SQLite: the behaviour suite, files and their modes, secrets, versions, and one daemon per file.

use crate::{
    behaviour::{self, event, payload, row},
    leases,
};
use imd::store::{Changes, EventKind, Keyring, Store, StoreError, open};
use rusqlite::Connection;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

pub const KEY: [u8; 32] = [7; 32];

/// What the key check of a database is sealed for.
pub const KEY_CHECK: [u8; 9] = *b"\0\0\0\0\0\0\0\0k";

pub fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::new(KEY, &[]))
}

/// A directory of its own with a database path in it.
pub fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inf dat");
    (directory, path)
}

pub async fn open_at(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    open(path.to_str().unwrap(), keyring()).await
}

pub fn refusal(result: Result<Arc<dyn Store>, StoreError>) -> StoreError {
    result.err().expect("the database was opened")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behaves_like_a_store_in_a_file() {
    let (_directory, path) = place();
    let url = format!("sqlite://{}", path.to_str().unwrap().replace(' ', "%20"));
    behaviour::all(open(&url, keyring()).await.unwrap()).await;
    assert!(path.exists(), "{url}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn daemons_share_a_file() {
    let (_directory, path) = place();
    let url = format!("sqlite://{}?shared=yes", path.to_str().unwrap().replace(' ', "%20"));
    let (one, other) = (open(&url, keyring()).await.unwrap(), open(&url, keyring()).await.unwrap());
    // One that needs it for itself is kept out, and so are they by it.
    assert!(refusal(open_at(&path).await).to_string().contains("another imd uses"));
    leases::changing_hands(&[one.clone(), other.clone()]).await;
    leases::all(one).await;
    behaviour::all(other).await;
    let alone = open_at(&path).await.unwrap();
    assert!(alone.leases().is_none());
    assert!(refusal(open(&url, keyring()).await).to_string().contains("another imd uses"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behaves_like_a_store_in_memory() {
    let store = open("sqlite::memory:", keyring()).await.unwrap();
    assert_eq!(open("sqlite::memory:", keyring()).await.unwrap().index().await, Ok(vec![]));
    behaviour::all(store).await;
}

#[tokio::test]
async fn values_are_sealed_anew_with_a_new_key() {
    let (_directory, path) = place();
    behaviour::reseal(async |keyring| open(path.to_str().unwrap(), Arc::new(keyring)).await.unwrap()).await;
    let error = refusal(open_at(&path).await);
    assert!(
        matches!(&error, StoreError::Corrupt(text) if text.contains("DATA_KEY_FILE")),
        "the old key is of no use: {error}"
    );
}

#[tokio::test]
async fn keeps_everything_over_a_restart_and_nothing_readable() {
    let (directory, path) = place();
    let secret = "CANARY-5e5a3e";
    let store = open_at(&path).await.unwrap();
    let changes = Changes {
        vms: vec![(3, format!("vm {secret}").into())],
        progress: Some(Some(format!("progress {secret}").into())),
        events: vec![event(Some(3), EventKind::Log, secret), event(Some(3), EventKind::State, secret)],
        first_sequence: 1,
        ..payload(&format!("infrastructure {secret}"))
    };
    let mut listed = row("kept", 10);
    listed.owners = vec![keyring().owner_key(secret, secret)];
    store.create(listed.clone(), changes).await.unwrap();
    let before = (store.load("kept").await.unwrap(), store.events("kept", 0, 9).await.unwrap());
    let scan = || {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory.path()).unwrap() {
            let (path, mode) = entry.map(|e| (e.path(), e.metadata().unwrap().permissions().mode() & 0o777)).unwrap();
            let content = fs::read(&path).unwrap();
            assert!(!content.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", path.display());
            assert_eq!(mode, 0o600, "{}", path.display());
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        names.sort();
        names
    };
    assert_eq!(scan(), ["inf dat", "inf dat-shm", "inf dat-wal", "inf dat.lock"]);
    drop(store);
    assert_eq!(scan(), ["inf dat", "inf dat.lock"]);

    let store = open_at(&path).await.unwrap();
    assert_eq!((store.load("kept").await.unwrap(), store.events("kept", 0, 9).await.unwrap()), before);
    assert_eq!(store.index().await.unwrap(), [listed]);
    assert_eq!(store.commit("kept", 1, payload("next")).await, Ok(2));
}

#[tokio::test]
async fn a_second_daemon_is_refused_also_through_a_link() {
    let (directory, path) = place();
    let first = open_at(&path).await.unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let error = refusal(open_at(path).await);
        assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("another imd")), "{error}");
    }
    first.check().await.unwrap();
    // Nor do another name of the file or the loss of the lock beside it let one in.
    let other_name = directory.path().join("other name");
    fs::hard_link(&path, &other_name).unwrap();
    fs::remove_file(directory.path().join("inf dat.lock")).unwrap();
    for path in [&path, &other_name] {
        let error = refusal(open_at(path).await);
        assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("another imd")), "{error}");
    }
    drop(first);
    open_at(&link).await.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_alone() {
    for (sql, said) in [
        ("CREATE TABLE inf_list (id VARCHAR(255) PRIMARY KEY, data TEXT)", "import-db"),
        ("CREATE TABLE recipes (name TEXT)", "another program"),
    ] {
        let (_directory, path) = place();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(&path).unwrap();
        let error = refusal(open_at(&path).await);
        assert!(matches!(&error, StoreError::Corrupt(text) if text.contains(said)), "{error}");
        assert!(error.to_string().contains("DATA_DB"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    let (_directory, path) = place();
    fs::write(&path, "This is a text file, and a rather long one at that.\n".repeat(100)).unwrap();
    let error = refusal(open_at(&path).await);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("not an SQLite file")), "{error}");
}

#[tokio::test]
async fn a_wrong_key_and_a_newer_schema_are_refused() {
    let (_directory, path) = place();
    open_at(&path).await.unwrap().create(row("a", 1), payload("x")).await.unwrap();
    let wrong = Arc::new(Keyring::new([8; 32], &[]));
    let error = refusal(open(path.to_str().unwrap(), wrong).await);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("DATA_KEY_FILE")), "{error}");
    let both = Arc::new(Keyring::new([8; 32], &[KEY]));
    assert!(open(path.to_str().unwrap(), both).await.unwrap().load("a").await.unwrap().is_some());

    Connection::open(&path).unwrap().execute("UPDATE schema_version SET version = 99", []).unwrap();
    let error = refusal(open_at(&path).await);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("newer imd")), "{error}");
}

#[tokio::test]
async fn an_older_database_is_brought_to_this_version() {
    let (_directory, path) = place();
    let store = open_at(&path).await.unwrap();
    store.create(row("a", 1), payload("x")).await.unwrap();
    drop(store);
    // The first version had nothing in the key check.
    let check = keyring().seal(&KEY_CHECK, b"").unwrap();
    let database = Connection::open(&path).unwrap();
    database.execute("UPDATE schema_version SET version = 1, key_check = ?", [check]).unwrap();
    let store = open_at(&path).await.unwrap();
    let id = store.id().to_owned();
    assert_eq!(store.load("a").await.unwrap().unwrap().infrastructure, b"x");
    let version: i64 = database.query_row("SELECT version FROM schema_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
    drop(store);
    assert_eq!(open_at(&path).await.unwrap().id(), id);
}

#[tokio::test]
async fn an_empty_database_in_the_place_of_the_one_the_key_belongs_to_is_refused() {
    let (directory, path) = place();
    let key = directory.path().join("key");
    let load = || Keyring::load(&key, None).unwrap();
    let open_with = async |keyring: Keyring| open(path.to_str().unwrap(), Arc::new(keyring)).await;
    let id = open_with(load()).await.unwrap().id().to_owned();
    assert!(fs::read_to_string(&key).unwrap().contains(&format!("database={id}")));
    assert_eq!(open_with(load()).await.unwrap().id(), id);

    let kept = directory.path().join("kept");
    fs::rename(&path, &kept).unwrap();
    for empty in [false, true] {
        if empty {
            fs::write(&path, "").unwrap();
        }
        let error = refusal(open_with(load()).await).to_string();
        assert!(error.contains("--new-database") && error.contains("empty"), "{error}");
        assert_eq!(fs::read(&path).ok(), empty.then(Vec::new), "nothing was made");
    }
    // So is the database of another key file with the same key.
    let same = Keyring::load(&key, Some(fs::read_to_string(&key).unwrap().lines().next().unwrap())).unwrap();
    let other = open_with(same).await.unwrap().id().to_owned();
    assert!(refusal(open_with(load()).await).to_string().contains(&other));
    // Who says so may use it, from then on as well; and the former one.
    open_with(load().accepting_new_database()).await.unwrap();
    assert_eq!(open_with(load()).await.unwrap().id(), other);
    fs::rename(&kept, &path).unwrap();
    assert_eq!(open_with(load()).await.unwrap().id(), id);

    // A lost key is not replaced by one that opens nothing.
    fs::remove_file(&key).unwrap();
    let error = refusal(open_with(load()).await).to_string();
    assert!(error.contains("no data key file") && error.contains(key.to_str().unwrap()), "{error}");
    assert!(!key.exists());
}

#[tokio::test]
async fn a_damaged_or_moved_value_is_named_and_the_rest_still_opens() {
    let (_directory, path) = place();
    let store = open_at(&path).await.unwrap();
    let changes = || Changes {
        vms: vec![(0, b"same length".to_vec()), (1, b"other value".to_vec())],
        events: vec![event(Some(0), EventKind::Log, "text")],
        first_sequence: 1,
        ..payload("x")
    };
    for id in ["moved", "damaged", "whole", "retold"] {
        store.create(row(id, 1), changes()).await.unwrap();
    }
    let of = |id| format!("(SELECT number FROM infrastructures WHERE id = '{id}')");
    let elsewhere = Connection::open(&path).unwrap();
    elsewhere
        .execute_batch(&format!(
            "UPDATE vms SET data = (SELECT data FROM vms WHERE number = 1 AND infrastructure = {moved})
             WHERE number = 0 AND infrastructure = {moved};
             UPDATE vms SET data = zeroblob(length(data)) WHERE number = 1 AND infrastructure = {damaged};
             UPDATE events SET vm = 1 WHERE infrastructure = {retold};",
            moved = of("moved"),
            damaged = of("damaged"),
            retold = of("retold"),
        ))
        .unwrap();
    for (id, vm) in [("moved", "machine 0"), ("damaged", "machine 1")] {
        let error = store.load(id).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(text) if text.contains(vm) && text.contains(id)), "{error}");
    }
    assert_eq!(store.log("retold", Some(1)).await.unwrap(), "[event 1 is damaged]\n");
    assert_eq!(store.events("retold", 0, 9).await.unwrap()[0].event.text, "[event 1 is damaged]\n");
    assert_eq!(store.version("damaged").await, Ok(Some(1)), "it can be deleted all the same");
    assert_eq!(store.load("whole").await.unwrap().unwrap().vms, changes().vms);
}
