//! What every store does, whatever the backend.

use imd::store::{Changes, EventKind, IndexRow, Keyring, NewEvent, Store, StoreError, StoredInfrastructure};
use std::{collections::BTreeSet, sync::Arc};

/// A store of a backend. The suite uses ids of its own and needs no empty database.
pub type Shared = Arc<dyn Store>;

/// Every case but reopening, which needs to know the backend.
pub async fn all(store: Shared) {
    create_commit_load(&store).await;
    stale_and_unknown(&store).await;
    events_and_logs(&store).await;
    index_and_purge(&store).await;
    race(&[Arc::clone(&store)], "race").await;
    concurrent_commits_of_many(&store).await;
    store.check().await.unwrap();
}

pub fn row(id: &str, created: i64) -> IndexRow {
    IndexRow {
        id: id.to_owned(),
        owners: vec![format!("{id}-b"), format!("{id}-a")],
        created,
        deleted: false,
        pending: true,
    }
}

pub fn payload(text: &str) -> Changes {
    Changes { infrastructure: Some(text.into()), ..Changes::default() }
}

pub fn event(vm: Option<u32>, kind: EventKind, text: &str) -> NewEvent {
    NewEvent { vm, kind, at: 1_800_000_000_000_000, text: text.to_owned() }
}

async fn create_commit_load(store: &Shared) {
    assert_eq!(store.load("ccl").await, Ok(None));
    let first = Changes {
        infrastructure: Some(b"one".to_vec()),
        vms: vec![(2, b"vm two".to_vec()), (0, b"vm zero".to_vec())],
        progress: Some(Some(vec![0, 159, 146, 150])),
        events: vec![event(None, EventKind::State, "pending")],
        first_sequence: 1,
        ..Changes::default()
    };
    store.create(row("ccl", 10), first.clone()).await.unwrap();
    assert_eq!(store.create(row("ccl", 11), first).await, Err(StoreError::AlreadyExists));
    let mut expected = StoredInfrastructure {
        version: 1,
        infrastructure: b"one".to_vec(),
        vms: vec![(0, b"vm zero".to_vec()), (2, b"vm two".to_vec())],
        progress: Some(vec![0, 159, 146, 150]),
    };
    assert_eq!(store.load("ccl").await, Ok(Some(expected.clone())));

    // What a commit does not name stays.
    let one_vm = Changes { vms: vec![(2, b"changed".to_vec()), (7, Vec::new())], ..Changes::default() };
    assert_eq!(store.commit("ccl", 1, one_vm).await, Ok(2));
    assert_eq!((store.version("ccl").await, store.version("none").await), (Ok(Some(2)), Ok(None)));
    expected.version = 2;
    expected.vms = vec![(0, b"vm zero".to_vec()), (2, b"changed".to_vec()), (7, Vec::new())];
    assert_eq!(store.load("ccl").await, Ok(Some(expected.clone())));
    assert_eq!(store.last_sequence("ccl").await, Ok(1));

    let rest = Changes {
        progress: Some(None),
        owners: Some(vec!["new".to_owned()]),
        deleted: Some(true),
        pending: Some(false),
        ..payload("two")
    };
    assert_eq!(store.commit("ccl", 2, rest).await, Ok(3));
    (expected.version, expected.infrastructure, expected.progress) = (3, b"two".to_vec(), None);
    assert_eq!(store.load("ccl").await, Ok(Some(expected)));
    let listed = store.index().await.unwrap().into_iter().find(|row| row.id == "ccl").unwrap();
    let wanted =
        IndexRow { id: "ccl".to_owned(), owners: vec!["new".to_owned()], created: 10, deleted: true, pending: false };
    assert_eq!(listed, wanted);
}

