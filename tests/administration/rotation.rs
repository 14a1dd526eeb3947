//! A new data key while the daemon works, with a rotation that is killed again and again.

use crate::{
    document, imd, said,
    support::{Daemon, Setup},
};
use imd::store::{Keyring, StoreError, open_beside};
use reqwest::{Method, StatusCode};
use std::{
    fs,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_exchanged_under_a_working_daemon() {
    let mut daemon = Daemon::over_dummy(Setup { clouds: "id = dummy; type = Dummy".to_owned(), ..Setup::default() });
    daemon.start().await;
    let pid = daemon.pid();
    let large = daemon.create(&document(60), "").await;
    daemon.until_state(&large, "configured").await;
    let radl = daemon.get(&format!("{large}/radl")).await.text;
    let old = daemon.key().with_extension("old");
    fs::copy(daemon.key(), &old).unwrap();
    let database = daemon.database();
    let open_with_old = async || {
        let keyring = Arc::new(Keyring::load(&old, None).unwrap());
        open_beside(database.to_str().unwrap(), keyring).await.err()
    };
    let key = daemon.key();
    let keys = || {
        fs::read_to_string(&key)
            .unwrap()
            .lines()
            .filter(|line| !line.contains("owners=") && !line.contains("database="))
            .count()
    };
    assert_eq!((open_with_old().await, keys()), (None, 1));

    // Machines come and go all the time.
    let over = AtomicBool::new(false);
    let work = async {
        let mut made = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let path = daemon.create(&document(2), "").await;
            daemon.until_state(&path, "configured").await;
            daemon.text(Method::DELETE, &format!("{path}/vms/1"), "").await;
            made.push(path);
        }
        made
    };
    let rotation = async {
        // Killed while it waits for the daemon, and at its work.
        for after in [500, 2300, 2700] {
            let mut command = imd(&daemon, &["rotate-key", "--batch", "1"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(after)).await;
            child.kill().await.unwrap();
            assert_eq!(keys(), 2, "one new key, however often it is called");
            assert_eq!(daemon.get(&format!("{large}/radl")).await.text, radl);
        }
        let done = said(&mut imd(&daemon, &["rotate-key"])).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stdout.contains("values sealed anew") && !done.stdout.starts_with("0 "), "{done:?}");
        assert!(done.stderr.contains("going on with the rotation"), "{done:?}");
        assert_eq!(keys(), 2);
        let dropped = said(&mut imd(&daemon, &["rotate-key", "--drop-old"])).await;
        assert_eq!(dropped.code, Some(0), "{dropped:?}");
        assert!(dropped.stdout.starts_with("0 values") && dropped.stdout.contains("removed"), "{dropped:?}");
        over.store(true, Ordering::Relaxed);
    };
    let (made, ()) = tokio::join!(work, rotation);
    assert!(!made.is_empty());
    assert_eq!((daemon.pid(), keys()), (pid, 1));
    assert!(matches!(open_with_old().await, Some(StoreError::Corrupt(_))), "{:?}", open_with_old().await);

    // The same daemon goes on, and so does the next one; everything is still its owner's.
    daemon.create(&document(1), "").await;
    let listed = daemon.get("/infrastructures").await.text.lines().count();
    assert_eq!(listed, made.len() + 2);
    for path in made.iter().chain([&large]) {
        assert_eq!(daemon.state(path).await, "configured");
    }
    daemon.until_idle().await;
    let (_, ended_well) = daemon.terminate().await;
    assert!(ended_well);
    daemon.reap();
    // Once more, while no daemon runs: nothing of it is seen from outside.
    let done = said(&mut imd(&daemon, &["rotate-key", "--drop-old"])).await;
    assert_eq!((done.code, keys()), (Some(0), 1), "{done:?}");
    daemon.start().await;
    assert_eq!(daemon.get("/infrastructures").await.text.lines().count(), listed);
    daemon.text(Method::DELETE, &made[0], "").await;
    assert_eq!(daemon.get(&made[0]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(daemon.get(&format!("{large}/radl")).await.text, radl);
}
