//! SQLite when the machine fails: locked, full, read-only, killed. An error is an error and nothing acknowledged is lost.

use crate::{
    behaviour::{event, payload, row},
    sqlite::{open_at, place, refusal},
};
use imd::store::{Changes, EventKind, StoreError};
use rusqlite::Connection;
use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Names the database for the tests below that run in a child process.
const CHILD: &str = "STORE_TEST_CHILD";

/// A command that runs an ignored test of this binary alone.
pub fn child(wrapper: &[&str], test: &str, path: &Path) -> Command {
    let binary = env::current_exe().unwrap();
    let mut words = wrapper.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    words.push(binary.to_str().unwrap().to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["--exact", test, "--ignored", "--nocapture"]).env(CHILD, path).stdin(Stdio::null());
    command
}

/// Runs an ignored test whose temporary files are on a disk of this size of their own: that of its servers.
pub fn on_small_disk(size: &str, test: &str) {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size={size},mode=1777 none \"$1\" && shift && exec \"$@\"");
    let namespace = ["unshare", "--mount", "sh", "-c", &script, "sh", directory.path().to_str().unwrap()];
    let mut command = child(&namespace, test, directory.path());
    assert!(command.env("TMPDIR", directory.path()).status().unwrap().success());
}

/// Fills the disk of the temporary files but for so many bytes; the file that does.
pub fn leave_room(bytes: usize) -> PathBuf {
    let place = env::temp_dir();
    let free = nix::sys::statvfs::statvfs(&place).unwrap();
    let room = usize::try_from(free.blocks_available() * free.fragment_size()).unwrap();
    let ballast = place.join("ballast");
    fs::write(&ballast, vec![1; room - bytes]).unwrap();
    ballast
}

#[track_caller]
pub fn unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>, said: &str) {
    let error = result.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains(said)), "{error}");
}

#[tokio::test]
async fn a_lock_held_elsewhere_stops_writing_until_it_ends() {
    let (_directory, path) = place();
    let store = open_at(&path).await.unwrap();
    store.create(row("a", 1), payload("one")).await.unwrap();
    let elsewhere = Connection::open(&path).unwrap();
    elsewhere.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (first, second) = tokio::join!(store.commit("a", 1, payload("two")), store.check());
    unavailable(first, "locked");
    unavailable(second, "locked");
    assert_eq!(store.load("a").await.unwrap().unwrap().infrastructure, b"one", "reads go on");
    elsewhere.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.commit("a", 1, payload("two")).await, Ok(2));

    // A short lock is waited for.
    elsewhere.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        elsewhere.execute_batch("ROLLBACK").unwrap();
    };
    assert_eq!(tokio::join!(store.commit("a", 2, payload("three")), release).0, Ok(3));
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_is_not_there_any_more() {
    let (directory, path) = place();
    let kept = directory.path().join("kept");
    let store = open_at(&path).await.unwrap();
    store.create(row("a", 1), payload("one")).await.unwrap();
    let refused = async |said: &str| {
        unavailable(store.commit("a", 1, payload("lost")).await, said);
        unavailable(store.create(row("b", 1), payload("lost")).await, said);
        unavailable(store.check().await, said);
    };
    // Removed, or moved away.
    fs::rename(&path, &kept).unwrap();
    refused("gone").await;
    unavailable(store.load("a").await, "gone");
    // Another one in its place.
    fs::copy(&kept, &path).unwrap();
    refused("another file").await;
    fs::rename(&kept, &path).unwrap();
    store.check().await.unwrap();
    assert_eq!(store.commit("a", 1, payload("two")).await, Ok(2));

    // A backup of this very run that is copied over it.
    let backup = directory.path().join("backup");
    Connection::open(&path).unwrap().execute("VACUUM INTO ?", [backup.to_str().unwrap()]).unwrap();
    for version in 2..40 {
        let many = (0..100).map(|number| (number, vec![0; 100])).collect();
        assert!(store.commit("a", version, Changes { vms: many, ..payload("later") }).await.is_ok());
    }
    let content = fs::read(&path).unwrap();
    fs::write(&path, fs::read(&backup).unwrap()).unwrap();
    unavailable(store.commit("a", 40, payload("lost")).await, "another content");
    let restored = fs::read(&path).unwrap();
    fs::write(&path, content).unwrap();
    assert_eq!(store.commit("a", 40, payload("last")).await, Ok(41));
    // The end of a store writes nothing into what was restored.
    store.load("a").await.unwrap();
    fs::write(&path, &restored).unwrap();
    drop(store);
    assert_eq!(fs::read(&path).unwrap(), restored);
    for end in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{end}", path.display())).unwrap();
    }
    assert_eq!(open_at(&path).await.unwrap().load("a").await.unwrap().unwrap().version, 2);
}

