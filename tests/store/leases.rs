//! What leases do, whatever the backend. Times are real: a session of these tests lasts a second or two.

use crate::behaviour::{Shared, event, payload, row};
use imd::store::{
    Changes, EventKind, Lease, Leases, StoreError,
    leases::{Acquired, Holder, Member},
};
use std::time::{Duration, Instant};

/// Long enough for any test.
pub const LONG: Duration = Duration::from_secs(600);
/// Over while a test waits.
const SHORT: Duration = Duration::from_millis(1000);

/// Every case. The store must be one that daemons share.
pub async fn all(store: Shared) {
    futures::join!(
        one_holds_and_others_do_not(&store),
        a_session_that_is_over_cannot_write(&store),
        what_nobody_took_passes_to_the_next_session(&store),
        the_next_one_at_a_place_ends_the_former(&store),
        orphans_and_owners(&store),
        many_ask_and_one_gets(&store),
    );
}

pub fn member(session: &str) -> Member {
    Member { session: session.into(), url: format!("http://{session}"), place: format!("place of {session}") }
}

fn by(session: &str) -> Acquired {
    Acquired::By(holder(session))
}

fn holder(session: &str) -> Holder {
    Holder { session: session.into(), url: format!("http://{session}") }
}

pub fn under(session: &str, token: u64, text: &str) -> Changes {
    Changes { lease: Some(Lease { session: session.into(), token }), ..payload(text) }
}

pub fn leases(store: &Shared) -> &dyn Leases {
    store.leases().expect("daemons share this store")
}

async fn until_over(started: Instant) {
    tokio::time::sleep((started + SHORT + Duration::from_millis(100)).saturating_duration_since(Instant::now())).await;
}

/// An infrastructure goes from one daemon to the other and back in the middle of work: who has it sees all that was
/// committed, and what the one before still sends changes nothing.
pub async fn changing_hands(stores: &[Shared; 2]) {
    let session = |round: usize| format!("h-{round}");
    let lease = |round: usize| Some(Lease { session: session(round).into(), token: round as u64 + 1 });
    // Each commit writes two of five machines and an event.
    let change = |round: usize, version: u64| {
        let text = format!("version {version}");
        let vms =
            (version..version + 2).map(|vm| (u32::try_from(vm % 5).unwrap(), text.clone().into_bytes())).collect();
        let log = event(Some(0), EventKind::Log, &text);
        Changes { vms, events: vec![log], first_sequence: version, lease: lease(round), ..payload(&text) }
    };
    let whole = async |store: &Shared, version: u64| {
        let stored = store.load("h-one").await.unwrap().unwrap();
        assert_eq!((stored.version, stored.infrastructure), (version, format!("version {version}").into_bytes()));
        for (vm, value) in stored.vms {
            let last = (1..=version).rev().find(|by| by % 5 == u64::from(vm) || (by + 1) % 5 == u64::from(vm)).unwrap();
            assert_eq!(value, format!("version {last}").into_bytes(), "machine {vm} at version {version}");
        }
        let texts: Vec<String> = (1..=version).map(|version| format!("version {version}")).collect();
        assert_eq!(store.log("h-one", Some(0)).await.unwrap(), texts.concat());
    };
    leases(&stores[0]).register(&member(&session(0)), LONG, None).await.unwrap();
    stores[0].create(row("h-one", 10), change(0, 1)).await.unwrap();
    let mut version = 1;
    for round in 1..20 {
        let (former, next) = (&stores[(round - 1) % 2], &stores[round % 2]);
        leases(next).register(&member(&session(round)), LONG, None).await.unwrap();
        // Something is on its way while it gives back what it has, and takes place or not.
        let before = session(round - 1);
        let (last, given_back) = futures::join!(
            former.commit("h-one", version, change(round - 1, version + 1)),
            leases(former).unregister(&before),
        );
        given_back.unwrap();
        match last {
            Ok(made) => version = made,
            refused => assert_eq!(refused, Err(StoreError::Fenced)),
        }
        assert_eq!(leases(next).acquire("h-one", &session(round)).await, Ok(Acquired::Held(round as u64 + 1)));
        whole(next, version).await;
        let (late, made) = futures::join!(
            former.commit("h-one", version, change(round - 1, version + 1)),
            next.commit("h-one", version, change(round, version + 1)),
        );
        assert_eq!((late, made), (Err(StoreError::Fenced), Ok(version + 1)));
        version += 1;
        // Also when its version is long gone.
        assert_eq!(former.commit("h-one", version - 1, change(round - 1, version)).await, Err(StoreError::Fenced));
    }
    futures::join!(whole(&stores[0], version), whole(&stores[1], version));
}

