//! An infrastructure from its creation to its end: changed while it is configured, asked all the time.

use crate::{lab::Lab, options, sandbox, support::Daemon};
use reqwest::{Method, StatusCode};
use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// A secret of the document, in its database and its machines nowhere in clear.
const CANARY: &str = "Canary-in-the-document";

const SYSTEMS: &str = "network pub ( outbound = 'yes' )
network inner ()
system front (
disk.0.image.url = 'local://host' and
disk.0.os.credentials.new.password = 'Canary-in-the-document-1' and
net_interface.0.connection = 'pub' and
net_interface.1.connection = 'inner' and
net_interface.0.dns_name = 'front'
)
system worker (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'inner' and
net_interface.0.dns_name = 'worker-#N#'
)
";
const LINES: &str = "contextualize (
system front configure steps step 1
system worker configure steps step 1
)
deploy front 1
deploy worker 1
";
/// Says the time again and again, then hangs.
const TALKS: &str = "configure steps (
@begin
- tasks:
    - debug: {msg: \"stamp {{ lookup('pipe', 'date +%s.%N') }}\"}
    - command: sleep 1
    - debug: {msg: \"stamp {{ lookup('pipe', 'date +%s.%N') }}\"}
    - command: sleep 1
    - debug: {msg: \"stamp {{ lookup('pipe', 'date +%s.%N') }}\"}
    - name: Hang
      command: sleep 4242
@end
)
";

/// A recipe that counts.
fn counting(word: &str, more: &str) -> String {
    format!(
        "configure steps (\n@begin\n- tasks:\n    - name: Count\n      shell: echo {word} >> /var/tmp/counted\n{more}@end\n)\n"
    )
}

const HANGS: &str = "    - name: Hang\n      command: sleep 4242\n";

fn counted(lab: &Lab, machine: u32) -> String {
    let root = lab.root(machine).unwrap();
    fs::read_to_string(root.join("var/tmp/counted")).unwrap_or_default().replace('\n', " ")
}

/// Processes of a node with this text in their command line.
fn processes_of(lab: &Lab, machine: u32, text: &str) -> usize {
    let node = fs::read_link(lab.root(machine).unwrap().with_file_name("ns/mnt")).unwrap();
    let of_node = |path: &Path| fs::read_link(path.join("ns/mnt")).is_ok_and(|other| other == node);
    let paths = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(|path| of_node(path));
    let lines = paths.filter_map(|path| fs::read(path.join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(text)).count()
}

/// Processes of all nodes with this text in their command line.
fn processes(text: &str) -> usize {
    let lines =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(text)).count()
}

async fn log(daemon: &Daemon, path: &str) -> String {
    daemon.get(&format!("{path}/contmsg")).await.text
}

async fn hangs(daemon: &Daemon, path: &str) {
    daemon.until("a task that hangs", async |daemon| log(daemon, path).await.contains("TASK [Hang]")).await;
}

async fn configured(daemon: &Daemon, path: &str) -> String {
    daemon.until_idle().await;
    let log = log(daemon, path).await;
    assert_eq!(daemon.state(path).await, "configured", "{log}");
    log
}

/// Cases: L-01, L-02, L-03, L-04, L-05, L-06, L-08, L-09, L-10, L-21, L-22, L-23.
/// Findings: S16.
#[tokio::test]
async fn an_infrastructure_lives() {
    let options = options();
    if !sandbox::inside("life::an_infrastructure_lives") {
        return;
    }
    let mut lab = Lab::with(&options);
    lab.daemon.start().await;
    let path = lab.daemon.create(&format!("{SYSTEMS}{TALKS}{LINES}"), "?async=true").await;
    follows(&lab, &path).await;
    let daemon = &lab.daemon;
    for (query, expected) in [("yes", 1), ("no", 2), ("maybe", 0)] {
        let answer = daemon.get(&format!("{path}/contmsg?headeronly={query}")).await;
        let kind = match answer.status {
            StatusCode::OK => 1 + usize::from(answer.text.contains("\nVM 0:\n")),
            status => usize::from(status != StatusCode::BAD_REQUEST) * 9,
        };
        assert_eq!(kind, expected, "{query}: {}", answer.text);
    }

    // Reconfigured while it hangs: the old run is over, the log begins again, the new text runs, new systems do not come.
    assert_eq!(daemon.state(&path).await, "running");
    let extra = "network another ()\nsystem another ( net_interface.0.connection = 'another' )\n";
    let change = format!("{extra}{}", counting("second", ""));
    daemon.text(Method::PUT, &format!("{path}/reconfigure"), &change).await;
    let second = configured(daemon, &path).await;
    assert!(second.contains("TASK [Count]") && !second.contains("TASK [Hang]"), "{second}");
    assert!(
        second.contains("WARNING: reconfiguring makes nothing new: system another, network another of"),
        "{second}"
    );
    assert_eq!(processes_of(&lab, 0, "sleep 4242"), 0);
    assert_eq!((counted(&lab, 0), counted(&lab, 1)), ("second ".to_owned(), "second ".to_owned()));

    // Some machines only; a number that is none, and one that nobody has.
    let wrong = daemon.ask(Method::PUT, &format!("{path}/reconfigure?vm_list=a"), String::new()).await.unwrap();
    assert_eq!((wrong.status, wrong.text.contains("Incorrect vm_list format.")), (StatusCode::BAD_REQUEST, true));
    daemon.text(Method::PUT, &format!("{path}/reconfigure?vm_list=0,99"), "").await;
    let some = configured(daemon, &path).await;
    assert!(some.contains("WARNING: there is no VM 99 in the infrastructure: ignored."), "{some}");
    assert_eq!((counted(&lab, 0), counted(&lab, 1)), ("second second ".to_owned(), "second ".to_owned()));

    // Two more workers: all are configured again, and the old ones know the new names.
    let more = "network inner\nsystem worker\ndeploy worker 2\n";
    daemon.text(Method::POST, &path, more).await;
    configured(daemon, &path).await;
    let known = fs::read_to_string(lab.root(1).unwrap().join("etc/hosts")).unwrap();
    assert!((0..4).all(|n| n == 0 || known.contains(&format!(" worker-{n}."))), "{known}");

    // Stopped and started again: no run.
    let before = log(daemon, &path).await;
    daemon.text(Method::PUT, &format!("{path}/vms/3/stop"), "").await;
    let state = format!("{path}/vms/3/state");
    daemon.until("stopped", async |daemon| ["stopped", "off"].contains(&daemon.get(&state).await.text.trim())).await;
    daemon.text(Method::PUT, &format!("{path}/vms/3/start"), "").await;
    daemon.until("configured", async |daemon| daemon.get(&state).await.text.trim() == "configured").await;
    assert_eq!(log(daemon, &path).await, before);

    // Deleted during its step: nobody misses it. Then another one of those that are ready: the rest runs again.
    daemon.text(Method::PUT, &format!("{path}/reconfigure"), &counting("third", WAITS)).await;
    daemon.until("the wait", async |daemon| log(daemon, &path).await.matches("TASK [Wait]").count() == 4).await;
    daemon.text(Method::DELETE, &format!("{path}/vms/2?context=no"), "").await;
    for machine in [0, 1, 3] {
        fs::write(lab.root(machine).unwrap().join("var/tmp/go-on"), "").unwrap();
    }
    let third = configured(daemon, &path).await;
    assert!(
        third.contains("Contextualization finished: 3 configured, 0 failed\n") && !third.contains("VM 2:"),
        "{third}"
    );
    daemon.text(Method::DELETE, &format!("{path}/vms/3"), "").await;
    configured(daemon, &path).await;
    let known = fs::read_to_string(lab.root(1).unwrap().join("etc/hosts")).unwrap();
    assert!(known.contains(" worker-1.") && !known.contains(" worker-3."), "{known}");

    // Nothing secret in clear where the daemon writes.
    for place in [daemon.database().parent().unwrap().to_owned(), daemon.database().parent().unwrap().join("..")] {
        for file in fs::read_dir(place).unwrap().flatten().filter(|file| file.path().is_file()) {
            let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
            for secret in [CANARY, "PRIVATE KEY", "sleep 4242", "contextualize"] {
                let is_log = file.file_name() == "im.log" && secret == "contextualize";
                assert!(is_log || !text.contains(secret), "{secret} in {}", file.path().display());
            }
        }
    }

    // Destroyed in the middle of a step.
    daemon.text(Method::PUT, &format!("{path}/reconfigure"), &counting("fourth", HANGS)).await;
    hangs(daemon, &path).await;
    let began = Instant::now();
    daemon.text(Method::DELETE, &path, "").await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(processes("sleep 4242"), 0);
    lab.nothing_is_left();
    assert!(Path::new(&lab.daemon.key()).exists());
}

const WAITS: &str = "    - name: Wait
      shell: for i in $(seq 1200); do test -e /var/tmp/go-on && break; sleep 0.1; done
";

/// Reads the log until the recipe hangs: it only grows, and what was said is there within two seconds, in the log and in
/// the stream of events.
async fn follows(lab: &Lab, path: &str) {
    let daemon = &lab.daemon;
    let late = |text: &str, told: &mut usize| -> Vec<f64> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let stamps: Vec<f64> = text.split("stamp ").skip(1).filter_map(|rest| rest.get(..13)?.parse().ok()).collect();
        let new = stamps.iter().skip(*told).map(|stamp| now - stamp).collect();
        *told = stamps.len().max(*told);
        new
    };
    let mut stream = daemon.stream(&format!("{path}/events")).await;
    let (over, streamed) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new((String::new(), Vec::new()))));
    let reader = {
        let (over, streamed) = (over.clone(), streamed.clone());
        tokio::spawn(async move {
            let mut told = 0;
            while let Ok(Some(piece)) = stream.chunk().await {
                let mut streamed = streamed.lock().unwrap();
                streamed.0.push_str(&String::from_utf8_lossy(&piece));
                let text = streamed.0.clone();
                streamed.1.extend(late(&text, &mut told));
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        })
    };
    let places = ["contmsg?headeronly=yes", "vms/0/contmsg", "vms/1/contmsg"].map(|place| format!("{path}/{place}"));
    let (mut former, mut told, mut delays) = ([const { String::new() }; 3], [0; 3], Vec::new());
    while !former.iter().skip(1).all(|text| text.contains("TASK [Hang]")) {
        for ((place, former), told) in places.iter().zip(&mut former).zip(&mut told) {
            // The machines are not there at once.
            let answer = daemon.get(place).await;
            let text = if answer.status == StatusCode::OK { answer.text } else { String::new() };
            assert!(text.starts_with(former.as_str()), "not the beginning:\n{former}\n---\n{text}");
            delays.extend(late(&text, told));
            *former = text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    over.store(true, Ordering::Relaxed);
    reader.abort();
    delays.extend(streamed.lock().unwrap().1.iter().copied());
    // Both machines, three times, in both ways.
    assert!(delays.len() >= 10 && delays.iter().all(|delay| *delay < 2.0), "{delays:?}\n{former:?}");
}
