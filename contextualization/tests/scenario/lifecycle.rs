//! Life of a contextualization: cancelled, superseded, late and lost runs.

use crate::{
    checkpoints::{Memory, Seen},
    documents::{configure, contextualize, document, item, job, processes, settings, start},
    lab::{self, Lab, Node},
};
use contextualization::{Attempt, ErrorCode, Outcome, Settings, VmPower, ssh::keys};
use std::{
    collections::BTreeMap,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};
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

/// Cases: L-10, L-11, L-16.
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
        let key = keys::generate(Default::default()).unwrap();
        let slow = || document(&facts, vec![configure("front", SLOW)], vec![]);
        let sleeping = |seen: &Seen| seen.logs.get(&0).is_some_and(|log| log.contains("TASK [Slow]"));

        // Cancelled while Ansible is being sent, then while a task runs: nothing is left on the machine.
        let early = Arc::new(Memory::default());
        let cancel = CancellationToken::new();
        let task = start(job(slow(), receiver.clone(), 1, &key), &early, cancel.clone());
        early.until("the bootstrap", |seen| seen.said("Configure Ansible")).await;
        cancelled(cancel, task).await;
        let first = early.dump();
        assert!(!first.contains("Ansible successfully configured"), "{first}");
        let memory = Arc::new(Memory::default());
        let cancel = CancellationToken::new();
        let task = start(job(slow(), receiver.clone(), 2, &key), &memory, cancel.clone());
        memory.until("the slow task", sleeping).await;
        cancelled(cancel, task).await;
        assert_eq!((processes("sleep 4242"), processes("ansible playbook")), (vec![], vec![]));
        assert_eq!(memory.0.lock().unwrap().results, BTreeMap::new());
        let second = memory.dump();

        // Superseded: the next generation ends the run of one whose daemon was killed.
        let superseded = Arc::new(Memory::default());
        let task = start(job(slow(), receiver.clone(), 3, &key), &superseded, CancellationToken::new());
        superseded.until("the slow task", sleeping).await;
        task.abort();
        let _ = task.await;
        superseded.until("its process", |_| !processes("sleep 4242").is_empty()).await;

        // The supervisor is killed: the run is repeated once, and what was left of it is gone.
        let memory_again = Arc::new(Memory::default());
        let brief = document(&facts, vec![configure("front", BRIEF)], vec![]);
        let task = start(job(brief, receiver, 4, &key), &memory_again, CancellationToken::new());
        let begun = |seen: &Seen| seen.logs.get(&0).is_some_and(|log| log.contains("TASK [Brief]"));
        memory_again.until("the brief task", begun).await;
        assert_eq!(processes("sleep 4242"), Vec::<i32>::new());
        let supervisors = processes("runner.py /var/tmp/.im/8a1cf2f5-0000-4000-8000-000000000001 start");
        assert!(!supervisors.is_empty());
        for pid in supervisors {
            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        }
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory_again.dump());
        // What was cancelled wrote nothing since.
        assert_eq!((early.dump(), memory.dump()), (first, second));
        let seen = memory_again.0.lock().unwrap();
        assert_eq!(seen.results[&0], Ok(()));
        let log = &seen.logs[&0];
        assert!(log.contains("ERROR executing task front_front: (1/2)\nCause: [RUNNER_LOST]"), "{log}");
        assert_eq!(log.matches("TASK [Brief]").count(), 2, "{log}");
    });
}

