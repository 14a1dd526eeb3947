//! Life of a contextualization: cancelled, superseded, late and lost runs.

use crate::{
    documents::{configure, contextualize, document, job, processes, start},
    journal::{Memory, Seen},
    lab::{self, Lab, Node},
};
use contextualization::{ErrorCode, Outcome, ssh::keys};
use std::{
    collections::BTreeMap,
    process::Command,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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
    if !lab::inside("lifecycle::cancelled_late_and_lost_runs") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::new("front", 11);
        let lab = Lab::with(&[&front]);
        let facts = vec![lab.facts(0, "front", &front)];
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate().unwrap();
        let slow = || document(&facts, vec![configure("front", SLOW)], vec![]);
        let sleeping = |seen: &Seen| seen.logs.get(&0).is_some_and(|log| log.contains("TASK [Slow]"));

        // Cancelled: nothing is left on the machine.
        let memory = Arc::new(Memory::default());
        let cancel = CancellationToken::new();
        let task = start(job(slow(), receiver.clone(), 1, &key), &memory, cancel.clone());
        memory.until("the slow task", sleeping).await;
        let began = Instant::now();
        cancel.cancel();
        assert_eq!(task.await.unwrap(), Outcome::Cancelled);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!((processes("sleep 4242"), processes("ansible playbook")), (vec![], vec![]));
        assert_eq!(memory.0.lock().unwrap().results, BTreeMap::new());

        // Superseded: the next generation ends the run of one whose daemon was killed.
        let memory = Arc::new(Memory::default());
        let task = start(job(slow(), receiver.clone(), 2, &key), &memory, CancellationToken::new());
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
        let task = start(job(brief, receiver, 4, &key), &memory, CancellationToken::new());
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
