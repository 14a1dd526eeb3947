//! The daemon dies while Ansible runs on real nodes: the runs go on without it and are followed again at the next start.

use crate::{local::Lab, sandbox};
use regex::Regex;
use reqwest::Method;
use std::{fs, path::Path, process::Command, time::Duration};

/// Every task leaves a line in a file of its node.
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
configure steps (
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
contextualize (
system front configure steps step 1
system worker configure steps step 2
)
deploy front 1
deploy worker 2
";

/// When the daemon dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// When it knows its work.
    Accepted,
    /// When a task has begun on a machine.
    Task(u32, &'static str),
}

#[tokio::test]
async fn runs_survive_the_daemon_and_happen_once() {
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bundles");
    if std::env::var_os("IMD_CRASH_SANDBOX").is_none() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-bundle");
        assert!(Command::new(script).arg("--output").arg(&bundles).status().unwrap().success());
    }
    if !sandbox::inside("contextualization::runs_survive_the_daemon_and_happen_once") {
        return;
    }
    let mut lab = Lab::with(&format!("CTXT_BUNDLE_DIR = {}\nCTXT_ALLOW_ONLINE = False", bundles.display()));
    let undisturbed = story(&mut lab, &[]).await;
    // Dead for a moment before Ansible is there and in the first step; then until a step is over.
    let (moment, long) = (Duration::from_millis(100), Duration::from_secs(7));
    let deaths = [
        (Moment::Accepted, moment),
        (Moment::Task(0, "first"), moment),
        (Moment::Task(0, "second"), long),
        (Moment::Task(1, "first"), moment),
        (Moment::Task(2, "second"), long),
    ];
    let disturbed = story(&mut lab, &deaths).await;
    assert!(disturbed == undisturbed, "{disturbed}\n--- and undisturbed:\n{undisturbed}");
}

/// Configures new machines while the daemon dies at these moments for these times. The log of the infrastructure and
/// that of every machine, without what differs from run to run.
async fn story(lab: &mut Lab, deaths: &[(Moment, Duration)]) -> String {
    lab.daemon.start().await;
    let path = lab.daemon.create(DOCUMENT, "?async=true").await;
    for (moment, time) in deaths {
        if let Moment::Task(machine, task) = moment {
            lab.daemon.until(task, async |_| executed(lab, *machine).contains(task)).await;
        }
        lab.daemon.kill();
        tokio::time::sleep(*time).await;
        lab.daemon.start().await;
    }
    lab.daemon.until_idle().await;
    lab.daemon.until_state(&path, "configured").await;
    for machine in 0..3 {
        assert_eq!(executed(lab, machine), "first\nsecond\nthird\n", "machine {machine} {deaths:?}");
    }
    let log = lab.daemon.text(Method::GET, &format!("{path}/contmsg"), "").await;
    lab.daemon.text(Method::DELETE, &path, "").await;
    lab.nothing_is_left();
    lab.daemon.kill();
    let date = Regex::new(r"^\w+ \d\d \w+ \d{4} +\d\d:\d\d:\d\d [+-]\d{4}$").unwrap();
    let stamp = Regex::new(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: ").unwrap();
    // How long SSH was waited for and what Ansible warns of depends on the moment.
    let passing =
        |line: &str| date.is_match(line) || line.contains("Waiting SSH access") || line.starts_with("[WARNING]");
    // Which of the workers has which address, and so their order in a play, depends on who was made first.
    let address = Regex::new(r"\d+\.\d+\.\d+\.\d+").unwrap();
    let plain = |line: &str| match line.starts_with("PLAY [") && address.is_match(line) {
        true => "PLAY [machines]".to_owned(),
        false => address.replace_all(&stamp.replace(line, ""), "ADDRESS").into_owned(),
    };
    log.lines().filter(|line| !passing(line)).map(plain).collect::<Vec<_>>().join("\n")
}

/// Names of the tasks that were begun on a machine, a line each.
fn executed(lab: &Lab, machine: u32) -> String {
    lab.root(machine)
        .map(|root| fs::read_to_string(root.join("var/tmp/executed")).unwrap_or_default())
        .unwrap_or_default()
}
