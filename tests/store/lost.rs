//! Commits whose connection is cut, on the stores that have one: each takes place as a whole or not at all, once.

use crate::{
    behaviour::{Shared, event, payload, row},
    proxy::{Cut, Proxy},
    sqlite::keyring,
};
use imd::store::{Changes, EventKind, StoreError, StoredInfrastructure, open};

/// `creates` and `commits` are in what a client sends to create and to commit.
pub async fn answers(port: u16, url_at: impl Fn(u16) -> String, creates: &'static [u8], commits: &'static [u8]) {
    let proxy = Proxy::to(port).await;
    let store = open(&url_at(proxy.port), keyring()).await.unwrap();
    let direct = open(&url_at(port), keyring()).await.unwrap();

    // What breaks for a moment is noticed by nobody, whether the server had done it or not.
    let mut version = 1;
    for (number, cut) in [Cut::Before, Cut::After].into_iter().enumerate() {
        proxy.cut(cut(creates));
        let id = format!("lost-{number}");
        assert_eq!(store.create(row(&id, 10), change(1)).await, Ok(()));
        assert_eq!(proxy.cuts(), 2 * number + 1);
        assert_eq!(direct.load(&id).await.unwrap(), Some(wanted(1)));
        assert_eq!(store.create(row(&id, 10), change(1)).await, Err(StoreError::AlreadyExists));
        proxy.cut(cut(commits));
        assert_eq!(store.commit("lost-0", version, change(version + 1)).await, Ok(version + 1), "{:?}", cut(commits));
        assert_eq!(proxy.cuts(), 2 * number + 2);
        version += 1;
        is_whole(&direct, version).await;
    }

    // What stays broken is said to be in doubt, and the version tells.
    for (cut, done) in [(Cut::Before(commits), false), (Cut::After(commits), true)] {
        proxy.cut_and_close(cut);
        let error = store.commit("lost-0", version, change(version + 1)).await.unwrap_err();
        assert!(matches!(error, StoreError::InDoubt(_)), "{cut:?}: {error}");
        let refused = store.commit("lost-0", version, change(version + 1)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "nothing reached the server: {refused}");
        version += u64::from(done);
        is_whole(&direct, version).await;
        proxy.open();
        is_whole(&store, version).await;
        let stale = store.commit("lost-0", version - 1, change(version)).await;
        assert_eq!(stale, Err(StoreError::Stale { expected: version - 1, current: version }));
        assert_eq!(store.commit("lost-0", version, change(version + 1)).await, Ok(version + 1));
        version += 1;
        is_whole(&direct, version).await;
    }
}

/// What makes this version.
fn change(version: u64) -> Changes {
    let value = version.to_string().into_bytes();
    Changes {
        vms: vec![(0, value.clone()), (1, value.clone())],
        progress: Some(Some(value)),
        events: vec![event(Some(0), EventKind::Log, "a"), event(Some(0), EventKind::Log, "b")],
        first_sequence: 2 * version - 1,
        ..payload(&version.to_string())
    }
}

fn wanted(version: u64) -> StoredInfrastructure {
    let value = version.to_string().into_bytes();
    StoredInfrastructure {
        version,
        infrastructure: value.clone(),
        vms: vec![(0, value.clone()), (1, value.clone())],
        progress: Some(value),
    }
}

async fn is_whole(store: &Shared, version: u64) {
    assert_eq!(store.load("lost-0").await.unwrap(), Some(wanted(version)));
    assert_eq!(store.last_sequence("lost-0").await, Ok(2 * version));
    let logs = store.log("lost-0", Some(0)).await.unwrap();
    assert_eq!(logs, "ab".repeat(usize::try_from(version).unwrap()));
}
