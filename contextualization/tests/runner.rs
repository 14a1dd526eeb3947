//! Rules of the runner that need no machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

/// Case: L-24.
#[test]
fn forks_are_limited_by_memory() {
    let code = "import runner
for wish, available, wanted in [(30, 2048, 30), (50, 2048, 50), (50, 700, 14), (50, 300, 2), (50, 10, 2), (1, 4096, 2)]:
    assert runner.forks(wish, available) == wanted, (wish, available, runner.forks(wish, available))
assert 0 < runner.available_memory() < 1 << 30
assert runner.interpreter(['/opt/python', '-m', 'ansible', 'playbook']) == '/opt/python'
assert runner.interpreter(['/no/such/program']) == runner.sys.executable
";
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
    let mut python = Command::new("python3");
    let output = python.args(["-B", "-c", code]).env("PYTHONPATH", assets).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
