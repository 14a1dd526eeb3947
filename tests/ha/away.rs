//! The database is away: reads go on, changes are refused, and everything goes on when it is back.

use crate::{
    cluster::{Cluster, LEASE, document},
    mariadb::MariaDb,
    support::Daemon,
};
use reqwest::{Method, StatusCode};
use std::time::{Duration, Instant};

/// Longer than any answer may take, but for the first one while the database is away.
const SLOW: Duration = Duration::from_secs(1);

/// Reads from everybody for longer than a session lasts: all are answered, and one per daemon has to wait at most. What it
/// is that they do not answer from memory is refused.
async fn read_on(daemons: &[Daemon], path: &str) {
    let away = Instant::now();
    while away.elapsed() < Duration::from_secs(2 * LEASE) {
        for daemon in daemons {
            let mut slow = 0;
            for (what, wanted) in [
                (path.to_owned(), "/vms/1"),
                (format!("{path}/state"), "configured"),
                (format!("{path}/vms/0"), "state = 'configured'"),
                ("/infrastructures".to_owned(), path),
            ] {
                let asked = Instant::now();
                let answer = daemon.get(&what).await;
                assert_eq!(answer.status, StatusCode::OK, "{what} after {:?}: {}", away.elapsed(), answer.text);
                assert!(answer.text.contains(wanted), "{what}: {}", answer.text);
                slow += usize::from(asked.elapsed() > SLOW);
            }
            assert!(slow <= 1, "{:?}: {}", away.elapsed(), daemon.log());
            assert!(slow == 0 || away.elapsed() < Duration::from_secs(LEASE), "{:?}", away.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for daemon in daemons {
        for (method, path) in [
            (Method::POST, "/infrastructures".to_owned()),
            (Method::PUT, format!("{path}/stop")),
            (Method::DELETE, path.to_owned()),
        ] {
            let asked = Instant::now();
            let answer = daemon.ask(method.clone(), &path, document(1)).await.unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{method} {path}: {}", answer.text);
            assert!(answer.text.contains("nothing was done: the"), "{method} {path}: {}", answer.text);
            assert!(answer.text.contains("database server"), "{method} {path}: {}", answer.text);
            assert!(asked.elapsed() < SLOW, "{method} {path}: {:?}", asked.elapsed());
        }
        assert_eq!(daemon.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

/// The server stands still, and then it is gone; one of two daemons keeps the infrastructure and the other one has read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_while_the_database_is_away() {
    let mut server = MariaDb::start();
    let mut cluster = Cluster::with(2, "id = dummy; type = Dummy", "", Some(&server.url())).await;
    let path = cluster.daemons[0].create(&document(2), "").await;
    cluster.daemons[1].until_state(&path, "configured").await;

    server.stand_still(true);
    read_on(&cluster.daemons, &path).await;
    server.stand_still(false);
    let back = Instant::now();
    for daemon in &cluster.daemons {
        daemon.until("ready", async |daemon| daemon.get("/readyz").await.status == StatusCode::OK).await;
    }
    assert!(back.elapsed() < Duration::from_secs(2 * LEASE), "{:?}: {}", back.elapsed(), cluster.log());
    // Nothing is remembered any more.
    for (index, number) in [(0, 3), (1, 4)] {
        cluster.change(&cluster.daemons[index], Method::POST, &path, &document(1)).await;
        for daemon in &cluster.daemons {
            assert_eq!(daemon.text(Method::GET, &path, "").await.lines().count(), number);
        }
    }
    cluster.daemons[0].until_state(&path, "configured").await;

    // One knows nothing any more after a while.
    cluster.daemons[1].kill();
    cluster.daemons[1].add_options("[im]\nINF_CACHE_TIME = 3\n");
    cluster.daemons[1].start().await;
    assert_eq!(cluster.daemons[1].state(&path).await, "configured");
    server.crash();
    let [keeper, reader] = &cluster.daemons[..] else { unreachable!() };
    assert_eq!(reader.state(&path).await, "configured");
    let asked = Instant::now();
    reader.until("too old", async |daemon| daemon.get(&path).await.status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(asked.elapsed() > Duration::from_secs(1), "{:?}", asked.elapsed());
    read_on(std::slice::from_ref(keeper), &path).await;
    server.run();
    for daemon in &cluster.daemons {
        assert_eq!(daemon.get("/healthz").await.status, StatusCode::OK);
        cluster.change(daemon, Method::PUT, &format!("{path}/reconfigure"), "").await;
        daemon.until_state(&path, "configured").await;
    }
    assert_eq!(cluster.machines(), 4);
    cluster.nothing_was_made_twice();
}
