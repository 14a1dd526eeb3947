//! A database of the reference becomes one of ours, and one of ours becomes the reference's; infrastructures live on in
//! both directions.

use crate::{
    document, imd,
    mariadb::MariaDb,
    reference::Reference,
    said,
    support::{Daemon, Setup, path_of},
};
use mysql_async::prelude::Queryable;
use reqwest::{Method, StatusCode};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn daemon() -> Daemon {
    Daemon::over_dummy(Setup { clouds: "id = dummy; type = Dummy".to_owned(), ..Setup::default() })
}

fn paths(list: &str) -> BTreeSet<String> {
    list.lines().map(path_of).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The cloud's id of the first machine, in a database of the reference.
fn cloud_id(database: &Path, path: &str) -> String {
    let connection = Connection::open(database).unwrap();
    let id = path.rsplit('/').next().unwrap();
    let data: String = connection.query_row("SELECT data FROM inf_list WHERE id = ?", [id], |row| row.get(0)).unwrap();
    let document: Value = serde_json::from_str(&data).unwrap();
    document["vm_list"][0]["id"].as_str().unwrap().to_owned()
}

/// The same content as older writers left it: bytes, JSON texts inside, no column of owners, other dates.
fn older_form(from: &Path, to: &Path) {
    let connection = Connection::open(from).unwrap();
    let rows: Vec<(String, i64, String)> = connection
        .prepare("SELECT id, deleted, data FROM inf_list ORDER BY rowid")
        .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect())
        .unwrap();
    let older = Connection::open(to).unwrap();
    older
        .execute_batch(
            "CREATE TABLE inf_list (id VARCHAR(255) PRIMARY KEY, deleted INTEGER, date TIMESTAMP, data BLOB)",
        )
        .unwrap();
    for (id, deleted, data) in rows {
        let data = match serde_json::from_str::<Value>(&data) {
            Ok(mut document) => {
                document["auth"] = document["auth"].to_string().into();
                document.as_object_mut().unwrap().remove("creation_date");
                for vm in document["vm_list"].as_array_mut().unwrap() {
                    vm["cloud"] = vm["cloud"].to_string().into();
                    vm.as_object_mut().unwrap().remove("creating");
                    *vm = vm.to_string().into();
                }
                document.to_string()
            }
            Err(_) => data,
        };
        let row = params![id, deleted, "2019-05-06 07:08:09", data.into_bytes()];
        older.execute("INSERT INTO inf_list VALUES (?, ?, ?, ?)", row).unwrap();
    }
}

