//! The behaviour suite, each case in a network namespace of its own.

use super::lab::{Lab, PATIENCE, network};
use crate::conformance::{Case, Subject};
use std::{
    process::{Command, Stdio},
    sync::Arc,
};

/// What is mounted in namespaces of a test's own, and the loopback interface.
const INSIDE: &str = "mount -t sysfs none /sys && ip link set lo up && exec \"$@\"";

/// Runs a case in a process of its own: the cases name their infrastructures, and those the bridges, so each has a network
/// namespace.
async fn conforms(name: &str, _case: Case) {
    let namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["sh", "-c", INSIDE, "sh"]).arg(std::env::current_exe().unwrap());
    let child = format!("local::tests::conformance::in_namespaces::{name}");
    command.args(["--exact", "--ignored", "--nocapture", &child]);
    let run = command.stdin(Stdio::null()).output().unwrap();
    let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(run.status.success() && said[0].contains("1 passed"), "{}\n{}", said[0], said[1]);
}

mod conformance_of_nodes {
    crate::conformance!(super::conforms);
}

async fn conforms_in_namespaces(_name: &str, case: Case) {
    let lab = Lab::new(8);
    let networks = vec![network("pub", &[("outbound", "yes"), ("outports", "80")]), network("inner", &[])];
    let mut system = lab.intent(0).system;
    for (index, network) in networks.iter().enumerate() {
        system.features.set_text(&format!("net_interface.{index}.connection"), &network.id);
    }
    case(&Subject { patience: PATIENCE, ..Subject::new(Arc::clone(&lab.connector), system, networks) }).await;
    lab.delete_all().await;
}

/// What the tests of the same names run.
mod in_namespaces {
    crate::conformance!(
        #[ignore = "runs only as a child of the test of its name"]
        super::conforms_in_namespaces
    );
}
