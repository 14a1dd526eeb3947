//! The same with real nodes on this host: three of them, whenever the daemon dies, and nothing at all after a deletion.

use crate::{
    lab::{Lab, answers},
    sandbox,
    support::Daemon,
};
use reqwest::{Method, StatusCode};
use std::time::Duration;

const DOCUMENT: &str = "network pub ( outbound = 'yes' )
network inner ()
system front (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'pub' and
net_interface.1.connection = 'inner'
)
system worker (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'inner'
)
contextualize ()
deploy front 1
deploy worker 2
";

#[tokio::test]
async fn nodes_are_made_once_kept_and_deleted_whenever_the_daemon_dies() {
    if !sandbox::inside("local::nodes_are_made_once_kept_and_deleted_whenever_the_daemon_dies") {
        return;
    }
    let mut lab = Lab::with("");
    // From before the first node to after the last one, twice each.
    for milliseconds in [5, 40, 90, 150, 220, 300, 450, 700] {
        let delay = Duration::from_millis(milliseconds);
        lab.daemon.start().await;
        let path = lab.daemon.create(DOCUMENT, "?async=true").await;
        lab.dies_after(delay).await;
        lab.daemon.start().await;
        lab.dies_after(delay).await;
        lab.daemon.start().await;
        lab.daemon.until_state(&path, "configured").await;
        lab.daemon.until_idle().await;
        assert_eq!(lab.machines(&path).await, 3, "{delay:?}");
        let nodes = lab.nodes();
        assert_eq!(nodes.len(), 3, "{delay:?}");
        assert_eq!(lab.cables(), 4, "two of the front, one of each worker; {delay:?}");

        // Nodes live on without the daemon and are found again.
        let front = lab.front(&path).await;
        lab.daemon.kill();
        assert!(answers(front), "{delay:?}");
        lab.daemon.start().await;
        lab.daemon.until_state(&path, "configured").await;
        assert_eq!((lab.nodes(), lab.front(&path).await), (nodes, front), "{delay:?}");

        lab.daemon.text(Method::DELETE, &format!("{path}?async=true"), "").await;
        lab.dies_after(delay / 2).await;
        lab.daemon.start().await;
        let gone = async |daemon: &Daemon| daemon.get(&path).await.status == StatusCode::NOT_FOUND;
        lab.daemon.until("deleted", gone).await;
        lab.nothing_is_left();
        lab.daemon.kill();
    }
}
