//! MySQL when something fails: lost connections, a server that is read-only, a full disk.

use crate::{
    behaviour::{payload, row},
    leases::{LONG, leases, member, under},
    lost,
    mariadb::MariaDb,
    mysql::open_at,
    proxy::{Cut, Proxy},
    sqlite_faults::{leave_room, on_small_disk, unavailable},
};
use imd::store::{Changes, StoreError, leases::Acquired};
use std::{
    fs,
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_whole_or_not_at_all() {
    let server = MariaDb::start();
    lost::answers(server.port, |port| server.url_at(port), b"COMMIT;", b"COMMIT;").await;
}

/// A daemon that stands still between locking a row and writing it keeps nobody out for long, and cannot write afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_still_in_a_transaction_is_put_out_of_it() {
    let server = MariaDb::start();
    let proxy = Proxy::to(server.port).await;
    let (sleeper, other) = (open_at(&server.url_at(proxy.port)).await.unwrap(), open_at(&server.url()).await.unwrap());
    leases(&sleeper).register(&member("sleeper"), Duration::from_secs(3), None).await.unwrap();
    leases(&other).register(&member("other"), LONG, None).await.unwrap();
    sleeper.create(row("a", 1), under("sleeper", 1, "one")).await.unwrap();
    proxy.cut(Cut::Stall(b"COMMIT;"));
    let commit = tokio::spawn(async move { sleeper.commit("a", 1, under("sleeper", 1, "late")).await });
    while proxy.cuts() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    while leases(&other).acquire("a", "other").await != Ok(Acquired::Held(2)) {
        assert!(started.elapsed() < Duration::from_secs(20), "the row stays locked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(started.elapsed() > Duration::from_secs(2), "nobody had it");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(other.commit("a", 1, under("other", 2, "taken over")).await, Ok(2));
    proxy.open();
    assert_eq!(commit.await.unwrap(), Err(StoreError::Fenced));
    assert_eq!(other.load("a").await.unwrap().unwrap().infrastructure, b"taken over");
}

/// Also: an encrypted connection is demanded by one side and the other has none.
#[tokio::test]
async fn a_read_only_server_and_one_that_takes_no_large_packets() {
    let server = MariaDb::start_with(&["--max-allowed-packet=1M"], |_| ());
    let store = open_at(&server.url()).await.unwrap();
    store.create(row("a", 1), payload("one")).await.unwrap();
    server.sql("SET GLOBAL read_only = 1");
    unavailable(store.commit("a", 1, payload("two")).await, "read-only");
    unavailable(store.check().await, "read-only");
    assert_eq!(store.load("a").await.unwrap().unwrap().infrastructure, b"one", "reads go on");
    server.sql("SET GLOBAL read_only = 0");
    store.check().await.unwrap();

    // Only the change that is too large is refused, and many that are large together are not.
    let large = Changes { infrastructure: Some(vec![1; 1_200_000]), ..Changes::default() };
    let (refused, made) = tokio::join!(store.commit("a", 1, large), store.create(row("b", 1), payload("one")));
    unavailable(refused, "max_allowed_packet");
    assert_eq!(made, Ok(()));
    let many = Changes { vms: (0..40).map(|number| (number, vec![1; 100_000])).collect(), ..Changes::default() };
    assert_eq!(store.commit("a", 1, many).await, Ok(2));
    assert_eq!(store.load("a").await.unwrap().unwrap().vms.len(), 40);

    // This server has no certificate.
    server.sql("ALTER USER im@'127.0.0.1' REQUIRE SSL");
    unavailable(open_at(&server.url()).await.map(drop), "refuses the user");
    let error = open_at(&format!("{}?require_ssl=true", server.url())).await.map(drop);
    unavailable(error, "connection");
}

#[test]
fn a_full_disk_stops_writing_until_there_is_room() {
    on_small_disk("160m", "mysql_faults::full_disk_child");
}

#[tokio::test]
#[ignore = "the child of a_full_disk_stops_writing_until_there_is_room"]
async fn full_disk_child() {
    let mut server = MariaDb::start();
    let store = open_at(&server.url()).await.unwrap();
    store.create(row("a", 1), payload("one")).await.unwrap();
    let ballast = leave_room(6 << 20);
    let fill = async |mut version: u64| {
        loop {
            let vms = vec![(u32::try_from(version).unwrap(), vec![2; 100_000])];
            match store.commit("a", version, Changes { vms, ..payload("filling") }).await {
                Ok(next) => version = next,
                refused => return (version, refused),
            }
            assert!(version < 1000, "6 MB hold 100 MB");
        }
    };
    let (mut version, refused) = fill(1).await;
    let refused = refused.unwrap_err();
    fs::remove_file(&ballast).unwrap();
    // Where it has no room for its own log the server gives up, and is started again.
    if server.is_running() {
        assert!(matches!(&refused, StoreError::Unavailable(text) if text.contains("full")), "{refused}");
    } else {
        server.run();
    }
    let kept = store.load("a").await.unwrap().unwrap();
    if matches!(refused, StoreError::InDoubt(_)) && kept.version == version + 1 {
        version += 1;
    }
    assert_eq!((kept.version, kept.vms.len() as u64), (version, version - 1), "all that was acknowledged and no more");
    assert_eq!(store.commit("a", version, payload("room")).await, Ok(version + 1));
    assert_eq!(store.load("a").await.unwrap().unwrap().infrastructure, b"room");
}
