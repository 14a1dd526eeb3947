//! Whole contextualizations: the driver, real sshd nodes, the offline bundle, real Ansible. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod lab;

use async_trait::async_trait;
use contextualization::{
    Cause, Effect, Entry, ErrorCode, Job, Journal, JournalClosed, Outcome, Settings, VmError, VmFacts, run,
    ssh::{SshLimits, keys},
};
use lab::Lab;
use radl::{Configure, Contextualize, ContextualizeItem, Radl};
use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the outside has seen.
#[derive(Default)]
struct Seen {
    progress: serde_json::Value,
    infrastructure: Vec<String>,
    logs: BTreeMap<u32, String>,
    results: BTreeMap<u32, Result<(), VmError>>,
    master: Option<u32>,
}

#[derive(Default)]
struct Memory(Mutex<Seen>);

#[async_trait]
impl Journal for Memory {
    async fn record(&self, entry: Entry) -> Result<(), JournalClosed> {
        let mut seen = self.0.lock().unwrap();
        if let Some(progress) = entry.progress {
            seen.progress = progress;
        }
        for effect in entry.effects {
            match effect {
                Effect::InfrastructureLog(line) | Effect::InfrastructureText(line) => seen.infrastructure.push(line),
                Effect::VmLog { vm, text } => seen.logs.entry(vm).or_default().push_str(&text),
                Effect::VmResult { vm, result } => {
                    assert!(seen.results.insert(vm, result).is_none(), "VM {vm} has two results");
                }
                Effect::Master { vm } => seen.master = Some(vm),
                Effect::CredentialsChanged { .. } | Effect::HostKey { .. } => {}
            }
        }
        Ok(())
    }
}