async fn one_holds_and_others_do_not(store: &Shared) {
    let leases = leases(store);
    assert_eq!(leases.head("l-none").await, Ok(None));
    leases.register(&member("l-a"), LONG, None).await.unwrap();
    leases.register(&member("l-b"), LONG, None).await.unwrap();
    assert_eq!(leases.acquire("l-none", "l-a").await, Err(StoreError::NotFound));
    // A new one is its maker's.
    store.create(row("l-one", 10), under("l-a", 1, "made")).await.unwrap();
    assert_eq!(store.create(row("l-two", 10), under("l-x", 1, "made")).await, Err(StoreError::Fenced));
    assert_eq!(store.load("l-two").await, Ok(None));
    assert_eq!(leases.acquire("l-one", "l-b").await, Ok(by("l-a")));
    assert_eq!(store.commit("l-one", 1, under("l-b", 1, "stolen")).await, Err(StoreError::Fenced));
    assert_eq!(store.commit("l-one", 1, under("l-a", 2, "stolen")).await, Err(StoreError::Fenced));
    let states =
        Changes { events: vec![event(None, EventKind::State, "running")], first_sequence: 1, ..Changes::default() };
    let kept = Changes { lease: under("l-a", 1, "").lease, ..states };
    assert_eq!(store.commit("l-one", 1, kept).await, Ok(2));
    let head = leases.head("l-one").await.unwrap().unwrap();
    assert_eq!((head.version, head.sequence, head.deleted, head.holder), (2, 1, false, Some(holder("l-a"))));
    assert_eq!(store.load("l-one").await.unwrap().unwrap().infrastructure, b"made");
    // Who asks again gets it under a new token, and the old one is worth nothing.
    assert_eq!(leases.acquire("l-one", "l-a").await, Ok(Acquired::Held(2)));
    assert_eq!(store.commit("l-one", 2, under("l-a", 1, "old")).await, Err(StoreError::Fenced));
    assert_eq!(store.commit("l-one", 2, under("l-a", 2, "new")).await, Ok(3));
    assert_eq!(leases.held("l-a").await.unwrap().into_iter().collect::<Vec<_>>(), ["l-one"]);
    // All at once is given back, and a session never comes back.
    leases.unregister("l-a").await.unwrap();
    assert_eq!(leases.renew("l-a", LONG).await, Err(StoreError::Fenced));
    assert_eq!(leases.head("l-one").await.unwrap().unwrap().holder, None);
    assert_eq!(store.commit("l-one", 3, under("l-a", 2, "late")).await, Err(StoreError::Fenced));
    assert_eq!(leases.acquire("l-one", "l-a").await, Err(StoreError::Fenced));
    assert_eq!(leases.acquire("l-one", "l-b").await, Ok(Acquired::Held(3)));
    assert_eq!(store.commit("l-one", 3, under("l-b", 3, "taken over")).await, Ok(4));
}

/// Also when nobody took anything over.
async fn a_session_that_is_over_cannot_write(store: &Shared) {
    let leases = leases(store);
    let started = Instant::now();
    leases.register(&member("o-a"), SHORT, None).await.unwrap();
    store.create(row("o-one", 10), under("o-a", 1, "made")).await.unwrap();
    leases.renew("o-a", SHORT).await.unwrap();
    let renewed = Instant::now();
    assert!(started.elapsed() < SHORT, "this machine is too slow for the test");
    until_over(renewed).await;
    assert_eq!(store.commit("o-one", 1, under("o-a", 1, "late")).await, Err(StoreError::Fenced));
    assert_eq!(store.create(row("o-two", 10), under("o-a", 1, "late")).await, Err(StoreError::Fenced));
    assert_eq!(leases.renew("o-a", LONG).await, Err(StoreError::Fenced));
    assert_eq!(store.load("o-one").await.unwrap().unwrap().version, 1);
    leases.register(&member("o-b"), LONG, None).await.unwrap();
    assert_eq!(leases.acquire("o-one", "o-b").await, Ok(Acquired::Held(2)));
    assert_eq!(store.commit("o-one", 1, under("o-a", 1, "later")).await, Err(StoreError::Fenced));
    assert_eq!(store.commit("o-one", 1, under("o-b", 2, "taken over")).await, Ok(2));
}

