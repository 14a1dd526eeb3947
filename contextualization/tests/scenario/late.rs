//! Machines that come late, or never.

use crate::{
    checkpoints::Memory,
    documents::{configure, document, item, job, settings, start},
    lab::{self, Lab, Node},
};
use contextualization::{ErrorCode, Outcome, Settings, ssh::keys};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const WORK: &str = "
- tasks:
    - name: Work
      copy: {dest: /var/tmp/worked, content: x}
";
const PEERS: &str = "
- tasks:
    - name: Peers
      copy:
        dest: /var/tmp/peers
        content: \"{% for name in groups['worker'] %}{{ hostvars[name]['ansible_hostname'] }} {% endfor %}\"
";

/// Who is there is configured while the others are waited for, also by a daemon that was started again; a late machine
/// goes through what the others did; what looks at all machines comes after it, and after the one that never came.
///
/// Cases: M-17, I-15.
#[test]
fn late_machines_follow_by_themselves() {
    if !lab::inside("late::late_machines_follow_by_themselves") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (front, w1, w2) = (Node::new("front", 11), Node::new("w1", 12), Node::new("w2", 13));
        let lab = Lab::with(&[&front, &w1]);
        let facts = vec![
            lab.facts(0, "front", &front),
            lab.facts(1, "worker", &w1),
            lab.facts(2, "worker", &w2),
            lab.facts(3, "other", &Node::new("none", 94)),
        ];
        let configures = vec![configure("work", WORK), configure("peers", PEERS)];
        let items = vec![item("worker", "work", 1), item("front", "peers", 1), item("front", "work", 2)];
        let radl = document(&facts, configures, items);
        let (_vms, receiver) = watch::channel(Arc::new(facts));
        let key = keys::generate(Default::default()).unwrap();
        let memory = Arc::new(Memory::default());
        let job = || {
            let mut job = job(radl.clone(), receiver.clone(), 1, &key);
            job.settings = Arc::new(Settings { wait_ssh: Duration::from_secs(50), ..settings() });
            job
        };
        let task = start(job(), &memory, CancellationToken::new());
        memory.until("the machine that is there", |seen| seen.results.get(&1) == Some(&Ok(()))).await;
        task.abort();
        let _ = task.await;
        assert!(lab.path(&w1, "/var/tmp/worked").exists());
        {
            let seen = memory.0.lock().unwrap();
            assert!(seen.said("VMs 2, 3 cannot be reached yet. The others begin;"), "{:?}", seen.infrastructure);
            let waits = "Step 1 of system front waits for VMs 2, 3: one of its recipes looks at other machines.";
            assert!(seen.said(waits), "{:?}", seen.infrastructure);
            assert!(!seen.results.contains_key(&0), "{:?}", seen.results);
        }

        lab.start(&w2);
        let mut again = job();
        again.progress = memory.0.lock().unwrap().progress.clone();
        let task = start(again, &memory, CancellationToken::new());
        memory.until("the late machine", |seen| seen.results.get(&2) == Some(&Ok(()))).await;
        assert!(lab.path(&w2, "/var/tmp/worked").exists());
        assert!(!lab.path(&front, "/var/tmp/peers").exists());
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        assert_eq!(seen.results[&0], Ok(()), "{}", seen.logs[&0]);
        assert_eq!(seen.results[&3].clone().unwrap_err().code, ErrorCode::SshTimeout);
        assert_eq!(std::fs::read_to_string(lab.path(&front, "/var/tmp/peers")).unwrap(), "worker-1 worker-2 ");
        assert!(lab.path(&front, "/var/tmp/worked").exists());
        for vm in [1, 2] {
            let log = &seen.logs[&vm];
            assert!(log.matches("Launch task: work_worker\n").count() == 1 && !log.contains("ERROR"), "{log}");
        }
        let last = seen.infrastructure.last().unwrap();
        assert_eq!(last, "Contextualization finished: 3 configured, 1 failed (ids: 3)");
    });
}