impl Memory {
    async fn until(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let start = Instant::now();
        while !condition(&self.0.lock().unwrap()) {
            assert!(start.elapsed() < Duration::from_secs(120), "waiting for {what}:\n{}", self.dump());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn dump(&self) -> String {
        let seen = self.0.lock().unwrap();
        format!("{}\n{:#?}\n{:#?}", seen.infrastructure.join("\n"), seen.logs, seen.results)
    }
}

fn settings() -> Settings {
    Settings {
        remote_conf_dir: "/var/tmp/.im".to_owned(),
        default_vm_name: "vnode-#N#".to_owned(),
        default_domain: "localdomain".to_owned(),
        playbook_retries: 1,
        wait_running: Duration::from_secs(60),
        wait_ssh: Duration::from_secs(20),
        wait_public_ip: Duration::from_secs(20),
        ansible_install_timeout: Duration::from_secs(120),
        forks: 10,
        max_ssh: 50,
        bundle_dir: lab::bundle_dir(),
        allow_online: false,
        check_host_keys: true,
        expose_secrets: false,
        inventory_integers: false,
        log_max: 1 << 20,
        log_ascii: false,
    }
}

fn configure(name: &str, recipe: &str) -> Configure {
    Configure { name: name.to_owned(), recipe: Some(recipe.to_owned()), ..Configure::default() }
}

fn item(system: &str, configure: &str, step: i64) -> ContextualizeItem {
    ContextualizeItem { system: system.to_owned(), configure: configure.to_owned(), step, ..Default::default() }
}

fn document(vms: &[VmFacts], configures: Vec<Configure>, items: Vec<ContextualizeItem>) -> Radl {
    let mut document = Radl { configures, ..Radl::default() };
    for vm in vms {
        let system = &vm.info.systems[0];
        if document.system(&system.name).is_none() {
            document.systems.push(system.clone());
        }
    }
    document.networks.clone_from(&vms[0].info.networks);
    document.contextualize = (!items.is_empty()).then(|| Contextualize { items, ..Contextualize::default() });
    document
}

fn job(radl: Radl, vms: watch::Receiver<Arc<Vec<VmFacts>>>, generation: u64, key: &contextualization::KeyPair) -> Job {
    Job {
        infrastructure: "8a1cf2f5-0000-4000-8000-000000000001".to_owned(),
        generation,
        cause: Cause::Add,
        radl: Arc::new(radl),
        vms,
        selected: None,
        ansible_key: key.clone(),
        exposed_auth: Some("token-of-this-infrastructure".to_owned()),
        deadline: SystemTime::now() + Duration::from_secs(300),
        progress: serde_json::Value::Null,
        settings: Arc::new(settings()),
    }
}

const FRONT: &str = r#"
- vars:
    greeting: !unsafe "{{ literally }}"
  tasks:
    - name: Show the variables
      debug:
        msg: "{{ IM_NODE_FQDN }} {{ IM_NODE_VMID }} {{ IM_WORKER_NUM_VMS }} {{ IM_MASTER_HOSTNAME }} {{ greeting }}"
    - name: Facts of a peer
      debug:
        msg: "peer {{ hostvars[groups['worker'][0]]['ansible_hostname'] }}"
    - include_tasks: shared.yml
    - name: A local file
      copy: {dest: /tmp/from-front, content: "{{ lookup('password', '/tmp/secret length=8') }}"}
"#;
const SHARED: &str = "
- name: Shared task
  command: 'true'
";
const WORKER: &str = "
- hosts: all
  tasks:
    - name: Slow
      command: sleep 3
    - name: Only VM 2 fails
      fail: {msg: 'not here'}
      when: IM_NODE_NUM == '2'
    - name: After
      command: touch /var/tmp/after
";

async fn contextualize(job: Job, memory: &Arc<Memory>) -> Outcome {
    let journal: Arc<dyn Journal> = Arc::clone(memory) as _;
    tokio::spawn(run(job, journal, SshLimits::new(50, 10), CancellationToken::new())).await.unwrap()
}

#[test]
fn front_and_workers() {
    if !lab::inside("front_and_workers") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let lab = Lab::new();
        let password = Some("pass word'1");
        lab.node("front", 11, None);
        lab.node("w1", 12, password);
        lab.node("w2", 13, None);
        let facts = vec![
            lab.facts(0, "front", 11, None),
            lab.facts(1, "worker", 12, password),
            lab.facts(2, "worker", 13, None),
        ];
        let configures = vec![configure("front", FRONT), configure("shared", SHARED), configure("work", WORKER)];
        let radl = document(&facts, configures, vec![item("front", "front", 1), item("worker", "work", 2)]);
        let (vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate().unwrap();
        let memory = Arc::new(Memory::default());

        // The daemon dies in the middle of step 2 and is started again.
        let start = Instant::now();
        let first = job(radl.clone(), receiver.clone(), 1, &key);
        let journal: Arc<dyn Journal> = Arc::clone(&memory) as _;
        let task = tokio::spawn(run(first, journal, SshLimits::new(50, 10), CancellationToken::new()));
        memory.until("the slow task", |seen| seen.logs.values().any(|log| log.contains("TASK [Slow]"))).await;
        task.abort();
        let _ = task.await;
        eprintln!("step 2 reached after {:?}", start.elapsed());
        let mut second = job(radl.clone(), receiver.clone(), 1, &key);
        second.progress = memory.0.lock().unwrap().progress.clone();
        let outcome = contextualize(second, &memory).await;
        eprintln!("done after {:?}", start.elapsed());
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            assert_eq!(seen.master, Some(0));
            assert_eq!(seen.results[&0], Ok(()), "{}", seen.logs[&0]);
            assert_eq!(seen.results[&1], Ok(()), "{}", seen.logs[&1]);
            let error = seen.results[&2].clone().unwrap_err();
            assert_eq!((error.code, error.phase.as_str()), (ErrorCode::TaskFailed, "step 2"));
            assert!(error.message.contains("Only VM 2 fails") && error.message.contains("not here"), "{error:?}");
            let front = &seen.logs[&0];
            let shown = "\"msg\": \"front-0.localdomain i-0 {{ 1 + 1 }} 2 front-0 {{ literally }}\"";
            assert!(front.contains(shown), "{front}");
            assert!(front.contains("\"msg\": \"peer worker-1\""), "{front}");
            assert!(front.contains("Launch task: front_front\n") && front.contains("TASK [Shared task] **"), "{front}");
            for (vm, log) in &seen.logs {
                for once in ["Launch task: work_worker\n", "TASK [Slow] **", "PLAY RECAP", "TASK [Set the host name]"] {
                    let of_worker = once.contains("work_worker") || once.contains("Slow");
                    let expected = if once == "PLAY RECAP" { 2 } else { usize::from(*vm != 0 || !of_worker) };
                    assert_eq!(log.matches(once).count(), expected, "{once} in the log of VM {vm}:\n{log}");
                }
                assert!(!log.contains("pass word'1") && !log.contains("token-of-this"), "a secret in the log:\n{log}");
            }
            assert!(seen.logs[&2].contains("ERROR executing task work_worker: (1/1)\nCause: [TASK_FAILED] "));
            let last = seen.infrastructure.last().unwrap();
            assert_eq!(last, "Contextualization finished: 2 configured, 1 failed (ids: 2)");
            assert!(seen.infrastructure.iter().any(|l| l.contains("'hosts' is ignored")), "{:?}", seen.infrastructure);
        }
        assert!(lab.path("w1", "/var/tmp/after").exists());
        assert!(!lab.path("w2", "/var/tmp/after").exists());
        let hosts = std::fs::read_to_string(lab.path("w1", "/etc/hosts")).unwrap();
        assert!(hosts.contains("10.77.0.13 worker-2.localdomain worker-2\n"), "{hosts}");
        // Nothing secret stays on the master.
        assert_eq!(std::fs::read_dir(lab.path("front", "/dev/shm")).unwrap().count(), 0);

        // VM 2 is removed: the others are contextualized again, its name goes.
        vms.send_modify(|all| *all = Arc::new(facts[..2].to_vec()));
        let memory = Arc::new(Memory::default());
        let radl = document(&facts[..2], vec![configure("front", "- tasks: []\n")], vec![]);
        let start = Instant::now();
        let outcome = contextualize(job(radl, receiver, 2, &key), &memory).await;
        eprintln!("second generation took {:?}", start.elapsed());
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        assert_eq!(memory.0.lock().unwrap().results, BTreeMap::from([(0, Ok(())), (1, Ok(()))]));
        let again = std::fs::read_to_string(lab.path("w1", "/etc/hosts")).unwrap();
        assert!(!again.contains("worker-2") && again.matches("worker-1.localdomain").count() == 1, "{again}");
    });
}

