//! The database goes away while the daemon runs: reads go on, changes are refused with a reason, and when it is back the
//! work that was under way goes on by itself.

use crate::support::{Daemon, Setup, path_of};
use reqwest::{Method, StatusCode};
use rusqlite::Connection;
use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::Command,
    time::Duration,
};

pub const CLOUD: &str = "id = dummy; type = Dummy; latency_ms = 100-300";

pub fn document(machines: u32) -> String {
    format!(
        "network pub ( outbound = 'yes' )\nsystem node (\ndisk.0.image.url = 'mock0://linux.for.ev.er/image1' and\n\
         net_interface.0.connection = 'pub'\n)\ndeploy node {machines}\n"
    )
}

fn daemon(mount: Option<&str>) -> Daemon {
    let options = "VM_INFO_UPDATE_FREQUENCY = 1".to_owned();
    let mut daemon = Daemon::over_dummy(Setup { options, clouds: CLOUD.to_owned(), ..Setup::default() });
    if let Some(mount) = mount {
        // In a mount namespace of its own, so that the mount ends with the daemon.
        let place = daemon.database().parent().unwrap().display().to_string();
        let script = format!("{mount} \"$0\" && exec \"$@\"");
        daemon.wrap(["unshare", "--mount", "sh", "-c", &script, &place].map(str::to_owned).to_vec());
    }
    daemon
}

/// The database as the daemon sees it, in its own mounts.
fn seen(daemon: &Daemon) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", daemon.pid()));
    root.join(daemon.database().strip_prefix("/").unwrap())
}

/// The whole story, with the ways to take the database away and to give it back.
pub async fn goes_away_and_comes_back<T>(
    mut daemon: Daemon,
    reason: &str,
    take: impl AsyncFn(&Daemon) -> T,
    give: impl FnOnce(T),
) {
    daemon.start().await;
    let kept = daemon.create(&document(5), "").await;
    daemon.until_state(&kept, "configured").await;
    let path = daemon.create(&document(30), "?async=true").await;
    let taken = take(&daemon).await;

    let is_away = async |daemon: &Daemon| daemon.get("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE;
    daemon.until("not ready", is_away).await;
    let refused = [
        (Method::POST, "/infrastructures?async=true".to_owned(), document(50)),
        (Method::DELETE, format!("{kept}?async=true"), String::new()),
        (Method::PUT, format!("{kept}/reconfigure"), String::new()),
        // No cloud is asked for what could not be told.
        (Method::PUT, format!("{kept}/stop"), String::new()),
        (Method::PUT, format!("{kept}/vms/0/stop"), String::new()),
    ];
    for (method, path, body) in refused {
        let answer = daemon.ask(method, &path, body).await.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {answer:?}");
        assert!(answer.text.contains(reason), "{}", answer.text);
    }
    let answer = daemon.get("/readyz").await;
    assert!(answer.text.contains(reason), "{answer:?}");
    for read in ["", "/state", "/radl", "/vms/1"] {
        daemon.text(Method::GET, &format!("{kept}{read}"), "").await;
    }
    // Logs are in the database alone.
    let log = daemon.get(&format!("{kept}/contmsg")).await;
    assert_eq!(log.status == StatusCode::OK, seen(&daemon).exists(), "{log:?}");
    let listed = daemon.text(Method::GET, "/infrastructures", "").await;
    assert!([&kept, &path].iter().all(|path| listed.contains(*path)), "{listed}");
    assert_eq!(daemon.state(&kept).await, "configured");

    give(taken);
    daemon.until("ready", async |daemon| daemon.get("/readyz").await.status == StatusCode::OK).await;
    daemon.until_idle().await;
    daemon.until_state(&path, "configured").await;
    assert_eq!(daemon.text(Method::GET, &path, "").await.lines().count(), 30);
    assert_eq!(daemon.machines_of_dummy().len(), 35);
    for uri in listed.lines() {
        daemon.text(Method::DELETE, &path_of(uri), "").await;
    }
    assert!(daemon.machines_of_dummy().is_empty());
}

#[tokio::test]
async fn locked_by_another_program() {
    let take = async |daemon: &Daemon| {
        let other = Connection::open(daemon.database()).unwrap();
        other.busy_timeout(Duration::from_secs(10)).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        other
    };
    goes_away_and_comes_back(daemon(None), "locked", take, drop).await;
}

#[tokio::test]
async fn disk_full() {
    let take = async |daemon: &Daemon| {
        let ballast = seen(daemon).with_extension("ballast");
        let mut file = File::create(&ballast).unwrap();
        while file.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
        // The write-ahead log has room left inside, where small changes find a place until it is used up.
        let mut refused = 0;
        let is_refused = async || {
            let answer = daemon.ask(Method::POST, "/infrastructures?async=true", document(0)).await;
            answer.unwrap().status == StatusCode::SERVICE_UNAVAILABLE
        };
        while refused < 5 {
            refused = if is_refused().await { refused + 1 } else { 0 };
        }
        ballast
    };
    let daemon = daemon(Some("mount -t tmpfs -o size=3m none"));
    goes_away_and_comes_back(daemon, "full", take, |ballast| fs::remove_file(ballast).unwrap()).await;
}

#[tokio::test]
async fn moved_away() {
    let take = async |daemon: &Daemon| {
        let path = daemon.database();
        fs::rename(&path, path.with_extension("away")).unwrap();
        path
    };
    let give = |path: PathBuf| fs::rename(path.with_extension("away"), path).unwrap();
    goes_away_and_comes_back(daemon(None), "changed under the running daemon", take, give).await;
}

/// A file that may not be written stands for a file system that turned read-only: that cannot be done to one with files
/// open for writing, and could not be undone.
#[tokio::test]
async fn read_only() {
    let daemon = daemon(Some("mount -o loop \"$0.ext4\""));
    let image = daemon.database().parent().unwrap().with_extension("ext4");
    File::create(&image).unwrap().set_len(16 << 20).unwrap();
    assert!(Command::new("mkfs.ext4").arg("-q").arg(&image).status().unwrap().success());
    let change = |sign: &str, path: &PathBuf| {
        let wal = path.with_extension("dat-wal");
        assert!(Command::new("chattr").arg(format!("{sign}i")).arg(path).arg(wal).status().unwrap().success());
    };
    let take = async |daemon: &Daemon| {
        let path = seen(daemon);
        change("+", &path);
        path
    };
    goes_away_and_comes_back(daemon, "the database is not available", take, |path| change("-", &path)).await;
}
