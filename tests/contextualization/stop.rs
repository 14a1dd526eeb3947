//! A daemon that takes its contextualizations with it, and what it tells of a machine that failed.

use crate::{lab::Lab, options, sandbox};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs;

const DOCUMENT: &str = "network pub ( outbound = 'yes' )
system front (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'pub'
)
configure front (
@begin
- tasks:
    - name: Hang
      command: sleep 4242
@end
)
deploy front 1
";
const BROKEN: &str = "configure front (
@begin
- tasks:
    - name: Break
      shell: echo why >&2; exit 7
@end
)
";

#[tokio::test]
async fn contextualizations_end_with_the_daemon() {
    let options = options();
    if !sandbox::inside("stop::contextualizations_end_with_the_daemon") {
        return;
    }
    let mut lab = Lab::with(&format!("CTXT_KILL_ON_STOP = True\nPLAYBOOK_RETRIES = 1\n{options}"));
    lab.daemon.start().await;
    let path = lab.daemon.create(DOCUMENT, "?async=true").await;
    let log = format!("{path}/contmsg");
    lab.daemon.until("the task", async |daemon| daemon.get(&log).await.text.contains("TASK [Hang]")).await;
    let error = format!("{path}/vms/0/error");
    assert_eq!(lab.daemon.get(&error).await.text, "{\"error\": null}");
    let (_, well) = lab.daemon.terminate().await;
    assert!(well, "{}", lab.daemon.log());
    lab.daemon.reap();
    let sleeping = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|process| fs::read(process.path().join("cmdline")).is_ok_and(|line| line.starts_with(b"sleep\x004242")));
    assert!(!sleeping);

    lab.daemon.start().await;
    assert_eq!(lab.daemon.state(&path).await, "unconfigured");
    let told: Value = serde_json::from_str(&lab.daemon.get(&error).await.text).unwrap();
    assert_eq!((&told["error"]["code"], &told["error"]["task"]), (&json!("CANCELLED"), &Value::Null));

    // A recipe that fails, told to programs.
    lab.daemon.text(Method::PUT, &format!("{path}/reconfigure"), BROKEN).await;
    lab.daemon.until_idle().await;
    assert_eq!(lab.daemon.state(&path).await, "unconfigured");
    let answer = lab.daemon.get(&error).await;
    let told: Value = serde_json::from_str(&answer.text).unwrap();
    let expected = json!({"error": {
        "code": "TASK_FAILED",
        "phase": "step 1",
        "step": 1,
        "recipe": "front_front",
        "task": "Break",
        "message": "task 'Break': non-zero return code (why)",
        "module_message": "non-zero return code",
        "rc": 7,
        "stderr": ["why"],
        "attempt": {"number": 1, "of": 1},
        "hint": "Correct the recipe or what it needs on the machine, then reconfigure.",
    }});
    assert_eq!((answer.status, told), (StatusCode::OK, expected));
    let missing = lab.daemon.get(&format!("{path}/vms/7/error")).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    // Nothing new in an old answer.
    let info = lab.daemon.ask(Method::GET, &format!("{path}/vms/0"), String::new()).await.unwrap().text;
    assert!(!info.contains("TASK_FAILED"), "{info}");
    lab.daemon.text(Method::DELETE, &path, "").await;
    lab.nothing_is_left();
}
