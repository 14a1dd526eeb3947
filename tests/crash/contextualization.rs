//! The daemon dies while Ansible runs on real nodes: the runs go on without it and are followed again at the next start.

use crate::{lab::Lab, sandbox};
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
    /// When the log says so.
    Log(&'static str),
    /// When a task has begun on a machine.
    Task(u32, &'static str),
}

/// How the daemon ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Killed,
    Stopped,
}

/// Cases: L-12, L-13.
#[tokio::test]
async fn runs_survive_the_daemon_and_happen_once() {
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bundles");
    if !sandbox::is_inside() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-bundle");
        assert!(Command::new(script).arg("--output").arg(&bundles).status().unwrap().success());
    }
    if !sandbox::inside("contextualization::runs_survive_the_daemon_and_happen_once") {
        return;
    }
    let mut lab = Lab::with(&format!("CTXT_BUNDLE_DIR = {}\nCTXT_ALLOW_ONLINE = False", bundles.display()));
    let undisturbed = story(&mut lab, &[]).await;
    // In every phase: access, bootstrap, built-in playbook, recipes, between steps. Dead for a moment, or until a step or
    // everything is over.
    let (moment, long, end) = (Duration::from_millis(100), Duration::from_secs(7), Duration::from_secs(20));
    let deaths = [
        (Moment::Accepted, End::Killed, moment),
        (Moment::Log("Wait master VM to have the SSH active."), End::Killed, moment),
        (Moment::Log("Configure Ansible in the master VM."), End::Killed, moment),
        (Moment::Log("Launch task: basic"), End::Killed, moment),
        (Moment::Log("Task basic finished successfully"), End::Stopped, moment),
        (Moment::Task(0, "first"), End::Killed, moment),
        (Moment::Task(0, "second"), End::Killed, long),
        (Moment::Task(1, "first"), End::Stopped, moment),
        (Moment::Task(2, "second"), End::Stopped, end),
    ];
    let disturbed = story(&mut lab, &deaths).await;
    assert!(disturbed == undisturbed, "{disturbed}\n--- and undisturbed:\n{undisturbed}");
}

/// Configures new machines while the daemon dies at these moments for these times. The log of the infrastructure and
/// that of every machine, without what differs from run to run.
async fn story(lab: &mut Lab, deaths: &[(Moment, End, Duration)]) -> String {
    lab.daemon.start().await;
    let path = lab.daemon.create(DOCUMENT, "?async=true").await;
    for (moment, end, time) in deaths {
        match moment {
            Moment::Accepted => {}
            Moment::Log(text) => {
                let log = format!("{path}/contmsg");
                lab.daemon.until(text, async |daemon| daemon.get(&log).await.text.contains(text)).await;
            }
            Moment::Task(machine, task) => {
                lab.daemon.until(task, async |_| executed(lab, *machine).contains(task)).await;
            }
        }
        if let End::Stopped = end {
            lab.daemon.terminate().await;
            lab.daemon.reap();
        } else {
            lab.daemon.kill();
        }
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
