//! The main job: a front-end and workers, with the death of the daemon in the middle, then one worker less.

use crate::{
    checkpoints::Memory,
    documents::{configure, contextualize, document, item, job, start},
    lab::{self, Lab, Node},
};
use contextualization::{ErrorCode, Outcome, ssh::keys};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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

#[test]
fn front_and_workers() {
    if !lab::inside("main_job::front_and_workers") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::new("front", 11);
        let w1 = Node::with_password("w1", 12, "pass word'1");
        let w2 = Node::new("w2", 13);
        let lab = Lab::with(&[&front, &w1, &w2]);
        let facts = vec![lab.facts(0, "front", &front), lab.facts(1, "worker", &w1), lab.facts(2, "worker", &w2)];
        let configures = vec![configure("front", FRONT), configure("shared", SHARED), configure("work", WORKER)];
        let radl = document(&facts, configures, vec![item("front", "front", 1), item("worker", "work", 2)]);
        let (vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let memory = Arc::new(Memory::default());

        // The daemon dies in the middle of step 2 and is started again.
        let began = Instant::now();
        let first = job(radl.clone(), receiver.clone(), 1, &key);
        let task = start(first, &memory, CancellationToken::new());
        memory.until("the slow task", |seen| seen.logs.values().any(|log| log.contains("TASK [Slow]"))).await;
        task.abort();
        let _ = task.await;
        eprintln!("step 2 reached after {:?}", began.elapsed());
        let mut second = job(radl.clone(), receiver.clone(), 1, &key);
        second.progress = memory.0.lock().unwrap().progress.clone();
        let outcome = contextualize(second, &memory).await;
        eprintln!("done after {:?}", began.elapsed());
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            assert_eq!(seen.master, Some(0));
            assert_eq!(seen.results[&0], Ok(()), "{}", seen.logs[&0]);
            assert_eq!(seen.results[&1], Ok(()), "{}", seen.logs[&1]);
            let error = seen.results[&2].clone().unwrap_err();
            assert_eq!((error.code, error.phase.as_str()), (ErrorCode::TaskFailed, "step 2"));
            assert!(error.message.contains("Only VM 2 fails") && error.message.contains("not here"), "{error:?}");
            let log = &seen.logs[&0];
            let shown = "\"msg\": \"front-0.localdomain i-0 {{ 1 + 1 }} 2 front-0 {{ literally }}\"";
            assert!(log.contains(shown), "{log}");
            assert!(log.contains("\"msg\": \"peer worker-1\""), "{log}");
            assert!(log.contains("Launch task: front_front\n") && log.contains("TASK [Shared task] **"), "{log}");
            for (vm, log) in &seen.logs {
                for once in ["Launch task: work_worker\n", "TASK [Slow] **", "PLAY RECAP", "TASK [Prepare the machine]"]
                {
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
        assert!(lab.path(&w1, "/var/tmp/after").exists());
        assert!(!lab.path(&w2, "/var/tmp/after").exists());
        let hosts = std::fs::read_to_string(lab.path(&w1, "/etc/hosts")).unwrap();
        assert!(hosts.contains(&format!("{} worker-2.localdomain worker-2\n", w2.ip())), "{hosts}");
        assert_eq!(lab.shell(&w1, "hostname"), (true, "worker-1.localdomain\n".to_owned()));
        // Nothing secret stays on the master.
        assert_eq!(std::fs::read_dir(lab.path(&front, "/dev/shm")).unwrap().count(), 0);

        // VM 2 is removed: the others are contextualized again, its name goes.
        vms.send_modify(|all| *all = Arc::new(facts[..2].to_vec()));
        let memory = Arc::new(Memory::default());
        let radl = document(&facts[..2], vec![configure("front", "- tasks: []\n")], vec![]);
        let began = Instant::now();
        let outcome = contextualize(job(radl, receiver, 2, &key), &memory).await;
        eprintln!("second generation took {:?}", began.elapsed());
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        assert_eq!(memory.0.lock().unwrap().results, BTreeMap::from([(0, Ok(())), (1, Ok(()))]));
        let again = std::fs::read_to_string(lab.path(&w1, "/etc/hosts")).unwrap();
        assert!(!again.contains("worker-2") && again.matches("worker-1.localdomain").count() == 1, "{again}");
    });
}