async fn cancelled(cancel: CancellationToken, task: JoinHandle<Outcome>) {
    let began = Instant::now();
    cancel.cancel();
    assert_eq!(task.await.unwrap(), Outcome::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// Time is over while one machine works in step 2, another one has done its part of it and has step 3 before it, and a
/// third one is ready.
///
/// Cases: L-11.
#[test]
fn time_is_over() {
    if !lab::inside("lifecycle::time_is_over") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::new("front", 11);
        let lab = Lab::with(&[&front]);
        let (late, ready) = (lab.alias(&front, 12), lab.alias(&front, 13));
        let facts = vec![lab.facts(0, "front", &front), lab.facts(1, "late", &late), lab.facts(2, "ready", &ready)];
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let configures = vec![configure("slow", SLOW), configure("quick", "- tasks: [{debug: {msg: done}}]\n")];
        let items = vec![
            item("front", "slow", 2),
            item("late", "quick", 2),
            item("late", "slow", 3),
            item("ready", "quick", 1),
        ];
        let radl = document(&facts, configures, items);
        let memory = Arc::new(Memory::default());
        let task = start(job(radl.clone(), receiver.clone(), 1, &key), &memory, CancellationToken::new());
        let in_step_2 = |seen: &Seen| {
            let has = |vm, text| seen.logs.get(&vm).is_some_and(|log: &String| log.contains(text));
            has(0, "TASK [Slow]") && has(1, "Task quick_late finished successfully")
        };
        memory.until("step 2", in_step_2).await;
        // The daemon is started again when little time is left.
        task.abort();
        let _ = task.await;
        let mut rest = job(radl, receiver, 1, &key);
        rest.progress = memory.0.lock().unwrap().progress.clone();
        rest.deadline = tokio::time::Instant::now() + Duration::from_secs(2);
        assert_eq!(contextualize(rest, &memory).await, Outcome::TimedOut);
        let seen = memory.0.lock().unwrap();
        assert_eq!(seen.infrastructure.last().unwrap(), "ERROR: Max contextualization time passed.");
        let codes: Vec<_> = seen.results.values().map(|result| result.as_ref().map_err(|error| error.code)).collect();
        assert_eq!(codes, [Err(ErrorCode::Timeout), Err(ErrorCode::Timeout), Ok(&())], "{:#?}", seen.results);
        assert!(seen.logs[&0].contains("\nCause: [TIMEOUT] time is over\nHint: "), "{}", seen.logs[&0]);
        assert_eq!(processes("sleep 4242"), Vec::<i32>::new());
        // The followers of the runs end soon after their connection.
        let limit = Instant::now() + Duration::from_secs(10);
        while !processes("runner.py").is_empty() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(processes("runner.py"), Vec::<i32>::new());
    });
}

/// The master is switched off in the middle: another one goes on. What is done for a machine is not done again.
///
/// Cases: M-04, L-09.
#[test]
fn another_master_goes_on() {
    if !lab::inside("lifecycle::another_master_goes_on") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (front, back) = (Node::new("front", 11), Node::new("back", 12));
        let lab = Lab::with(&[&front, &back]);
        let steady = lab.alias(&back, 13);
        let facts = vec![
            lab.facts(0, "front", &front),
            lab.facts(1, "back", &back),
            lab.facts(2, "worker", &steady),
            lab.facts(3, "worker", &lab.alias(&back, 14)),
            lab.facts(4, "other", &lab.alias(&back, 15)),
        ];
        let (vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let configures = vec![configure("first", FIRST), configure("hang", HANGS_ONCE)];
        let items = vec![item("back", "first", 1), item("worker", "hang", 2), item("other", "first", 2)];
        let memory = Arc::new(Memory::default());
        let mut third = job(document(&facts, configures, items), receiver, 1, &key);
        let mut settings = settings();
        settings.playbook_retries = 3;
        third.settings = Arc::new(settings);
        let task = start(third, &memory, CancellationToken::new());
        // The second attempt of VM 3, after the first one of VM 2 went well.
        let hangs = |seen: &Seen| {
            let other = seen.logs.get(&4).is_some_and(|log| log.contains("Task first_other finished successfully"));
            other && seen.logs.get(&3).is_some_and(|log| log.contains("TASK [Hang]"))
        };
        memory.until("the task that hangs", |seen| hangs(seen) && lab.path(&back, "/var/tmp/hung").exists()).await;
        assert_eq!(memory.0.lock().unwrap().master, Some(0));
        lab.kill(&front);
        let mut after = facts.clone();
        after[0].power = VmPower::Down;
        // One that is deleted during its step is missed by nobody.
        after.remove(4);
        vms.send_modify(|all| *all = Arc::new(after));
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        assert_eq!(seen.master, Some(1));
        assert!(
            seen.said("WARNING: the master VM was switched off: a master is prepared again."),
            "{:?}",
            seen.infrastructure
        );
        for vm in 1..4 {
            assert_eq!(seen.results[&vm], Ok(()), "{}", seen.logs[&vm]);
        }
        assert!(!seen.results.get(&4).is_some_and(Result::is_err), "{:?}", seen.results);
        let lost = "ERROR executing task hang_worker: (2/3)\nCause: [MASTER_LOST] the master VM was switched off\n";
        assert!(seen.logs[&3].contains(lost), "{}", seen.logs[&3]);
        let (_, first) = lab.shell(&back, "sort /var/tmp/first | uniq -c | tr -s ' '");
        assert_eq!(first, " 1 1\n 1 4\n", "step 1 and the other lane happened once");
        let (_, worked) = lab.shell(&back, "sort /var/tmp/hang | uniq -c | tr -s ' '");
        assert_eq!(worked, " 1 2\n 3 3\n", "VM 2 was ready after the first attempt");
    });
}

