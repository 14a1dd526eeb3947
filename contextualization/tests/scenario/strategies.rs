//! What carries the tasks: mitogen by default, the wish of the document, and going on without mitogen when it is broken.

use crate::{
    checkpoints::{Memory, Seen},
    documents::{configure, contextualize, document, item, job, processes, start},
    lab::{self, Lab, Node},
};
use contextualization::{ErrorCode, Job, Outcome, VmFacts, ssh::keys};
use radl::{Operator, Radl, Value};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration, time::Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const RECIPE: &str = r#"
- vars:
    greeting: !unsafe "{{ literally }}"
  handlers:
    - name: Handle
      command: echo handled
  tasks:
    - name: Strategy
      debug: {msg: "carried by {{ lookup('env', 'ANSIBLE_STRATEGY') }}"}
    - name: Process
      debug: {msg: "{{ (lookup('env', 'IM_NEXT_RUN') == '') | ternary('alone', 'goes on') }}"}
    - name: Where commands start
      command: pwd
      register: place
    - name: Place
      debug: {msg: "{{ place.stdout }} {{ ansible_hostname }} {{ greeting }}"}
    - name: Where Ansible runs
      command: hostname
      delegate_to: localhost
      register: here
    - name: Here
      debug: {msg: "{{ here.stdout }} {{ lookup('file', '/etc/hostname') }}"}
    - name: As somebody else
      command: id -un
      become_user: nobody
      register: who
      failed_when: who.stdout != 'nobody'
    - name: As nobody special
      command: id -un
      become: no
      register: who
      failed_when: who.stdout != 'cloud'
    - name: Items
      command: echo {{ item }}
      loop: [one, two]
      notify: Handle
    - name: Forgiven
      command: 'false'
      ignore_errors: yes
    - name: Left out
      command: 'true'
      when: no
    - name: In the background
      command: sleep 0.2
      async: 20
      poll: 1
    - name: Wrong on VM 2
      fail: {msg: 'not here'}
      when: IM_NODE_NUM == '2'
    - name: Last
      command: 'true'
"#;
const SLOW: &str = "
- tasks:
    - name: Slow
      command: sleep 4242
";

/// The log of a machine from the recipe on, without what differs from run to run: times, values, and warnings about the
/// ways of a strategy.
fn markers(log: &str) -> Vec<&str> {
    let recipe = log.split_once("Launch task: node_node\n").map_or("", |(_, recipe)| recipe);
    let kept = recipe.lines().filter(|line| !line.ends_with(" +0000") && !line.starts_with([' ', '[', '}']));
    kept.map(|line| line.split(" => {").next().unwrap_or_default()).collect()
}

fn wish(mut radl: Radl, strategy: Option<&str>) -> Radl {
    if let (Some(strategy), Some(section)) = (strategy, &mut radl.contextualize) {
        let text = Value::Text { operator: Operator::Eq, text: strategy.to_owned(), line: 0 };
        section.options.insert("ctxt_strategy".to_owned(), text);
    }
    radl
}

