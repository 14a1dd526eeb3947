//! The servers of the database are cut off from each other.

use crate::{
    cluster::{Cluster, SLOW, TAKEN_OVER, document},
    galera::Galera,
    support::{Daemon, path_of},
};
use reqwest::{Method, StatusCode};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// What a client that went on writing through one daemon was told.
#[derive(Default)]
struct Told {
    /// Infrastructures that it made, and how many machines it was told they have.
    machines: BTreeMap<String, usize>,
    refusals: usize,
    /// Of these more may have been made than it was told.
    uncertain: BTreeSet<String>,
}

/// Makes infrastructures and adds machines to them until told to stop. Everything is done, or refused with 503.
async fn write(daemon: &Daemon, stop: &AtomicBool) -> Told {
    let mut told = Told::default();
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let known = told.machines.iter().find(|(path, machines)| **machines < 3 && !told.uncertain.contains(*path));
        let known = known.map(|(path, _)| path.clone());
        let path = known.clone().unwrap_or_else(|| "/infrastructures".to_owned());
        let answer = daemon.ask(Method::POST, format!("{path}?async=yes"), document(1)).await.expect("it lives");
        match answer.status {
            StatusCode::OK => *told.machines.entry(known.unwrap_or_else(|| path_of(&answer.text))).or_default() += 1,
            status => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{turn}: {}\n{}", answer.text, daemon.log());
                told.refusals += 1;
                told.uncertain.extend(known);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    told
}

/// On a Galera cluster whose server is cut off: its daemon refuses changes and the others go on with what it kept; nothing
/// that was told to be done is lost, and nothing is made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_of_the_databases_servers_is_cut_off() {
    let galera = Galera::start();
    let urls: Vec<String> = galera.servers.iter().map(crate::mariadb::MariaDb::url).collect();
    let cluster = Cluster::over(&urls, SLOW).await;
    let [lonely, others @ ..] = &cluster.daemons[..] else { unreachable!() };
    let kept = &lonely.create(&document(40), "?async=yes").await;
    assert_eq!(cluster.holder(kept).await, Some(0));
    // A server that is behind is not asked before it has what was told to be done through another one.
    let mut behind = galera.servers[1].begin("FLUSH TABLES WITH READ LOCK; SELECT SLEEP(1); UNLOCK TABLES");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let made = lonely.create(&document(1), "?async=yes").await;
    assert!(behind.try_wait().unwrap().is_none(), "this machine is too slow for the test");
    assert!(others[0].text(Method::GET, "/infrastructures", "").await.contains(&made));
    assert_eq!(others[0].get(&made).await.status, StatusCode::OK);
    assert!(behind.wait().unwrap().success());
    let stop = AtomicBool::new(false);
    let course = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        galera.cut_off(0);
        let cut = Instant::now();
        let (holder, _) = cluster.until_taken_over(kept, 0).await;
        let after = cut.elapsed();
        assert!(holder != 0 && after < TAKEN_OVER, "only after {after:?}: {}", cluster.log());
        // What it was told before it may still be read there.
        assert_eq!(lonely.get(kept).await.status, StatusCode::OK);
        lonely.until("alone", async |_| galera.is_alone(0)).await;
        let refused = lonely.ask(Method::POST, "/infrastructures", document(1)).await.unwrap();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text);
        for daemon in others {
            cluster.change(daemon, Method::POST, &format!("{kept}?async=yes"), &document(1)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        galera.heal(0);
        lonely.until("a member again", async |daemon| daemon.get("/readyz").await.status == StatusCode::OK).await;
        cluster.change(lonely, Method::POST, &format!("{kept}?async=yes"), &document(1)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.store(true, Ordering::Relaxed);
    };
    let writers = futures::future::join_all(cluster.daemons.iter().map(|daemon| write(daemon, &stop)));
    let ((), told) = futures::join!(course, writers);
    assert!(told[0].refusals > 0);

    let listed = lonely.text(Method::GET, "/infrastructures", "").await;
    let mut machines = 0;
    for path in listed.lines().map(path_of) {
        for daemon in &cluster.daemons {
            daemon.until_state(&path, "configured").await;
        }
        let there = others[0].text(Method::GET, &path, "").await.lines().count();
        machines += there;
        let wanted = told.iter().find_map(|told| told.machines.get(&path)).copied().unwrap_or_default();
        let uncertain = told.iter().any(|told| told.uncertain.contains(&path));
        assert!(
            there == wanted || [kept, &made].contains(&&path) || (uncertain && there > wanted),
            "{path}: {there} of {wanted} machines"
        );
    }
    for path in told.iter().flat_map(|told| told.machines.keys()) {
        assert!(listed.contains(path.as_str()), "{path} is lost");
    }
    assert_eq!(cluster.machines(), machines);
    cluster.nothing_was_made_twice();
}