/// The master is restarted while a task runs: the step is repeated and succeeds. A recipe that restarts it every time ends
/// with an error after the second attempt, even when the restart takes all files with it.
///
/// Cases: L-14, R-26.
#[test]
fn restarted_master() {
    if !lab::inside("lifecycle::restarted_master") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::new("front", 11);
        let lab = Lab::with(&[&front]);
        let facts = vec![lab.facts(0, "front", &front)];
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let begun = |count: usize| {
            move |seen: &Seen| seen.logs.get(&0).is_some_and(|log| log.matches("TASK [Hang]").count() == count)
        };

        let memory = Arc::new(Memory::default());
        let mut once =
            job(document(&facts, vec![configure("front", RESTARTS_ONCE)], vec![]), receiver.clone(), 1, &key);
        // Below a directory that outlives a restart.
        once.settings = Arc::new(Settings { remote_conf_dir: "/srv/im".to_owned(), ..settings() });
        lab.shell(&front, "install -d -o 1999 /srv/im");
        let task = start(once, &memory, CancellationToken::new());
        memory.until("the task", |_| lab.path(&front, "/srv/once").exists()).await;
        lab.kill(&front);
        lab.start_again(&front);
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            let log = &seen.logs[&0];
            assert_eq!(seen.results[&0], Ok(()), "{log}");
            let restarted = "ERROR executing task front_front: (1/2)\nCause: [MASTER_LOST] the master was restarted";
            assert!(log.contains(restarted) && log.matches("TASK [Hang]").count() == 2, "{log}");
        }

        let memory = Arc::new(Memory::default());
        let always = job(document(&facts, vec![configure("front", HANGS)], vec![]), receiver, 2, &key);
        let task = start(always, &memory, CancellationToken::new());
        for attempt in 1..=2 {
            memory.until("the task", begun(attempt)).await;
            lab.kill(&front);
            lab.start_again(&front);
        }
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        let error = seen.results[&0].clone().unwrap_err();
        assert_eq!(error.code, ErrorCode::MasterLost);
        assert_eq!(error.details.unwrap().attempt, Some(Attempt { number: 2, of: 2 }));
        let log = &seen.logs[&0];
        assert!(log.contains("Cause: [MASTER_LOST] ") && log.contains("\nHint: "), "{log}");
        assert_eq!(log.matches("TASK [Hang]").count(), 2, "{log}");
    });
}

const FIRST: &str = "
- tasks:
    - name: First
      shell: echo {{ IM_NODE_NUM }} >> /var/tmp/first
";
/// VM 3 fails in its first attempt and hangs in the second one.
const HANGS_ONCE: &str = "
- tasks:
    - name: Count
      shell: echo {{ IM_NODE_NUM }} >> /var/tmp/hang
    - name: Fails at first
      shell: test -e /var/tmp/tried || { touch /var/tmp/tried; exit 1; }
      when: IM_NODE_NUM == '3'
    - name: Hang
      shell: test -e /var/tmp/hung || { touch /var/tmp/hung; sleep 600; }
      when: IM_NODE_NUM == '3'
";
const RESTARTS_ONCE: &str = "
- tasks:
    - name: Hang
      shell: test -e /srv/once || { touch /srv/once; sync; sleep 600; }
";
const HANGS: &str = "
- tasks:
    - name: Hang
      command: sleep 600
";
