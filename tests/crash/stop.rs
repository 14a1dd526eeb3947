//! SIGTERM: the daemon ends in a few seconds whatever it is doing, and goes on with it at the next start.

use crate::support::{Daemon, Setup};
use reqwest::Method;
use std::time::Duration;

#[tokio::test]
async fn sigterm_ends_the_daemon_at_once_and_the_work_goes_on_at_the_next_start() {
    let setup = Setup {
        options: "VM_INFO_UPDATE_FREQUENCY = 1".to_owned(),
        clouds: "id = dummy; type = Dummy; latency_ms = 400-600".to_owned(),
        ..Setup::default()
    };
    let mut daemon = Daemon::over_dummy(setup);
    daemon.start().await;
    let kept = daemon.create(&document(2), "").await;
    let path = daemon.create(&document(20), "?async=true").await;
    // Four more are launched by a client that waits for the end, and another one follows the events.
    let (add, events) = (document(4), format!("{path}/events"));
    let waiting = daemon.ask(Method::POST, &kept, add);
    let following = daemon.ask(Method::GET, events, String::new());
    let stop = async {
        daemon.until("launching", async |daemon| daemon.text(Method::GET, &path, "").await.lines().count() == 20).await;
        daemon.until("launching", async |daemon| daemon.text(Method::GET, &kept, "").await.lines().count() == 6).await;
        daemon.terminate().await
    };
    let (answer, _, (time, well)) = futures::join!(waiting, following, stop);
    assert!(well && time < Duration::from_secs(5), "{time:?} {}", daemon.log());
    assert!(answer.is_none_or(|answer| answer.status.is_server_error() || answer.status.is_success()));
    daemon.reap();

    daemon.start().await;
    daemon.until_idle().await;
    for (path, machines) in [(&path, 20), (&kept, 6)] {
        daemon.until_state(path, "configured").await;
        assert_eq!(daemon.text(Method::GET, path, "").await.lines().count(), machines);
    }
    assert_eq!(daemon.machines_of_dummy().len(), 26);

    daemon.text(Method::DELETE, &format!("{path}?async=true"), "").await;
    let (time, well) = daemon.terminate().await;
    assert!(well && time < Duration::from_secs(5), "{time:?} {}", daemon.log());
    daemon.reap();
    daemon.start().await;
    daemon.until_idle().await;
    assert_eq!(daemon.machines_of_dummy().len(), 6);
    daemon.text(Method::DELETE, &kept, "").await;
    assert!(daemon.machines_of_dummy().is_empty());
}

fn document(machines: u32) -> String {
    format!(
        "network pub ( outbound = 'yes' )\nsystem node (\ndisk.0.image.url = 'mock0://linux.for.ev.er/image1' and\n\
         net_interface.0.connection = 'pub'\n)\ndeploy node {machines}\n"
    )
}