/// Everything a database of the reference holds but the time at which it was written.
fn content(rows: Vec<(String, i64, String, String)>) -> Vec<(String, i64, Value, Value)> {
    let json = |text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap();
        for vm in value.pointer_mut("/vm_list").and_then(Value::as_array_mut).into_iter().flatten() {
            vm["last_update"] = Value::Null;
        }
        value
    };
    rows.into_iter().map(|(id, deleted, data, auth)| (id, deleted, json(&data), json(&auth))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_of_mysql_are_read_and_written_as_those_of_sqlite() {
    let server = MariaDb::start();
    let url = server.url();
    let mut ours = daemon();
    ours.start().await;
    let kept = ours.create(&document(2), "").await;
    ours.until_state(&kept, "configured").await;
    let deleted = ours.create(&document(1), "").await;
    ours.text(Method::DELETE, &deleted, "").await;
    ours.until_idle().await;
    ours.terminate().await;
    ours.reap();

    let place = tempfile::tempdir().unwrap();
    let users = place.path().join("users");
    fs::write(&users, json!({"users": [{"username": "user", "password": "pass"}]}).to_string()).unwrap();
    let file = place.path().join("out.dat");
    for url in [&url, file.to_str().unwrap()] {
        let arguments = ["export-db", url, "--users", users.to_str().unwrap()];
        let exported = said(&mut imd(&ours, &arguments)).await;
        assert!(exported.stdout.starts_with("2 infrastructures exported, 1 of them deleted ones\n"), "{exported:?}");
        let refused = said(&mut imd(&ours, &arguments)).await;
        assert!(refused.code == Some(2) && refused.stderr.contains("holds 2 infrastructures"), "{refused:?}");
        assert_eq!(said(imd(&ours, &arguments).arg("--force")).await.code, Some(0));
    }
    let mut connection = mysql_async::Conn::from_url(&url).await.unwrap();
    let there: Vec<(String, i64, String, String)> =
        connection.query("SELECT id, deleted, data, auth FROM inf_list ORDER BY rowid").await.unwrap();
    let saved: String = connection.query_first("SELECT CAST(max(date) AS CHAR) FROM inf_list").await.unwrap().unwrap();
    let here = Connection::open(&file)
        .unwrap()
        .prepare("SELECT id, deleted, data, auth FROM inf_list ORDER BY rowid")
        .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?.collect())
        .unwrap();
    assert_eq!(content(there), content(here));

    let mut elsewhere = daemon();
    for _ in ["dry", "again dry"] {
        let dry = said(&mut imd(&elsewhere, &["import-db", &url, "--dry-run"])).await;
        assert!(dry.stdout.starts_with("2 infrastructures would be imported, 1 of them"), "{dry:?}");
    }
    let imported = said(&mut imd(&elsewhere, &["import-db", &url])).await;
    assert_eq!(
        (imported.code, imported.stdout.as_str()),
        (Some(0), "2 infrastructures imported, 1 of them deleted ones\n")
    );
    let saved_still: Option<String> =
        connection.query_first("SELECT CAST(max(date) AS CHAR) FROM inf_list").await.unwrap();
    assert_eq!(saved_still, Some(saved));
    elsewhere.start().await;
    elsewhere.until_state(&kept, "configured").await;
    assert_eq!(paths(&elsewhere.text(Method::GET, "/infrastructures", "").await), BTreeSet::from([kept]));
    let unreachable = said(&mut imd(&elsewhere, &["import-db", "mysql://im:sesame@127.0.0.1:1/im"])).await;
    assert!(unreachable.code == Some(2) && !unreachable.stderr.contains("sesame"), "{unreachable:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infrastructures_of_the_reference_live_on_here_and_there_again() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let database = place.path().join("inf.dat");
    let theirs = Reference::start(&database).await;
    let create = async |user: &str, machines| {
        path_of(&theirs.text(user, Method::POST, "/infrastructures", &document(machines)).await)
    };
    let (grows, goes) = (create("user", 2).await, create("user", 1).await);
    let (foreign, gone) = (create("other", 1).await, create("user", 1).await);
    for (user, path) in [("user", &grows), ("user", &goes), ("other", &foreign), ("user", &gone)] {
        theirs.until_state(user, path, "configured").await;
    }
    theirs.text("user", Method::DELETE, &format!("{grows}/vms/1"), "").await;
    theirs.text("user", Method::POST, &grows, &document(1)).await;
    theirs.until_state("user", &grows, "configured").await;
    theirs.text("user", Method::DELETE, &gone, "").await;
    let secret = format!("{grows}/vms/0/disk.0.os.credentials.new.password");
    let password = theirs.text("user", Method::GET, &secret, "").await;
    theirs.stop().await;
    let broken = Connection::open(&database).unwrap();
    broken.execute("INSERT INTO inf_list VALUES ('broken', 0, '2024-01-01', '{\"id\": 3', '[]')", []).unwrap();
    drop(broken);

    let mut ours = daemon();
    let url = format!("sqlite://{}", database.display());
    let before = (fs::read(&database).unwrap(), files(place.path()));
    // Said, and nothing made.
    let dry = said(&mut imd(&ours, &["import-db", &url, "--dry-run"])).await;
    assert!(dry.stdout.starts_with("4 infrastructures would be imported, 1 of them deleted ones\n"), "{dry:?}");
    assert_eq!((dry.code, ours.database().exists(), ours.key().exists()), (Some(1), false, false), "{dry:?}");
    let imported = said(&mut imd(&ours, &["import-db", &url])).await;
    assert_eq!(imported.code, Some(1), "{imported:?}");
    assert!(imported.stdout.starts_with("4 infrastructures imported, 1 of them deleted ones\n"), "{imported:?}");
    assert!(
        imported.stdout.contains("1 could not be imported:\n  broken: its document cannot be read"),
        "{imported:?}"
    );
    let again = said(&mut imd(&ours, &["import-db", &url])).await;
    assert!(
        again.stdout.starts_with("0 infrastructures imported, 0 of them deleted ones\n4 are here already\n"),
        "{again:?}"
    );
    assert_eq!((fs::read(&database).unwrap(), files(place.path())), before, "nothing of the reference's changed");
    // Its database is not taken for one of ours, and the way out is named.
    let refused = said(imd(&ours, &["purge", "2020-01-01"]).env("IM_DATA_DB", &database)).await;
    assert!(refused.code == Some(2) && refused.stderr.contains("imd import-db"), "{refused:?}");

    ours.start().await;
    let listed = paths(&ours.text(Method::GET, "/infrastructures", "").await);
    assert_eq!(listed, BTreeSet::from([grows.clone(), goes.clone()]));
    assert_eq!(ours.get(&foreign).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ours.get(&gone).await.status, StatusCode::NOT_FOUND);
    ours.until_state(&grows, "configured").await;
    assert_eq!(ours.text(Method::GET, &secret, "").await, password);
    let vms = async |path: &str| paths(&ours.text(Method::GET, path, "").await).len();
    assert_eq!(vms(&grows).await, 2);
    ours.text(Method::PUT, &format!("{grows}/vms/0/stop"), "").await;
    ours.until_state(&grows, "stopped").await;
    ours.text(Method::PUT, &format!("{grows}/vms/0/start"), "").await;
    ours.text(Method::POST, &grows, &document(1)).await;
    ours.until_state(&grows, "configured").await;
    ours.text(Method::DELETE, &format!("{grows}/vms/2"), "").await;
    assert_eq!(vms(&grows).await, 2);
    ours.text(Method::DELETE, &goes, "").await;
    let made = ours.create(&document(1), "").await;
    ours.until_state(&made, "configured").await;
    ours.until_idle().await;
    let statistics: Value = serde_json::from_str(&ours.text(Method::GET, "/stats", "").await).unwrap();
    assert_eq!(statistics["stats"].as_array().unwrap().len(), 4, "deleted ones count, too: {statistics}");

    // Back: not while the daemon runs, not over anything, and with the passwords of known users.
    let out = place.path().join("out.dat");
    let out_url = format!("sqlite://{}", out.display());
    let busy = said(&mut imd(&ours, &["export-db", &out_url])).await;
    assert!(busy.code == Some(2) && busy.stderr.contains("another imd") && !out.exists(), "{busy:?}");
    ours.terminate().await;
    ours.reap();
    let users = place.path().join("users");
    fs::write(&users, json!({"users": [{"username": "user", "password": "pass"}]}).to_string()).unwrap();
    let export = ["export-db", &out_url, "--users", users.to_str().unwrap()];
    let exported = said(&mut imd(&ours, &export)).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    assert!(exported.stdout.starts_with("5 infrastructures exported, 2 of them deleted ones\n"), "{exported:?}");
    let remark = format!("  {}: the password of its owner is not known (other)", &foreign["/infrastructures/".len()..]);
    assert!(exported.stdout.contains(&remark), "{exported:?}");
    let refused = said(&mut imd(&ours, &export)).await;
    assert!(refused.code == Some(2) && refused.stderr.contains("--force"), "{refused:?}");
    let forced = said(imd(&ours, &export).arg("--force")).await;
    assert_eq!((forced.code, forced.stdout), (Some(0), exported.stdout));

    assert_eq!(cloud_id(&out, &grows), cloud_id(&database, &grows), "still the same machine");
    let theirs = Reference::start(&out).await;
    let listed = paths(&theirs.text("user", Method::GET, "/infrastructures", "").await);
    assert_eq!(listed, BTreeSet::from([grows.clone(), made.clone()]));
    for path in [&grows, &made] {
        theirs.until_state("user", path, "configured").await;
    }
    assert_eq!(theirs.ask("other", Method::GET, &grows, "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(theirs.ask("other", Method::GET, &foreign, "").await.status, StatusCode::FORBIDDEN, "nobody has it");
    assert_eq!(theirs.text("user", Method::GET, &secret, "").await, password);
    assert_eq!(paths(&theirs.text("user", Method::GET, &grows, "").await).len(), 2);
    theirs.text("user", Method::POST, &grows, &document(1)).await;
    theirs.until_state("user", &grows, "configured").await;
    theirs.text("user", Method::DELETE, &format!("{grows}/vms/0"), "").await;
    theirs.text("user", Method::DELETE, &made, "").await;
    theirs.stop().await;

    // As older versions left it.
    let older = place.path().join("older.dat");
    older_form(&database, &older);
    let mut elsewhere = daemon();
    let imported = said(&mut imd(&elsewhere, &["import-db", older.to_str().unwrap()])).await;
    assert!(imported.stdout.starts_with("4 infrastructures imported, 1 of them deleted ones\n"), "{imported:?}");
    elsewhere.start().await;
    elsewhere.until_state(&grows, "configured").await;
    let statistics = elsewhere.text(Method::GET, "/stats", "").await;
    assert!(statistics.contains("2019-05-06"), "{statistics}");
    elsewhere.text(Method::DELETE, &grows, "").await;
}
