//! The database is a server: it is stopped and started again, and the connection to it breaks in the middle of a commit.

use crate::{
    database::{CLOUD, document, goes_away_and_comes_back},
    mariadb::MariaDb,
    proxy::{Cut, Proxy},
    support::{Daemon, Setup},
};
use reqwest::{Method, StatusCode};
use std::cell::RefCell;

fn daemon(url: String) -> Daemon {
    let options = "VM_INFO_UPDATE_FREQUENCY = 1".to_owned();
    Daemon::over_dummy(Setup { options, clouds: CLOUD.to_owned(), database: Some(url), ..Setup::default() })
}

#[tokio::test]
async fn stopped_and_started_again() {
    let server = RefCell::new(MariaDb::start());
    let daemon = daemon(server.borrow().url());
    let take = async |_: &Daemon| server.borrow_mut().stop();
    goes_away_and_comes_back(daemon, "the connection to the database server is lost", take, |()| {
        server.borrow_mut().run();
    })
    .await;
}

/// What a commit of changes has in it, and nothing else that the daemon sends: a new connection says READ COMMITTED, too.
const COMMIT: &[u8] = b"COMMIT;";

/// The daemon finds out whether a change whose answer was lost took place, and goes on from there.
#[tokio::test]
async fn cut_in_the_middle_of_a_commit() {
    let server = MariaDb::start();
    let proxy = Proxy::to(server.port).await;
    let mut daemon = daemon(server.url_at(proxy.port));
    daemon.start().await;
    let kept = daemon.create(&document(4), "").await;
    daemon.until_state(&kept, "configured").await;
    daemon.until_idle().await;
    let is_ready = async |daemon: &Daemon| daemon.get("/readyz").await.status == StatusCode::OK;

    let mut machines = 4;
    for (number, (cut, done)) in [(Cut::Before(COMMIT), false), (Cut::After(COMMIT), true)].into_iter().enumerate() {
        proxy.cut_and_close(cut);
        let answer =
            daemon.ask(Method::DELETE, format!("{kept}/vms/{number}?async=true"), String::new()).await.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert!(answer.text.contains("not known yet") && answer.text.contains("Look at the state"), "{answer:?}");
        assert_eq!(proxy.cuts(), number + 1);
        // A read tells the state as it was until more is known.
        assert_eq!(daemon.text(Method::GET, &kept, "").await.lines().count(), machines);
        let answer = daemon.ask(Method::DELETE, format!("{kept}/vms/3?async=true"), String::new()).await.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        proxy.open();
        daemon.until("ready", is_ready).await;
        machines -= usize::from(done);
        let is_there = async |daemon: &Daemon| daemon.text(Method::GET, &kept, "").await.lines().count() == machines;
        daemon.until("as the database has it", is_there).await;
        daemon.until_idle().await;
        assert_eq!(daemon.machines_of_dummy().len(), machines, "{}", daemon.log());
    }
    // Also the next change finds the keeper at its place.
    daemon.text(Method::DELETE, &format!("{kept}/vms/2"), "").await;
    assert_eq!(daemon.machines_of_dummy().len(), 2);
    daemon.until_idle().await;

    // Of an infrastructure whose creation was refused nothing stays, also if it was stored.
    proxy.cut_and_close(Cut::After(COMMIT));
    let answer = daemon.ask(Method::POST, "/infrastructures?async=true", document(3)).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(server.sql("SELECT COUNT(*) FROM im.infrastructures WHERE NOT deleted").trim(), "2");
    proxy.open();
    let is_taken_back =
        async |_: &Daemon| server.sql("SELECT COUNT(*) FROM im.infrastructures WHERE NOT deleted").trim() == "1";
    daemon.until("taken back", is_taken_back).await;
    daemon.kill();
    daemon.start().await;
    daemon.until_idle().await;
    assert_eq!(daemon.text(Method::GET, "/infrastructures", "").await.lines().count(), 1);
    assert_eq!(daemon.machines_of_dummy().len(), 2);
    daemon.text(Method::DELETE, &kept, "").await;
    assert!(daemon.machines_of_dummy().is_empty());
    assert!(!daemon.log().contains("same"), "a password is in the log: {}", daemon.log());
}
