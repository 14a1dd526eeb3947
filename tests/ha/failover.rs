//! A daemon dies, stops or sleeps: the others go on with what it kept.

use crate::cluster::{Cluster, LEASE, SLOW, TAKEN_OVER, document};
use reqwest::{Method, StatusCode};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// The daemon that keeps an infrastructure is killed while it launches machines, and the next one while it deletes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_goes_on_when_the_holder_dies() {
    killed_and_gone_on_with(Cluster::start(3, SLOW).await).await;
}

/// The scenario, on whatever database.
pub async fn killed_and_gone_on_with(mut cluster: Cluster) {
    let path = cluster.daemons[0].create(&document(8), "?async=yes").await;
    assert_eq!(cluster.holder(&path).await, Some(0));
    // Some are launched, and one is being launched.
    cluster.daemons[1].until("launching", async |_| cluster.machines() >= 2).await;
    cluster.daemons[0].kill();
    let stop = AtomicBool::new(false);
    let gone_on = async {
        let (holder, after) = cluster.until_taken_over(&path, 0).await;
        assert!(after < TAKEN_OVER, "only after {after:?}");
        cluster.daemons[1].until_state(&path, "configured").await;
        stop.store(true, Ordering::Relaxed);
        holder
    };
    let written = async {
        // A change at once: it waits for who goes on, or is to be tried again.
        cluster.change(&cluster.daemons[1], Method::PUT, &format!("{path}/reconfigure"), "").await;
        Instant::now()
    };
    let (holder, reads, _) = futures::join!(gone_on, cluster.read_without(0, &path, &stop), written);
    assert!(reads > 20, "{reads}");
    assert_eq!(cluster.machines(), 8);
    cluster.nothing_was_made_twice();

    // It comes back and is one of them.
    cluster.daemons[0].start().await;
    assert_eq!(cluster.daemons[0].state(&path).await, "configured");

    // The next one dies while it deletes.
    let asker = (holder + 1) % 3;
    cluster.daemons[asker].text(Method::DELETE, &format!("{path}?async=yes"), "").await;
    cluster.daemons[asker].until("deleting", async |_| cluster.machines() < 8).await;
    cluster.daemons[holder].kill();
    let deleted = async {
        let started = Instant::now();
        let (_, after) = cluster.until_taken_over(&path, holder).await;
        assert!(after < TAKEN_OVER, "only after {after:?}");
        let gone = async |daemon: &crate::support::Daemon| daemon.get(&path).await.status == StatusCode::NOT_FOUND;
        cluster.daemons[asker].until("gone", gone).await;
        started.elapsed()
    };
    deleted.await;
    assert!(cluster.inspect(|inventory| inventory.is_empty()));
    cluster.nothing_was_made_twice();
}

/// One that slept beyond its lease while it launched machines has nothing to say when it wakes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_slept_too_long_cannot_write() {
    slept_too_long(Cluster::start(2, SLOW).await).await;
}

/// The scenario, on whatever database.
pub async fn slept_too_long(cluster: Cluster) {
    let [sleeper, other] = &cluster.daemons[..] else { unreachable!() };
    let path = sleeper.create(&document(6), "?async=yes").await;
    other.until("launching", async |_| cluster.machines() >= 1).await;
    cluster.put_to_sleep(0).await;
    let (holder, after) = cluster.until_taken_over(&path, 0).await;
    assert_eq!(holder, 1);
    assert!(after < TAKEN_OVER, "only after {after:?}");
    other.until_state(&path, "configured").await;
    other.text(Method::PUT, &format!("{path}/vms/0/stop"), "").await;
    let before = (cluster.head(&path).await.version, cluster.machines());
    cluster.wake(0);
    // What it says is true from the first word on.
    assert_eq!(sleeper.text(Method::GET, &format!("{path}/vms/0/state"), "").await, "stopped");
    // It becomes a member again, and by then would have written.
    sleeper.until("a member again", async |daemon| daemon.get("/readyz").await.status == StatusCode::OK).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.holder(&path).await, Some(1));
    assert_eq!(cluster.machines(), before.1);
    let text = other.text(Method::GET, &format!("{path}/vms/0/state"), "").await;
    assert_eq!(text, "stopped");
    sleeper.text(Method::PUT, &format!("{path}/vms/0/start"), "").await;
    assert!(cluster.head(&path).await.version >= before.0);
    assert_eq!(sleeper.text(Method::GET, &path, "").await.lines().count(), 6);
    sleeper.text(Method::DELETE, &path, "").await;
    assert!(cluster.inspect(|inventory| inventory.is_empty()));
    cluster.nothing_was_made_twice();
}

/// Alone it sleeps, and nobody takes anything over: it begins a new session and goes on with everything itself. Killed, it
/// has everything back at its next start, without waiting for its own lease. Stopped, it gives everything back at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_lease_without_need() {
    alone(Cluster::start(1, SLOW).await).await;
}

/// The scenario, on whatever database.
pub async fn alone(mut cluster: Cluster) {
    let path = cluster.daemons[0].create(&document(6), "?async=yes").await;
    cluster.daemons[0].until("launching", async |_| cluster.machines() >= 1).await;
    cluster.put_to_sleep(0).await;
    tokio::time::sleep(Duration::from_secs(LEASE + 1)).await;
    assert_eq!(cluster.holder(&path).await, None);
    cluster.wake(0);
    cluster.daemons[0].until_state(&path, "configured").await;
    assert_eq!(cluster.holder(&path).await, Some(0));
    cluster.nothing_was_made_twice();

    let second = cluster.daemons[0].create(&document(6), "?async=yes").await;
    cluster.daemons[0].until("launching", async |_| cluster.machines() >= 7).await;
    cluster.daemons[0].kill();
    let started = Instant::now();
    cluster.daemons[0].start().await;
    while cluster.holder(&second).await.is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(LEASE), "it waited for itself: {:?}", started.elapsed());
    cluster.daemons[0].until_state(&second, "configured").await;

    // A stop in the middle of work: what it kept is free as soon as it has ended.
    let third = cluster.daemons[0].create(&document(6), "?async=yes").await;
    cluster.daemons[0].until("launching", async |_| cluster.machines() >= 13).await;
    let (_, well) = cluster.daemons[0].terminate().await;
    assert!(well, "{}", cluster.log());
    assert_eq!(cluster.holder(&third).await, None, "{}", cluster.log());
    cluster.daemons[0].reap();
    cluster.daemons[0].start().await;
    cluster.daemons[0].until_state(&third, "configured").await;
    assert_eq!(cluster.machines(), 18);
    cluster.nothing_was_made_twice();
}