/// Processes with this text in their command line, on all nodes.
fn processes(text: &str) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
    let has = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text) && !line.contains("IM_LAB")
    };
    pids.filter(has).collect()
}

const SLOW: &str = "
- tasks:
    - name: Slow
      command: sleep 4242
";
const BRIEF: &str = "
- tasks:
    - name: Brief
      command: sleep 2
";

#[test]
fn cancelled_late_and_lost_runs() {
    if !lab::inside("cancelled_late_and_lost_runs") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let lab = Lab::new();
        lab.node("front", 11, None);
        let facts = vec![lab.facts(0, "front", 11, None)];
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate().unwrap();
        let slow = || document(&facts, vec![configure("front", SLOW)], vec![]);
        let sleeping = |seen: &Seen| seen.logs.get(&0).is_some_and(|log| log.contains("TASK [Slow]"));

        // Cancelled: nothing is left on the machine.
        let memory = Arc::new(Memory::default());
        let cancel = CancellationToken::new();
        let journal: Arc<dyn Journal> = Arc::clone(&memory) as _;
        let first = job(slow(), receiver.clone(), 1, &key);
        let task = tokio::spawn(run(first, journal, SshLimits::new(50, 10), cancel.clone()));
        memory.until("the slow task", sleeping).await;
        let start = Instant::now();
        cancel.cancel();
        assert_eq!(task.await.unwrap(), Outcome::Cancelled);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert_eq!((processes("sleep 4242"), processes("ansible playbook")), (vec![], vec![]));
        assert_eq!(memory.0.lock().unwrap().results, BTreeMap::new());

        // Superseded: the next generation ends the run of one whose daemon was killed.
        let memory = Arc::new(Memory::default());
        let journal: Arc<dyn Journal> = Arc::clone(&memory) as _;
        let task = tokio::spawn(run(
            job(slow(), receiver.clone(), 2, &key),
            journal,
            SshLimits::new(50, 10),
            CancellationToken::new(),
        ));
        memory.until("the slow task", sleeping).await;
        task.abort();
        let _ = task.await;
        memory.until("its process", |_| !processes("sleep 4242").is_empty()).await;

        // Time over.
        let memory = Arc::new(Memory::default());
        let mut third = job(slow(), receiver.clone(), 3, &key);
        third.deadline = SystemTime::now() + Duration::from_secs(12);
        assert_eq!(contextualize(third, &memory).await, Outcome::TimedOut);
        {
            let seen = memory.0.lock().unwrap();
            assert_eq!(seen.infrastructure.last().unwrap(), "ERROR: Max contextualization time passed.");
            assert_eq!(seen.results[&0].as_ref().unwrap_err().code, ErrorCode::Timeout);
        }
        assert_eq!(processes("sleep 4242"), Vec::<i32>::new());

        // The supervisor is killed: the run is repeated once, and what was left of it is gone.
        let memory = Arc::new(Memory::default());
        let brief = document(&facts, vec![configure("front", BRIEF)], vec![]);
        let journal: Arc<dyn Journal> = Arc::clone(&memory) as _;
        let task =
            tokio::spawn(run(job(brief, receiver, 4, &key), journal, SshLimits::new(50, 10), CancellationToken::new()));
        memory.until("the brief task", |seen| seen.logs.get(&0).is_some_and(|log| log.contains("TASK [Brief]"))).await;
        let supervisors = processes("runner.py /var/tmp/.im/8a1cf2f5-0000-4000-8000-000000000001 start");
        assert!(!supervisors.is_empty());
        for pid in supervisors {
            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        }
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        assert_eq!(seen.results[&0], Ok(()));
        let log = &seen.logs[&0];
        assert!(log.contains("ERROR executing task front_front: (1/2)\nCause: [RUNNER_LOST]"), "{log}");
        assert_eq!(log.matches("TASK [Brief]").count(), 2, "{log}");
    });
}