async fn what_nobody_took_passes_to_the_next_session(store: &Shared) {
    let leases = leases(store);
    leases.register(&member("p-a"), LONG, None).await.unwrap();
    leases.register(&member("p-other"), LONG, None).await.unwrap();
    store.create(row("p-kept", 10), under("p-a", 1, "made")).await.unwrap();
    store.create(row("p-taken", 10), under("p-a", 1, "made")).await.unwrap();
    leases.unregister("p-a").await.unwrap();
    assert_eq!(leases.acquire("p-taken", "p-other").await, Ok(Acquired::Held(2)));
    leases.register(&member("p-b"), LONG, Some("p-a")).await.unwrap();
    assert_eq!(leases.held("p-b").await.unwrap().into_iter().collect::<Vec<_>>(), ["p-kept"]);
    assert_eq!(store.commit("p-kept", 1, under("p-b", 1, "goes on")).await, Ok(2));
    assert_eq!(store.commit("p-kept", 2, under("p-a", 1, "late")).await, Err(StoreError::Fenced));
    assert_eq!(store.commit("p-taken", 1, under("p-b", 1, "late")).await, Err(StoreError::Fenced));
}

async fn the_next_one_at_a_place_ends_the_former(store: &Shared) {
    let leases = leases(store);
    let at_place = |session: &str| Member { place: "host/8898".to_owned(), ..member(session) };
    leases.register(&at_place("n-a"), LONG, None).await.unwrap();
    store.create(row("n-one", 10), under("n-a", 1, "made")).await.unwrap();
    leases.register(&at_place("n-b"), LONG, None).await.unwrap();
    assert_eq!(leases.renew("n-a", LONG).await, Err(StoreError::Fenced));
    assert_eq!(leases.acquire("n-one", "n-b").await, Ok(Acquired::Held(2)));
}

async fn orphans_and_owners(store: &Shared) {
    let leases = leases(store);
    let mine = async || {
        let orphans = leases.orphans().await.unwrap();
        orphans.into_iter().filter(|id| id.starts_with("f-")).collect::<Vec<_>>()
    };
    let started = Instant::now();
    leases.register(&member("f-a"), SHORT, None).await.unwrap();
    store.create(row("f-held", 10), under("f-a", 1, "made")).await.unwrap();
    store.create(row("f-free", 11), payload("made")).await.unwrap();
    let idle = Changes { pending: Some(false), ..payload("made") };
    store.create(row("f-idle", 12), idle.clone()).await.unwrap();
    store.create(row("f-gone", 13), Changes { deleted: Some(true), ..idle }).await.unwrap();
    assert_eq!(mine().await, ["f-free"]);
    until_over(started).await;
    let mut orphans = mine().await;
    orphans.sort();
    assert_eq!(orphans, ["f-free", "f-held"]);

    let owned = async |owners: &[&str]| {
        let owners: Vec<String> = owners.iter().map(|&owner| owner.to_owned()).collect();
        let rows = leases.owned(Some(&owners)).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(owned(&["f-held-a", "f-idle-b", "f-gone-a", "f-idle-a", "%"]).await, ["f-idle", "f-held"]);
    assert_eq!(owned(&["nobody"]).await, Vec::<String>::new());
    let everybody = leases.owned(None).await.unwrap();
    assert!(everybody.iter().any(|row| row.id == "f-free") && everybody.iter().all(|row| row.id != "f-gone"));
}

async fn many_ask_and_one_gets(store: &Shared) {
    store.create(row("m-one", 10), payload("made")).await.unwrap();
    let askers = (0..8).map(|number| async move {
        let session = format!("m-{number}");
        leases(store).register(&member(&session), LONG, None).await.unwrap();
        loop {
            match leases(store).acquire("m-one", &session).await {
                // Databases with many writers make one of two that meet try again.
                Err(StoreError::Unavailable(_)) => {}
                answer => return answer.unwrap(),
            }
        }
    });
    let answers = futures::future::join_all(askers).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Acquired::Held(1)).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Acquired::By(_))).count(), 7, "{answers:?}");
}
