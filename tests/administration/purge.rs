//! Old deleted infrastructures go: by command beside a running daemon, and by themselves.

use crate::{
    document, imd, said,
    support::{Daemon, Setup},
};
use imd::store::{Changes, IndexRow, Keyring, Store, open_beside};
use reqwest::Method;
use std::sync::Arc;
use tokio::process::Command;

/// 2001-09-09
const LONG_AGO: i64 = 1_000_000_000;

async fn store(daemon: &Daemon) -> Arc<dyn Store> {
    let keyring = Arc::new(Keyring::load(&daemon.key(), None).unwrap());
    open_beside(daemon.database().to_str().unwrap(), keyring).await.unwrap()
}

async fn ids(daemon: &Daemon) -> Vec<String> {
    let mut ids: Vec<_> = store(daemon).await.index().await.unwrap().into_iter().map(|row| row.id).collect();
    ids.sort();
    ids
}

async fn add(daemon: &Daemon, id: &str, created: i64, deleted: bool) {
    let row = IndexRow { id: id.to_owned(), owners: vec![], created, deleted, pending: false };
    let changes = Changes { vms: vec![(0, b"{}".to_vec())], ..Changes::default() };
    store(daemon).await.create(row, changes).await.unwrap();
}

#[tokio::test]
async fn deleted_ones_go_by_date_beside_a_daemon_and_by_age_in_it() {
    let mut daemon = Daemon::over_dummy(Setup { clouds: "id = dummy; type = Dummy".to_owned(), ..Setup::default() });
    daemon.start().await;
    let deleted_today = daemon.create(&document(1), "").await;
    daemon.text(Method::DELETE, &deleted_today, "").await;
    let deleted_today = deleted_today.rsplit('/').next().unwrap().to_owned();
    for number in 0..5 {
        add(&daemon, &format!("old-{number}"), LONG_AGO + number, true).await;
    }
    // The last second before the day, its first one, and one that lives.
    add(&daemon, "before", 1_577_836_799, true).await;
    add(&daemon, "on", 1_577_836_800, true).await;
    add(&daemon, "alive", LONG_AGO, false).await;

    for (arguments, text) in
        [(&["purge"] as &[_], "No Date specified."), (&["purge", "01-02-2020"], "Incorrect date format (YYYY-MM-DD).")]
    {
        let answer = said(&mut imd(&daemon, arguments)).await;
        assert_eq!((answer.code, answer.stderr), (Some(1), format!("imd: {text}\n")));
    }
    let answer = said(&mut imd(&daemon, &["purge", "2020/01/01", "--dry-run"])).await;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "6 deleted infrastructures would be removed\n"));
    assert_eq!(ids(&daemon).await.len(), 9);
    let answer = said(&mut imd(&daemon, &["purge", "2020-01-01", "--batch", "2"])).await;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "6 deleted infrastructures removed\n"), "{answer:?}");
    let mut left = vec!["alive".to_owned(), "on".to_owned(), deleted_today.clone()];
    left.sort();
    assert_eq!(ids(&daemon).await, left);
    assert_eq!(daemon.get("/readyz").await.status, 200);

    // The old name, which finds its configuration like the daemon.
    let file = daemon.database().with_file_name("tool.cfg");
    let (database, key) = (daemon.database(), daemon.key());
    std::fs::write(&file, format!("[im]\nDATA_DB = {}\nDATA_KEY_FILE = {}\n", database.display(), key.display()))
        .unwrap();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_delete_old_infs"));
    let answer = said(tool.arg("-c").arg(&file).arg("2020-01-02")).await;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "1 deleted infrastructures removed\n"), "{answer:?}");
    // No database is made by a wrong path.
    let mut tool = Command::new(env!("CARGO_BIN_EXE_delete_old_infs"));
    let nowhere = daemon.database().with_file_name("nowhere");
    let answer = said(tool.arg("-c").arg(&file).arg("2020-01-02").env("IM_DATA_DB", &nowhere)).await;
    assert_eq!(answer.code, Some(2), "{answer:?}");
    assert!(!nowhere.exists());

    add(&daemon, "old", LONG_AGO, true).await;
    daemon.kill();
    daemon.wrap(["env", "IM_PURGE_AFTER_DAYS=30"].map(str::to_owned).to_vec());
    daemon.start().await;
    daemon.until("the old one is purged", async |daemon| !ids(daemon).await.contains(&"old".to_owned())).await;
    left.retain(|id| id != "on");
    assert_eq!(ids(&daemon).await, left);
}
