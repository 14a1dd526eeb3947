//! MongoDB: the behaviour suite on a server that speaks its protocol (SecantusDB), what is stored, versions, several stores
//! on one database, lost connections, commits larger than a document.

use crate::{
    behaviour::{self, event, payload, row},
    leases, lost,
    mongo_server::Mongo,
    proxy::{Cut, Proxy},
    sqlite::{KEY, keyring, refusal},
};
use imd::store::{
    Changes, EventKind, Keyring, Lease, Store, StoreError, check_url,
    leases::{Acquired, Member},
    open, open_beside,
};
use mongodb::{
    Client, Collection,
    bson::{Document, doc},
};
use std::{sync::Arc, time::Duration};

pub async fn open_at(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    open(url, keyring()).await
}

async fn collection(server: &Mongo, name: &str) -> Collection<Document> {
    Client::with_uri_str(server.url()).await.unwrap().database("im").collection(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behaves_like_a_store() {
    let server = Mongo::start();
    behaviour::all(open_at(&server.url()).await.unwrap()).await;
    leases::all(open_at(&server.url()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behaves_like_a_store_on_a_server_alone() {
    let server = Mongo::start_with(&["--standalone"]);
    behaviour::all(open_at(&server.url()).await.unwrap()).await;
    leases::all(open_at(&server.url()).await.unwrap()).await;
}

#[tokio::test]
async fn values_are_sealed_anew_with_a_new_key() {
    let server = Mongo::start();
    let url = server.url();
    let error = refusal(open_beside(&url, keyring()).await);
    assert!(error.to_string().contains("has not made its collections"), "{error}");
    behaviour::reseal(async |keyring| open(&url, Arc::new(keyring)).await.unwrap()).await;
    let error = refusal(open_at(&url).await);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("DATA_KEY_FILE")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_share_a_database_and_keep_it_over_a_restart() {
    let mut server = Mongo::start();
    let url = server.url();
    let (first, second) = tokio::join!(open_at(&url), open_at(&url));
    let (first, second) = (first.unwrap(), second.unwrap());
    let changes = Changes {
        vms: vec![(3, b"vm".to_vec())],
        progress: Some(Some(b"progress".to_vec())),
        events: vec![event(Some(3), EventKind::Log, "log"), event(Some(3), EventKind::State, "running")],
        first_sequence: 1,
        ..payload("infrastructure")
    };
    first.create(row("kept", 10), changes).await.unwrap();
    let before = (second.load("kept").await.unwrap(), second.events("kept", 0, 9).await.unwrap());
    assert_eq!(before.0.as_ref().unwrap().infrastructure, b"infrastructure");
    behaviour::concurrent_creations(&[first.clone(), second.clone()]).await;
    behaviour::race(&[first.clone(), second.clone()], "between").await;
    leases::changing_hands(&[first.clone(), second.clone()]).await;

    server.stop();
    let refused = first.commit("kept", 1, payload("lost")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_) | StoreError::InDoubt(_)), "{refused}");
    let refused = second.load("kept").await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(text) if text.contains("connection")), "{refused}");
    server.run(&[]);
    for store in [&first, &second, &open_at(&url).await.unwrap()] {
        assert_eq!((store.load("kept").await.unwrap(), store.events("kept", 0, 9).await.unwrap()), before);
        store.check().await.unwrap();
    }
    assert!(first.index().await.unwrap().contains(&row("kept", 10)));
    assert_eq!(second.commit("kept", 1, payload("next")).await, Ok(2));
    server.crash();
    server.run(&[]);
    assert_eq!(second.load("kept").await.unwrap().unwrap().version, 2, "what was acknowledged survives a crash");
    assert_eq!(first.commit("kept", 2, payload("next")).await, Ok(3));
}

#[test]
fn what_cannot_be_asked_for() {
    for (url, said) in [
        ("mongodb://im:sesame@db/im?readPreference=secondaryPreferred", "readPreference"),
        ("mongodb://im:sesame@db/", "no database"),
        ("mongodb://im:sesame@db/im?nonesuch=1", "unknown option"),
    ] {
        let error = check_url(url).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("sesame"), "{url}: {error}");
    }
    check_url("mongodb://im:sesame@db,db2:27018/im?readPreference=primary&replicaSet=rs").unwrap();
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_alone() {
    let mut server = Mongo::start();
    let url = server.url();
    for (name, said) in [("inf_list", "import-db"), ("recipes", "another program")] {
        let theirs = collection(&server, name).await;
        theirs.insert_one(doc! { "id": "a" }).await.unwrap();
        let error = refusal(open_at(&url).await);
        assert!(matches!(&error, StoreError::Corrupt(text) if text.contains(said)), "{error}");
        theirs.drop().await.unwrap();
    }
    let store = open_at(&url).await.unwrap();
    store.create(row("a", 1), payload("x")).await.unwrap();
    let wrong = Arc::new(Keyring::new([8; 32], &[]));
    let error = refusal(open(&url, wrong).await);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("DATA_KEY_FILE")), "{error}");
    let both = Arc::new(Keyring::new([8; 32], &[KEY]));
    assert!(open(&url, both).await.unwrap().load("a").await.unwrap().is_some());
    let schema = collection(&server, "schema_version").await;
    schema.update_one(doc! {}, doc! { "$set": { "version": 99 } }).await.unwrap();
    let error = refusal(open_at(&url).await);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("newer imd")), "{error}");
    schema.update_one(doc! {}, doc! { "$set": { "version": 1 } }).await.unwrap();

    // With a user, whose password no error repeats.
    let client = Client::with_uri_str(&url).await.unwrap();
    let user = doc! { "createUser": "im", "pwd": "s@same/x", "roles": ["readWrite"] };
    client.database("im").run_command(user).await.unwrap();
    server.stop();
    server.run(&["--auth"]);
    let with = |password: &str| url.replace("//", &format!("//im:{password}@"));
    assert!(open_at(&with("s%40same%2Fx")).await.unwrap().load("a").await.unwrap().is_some());
    for refused in [url.clone(), with("salt")] {
        let error = refusal(open_at(&refused).await).to_string();
        assert!(error.contains("refuses the user") && !error.contains("salt"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_whole_or_not_at_all() {
    let server = Mongo::start();
    lost::answers(server.port, |port| server.url_at(port), b"insert", b"findAndModify").await;
}

/// What a session holds passes to the next one of the same daemon, also when that was cut short; a lost answer is asked for
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_passes_on_although_it_was_cut_short() {
    const LONG: Duration = Duration::from_secs(600);
    let server = Mongo::start();
    let proxy = Proxy::to(server.port).await;
    let store = open_at(&server.url_at(proxy.port)).await.unwrap();
    let leases = store.leases().unwrap();
    let member =
        |session: &str| Member { session: session.into(), url: format!("http://{session}"), place: "here".to_owned() };
    let held = async |session: &str| leases.held(session).await.unwrap().into_iter().collect::<Vec<_>>();
    leases.register(&member("one"), LONG, None).await.unwrap();
    let lease = |session: &str, token| Some(Lease { session: session.into(), token });
    for id in ["a", "b", "c"] {
        store.create(row(id, 1), Changes { lease: lease("one", 1), ..payload("made") }).await.unwrap();
    }
    // Two attempts got one each, the last one of them had ended the other.
    let (daemons, infrastructures) =
        (collection(&server, "daemons").await, collection(&server, "infrastructures").await);
    let mut cut_short = daemons.find_one(doc! { "_id": "one" }).await.unwrap().unwrap();
    cut_short.extend(doc! { "_id": "three", "former": ["one", "two"] });
    daemons.insert_one(cut_short).await.unwrap();
    daemons.delete_one(doc! { "_id": "one" }).await.unwrap();
    for (id, session) in [("a", "two"), ("b", "three")] {
        let passed = doc! { "$set": { "session": session } };
        infrastructures.update_one(doc! { "_id": id }, passed).await.unwrap();
    }
    let late = store.commit("c", 1, Changes { lease: lease("one", 1), ..payload("late") }).await;
    for command in [&b"hello"[..], b"update", b"delete"] {
        proxy.cut(Cut::After(command));
        let next = format!("after {}", String::from_utf8_lossy(command));
        leases.register(&member(&next), LONG, Some("one")).await.unwrap();
        assert_eq!(held(&next).await, ["a", "b", "c"], "{next}");
        assert_eq!(held("three").await, [""; 0]);
    }
    // The answer to the commit says whether it came before the end.
    assert_eq!(late, Ok(2), "nobody had taken it, and the process knew nothing of the end of its session");
    proxy.cut(Cut::After(b"findAndModify"));
    assert_eq!(leases.acquire("a", "after delete").await, Ok(Acquired::Held(3)), "taken twice");
    proxy.cut(Cut::After(b"update"));
    leases.renew("after delete", LONG).await.unwrap();
    proxy.cut(Cut::Before(b"delete"));
    leases.unregister("after delete").await.unwrap();
    assert_eq!(daemons.count_documents(doc! {}).await.unwrap(), 0);
}

/// A commit that was looked at while the session was good and reaches the server when it is over: it is refused once another
/// daemon has taken the infrastructure over, and before that it is one that whoever takes it over finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_under_way_while_the_session_ends() {
    const LENGTH: Duration = Duration::from_secs(2);
    let server = Mongo::start();
    let proxy = Proxy::to(server.port).await;
    let (slow, other) = (open_at(&server.url_at(proxy.port)).await.unwrap(), open_at(&server.url()).await.unwrap());
    let member = |session: &str| Member {
        session: session.into(),
        url: format!("http://{session}"),
        place: format!("place of {session}"),
    };
    let under = |session: &str, token, text: &str| Changes {
        lease: Some(Lease { session: session.into(), token }),
        vms: vec![(0, text.into())],
        ..payload(text)
    };
    other.leases().unwrap().register(&member("other"), Duration::from_secs(600), None).await.unwrap();
    for (id, comes_first) in [("a", false), ("b", true)] {
        let session = format!("slow {id}");
        slow.leases().unwrap().register(&member(&session), LENGTH, None).await.unwrap();
        slow.create(row(id, 1), under(&session, 1, "made")).await.unwrap();
        proxy.hold(b"findAndModify");
        let late = tokio::spawn({
            let (slow, change) = (slow.clone(), under(&session, 1, "late"));
            async move { slow.commit(id, 1, change).await }
        });
        proxy.until_held().await;
        while other.leases().unwrap().head(id).await.unwrap().unwrap().holder.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!late.is_finished());
        let acquire = async || other.leases().unwrap().acquire(id, "other").await;
        let version = if comes_first {
            proxy.release();
            assert_eq!(late.await.unwrap(), Ok(2));
            assert_eq!(acquire().await, Ok(Acquired::Held(2)));
            2
        } else {
            assert_eq!(acquire().await, Ok(Acquired::Held(2)));
            assert_eq!(other.load(id).await.unwrap().unwrap().version, 1);
            proxy.release();
            assert_eq!(late.await.unwrap(), Err(StoreError::Fenced));
            1
        };
        let found = other.load(id).await.unwrap().unwrap();
        let text = if comes_first { "late" } else { "made" };
        assert_eq!((found.version, found.vms), (version, vec![(0, text.into())]));
        assert_eq!(other.commit(id, version, under("other", 2, "next")).await, Ok(version + 1));
        // The next one is refused without the server.
        assert_eq!(slow.commit(id, version + 1, under(&session, 1, "later")).await, Err(StoreError::Fenced));
        assert_eq!(other.load(id).await.unwrap().unwrap().vms, vec![(0, b"next".to_vec())]);
    }
    // A session from which something was taken does not last longer by what was under way.
    slow.leases().unwrap().register(&member("slow c"), LENGTH, None).await.unwrap();
    slow.create(row("c", 1), under("slow c", 1, "made")).await.unwrap();
    proxy.hold(b"daemons");
    let late = tokio::spawn({
        let slow = slow.clone();
        async move { slow.leases().unwrap().renew("slow c", LENGTH).await }
    });
    proxy.until_held().await;
    while matches!(other.leases().unwrap().acquire("c", "other").await.unwrap(), Acquired::By(_)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.release();
    assert_eq!(late.await.unwrap(), Err(StoreError::Fenced));
    assert_eq!(slow.commit("c", 1, under("slow c", 1, "late")).await, Err(StoreError::Fenced));
}

/// What an earlier version made has no leases.
#[tokio::test]
async fn leases_of_a_database_that_had_none() {
    let server = Mongo::start();
    open_at(&server.url()).await.unwrap().create(row("a", 1), payload("made")).await.unwrap();
    let without = doc! { "$unset": { "session": "", "token": "" } };
    collection(&server, "infrastructures").await.update_one(doc! {}, without).await.unwrap();
    let earlier = doc! { "$set": { "version": 1 } };
    collection(&server, "schema_version").await.update_one(doc! {}, earlier).await.unwrap();
    let error = refusal(open_beside(&server.url(), keyring()).await);
    assert!(error.to_string().contains("has not made its collections"), "{error}");

    let store = open_at(&server.url()).await.unwrap();
    let leases = store.leases().unwrap();
    assert_eq!(leases.orphans().await.unwrap(), ["a"]);
    assert_eq!(leases.head("a").await.unwrap().unwrap().holder, None);
    let member = Member { session: "s".into(), url: "http://s".to_owned(), place: "here".to_owned() };
    leases.register(&member, Duration::from_secs(600), None).await.unwrap();
    assert_eq!(leases.acquire("a", "s").await, Ok(Acquired::Held(1)));
    let lease = Some(Lease { session: "s".into(), token: 1 });
    assert_eq!(store.commit("a", 1, Changes { lease, ..payload("kept") }).await, Ok(2));
    assert_eq!(leases.orphans().await.unwrap(), [""; 0]);
    open_beside(&server.url(), keyring()).await.unwrap();
}

/// A commit that no document can hold is atomic as well, also when the process ends before it has copied what it took along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_larger_than_a_document() {
    let server = Mongo::start();
    let store = open_at(&server.url()).await.unwrap();
    let vms = |byte: u8| (0..40).map(|number| (number, vec![byte; 500_000])).collect::<Vec<_>>();
    let changes = |byte, first_sequence| Changes {
        vms: vms(byte),
        events: vec![
            event(Some(0), EventKind::Log, &"text ".repeat(500_000)),
            event(None, EventKind::State, "running"),
        ],
        first_sequence,
        ..payload("large")
    };
    store.create(row("large", 1), changes(1, 1)).await.unwrap();
    assert_eq!(store.load("large").await.unwrap().unwrap().vms, vms(1));
    assert_eq!(store.commit("large", 1, changes(2, 3)).await, Ok(2));
    // Another process that knows nothing of it.
    let other = open_at(&server.url()).await.unwrap();
    assert_eq!(other.load("large").await.unwrap().unwrap().vms, vms(2));
    assert_eq!(other.events("large", 0, 10).await.unwrap().len(), 4);
    assert_eq!(other.commit("large", 2, payload("small")).await, Ok(3));
    assert_eq!(other.load("large").await.unwrap().unwrap().vms, vms(2));
    assert_eq!(other.log("large", Some(0)).await.unwrap().len(), 5_000_000);
    assert_eq!(collection(&server, "chunks").await.count_documents(doc! {}).await.unwrap(), 0);
}

/// A process that dies right after a commit leaves the copying to the next one.
#[tokio::test]
async fn what_was_not_copied_is_copied_by_the_next_writer() {
    let server = Mongo::start();
    let store = open_at(&server.url()).await.unwrap();
    let changes = |version: u64| Changes {
        vms: vec![(0, version.to_string().into_bytes())],
        events: vec![event(Some(0), EventKind::Log, "text")],
        first_sequence: version,
        ..payload(&version.to_string())
    };
    store.create(row("a", 1), changes(1)).await.unwrap();
    assert_eq!(store.commit("a", 1, changes(2)).await, Ok(2));
    assert_eq!(store.commit("a", 2, payload("3")).await, Ok(3), "the copies of the second version are made");
    drop(store);
    // As if the process had died before the copies of the second version were made.
    let infrastructures = collection(&server, "infrastructures").await;
    let (vms, events) = (collection(&server, "vms").await, collection(&server, "events").await);
    let copied =
        (vms.find_one(doc! {}).await.unwrap().unwrap(), events.find_one(doc! { "s": 2 }).await.unwrap().unwrap());
    let taken_along = doc! {
        "version": 2,
        "vms": [doc! { "n": 0, "d": copied.0.get("d").unwrap() }],
        "events": [doc! { "s": 2_i64, "v": 0_i64, "k": 1, "a": copied.1.get_i64("a").unwrap(), "t": copied.1.get("t").unwrap() }],
    };
    infrastructures.update_one(doc! {}, doc! { "$set": taken_along }).await.unwrap();
    events.delete_one(doc! { "s": 2 }).await.unwrap();
    vms.delete_many(doc! {}).await.unwrap();
    let next = open_at(&server.url()).await.unwrap();
    assert_eq!(next.load("a").await.unwrap().unwrap().vms, [(0, b"2".to_vec())]);
    assert_eq!(next.log("a", Some(0)).await.unwrap(), "texttext");
    assert_eq!(next.commit("a", 2, payload("3")).await, Ok(3));
    assert_eq!(next.load("a").await.unwrap().unwrap().vms, [(0, b"2".to_vec())]);
    assert_eq!(next.log("a", Some(0)).await.unwrap(), "texttext");
}