#[tokio::test]
async fn a_directory_or_file_that_may_not_be_written_is_refused() {
    let (directory, path) = place();
    drop(open_at(&path).await.unwrap());
    // Root may write everywhere but on a read-only mount.
    let directory = directory.path().to_str().unwrap();
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", directory];
    let status = child(&namespace, "sqlite_faults::read_only_child", &path).status().unwrap();
    assert!(status.success());

    fs::create_dir(path.with_extension("d")).unwrap();
    unavailable(Err::<(), _>(refusal(open_at(&path.with_extension("d")).await)), "");
    unavailable(Err::<(), _>(refusal(open_at(Path::new("/nonexistent/inf.dat")).await)), "/nonexistent/inf.dat");
}

#[tokio::test]
#[ignore = "the child of a_directory_or_file_that_may_not_be_written_is_refused"]
async fn read_only_child() {
    let path = env::var(CHILD).unwrap();
    unavailable(Err::<(), _>(refusal(open_at(Path::new(&path)).await)), "Read-only file system");
    unavailable(Err::<(), _>(refusal(open_at(Path::new(&format!("{path}.new"))).await)), "Read-only file system");
}

#[test]
fn a_full_disk_stops_writing_until_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m,mode=700 none \"$1\" && shift && exec \"$@\"";
    let mount = directory.path().to_str().unwrap();
    let namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", mount];
    let status =
        child(&namespace, "sqlite_faults::full_disk_child", &directory.path().join("inf.dat")).status().unwrap();
    assert!(status.success());
}

#[tokio::test]
#[ignore = "the child of a_full_disk_stops_writing_until_there_is_room"]
async fn full_disk_child() {
    let path = env::var(CHILD).unwrap();
    let path = Path::new(&path);
    let ballast = path.with_extension("ballast");
    let store = open_at(path).await.unwrap();
    store.create(row("a", 1), payload("one")).await.unwrap();
    fs::write(&ballast, vec![1; 400 << 10]).unwrap();
    let mut version = 1;
    let refused = loop {
        let change = Changes { vms: vec![(u32::try_from(version).unwrap(), vec![2; 20_000])], ..payload("filling") };
        match store.commit("a", version, change).await {
            Ok(next) => version = next,
            refused => break refused,
        }
        assert!(version < 100, "1 MB holds 2 MB");
    };
    unavailable(refused, "full");
    let kept = store.load("a").await.unwrap().unwrap();
    assert_eq!((kept.version, kept.vms.len() as u64), (version, version - 1), "all that was acknowledged and no more");
    fs::remove_file(&ballast).unwrap();
    assert_eq!(store.commit("a", version, payload("room")).await, Ok(version + 1));
    drop(store);
    assert_eq!(open_at(path).await.unwrap().load("a").await.unwrap().unwrap().infrastructure, b"room");
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let (_directory, path) = place();
    for round in 1..=3 {
        let mut writer = child(&["env"], "sqlite_faults::kill_child", &path).stdout(Stdio::piped()).spawn().unwrap();
        let mut acknowledged: [u64; 2] = [0; 2];
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut killed = false;
        let mut count = 0;
        // After the kill the pipe still holds what was acknowledged before it.
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some((number, version)) = line.strip_prefix("acknowledged ").and_then(|rest| rest.split_once(' ')) {
                acknowledged[number.parse::<usize>().unwrap()] = version.parse().unwrap();
                count += 1;
            }
            if count == 60 * round && !killed {
                writer.kill().unwrap();
                killed = true;
            }
        }
        writer.wait().unwrap();
        assert!(killed, "the writer ended by itself");
        // No lock is left behind either.
        let store = open_at(&path).await.unwrap();
        for (number, acknowledged) in acknowledged.into_iter().enumerate() {
            let id = format!("kill-{number}");
            let kept = store.load(&id).await.unwrap().unwrap();
            assert!((acknowledged..=acknowledged + 1).contains(&kept.version), "{id}: {} {acknowledged}", kept.version);
            assert_eq!(kept.infrastructure, kept.version.to_string().into_bytes());
            assert_eq!(store.last_sequence(&id).await, Ok(kept.version - 1));
            assert_eq!(store.events(&id, 0, 100_000).await.unwrap().len() as u64, kept.version - 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of nothing_acknowledged_is_lost_by_kill_9"]
async fn kill_child() {
    let store = open_at(Path::new(&env::var(CHILD).unwrap())).await.unwrap();
    let writers = (0..2).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let id = format!("kill-{number}");
            if store.load(&id).await.unwrap().is_none() {
                store.create(row(&id, 1), payload("1")).await.unwrap();
            }
            let first = store.load(&id).await.unwrap().unwrap().version;
            for version in first..first + 100_000 {
                let changes = Changes {
                    events: vec![event(Some(0), EventKind::Log, "text")],
                    first_sequence: version,
                    ..payload(&(version + 1).to_string())
                };
                let next = store.commit(&id, version, changes).await.unwrap();
                println!("acknowledged {number} {next}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}