/// Cases: R-08, R-11, L-10.
#[test]
fn mitogen_by_default_by_wish_and_broken() {
    if !lab::inside("strategies::mitogen_by_default_by_wish_and_broken") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::new("front", 11);
        let w1 = Node::with_password("w1", 12, "pass word'1");
        let w2 = Node::new("w2", 13);
        let lab = Lab::with(&[&front, &w1, &w2]);
        let facts: Vec<VmFacts> =
            [&front, &w1, &w2].iter().enumerate().map(|(id, node)| lab.facts(id as u32, "node", node)).collect();
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let with = |recipe: &str, strategy: Option<&str>, generation: u64| -> Job {
            let radl = document(&facts, vec![configure("node", recipe)], vec![item("node", "node", 1)]);
            job(wish(radl, strategy), receiver.clone(), generation, &key)
        };
        let configured = |seen: &Seen, carried: &str, process: &str| {
            assert_eq!((&seen.results[&0], &seen.results[&1]), (&Ok(()), &Ok(())), "{:?}", seen.logs);
            let error = seen.results[&2].clone().unwrap_err();
            assert_eq!(error.code, ErrorCode::TaskFailed, "{error:?}");
            assert!(error.message.contains("Wrong on VM 2") && error.message.contains("not here"), "{error:?}");
            for (vm, log) in &seen.logs {
                assert_eq!(log.matches(&format!("carried by {carried}\"")).count(), 1, "VM {vm}: {log}");
                // The recipe follows in the process of the built-in playbook, unless that failed.
                assert!(log.contains(&format!("\"msg\": \"{process}\"")), "VM {vm}: {log}");
                assert_eq!(log.matches("Wrong on VM 2").count(), 1 + usize::from(*vm == 2), "VM {vm}: {log}");
                // The master's own commands start in the conf dir.
                let place = if *vm == 0 { "/var/tmp/.im/" } else { "/home/cloud node-" };
                assert!(log.contains(&format!("\"msg\": \"{place}")), "VM {vm}: {log}");
                assert!(
                    log.contains("{{ literally }}\"") && log.contains("\"msg\": \"node-0.localdomain node-0"),
                    "{log}"
                );
                assert!(!log.contains("pass word'1"), "{log}");
            }
        };

        // Cancelled: nothing is left on any machine, neither of the task nor of what carried it.
        for (generation, (strategy, mitogen)) in (1..).zip([(None, true), (Some("free"), false)]) {
            let memory = Arc::new(Memory::default());
            let cancel = CancellationToken::new();
            let task = start(with(SLOW, strategy, generation), &memory, cancel.clone());
            memory.until("the slow task", |_| processes("sleep 4242").len() == 3).await;
            assert_eq!(!processes("(mitogen:").is_empty(), mitogen);
            let began = Instant::now();
            cancel.cancel();
            assert_eq!(task.await.unwrap(), Outcome::Cancelled);
            // Where mitogen carries the task, the other machines notice when the connection ends.
            let left = || ["sleep 4242", "(mitogen:", "ansible playbook"].map(processes).concat();
            while !left().is_empty() {
                let look = || lab.shell(&front, "ps -ef").1 + &lab.shell(&w1, "ps -ef").1 + &lab.shell(&w2, "ps -ef").1;
                assert!(began.elapsed() < Duration::from_secs(10), "{:?} are left:\n{}", left(), look());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }

        let mut logs: BTreeMap<&str, BTreeMap<u32, String>> = BTreeMap::new();
        for (generation, (strategy, carried)) in (3..).zip([(None, "mitogen_free"), (Some("free"), "free")]) {
            let memory = Arc::new(Memory::default());
            let began = Instant::now();
            let outcome = contextualize(with(RECIPE, strategy, generation), &memory).await;
            assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
            eprintln!("{carried} took {:?}", began.elapsed());
            let seen = memory.0.lock().unwrap();
            configured(&seen, carried, "goes on");
            assert!(!seen.infrastructure.iter().any(|line| line.contains("mitogen")), "{:?}", seen.infrastructure);
            logs.insert(carried, seen.logs.clone());
        }
        for (vm, log) in &logs["free"] {
            assert_eq!(markers(&logs["mitogen_free"][vm]), markers(log));
            assert!(markers(log).iter().filter(|line| line.starts_with("TASK [")).count() > 8, "{log}");
        }

        // Broken: plain Ansible takes over, once, and what fails for good is not repeated.
        let runtime = std::fs::read_dir(lab.path(&front, "/var/tmp/.im/.runtime")).unwrap();
        let broken = runtime.map(|entry| entry.unwrap().path().join("ansible_mitogen")).find(|tree| tree.exists());
        let broken = broken.expect("the bundle brings mitogen");
        std::fs::remove_dir_all(broken.join("__pycache__")).unwrap();
        write(&broken.join("__init__.py"), "raise RuntimeError('broken')\n");
        let memory = Arc::new(Memory::default());
        assert_eq!(contextualize(with(RECIPE, Some("mitogen"), 11), &memory).await, Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        configured(&seen, "free", "alone");
        let said: Vec<_> = seen.infrastructure.iter().filter(|line| line.contains("mitogen")).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("WARNING: mitogen failed in basic (") && said[0].ends_with("goes on without it."),
            "{said:?}"
        );
        assert!(seen.logs[&1].contains("WARNING: mitogen failed (["), "{}", seen.logs[&1]);
    });
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
