//! Somebody sets the clock of the host while the daemon runs: intervals go on as if nothing had happened.

use crate::support::Server;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

#[tokio::test]
async fn changes_in_the_cloud_are_seen_though_the_clock_was_set_back() {
    let cloud = tempfile::tempdir().unwrap();
    let options = format!("[Dummy]\nSTATE_DIR = {}", cloud.path().display());
    let back = Arc::new(AtomicU64::new(0));
    let clock = {
        let back = back.clone();
        Arc::new(move || SystemTime::now() - Duration::from_secs(back.load(Ordering::Relaxed)))
    };
    let server = Server::with_clock(&options, clock).await;
    let path = server.create(1).await;
    // Another daemon stops the machine in the same cloud.
    let exported = server.get(&format!("{path}/data")).await.json();
    let document = exported["data"].as_str().unwrap().to_owned();
    let other = Server::configured(Default::default(), &options).await;
    let imported = other.request(reqwest::Method::PUT, "/infrastructures").body(document).send().await.unwrap();
    assert_eq!(imported.status(), 200);
    back.store(86_400, Ordering::Relaxed);
    assert_eq!(other.put(&format!("{path}/stop")).await.status, 200);
    server.wait_for(&path, "stopped").await;
}
