//! Little memory: no request that is accepted takes the daemon down, neither when it comes nor at the next start.

use crate::{
    cloud::SimulatedCloud,
    support::{Daemon, Setup},
};
use reqwest::{Method, StatusCode};
use std::fs;

/// What the daemon may have of memory of its own: data, heap and stacks. Files that are mapped, its program for one, do not
/// count.
const LIMIT: &str = "268435456";

fn small() -> Daemon {
    let clouds = "id = dummy; type = Dummy; latency_ms = 0-1".to_owned();
    let options = "MAX_SIMULTANEOUS_LAUNCHES = 50".to_owned();
    let mut daemon = Daemon::over_dummy(Setup { options, clouds, ..Setup::default() });
    daemon.wrap(limited());
    daemon
}

/// The program that starts a daemon with little memory.
fn limited() -> Vec<String> {
    ["prlimit", &format!("--data={LIMIT}")].map(str::to_owned).to_vec()
}

/// A document of so many bytes in features of such a size.
fn document(bytes: usize, feature: usize, machines: u32) -> String {
    let text = "x".repeat(feature);
    let features: Vec<String> =
        (0..bytes / (feature + 20)).map(|number| format!("note.{number} = '{text}' and\n")).collect();
    format!(
        "network pub ( outbound = 'yes' )\nsystem node (\n{}disk.0.image.url = 'mock0://linux.for.ev.er/image1' and\n\
         net_interface.0.connection = 'pub'\n)\ndeploy node {machines}\n",
        features.concat()
    )
}

fn size(daemon: &Daemon) -> u64 {
    let files = fs::read_dir(daemon.database().parent().unwrap()).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn a_large_document_for_many_machines_is_kept_once_and_survives_kill_9() {
    let mut daemon = small();
    daemon.start().await;
    // Few long features, and many short ones.
    let large = [document(100_000, 30_000, 2000), document(100_000, 12, 2000)];
    let mut paths = Vec::new();
    for document in &large {
        paths.push(daemon.create(document, "?async=true").await);
        daemon.kill();
        daemon.start().await;
    }
    for path in &paths {
        daemon.until_state(path, "configured").await;
        daemon.kill();
        daemon.start().await;
        let machine = daemon.text(Method::GET, &format!("{path}/vms/1999"), "").await;
        assert!(machine.len() > 90_000, "{}", machine.len());
    }
    daemon.until_idle().await;
    assert_eq!(daemon.machines_of_dummy().len(), 4000);
    let stored = size(&daemon);
    assert!(stored < 64 << 20, "{stored} bytes are stored of documents of 200 kB");

    // What is too much is refused before anything of it is done, with the option that says so.
    for (document, option) in [
        (document(400_000, 1000, 2000), "MAX_DEPLOYED_SIZE"),
        (document(100, 10, 10_001), "MAX_VMS_PER_REQUEST"),
        (document(100, 10, 2_000_000_000), "MAX_VMS_PER_REQUEST"),
    ] {
        for query in ["", "?async=true"] {
            let answer = daemon.ask(Method::POST, format!("/infrastructures{query}"), document.clone()).await.unwrap();
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
            assert!(answer.text.contains(option), "{}", answer.text);
        }
        let answer = daemon.ask(Method::POST, &paths[0], document).await.unwrap();
        assert!(answer.status == StatusCode::BAD_REQUEST && answer.text.contains(option), "{}", answer.text);
    }
    assert_eq!(daemon.text(Method::GET, "/infrastructures", "").await.lines().count(), 2);
    for path in &paths {
        daemon.text(Method::DELETE, path, "").await;
    }
    assert!(daemon.machines_of_dummy().is_empty());
}

/// What was accepted bit by bit and could not end, for a cloud did not answer, does not begin again in one moment when a
/// daemon starts: it goes on piece by piece.
#[tokio::test]
async fn much_pending_work_goes_on_piece_by_piece() {
    const INFRASTRUCTURES: usize = 6;
    const MACHINES: u32 = 5;
    let mut daemon = Daemon::new(Setup { clouds: "id = dummy; type = Dummy".to_owned(), ..Setup::default() });
    let cloud = SimulatedCloud::start(daemon.directory(), "latency_ms = 3600000", false);
    daemon.add_options(&cloud.options());
    daemon.wrap(limited());
    daemon.start().await;
    let document = document(3_000_000, 1000, MACHINES);
    let mut paths = Vec::new();
    for _ in 0..INFRASTRUCTURES {
        paths.push(daemon.create(&document, "?async=true").await);
    }
    let metric = async |daemon: &Daemon, name: &str| -> usize {
        let text = daemon.get("/metrics").await.text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        value.parse().unwrap()
    };
    let loaded = async |daemon: &Daemon| metric(daemon, "imd_infrastructures_loaded").await;

    daemon.kill();
    daemon.start().await;
    let first = loaded(&daemon).await;
    assert!((1..INFRASTRUCTURES - 1).contains(&first), "{first} begin at the same time");
    assert!(metric(&daemon, "imd_pending_work").await >= INFRASTRUCTURES, "those that wait are pending as well");
    // The newest ones begin. Whoever asks for one that waits for its turn does not wait with it.
    daemon.state(&paths[0]).await;
    assert!(loaded(&daemon).await > first);
    // A cloud that does not answer holds nobody up.
    daemon.until("all go on", async |daemon| loaded(daemon).await == INFRASTRUCTURES).await;

    daemon.kill();
    drop(cloud);
    let cloud = SimulatedCloud::start(daemon.directory(), "latency_ms = 0-1", false);
    daemon.start().await;
    daemon.until_idle().await;
    for path in &paths {
        daemon.until_state(path, "configured").await;
    }
    let machines = cloud.holds().await.iter().map(|account| account.machines.len()).sum::<usize>();
    assert_eq!(machines, INFRASTRUCTURES * MACHINES as usize, "each of them once");
}
