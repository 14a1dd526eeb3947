//! Tests that run in namespaces of their own (network, mounts, processes): they see nothing of the host's networks, and
//! whatever they leave ends with them. Needs root.

use std::{
    env,
    process::{Command, Stdio},
};

/// Set inside.
const INSIDE: &str = "IMD_CRASH_SANDBOX";

/// What is mounted inside, and the loopback interface.
const PREPARE: &str = "mount -t sysfs none /sys && ip link set lo up && exec \"$@\"";

/// Runs an ignored test of this binary alone in a sandbox.
pub fn run(test: &str) {
    let namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", PREPARE, "sh"];
    let output = Command::new("unshare")
        .args(namespaces)
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// Keeps whoever runs all ignored tests from running this one on the host.
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}
