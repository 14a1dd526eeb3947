//! MySQL on several servers that replicate to each other: what one is told to be done holds at all of them.

use crate::{
    behaviour::{self, payload, row},
    galera::Galera,
    leases::{self, LONG, leases, member, under},
    mysql::open_at,
};
use imd::store::{Store, StoreError, leases::Acquired};
use std::{sync::Arc, time::Duration};

/// Turns of two that want to hold the same.
const TURNS: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_of_a_cluster_are_one_store() {
    let galera = Galera::start();
    // All make the tables at the same time.
    let stores =
        futures::future::join_all(galera.servers.iter().map(async |server| open_at(&server.url()).await)).await;
    let stores: Vec<Arc<dyn Store>> = stores.into_iter().map(Result::unwrap).collect();
    behaviour::race(&stores, "between").await;
    behaviour::concurrent_creations(&stores).await;
    leases::all(stores[0].clone()).await;

    // Each sees at once what another one was told.
    for turn in 0..50 {
        let id = format!("seen-{turn}");
        stores[turn % 3].create(row(&id, 10), payload("one")).await.unwrap();
        assert_eq!(stores[(turn + 1) % 3].load(&id).await.unwrap().unwrap().version, 1);
        assert_eq!(stores[(turn + 2) % 3].commit(&id, 1, payload("two")).await, Ok(2));
        assert_eq!(stores[turn % 3].load(&id).await.unwrap().unwrap().infrastructure, b"two");
    }

    // A session that is about to end is renewed at one server and taken from at another one, while its holder commits: it is
    // renewed or over, and who lost it writes nothing.
    let (holder, taker) = (&stores[1], &stores[2]);
    leases(taker).register(&member("taker"), LONG, None).await.unwrap();
    let mut taken = 0;
    for turn in 0..TURNS {
        let (id, session) = (format!("turn-{turn}"), format!("session-{turn}"));
        leases(holder).register(&member(&session), Duration::from_millis(200), None).await.unwrap();
        holder.create(row(&id, 10), under(&session, 1, "made")).await.unwrap();
        // From long before its end to long after it.
        let base = 100 + turn % 20 * 8;
        let at = |millis: u64| tokio::time::sleep(Duration::from_millis(millis));
        let renew = async {
            at(base).await;
            leases(holder).renew(&session, LONG).await
        };
        let commit = async {
            at(base + 4).await;
            holder.commit(&id, 1, under(&session, 1, "held")).await
        };
        let acquire = async {
            at(base + turn / 20 * 3).await;
            loop {
                match leases(taker).acquire(&id, "taker").await {
                    Err(StoreError::Unavailable(_)) => {}
                    answer => return answer.unwrap(),
                }
            }
        };
        let (renewed, committed, acquired) = tokio::join!(renew, commit, acquire);
        let is_taken = acquired == Acquired::Held(2);
        taken += u64::from(is_taken);
        assert!(!is_taken || renewed == Err(StoreError::Fenced), "{turn}: both have it: {renewed:?}");
        let stored = taker.load(&id).await.unwrap().unwrap();
        match committed {
            Ok(version) => assert_eq!((version, stored.version), (2, 2)),
            Err(error) => assert_eq!((error, stored.version), (StoreError::Fenced, 1), "turn {turn}"),
        }
        if is_taken {
            assert_eq!(holder.commit(&id, stored.version, under(&session, 1, "late")).await, Err(StoreError::Fenced));
        }
    }
    assert!(0 < taken && taken < TURNS, "{taken} of {TURNS} were taken");
}
