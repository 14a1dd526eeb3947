//! The daemon that follows a contextualization on real machines is killed: another one follows it to its end, and every task
//! runs once. Clients come through the balancer of the manual.

use crate::{
    balancer::{Balancer, NOTICED, STICKY},
    cluster::{Cluster, TAKEN_OVER},
    sandbox,
    support::path_of,
};
use reqwest::Method;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// Every task leaves a line in a file of its node.
const DOCUMENT: &str = "network pub ( outbound = 'yes' )
system node (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'pub'
)
configure node (
@begin
- tasks:
    - name: First
      shell: echo first >> /var/tmp/executed; sleep 2
    - name: Second
      shell: echo second >> /var/tmp/executed; sleep 2
    - name: Third
      shell: echo third >> /var/tmp/executed
@end
)
deploy node 2
";

/// Case: L-18.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contextualization_is_followed_by_another_daemon() {
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bundles");
    if !sandbox::is_inside() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-bundle");
        assert!(Command::new(script).arg("--output").arg(&bundles).status().unwrap().success());
    }
    if !sandbox::inside("contextualization::a_contextualization_is_followed_by_another_daemon") {
        return;
    }
    let nodes = tempfile::Builder::new().prefix("imd-ha-nodes-").tempdir_in("/var/tmp").unwrap();
    let options = format!(
        "[im]\nCTXT_BUNDLE_DIR = {}\nCTXT_ALLOW_ONLINE = False\n[Local]\nENABLED = True\nLIMITS = False\nSTATE_DIR = {}",
        bundles.display(),
        nodes.path().display()
    );
    let clouds = "id = local; type = Local";
    let mut cluster = Cluster::with(2, clouds, &options, None).await;
    let balancer = Balancer::start(&cluster, STICKY, clouds).await;
    let path = path_of(&balancer.text(Method::POST, "/infrastructures?async=yes", DOCUMENT).await);
    let first = cluster.holder(&path).await.unwrap();
    let executed = |number: u32| {
        let root = root(nodes.path(), number)?;
        fs::read_to_string(root.join("var/tmp/executed")).ok()
    };
    cluster.daemons[first].until("a task", async |_| executed(1).is_some_and(|text| text.contains("first"))).await;
    assert_eq!(cluster.holder(&path).await, Some(first));
    cluster.daemons[first].kill();
    let death = Instant::now();
    let (holder, after) = cluster.until_taken_over(&path, first).await;
    assert_eq!(holder, 1 - first);
    assert!(after < TAKEN_OVER, "only after {after:?}");
    balancer.read(&path, death, NOTICED, |state| state.contains("\"state\": \"configured\"")).await;
    for number in 0..2 {
        assert_eq!(executed(number).as_deref(), Some("first\nsecond\nthird\n"), "machine {number}");
    }
    balancer.change(Method::DELETE, &path).await;
}

/// Directory of the root of a machine of the only infrastructure, once it is there.
fn root(nodes: &Path, number: u32) -> Option<PathBuf> {
    let marks = fs::read_dir(nodes.join("vms")).ok()?.flatten().map(|entry| entry.path());
    let of_machine = |path: PathBuf| {
        let mark: Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
        (mark["number"] == number).then(|| mark["process"]["pid"].as_i64()).flatten()
    };
    let pid = marks.filter(|path| path.extension().is_some_and(|end| end == "json")).find_map(of_machine)?;
    Some(PathBuf::from(format!("/proc/{pid}/root")))
}
