//! A database of the reference becomes one of ours, and one of ours becomes the reference's; infrastructures live on in
//! both directions.

use crate::{
    databases::{
        Databases,
        Which::{New, Old},
    },
    document, imd,
    mariadb::MariaDb,
    reference::Reference,
    said,
    support::{Daemon, Setup, path_of},
};
use mysql_async::prelude::Queryable;
use reqwest::{Method, StatusCode};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};

fn daemon() -> Daemon {
    Daemon::over_dummy(Setup { clouds: "id = dummy; type = Dummy".to_owned(), ..Setup::default() })
}

fn paths(list: &str) -> BTreeSet<String> {
    list.lines().map(path_of).collect()
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

/// Infrastructures of the reference come here, live on, and go back to it.
async fn live_on_here_and_there_again(databases: &Databases) {
    let url = databases.url(Old);
    let theirs = Reference::start(&url).await;
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
    databases.spoil(Old).await;

    let mut ours = daemon();
    let before = databases.content().await;
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
    assert!(databases.content().await == before, "nothing of the reference's changed");
    // Its database is not taken for one of ours, and the way out is named.
    let refused = said(imd(&ours, &["purge", "2020-01-01"]).env("IM_DATA_DB", databases.our_url(Old))).await;
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
    let out_url = databases.url(New);
    let busy = said(&mut imd(&ours, &["export-db", &out_url])).await;
    assert!(busy.code == Some(2) && busy.stderr.contains("another imd"), "{busy:?}");
    assert!(databases.is_missing(New).await);
    ours.terminate().await;
    ours.reap();
    let users = ours.directory().join("users");
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

    let machine = databases.cloud_id(Old, &grows).await;
    assert_eq!(databases.cloud_id(New, &grows).await, machine, "still the same machine");
    let theirs = Reference::start(&out_url).await;
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infrastructures_of_a_file_live_on_here_and_there_again() {
    live_on_here_and_there_again(&Databases::files()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infrastructures_of_a_mongodb_live_on_here_and_there_again() {
    live_on_here_and_there_again(&Databases::mongo().await).await;
}

/// The password that a machine of a kept database has now.
fn kept_password(file: &Path, path: &str, machine: usize) -> String {
    // 1.15 has texts inside of texts.
    let opened = |value: &Value| match value {
        Value::String(text) => serde_json::from_str(text).unwrap(),
        other => other.clone(),
    };
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let id = path.rsplit('/').next().unwrap();
    let query = "SELECT CAST(data AS TEXT) FROM inf_list WHERE id = ?";
    let data: String = connection.query_row(query, [id], |row| row.get(0)).unwrap();
    let document: Value = serde_json::from_str(&data).unwrap();
    let vm: Value = opened(&document["vm_list"][machine]);
    let (_, rest) = vm["info"].as_str().unwrap().split_once("new.password = '").unwrap();
    rest.split_once('\'').unwrap().0.to_owned()
}

/// What 1.15 wrote as earlier versions left it: bytes, no column of owners, and the only date is that of the row. The one
/// that is stopped is in a cloud that is not served here.
fn earlier_form(from: &Path, to: &Path) {
    let connection = Connection::open(to).unwrap();
    connection.execute("ATTACH ? AS kept", [from.to_str().unwrap()]).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE inf_list (id VARCHAR(255) PRIMARY KEY, deleted INTEGER, date TIMESTAMP, data BLOB);
             INSERT INTO main.inf_list SELECT id, deleted, '2019-05-06 07:08:09',
                 CAST(replace(data, 'creation_date', 'was_made') AS BLOB) FROM kept.inf_list;
             UPDATE inf_list SET data = CAST(replace(data, 'Dummy', 'vSphere') AS BLOB)
                 WHERE CAST(data AS TEXT) LIKE '%stopped%';",
        )
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infrastructures_of_versions_before_1_15_are_imported() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/administration/fixtures/im-1.15.0.sqlite");
    let mut ours = daemon();
    let earlier = ours.directory().join("earlier.dat");
    earlier_form(&kept, &earlier);
    let imported = said(&mut imd(&ours, &["import-db", earlier.to_str().unwrap()])).await;
    assert!(imported.stdout.starts_with("4 infrastructures imported, 1 of them deleted ones\n2 remarks:\n"));
    for remark in ["not serve (vSphere)", "in vSphere (dummy) besides machines stays there"] {
        assert!(imported.stdout.contains(remark), "{imported:?}");
    }
    ours.start().await;
    let listed = paths(&ours.text(Method::GET, "/infrastructures", "").await);
    assert_eq!(listed.len(), 2);
    let statistics = ours.text(Method::GET, "/stats", "").await;
    assert!(statistics.contains("\"creation_date\": \"2019-05-06 07:08:09\""), "{statistics}");
    for path in listed {
        let answer = ours.ask(Method::DELETE, &path, String::new()).await.unwrap();
        if answer.status != StatusCode::OK {
            assert!(imported.stdout.contains(path.rsplit('/').next().unwrap()), "{path}: {answer:?}");
            ours.text(Method::DELETE, &format!("{path}?force=yes"), "").await;
        }
    }
    assert_eq!(ours.text(Method::GET, "/infrastructures", "").await, "");
}

/// Databases that other versions wrote (see `fixtures/README.md`): their infrastructures live on here, and with 1.19.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infrastructures_of_other_versions_live_on() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/administration/fixtures");
    let list = || fs::read_dir(&fixtures).unwrap().count();
    for version in ["1.15.0", "2.0.0"] {
        let file = fixtures.join(format!("im-{version}.sqlite"));
        let before = (fs::read(&file).unwrap(), list());
        let mut ours = daemon();
        let imported = said(&mut imd(&ours, &["import-db", file.to_str().unwrap()])).await;
        assert_eq!(
            (imported.code, imported.stdout.as_str()),
            (Some(0), "4 infrastructures imported, 1 of them deleted ones\n"),
            "{version}"
        );
        assert!((fs::read(&file).unwrap(), list()) == before, "nothing of {version}'s changed");

        ours.start().await;
        let number = |line: &str| line.rsplit('/').next().unwrap().parse::<u32>().unwrap();
        let vms = async |path: &str| ours.text(Method::GET, path, "").await.lines().map(number).collect::<Vec<_>>();
        let listed = paths(&ours.text(Method::GET, "/infrastructures", "").await);
        let mut by_size = Vec::new();
        for path in listed {
            by_size.push((vms(&path).await.len(), path));
        }
        by_size.sort();
        let [(1, stopped), (3, grown)] = &by_size[..] else { panic!("{version}: {by_size:?}") };
        for (path, state) in [(stopped, "stopped"), (grown, "configured")] {
            assert_eq!(ours.state(path).await, state, "{version}");
        }
        let secret = |machine: u32| format!("{grown}/vms/{machine}/disk.0.os.credentials.new.password");
        let first = ours.text(Method::GET, &secret(0), "").await;
        assert_eq!(first.trim(), "Later+Passw0rd", "{version}: from the document");
        let made = ours.text(Method::GET, &secret(2), "").await;
        assert_eq!(made.trim(), kept_password(&file, grown, 2), "{version}: chosen by IM");
        let contents = ours.text(Method::GET, &format!("{grown}/radl"), "").await;
        assert!(contents.contains("mount_path = '/data'") && contents.contains("it's %{not} run"), "{contents}");
        let statistics: Value = serde_json::from_str(&ours.text(Method::GET, "/stats", "").await).unwrap();
        let machines = |row: &Value| row["vm_count"].as_u64().unwrap();
        let mut counts: Vec<_> = statistics["stats"].as_array().unwrap().iter().map(machines).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 2, 4], "{version}: the deleted one counts, too; {statistics}");

        ours.text(Method::PUT, &format!("{stopped}/start"), "").await;
        ours.until_state(stopped, "configured").await;
        ours.text(Method::PUT, &format!("{grown}/vms/2/stop"), "").await;
        ours.text(Method::DELETE, &format!("{grown}/vms/3"), "").await;
        ours.text(Method::POST, grown, &document(1)).await;
        ours.text(Method::PUT, &format!("{grown}/vms/2/start"), "").await;
        ours.until_state(grown, "configured").await;
        assert_eq!(vms(grown).await, [0, 2, 4]);
        ours.text(Method::DELETE, stopped, "").await;
        ours.until_idle().await;
        ours.terminate().await;
        ours.reap();

        let databases = Databases::files();
        let url = databases.url(New);
        let users = ours.directory().join("users");
        fs::write(&users, json!({"users": [{"username": "user", "password": "pass"}]}).to_string()).unwrap();
        let exported = said(&mut imd(&ours, &["export-db", &url, "--users", users.to_str().unwrap()])).await;
        assert!(exported.stdout.starts_with("4 infrastructures exported, 2 of them deleted ones\n"), "{exported:?}");
        let theirs = Reference::start(&url).await;
        let listed = paths(&theirs.text("user", Method::GET, "/infrastructures", "").await);
        assert_eq!(listed, BTreeSet::from([grown.clone()]), "{version}");
        theirs.until_state("user", grown, "configured").await;
        assert_eq!(theirs.text("user", Method::GET, &secret(2), "").await, made, "{version}");
        theirs.text("user", Method::DELETE, grown, "").await;
        theirs.stop().await;
    }
}
