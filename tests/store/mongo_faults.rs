//! MongoDB when something fails: a user without rights, a full disk. Lost connections are with the store itself.

use crate::{
    behaviour::{event, payload, row},
    mongo::open_at,
    mongo_server::Mongo,
    sqlite::refusal,
    sqlite_faults::{leave_room, on_small_disk, unavailable},
};
use imd::store::{Changes, EventKind, StoreError, leases::Member};
use mongodb::{
    Client,
    bson::{Document, doc},
};
use std::{fs, time::Duration};

/// The user of the daemon may only read for a while.
#[tokio::test]
async fn a_user_that_may_only_read() {
    let mut server = Mongo::start();
    let users = async |server: &Mongo, name: &str, command: Document| {
        let user = if name == "admin" { "root:sesame@" } else { "" };
        let url = server.url().replace("//", &format!("//{user}")).replace("/im?", "/admin?");
        Client::with_uri_str(url).await.unwrap().database("im").run_command(command).await.unwrap();
    };
    let client = Client::with_uri_str(server.url()).await.unwrap();
    let root = doc! { "createUser": "root", "pwd": "sesame", "roles": ["root"] };
    client.database("admin").run_command(root).await.unwrap();
    users(&server, "", doc! { "createUser": "im", "pwd": "sesame", "roles": ["read"] }).await;
    server.stop();
    server.run(&["--auth"]);
    let url = server.url().replace("//", "//im:sesame@");
    let error = refusal(open_at(&url).await).to_string();
    assert!(error.contains("check password and rights") && !error.contains("sesame"), "{error}");

    // Rights are looked at when a connection is made.
    users(&server, "admin", doc! { "grantRolesToUser": "im", "roles": ["readWrite"] }).await;
    let store = open_at(&url).await.unwrap();
    let change = |version: u64| Changes {
        vms: vec![(0, version.to_string().into_bytes())],
        events: vec![event(Some(0), EventKind::Log, &version.to_string())],
        first_sequence: version,
        ..payload(&version.to_string())
    };
    store.create(row("a", 1), change(1)).await.unwrap();
    assert_eq!(store.commit("a", 1, change(2)).await, Ok(2));
    assert_eq!(store.commit("a", 2, change(3)).await, Ok(3));
    users(&server, "admin", doc! { "revokeRolesFromUser": "im", "roles": ["readWrite"] }).await;
    server.stop();
    server.run(&["--auth"]);
    // Of a write over a connection that is not there any more nobody would know whether it was done.
    assert_eq!(store.last_sequence("a").await, Ok(3));
    let member = Member { session: "s".into(), url: "http://s".to_owned(), place: "here".to_owned() };
    for _ in 0..2 {
        unavailable(store.commit("a", 3, change(4)).await, "check password and rights");
        unavailable(store.create(row("b", 1), change(1)).await, "check password and rights");
        unavailable(store.check().await, "check password and rights");
        let begun = store.leases().unwrap().register(&member, Duration::from_secs(6), None).await;
        unavailable(begun, "check password and rights");
        // Reads go on, and nothing is half done.
        let stored = store.load("a").await.unwrap().unwrap();
        assert_eq!((stored.version, stored.infrastructure, stored.vms), (3, b"3".to_vec(), vec![(0, b"3".to_vec())]));
        assert_eq!(store.log("a", Some(0)).await.unwrap(), "123");
        assert_eq!(store.load("b").await, Ok(None));
        // A store opened meanwhile finds everything made.
        open_at(&url).await.unwrap();
    }
    users(&server, "admin", doc! { "grantRolesToUser": "im", "roles": ["readWrite"] }).await;
    server.stop();
    server.run(&["--auth"]);
    assert_eq!(store.commit("a", 3, change(4)).await, Ok(4));
    store.create(row("b", 1), change(1)).await.unwrap();
    assert_eq!(store.log("a", Some(0)).await.unwrap(), "1234");
    assert_eq!(store.load("a").await.unwrap().unwrap().vms, [(0, b"4".to_vec())]);
}

#[test]
fn a_full_disk_stops_writing_until_there_is_room() {
    on_small_disk("60m", "mongo_faults::full_disk_child");
}

/// A server that has no room for its journal gives up: this one answers nothing but errors, MongoDB ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of a_full_disk_stops_writing_until_there_is_room"]
async fn full_disk_child() {
    let mut server = Mongo::start();
    let store = open_at(&server.url()).await.unwrap();
    let fill = async |mut version: u64| {
        loop {
            let vms = vec![(u32::try_from(version).unwrap(), vec![2; 100_000])];
            match store.commit("a", version, Changes { vms, ..payload("filling") }).await {
                Ok(next) => version = next,
                Err(refused) => return (version, refused),
            }
            assert!(version < 1000, "6 MB hold 100 MB");
        }
    };
    store.create(row("a", 1), payload("one")).await.unwrap();
    let ballast = leave_room(6 << 20);
    let (mut version, refused) = fill(1).await;
    assert!(
        matches!(&refused, StoreError::Unavailable(text) | StoreError::InDoubt(text) if text.contains("server failed") || text.contains("full")),
        "{refused}"
    );
    let again = store.commit("a", version, payload("full")).await.unwrap_err();
    assert!(matches!(again, StoreError::Unavailable(_) | StoreError::InDoubt(_)), "{again}");
    fs::remove_file(&ballast).unwrap();
    server.crash();
    server.run(&[]);
    let kept = store.load("a").await.unwrap().unwrap();
    if matches!(refused, StoreError::InDoubt(_)) && kept.version == version + 1 {
        version += 1;
    }
    assert_eq!((kept.version, kept.vms.len() as u64), (version, version - 1), "all that was acknowledged and no more");
    assert_eq!(store.commit("a", version, payload("room")).await, Ok(version + 1));
    let kept = store.load("a").await.unwrap().unwrap();
    assert_eq!((kept.infrastructure, kept.vms.len() as u64), (b"room".to_vec(), version - 1));
}
