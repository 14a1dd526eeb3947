//! Damaged rows: what is damaged is named, everything else is served, and an administrator can delete it.

use crate::{
    database::{CLOUD, document},
    support::{Daemon, Setup},
};
use reqwest::{Client, Method, StatusCode, header};
use rusqlite::Connection;
use std::{fs, process::Command};

#[tokio::test]
async fn the_others_are_served_and_an_administrator_deletes_it() {
    let options = "ADMIN_USER = {\"username\": \"root\", \"password\": \"secret\"}".to_owned();
    let mut daemon = Daemon::over_dummy(Setup { options, clouds: CLOUD.to_owned(), ..Setup::default() });
    daemon.start().await;
    let (good, bad) = (daemon.create(&document(2), "").await, daemon.create(&document(3), "").await);
    for path in [&good, &bad] {
        daemon.until_state(path, "configured").await;
    }
    daemon.until_idle().await;
    daemon.kill();
    let id = bad.rsplit('/').next().unwrap();
    let database = Connection::open(daemon.database()).unwrap();
    let damage = "UPDATE vms SET data = zeroblob(length(data)) WHERE number = 1 AND infrastructure =
                  (SELECT number FROM infrastructures WHERE id = ?)";
    assert_eq!(database.execute(damage, [id]).unwrap(), 1);
    drop(database);
    daemon.start().await;

    for read in ["", "/state", "/radl", "/contmsg", "/vms/0"] {
        let answer = daemon.get(&format!("{bad}{read}")).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer:?}");
        assert!(answer.text.contains("damaged") && answer.text.contains("machine 1"), "{answer:?}");
        daemon.text(Method::GET, &format!("{good}{read}"), "").await;
    }
    let all = daemon.text(Method::GET, "/infrastructures", "").await;
    assert!(all.contains(&good) && all.contains(&bad), "{all}");
    let found = daemon.text(Method::GET, "/infrastructures?filter=node", "").await;
    assert!(found.contains(&good) && !found.contains(&bad), "{found}");
    let statistics = daemon.text(Method::GET, "/stats", "").await;
    assert!(statistics.contains(good.rsplit('/').next().unwrap()) && !statistics.contains(id), "{statistics}");
    let log = daemon.log();
    assert_eq!(log.matches("damaged: machine 1").count(), 1, "named once: {log}");

    let answer = daemon.ask(Method::DELETE, &bad, String::new()).await.unwrap();
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "only an administrator may: {answer:?}");
    let administrator = "type = InfrastructureManager; username = root; password = secret";
    let request = Client::new().delete(daemon.url(&bad)).header(header::AUTHORIZATION, administrator);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let all = daemon.text(Method::GET, "/infrastructures", "").await;
    assert!(all.contains(&good) && !all.contains(&bad), "{all}");
    daemon.kill();
    daemon.start().await;
    assert_eq!(daemon.get(&bad).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_empty_database_in_the_place_of_a_lost_one_is_accepted_on_demand_only() {
    let mut daemon = Daemon::over_dummy(Setup { clouds: CLOUD.to_owned(), ..Setup::default() });
    daemon.start().await;
    let path = daemon.create(&document(1), "").await;
    daemon.kill();
    for file in fs::read_dir(daemon.database().parent().unwrap()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let config = daemon.directory().join("im.cfg");
    let refused = Command::new(env!("CARGO_BIN_EXE_imd")).arg("--config").arg(&config).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8_lossy(&refused.stdout) + String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("--new-database"), "{text}");

    daemon.start_with(&["--new-database"]);
    daemon.start().await;
    assert_eq!(daemon.get(&path).await.status, StatusCode::NOT_FOUND);
    daemon.kill();
    daemon.start().await;
}
