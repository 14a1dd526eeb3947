//! Speed of a store against its database itself, in one run: SQLite in a directory (`cargo bench --bench store --
//! [DIRECTORY]`), or the server of `--database mysql://user:password@host/database`, whose database is empty.
//! With `-- --machines` only what saving one machine costs in infrastructures of different size.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use imd::store::{Changes, EventKind, IndexRow, Keyring, NewEvent, Store, open};
use mysql_async::{Conn, prelude::Queryable};
use rusqlite::{Connection, params};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long each rate is measured.
const SPAN: Duration = Duration::from_secs(2);
/// A machine's payload, bytes.
const PAYLOAD: usize = 2000;

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let (mut parent, mut url) = (std::env::temp_dir(), None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--database" => url = words.next(),
            word if word.starts_with('-') => {}
            word => parent = PathBuf::from(word),
        }
    }
    let directory = tempfile::tempdir_in(parent).unwrap();
    let place = url.clone().unwrap_or_else(|| directory.path().join("store").to_str().unwrap().to_owned());
    let store = open(&place, Arc::new(Keyring::new([1; 32], &[]))).await.unwrap();
    one_machine(&store).await;
    if std::env::args().any(|word| word == "--machines") {
        return;
    }
    let raw = match &url {
        Some(url) => raw_rate_of_server(url).await,
        None => raw_rate(&directory.path().join("raw")),
    };
    println!("raw, one row per commit             {raw:>9.0} commits/s");
    for keepers in [1, 8, 64, 256] {
        let rate = store_rate(&store, keepers).await;
        println!("store, {keepers:>3} keepers                  {rate:>9.0} commits/s, {:.2} of raw", rate / raw);
    }
    large_infrastructure(&store).await;
    index(&store).await;
}

/// Commits per second of one connection that flushes each commit and does nothing else.
fn raw_rate(path: &Path) -> f64 {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = full; CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)",
        )
        .unwrap();
    let data = vec![7_u8; PAYLOAD];
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO t VALUES (?, ?)").unwrap();
        insert.execute(params![count % 100, data]).unwrap();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Commits per second of one connection to a MySQL server that does nothing else.
async fn raw_rate_of_server(url: &str) -> f64 {
    let mut connection = Conn::from_url(url).await.unwrap();
    connection.query_drop("CREATE TABLE raw (n INT PRIMARY KEY, data LONGBLOB) ENGINE = InnoDB").await.unwrap();
    let insert = connection.prep("REPLACE INTO raw VALUES (?, ?)").await.unwrap();
    let data = vec![7_u8; PAYLOAD];
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        connection.exec_drop(&insert, (count % 100, &data)).await.unwrap();
        count += 1;
    }
    connection.query_drop("DROP TABLE raw").await.unwrap();
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Acknowledged commits per second of many keepers; each writes a machine and an event.
async fn store_rate(store: &Arc<dyn Store>, keepers: usize) -> f64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..keepers)
        .map(|number| {
            let (store, id) = (Arc::clone(store), format!("rate-{keepers}-{number}"));
            tokio::spawn(async move {
                store.create(row(&id), Changes::default()).await.unwrap();
                let mut version = 1;
                while start.elapsed() < SPAN {
                    version = store.commit(&id, version, changes(0..1, 1, version)).await.unwrap();
                }
                version
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count / start.elapsed().as_secs_f64()
}

async fn large_infrastructure(store: &Arc<dyn Store>) {
    let mut version = 1;
    let mut sequence = 1;
    store.create(row("large"), Changes::default()).await.unwrap();
    for title in ["1000 new machines and 2000 events   ", "1000 known machines and 2000 events "] {
        let large = changes(0..1000, 2000, sequence);
        sequence += 2000;
        let start = Instant::now();
        version = store.commit("large", version, large).await.unwrap();
        println!("{title}{:>9.1} ms", milliseconds(start));
    }
    let start = Instant::now();
    assert_eq!(store.load("large").await.unwrap().unwrap().vms.len(), 1000);
    println!("load of 1000 machines               {:>9.1} ms", milliseconds(start));
    let start = Instant::now();
    store.log("large", Some(500)).await.unwrap();
    println!("log of one machine of 1000          {:>9.3} ms", milliseconds(start));
}

/// Commits of one machine and one event, in turns, so that a busy machine slows all sizes alike.
async fn one_machine(store: &Arc<dyn Store>) {
    let mut sizes = [(10, 0), (1000, 0)].map(|(size, version)| (size, version, Duration::ZERO));
    for (size, version, _) in &mut sizes {
        let id = format!("size-{size}");
        store.create(row(&id), Changes::default()).await.unwrap();
        *version = store.commit(&id, 1, changes(0..*size, 2 * *size, 1)).await.unwrap();
    }
    for turn in 0..400 {
        for (size, version, spent) in &mut sizes {
            let start = Instant::now();
            let change = changes(0..1, 1, u64::from(2 * *size) + 1 + turn);
            *version = store.commit(&format!("size-{size}"), *version, change).await.unwrap();
            *spent += start.elapsed();
        }
    }
    for (size, _, spent) in sizes {
        println!("one machine of {size:<21}{:>9.3} ms per commit", spent.as_secs_f64() * 1000.0 / 400.0);
    }
}

async fn index(store: &Arc<dyn Store>) {
    let creations = (0..10_000).map(|number| {
        let state = Changes { infrastructure: Some(vec![7; PAYLOAD]), ..Changes::default() };
        store.create(row(&format!("index-{number}")), state)
    });
    futures::future::join_all(creations).await;
    let start = Instant::now();
    let count = store.index().await.unwrap().len();
    println!("index of {count} infrastructures     {:>9.1} ms", milliseconds(start));
}

fn row(id: &str) -> IndexRow {
    IndexRow { id: id.to_owned(), owners: vec!["0".repeat(64)], created: 0, deleted: false, pending: true }
}

/// Payloads of machines, and events of which every other one is a log text.
fn changes(machines: std::ops::Range<u32>, events: u32, first_sequence: u64) -> Changes {
    let count = machines.len();
    let event = |number: u32| NewEvent {
        vm: Some(number % u32::try_from(count).unwrap()),
        kind: if number.is_multiple_of(2) { EventKind::State } else { EventKind::Log },
        at: i64::from(number),
        text: if number.is_multiple_of(2) { "running".to_owned() } else { "TASK [install the package] ok\n".repeat(5) },
    };
    Changes {
        vms: machines.map(|number| (number, vec![7; PAYLOAD])).collect(),
        events: (0..events).map(event).collect(),
        first_sequence,
        ..Changes::default()
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
