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

/// Whether this is the run in a sandbox.
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs the test of this name again in a sandbox, unless this is that run. False in the outer one, which is done.
pub fn inside(test: &str) -> bool {
    if is_inside() {
        return true;
    }
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", PREPARE, "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
    false
}