async fn stale_and_unknown(store: &Shared) {
    assert_eq!(store.commit("none", 1, payload("x")).await, Err(StoreError::NotFound));
    store.create(row("stale", 10), payload("one")).await.unwrap();
    let event_one =
        Changes { events: vec![event(None, EventKind::State, "running")], first_sequence: 1, ..Changes::default() };
    assert_eq!(store.commit("stale", 1, event_one).await, Ok(2));
    let before = store.load("stale").await;

    // Everything a refused commit would have done is missing.
    let everything = |first_sequence| Changes {
        infrastructure: Some(b"two".to_vec()),
        owners: Some(vec!["thief".to_owned()]),
        deleted: Some(true),
        pending: Some(false),
        vms: vec![(0, b"vm".to_vec())],
        progress: Some(Some(b"progress".to_vec())),
        clear_logs: true,
        events: vec![event(None, EventKind::Log, "a"), event(None, EventKind::Log, "b")],
        first_sequence,
        ..Changes::default()
    };
    for expected in [0, 1, 3, u64::MAX] {
        let refused = store.commit("stale", expected, everything(2)).await;
        assert_eq!(refused, Err(StoreError::Stale { expected, current: 2 }));
    }
    // The version is right and a sequence is used twice.
    let refused = store.commit("stale", 2, everything(1)).await;
    assert!(matches!(refused, Err(StoreError::Stale { .. })), "{refused:?}");
    assert_eq!(store.load("stale").await, before);
    assert_eq!(store.events("stale", 0, 10).await.unwrap().len(), 1);
    assert_eq!(store.last_sequence("stale").await, Ok(1));
    assert_eq!(store.log("stale", None).await, Ok(String::new()));
    let listed = store.index().await.unwrap().into_iter().find(|row| row.id == "stale").unwrap();
    assert_eq!(listed, row("stale", 10));
    assert_eq!(store.commit("stale", 2, everything(2)).await, Ok(3));
}

async fn events_and_logs(store: &Shared) {
    store.create(row("ev", 10), payload("one")).await.unwrap();
    assert_eq!(store.last_sequence("ev").await, Ok(0));
    assert_eq!(store.events("ev", 0, 5).await, Ok(vec![]));
    let events = vec![
        event(Some(1), EventKind::State, "running"),
        event(Some(1), EventKind::Log, "TASK [a]\n"),
        event(None, EventKind::Log, "select master\n"),
        event(Some(0), EventKind::Log, "zero é\n"),
        event(Some(1), EventKind::Log, "ok: [a]"),
        event(Some(1), EventKind::State, "configured"),
    ];
    let append =
        |events: &[NewEvent], first_sequence| Changes { events: events.to_vec(), first_sequence, ..Changes::default() };
    store.commit("ev", 1, append(&events[..2], 1)).await.unwrap();
    store.commit("ev", 2, append(&events[2..], 3)).await.unwrap();
    assert_eq!(store.last_sequence("ev").await, Ok(6));

    // A reader that resumes after each page sees everything once and in order.
    let mut seen = Vec::new();
    loop {
        let page = store.events("ev", seen.len() as u64, 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page);
        assert!(seen.len() <= 6);
    }
    assert_eq!(seen.iter().map(|stored| stored.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(seen.into_iter().map(|stored| stored.event).collect::<Vec<_>>(), events);
    assert_eq!(store.events("ev", u64::MAX, usize::MAX).await, Ok(vec![]));

    assert_eq!(store.log("ev", Some(1)).await.unwrap(), "TASK [a]\nok: [a]");
    assert_eq!(store.log("ev", None).await.unwrap(), "select master\n");
    assert_eq!(store.log("ev", Some(9)).await.unwrap(), "");
    let logs = store.vm_logs("ev").await.unwrap();
    assert_eq!(logs, [(0, "zero é\n".to_owned()), (1, "TASK [a]\nok: [a]".to_owned())]);

    // A new generation: old logs go, states stay, and no sequence comes back.
    let next = Changes { clear_logs: true, ..append(&[event(Some(1), EventKind::Log, "again")], 7) };
    store.commit("ev", 3, next).await.unwrap();
    assert_eq!(store.vm_logs("ev").await.unwrap(), [(1, "again".to_owned())]);
    assert_eq!(store.log("ev", None).await.unwrap(), "");
    let left: Vec<u64> = store.events("ev", 0, 10).await.unwrap().iter().map(|stored| stored.sequence).collect();
    assert_eq!(left, [1, 6, 7]);
    store.commit("ev", 4, Changes { clear_logs: true, ..Changes::default() }).await.unwrap();
    assert_eq!(store.last_sequence("ev").await, Ok(7));
    let reused = store.commit("ev", 5, append(&events[..1], 7)).await;
    assert!(matches!(reused, Err(StoreError::Stale { .. })), "{reused:?}");
}

async fn index_and_purge(store: &Shared) {
    let deleted = Changes {
        deleted: Some(true),
        vms: vec![(0, b"vm".to_vec())],
        events: vec![event(Some(0), EventKind::Log, "text")],
        first_sequence: 1,
        ..Changes::default()
    };
    store.create(row("old-deleted", -300), deleted.clone()).await.unwrap();
    store.create(row("old-alive", -200), payload("x")).await.unwrap();
    store.create(row("border-deleted", -100), deleted.clone()).await.unwrap();
    store.create(row("twin", -100), payload("x")).await.unwrap();
    let mine = async |store: &Shared| {
        let rows = store.index().await.unwrap();
        rows.into_iter().filter(|row| row.created < 0).map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(mine(store).await, ["twin", "border-deleted", "old-alive", "old-deleted"]);
    // The oldest ones first, so many at a time.
    store.create(row("older-deleted", -301), deleted.clone()).await.unwrap();
    assert_eq!(store.purge(-100, 0).await, Ok(0));
    assert_eq!(store.purge(-100, 1).await, Ok(1));
    assert_eq!(mine(store).await, ["twin", "border-deleted", "old-alive", "old-deleted"]);
    assert_eq!(store.purge(-100, 10).await, Ok(1));
    assert_eq!(mine(store).await, ["twin", "border-deleted", "old-alive"]);
    assert_eq!(store.purge(-100, 10).await, Ok(0));
    assert_eq!(store.load("old-deleted").await, Ok(None));
    assert_eq!(store.events("old-deleted", 0, 9).await, Ok(vec![]));
    assert_eq!(store.commit("old-deleted", 1, payload("x")).await, Err(StoreError::NotFound));
    // Nothing of it is left to be found by a new one of the same id.
    store.create(row("old-deleted", -400), payload("new")).await.unwrap();
    assert_eq!(store.load("old-deleted").await.unwrap().unwrap().vms, []);
    assert_eq!(store.vm_logs("old-deleted").await, Ok(vec![]));
}

/// Everything sealed with an old key is sealed with a new one in small steps, while another writer goes on; then the
/// old key is needed no more. `open` opens the same database with other keys; nothing else may be in it.
pub async fn reseal(open: impl AsyncFn(Keyring) -> Shared) {
    let (old, new) = ([7; 32], [8; 32]);
    let before = open(Keyring::new(old, &[])).await;
    let changes = Changes {
        vms: vec![(0, b"vm zero".to_vec()), (2, b"vm two".to_vec())],
        progress: Some(Some(b"progress".to_vec())),
        events: vec![event(Some(2), EventKind::Log, "text"), event(None, EventKind::State, "running")],
        first_sequence: 1,
        ..payload("one")
    };
    for id in ["first", "second"] {
        before.create(row(id, 10), changes.clone()).await.unwrap();
    }
    assert_eq!(before.reseal(None, 10).await, Ok(0));
    assert_eq!(before.reseal(Some("first"), 10).await, Ok(0));
    let wanted = before.load("first").await.unwrap().unwrap();
    drop(before);

    let both = open(Keyring::new(new, &[old])).await;
    assert_eq!(both.reseal(Some("unknown"), 10).await, Ok(0));
    let mut steps = Vec::new();
    while steps.last() != Some(&0) {
        steps.push(both.reseal(Some("first"), 4).await.unwrap());
    }
    assert_eq!(steps, [4, 2, 0], "a state, two machines, the progress and two events");
    // What is written meanwhile is under the new key already, and is not taken back.
    let changed = Changes { vms: vec![(0, b"changed".to_vec())], ..Changes::default() };
    assert_eq!(both.commit("second", 1, changed).await, Ok(2), "no version is used up");
    assert_eq!(both.reseal(Some("second"), 100).await, Ok(5));
    assert_eq!(both.reseal(None, 10).await, Ok(1));
    assert_eq!(both.reseal(None, 10).await, Ok(0));
    drop(both);

    let after = open(Keyring::new(new, &[])).await;
    assert_eq!(after.load("first").await, Ok(Some(wanted)));
    assert_eq!(after.load("second").await.unwrap().unwrap().vms[0], (0, b"changed".to_vec()));
    let events: Vec<_> = after.events("first", 0, 9).await.unwrap().into_iter().map(|stored| stored.event).collect();
    assert_eq!(events, changes.events);
    assert_eq!(after.index().await.unwrap().len(), 2);
}

/// Writers that race for one infrastructure, through one store or several of one database: each version has one winner
/// and no change is lost.
pub async fn race(stores: &[Shared], id: &'static str) {
    stores[0].create(row(id, 10), payload("start")).await.unwrap();
    let writers = (0..4_u32).zip(stores.iter().cycle()).map(|(number, store)| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for turn in 0..10_u8 {
                let mut version = 0;
                let change = Changes { vms: vec![(number * 10 + u32::from(turn), vec![turn])], ..Changes::default() };
                for attempt in 0.. {
                    assert!(attempt < 1000, "somebody always wins, so nobody waits for ever");
                    match store.commit(id, version, change.clone()).await {
                        Ok(_) => break,
                        Err(StoreError::Stale { current, .. }) => version = current,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    for store in stores {
        let end = store.load(id).await.unwrap().unwrap();
        assert_eq!(end.version, 41);
        let numbers: BTreeSet<u32> = end.vms.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..40).collect());
    }
}

/// Stores of one database that make the same infrastructures: each id has one maker.
pub async fn concurrent_creations(stores: &[Shared]) {
    let creations = (0..40).flat_map(|number| {
        stores.iter().zip(["zero", "one", "two"]).map(move |(store, name)| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let made = store.create(row(&format!("made-{number}"), 10), payload(name)).await;
                assert!(matches!(made, Ok(()) | Err(StoreError::AlreadyExists)), "{made:?}");
                made.is_ok().then_some((number, name))
            })
        })
    });
    let mut makers = Vec::new();
    for creation in creations.collect::<Vec<_>>() {
        makers.extend(creation.await.unwrap());
    }
    makers.sort_unstable();
    assert_eq!(makers.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
    for (number, name) in makers {
        let kept = stores[0].load(&format!("made-{number}")).await.unwrap().unwrap();
        assert_eq!((kept.version, kept.infrastructure), (1, name.as_bytes().to_vec()));
    }
}

/// Eight keepers with 200 commits each, all at once, while a reader looks on.
async fn concurrent_commits_of_many(store: &Shared) {
    let writers = (0..8).map(|number| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let id = format!("many-{number}");
            store.create(row(&id, 10), payload("0")).await.unwrap();
            for version in 1..=200 {
                let changes = Changes {
                    vms: vec![(0, version.to_string().into_bytes())],
                    events: vec![event(Some(0), EventKind::State, "running")],
                    first_sequence: version,
                    ..payload(&version.to_string())
                };
                assert_eq!(store.commit(&id, version, changes).await, Ok(version + 1));
                if version % 50 == 0 {
                    // Its own commit is seen at once, and whole.
                    let seen = store.load(&id).await.unwrap().unwrap();
                    assert_eq!((seen.version, &seen.infrastructure), (version + 1, &seen.vms[0].1));
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        for number in 0..8 {
            if let Some(seen) = store.load(&format!("many-{number}")).await.unwrap() {
                let vm = seen.vms.first().map_or(b"0".as_slice(), |vm| &vm.1);
                assert_eq!(seen.infrastructure, vm, "a reader saw half a commit");
            }
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    for number in 0..8 {
        let id = format!("many-{number}");
        assert_eq!(store.load(&id).await.unwrap().unwrap().version, 201);
        assert_eq!(store.last_sequence(&id).await, Ok(200));
        assert_eq!(store.events(&id, 0, 1000).await.unwrap().len(), 200);
    }
}
