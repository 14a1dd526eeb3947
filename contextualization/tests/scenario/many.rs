//! Many machines, with events of a recorded run instead of Ansible.

use crate::{
    checkpoints::Memory,
    documents::{configure, contextualize, document, item, job},
    lab::{self, Lab, Node},
};
use contextualization::{Outcome, VmFacts, ssh::keys};
use std::sync::Arc;
use tokio::sync::watch;

/// Machines besides the master; all of them are one node with as many addresses.
const WORKERS: u32 = 99;

const FAKE: &str = concat!(
    "cat > \"$root/usr/local/bin/ansible-playbook\" <<'FAKE'\n",
    include_str!("fake_ansible.py"),
    "\nFAKE\nchmod 755 \"$root/usr/local/bin/ansible-playbook\"\n"
);

/// A run of the fake.
struct Ran {
    playbook: String,
    hosts: usize,
    begin: f64,
    end: f64,
}

fn runs(lab: &Lab, front: &Node) -> Vec<Ran> {
    let (_, text) = lab.shell(front, "cat /var/tmp/runs; rm /var/tmp/runs");
    let number = |word: &str| word.parse().unwrap();
    let run = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        [playbook, hosts, begin, end] => {
            Ran { playbook: playbook.to_owned(), hosts: hosts.parse().unwrap(), begin: number(begin), end: number(end) }
        }
        _ => panic!("{line}"),
    };
    text.lines().map(run).collect()
}

fn memory_now() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// One connection to the master, one run per step and system, at most four runs at once, and little memory.
///
/// Cases: L-19, L-20.
#[test]
fn a_hundred_machines() {
    if !lab::inside("many::a_hundred_machines") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let front = Node { setup: FAKE, ..Node::new("front", 11) };
        let farm = Node::new("farm", 12);
        let lab = Lab::with(&[&front, &farm]);
        let addresses: String = (0..WORKERS).map(|n| format!("ip addr add 10.77.0.{}/24 dev eth0;", 100 + n)).collect();
        assert!(lab.shell(&farm, &addresses).0);
        let key = keys::generate(Default::default()).unwrap();
        let machine = |number: u32, system: &str| -> VmFacts {
            let node = Node { links: vec![(0, 99 + u8::try_from(number).unwrap())], ..farm.clone() };
            lab.facts(number, system, &node)
        };

        // One system.
        let mut facts = vec![lab.facts(0, "front", &front)];
        facts.extend((1..=WORKERS).map(|number| machine(number, "worker")));
        let radl = document(&facts, vec![configure("work", "- tasks: []\n")], vec![item("worker", "work", 1)]);
        let (_vms, receiver) = watch::channel(Arc::new(facts));
        let before = memory_now();
        let memory = Arc::new(Memory::default());
        assert_eq!(contextualize(job(radl, receiver, 1, &key), &memory).await, Outcome::Done, "{}", memory.dump());
        let grown = memory_now().saturating_sub(before);
        assert!(grown < 20 << 20, "{} MiB", grown >> 20);
        let seen = std::mem::take(&mut *memory.0.lock().unwrap());
        assert!(seen.results.len() == 100 && seen.results.values().all(Result::is_ok), "{:?}", seen.results);
        let log = &seen.logs[&57];
        assert!(log.contains("TASK [Say]") && log.matches("\"msg\": \"hello\"").count() == 2, "{log}");
        let ran = runs(&lab, &front);
        let counts: Vec<(&str, usize)> = ran.iter().map(|run| (run.playbook.as_str(), run.hosts)).collect();
        assert_eq!(counts, [("basic_task_all.yml", 100), ("work_worker_task_all.yml", 99)]);
        let connections = |lab: &Lab| lab.sshd_log(&front).matches("Accepted publickey").count();
        assert!(connections(&lab) <= 2, "{}", lab.sshd_log(&front));

        // Twenty systems, each with its recipe in the same step.
        let first = connections(&lab);
        let system = |number: u32| format!("system{:02}", number % 20);
        let mut facts = vec![lab.facts(0, "front", &front)];
        facts.extend((1..=WORKERS).map(|number| machine(number, &system(number))));
        let items = (0..20).map(|number| item(&system(number), "work", 1)).collect();
        let radl = document(&facts, vec![configure("work", "- tasks: []\n")], items);
        let (_vms, receiver) = watch::channel(Arc::new(facts));
        let memory = Arc::new(Memory::default());
        assert_eq!(contextualize(job(radl, receiver, 2, &key), &memory).await, Outcome::Done, "{}", memory.dump());
        assert!(memory.0.lock().unwrap().results.values().all(Result::is_ok));
        let ran = runs(&lab, &front);
        assert_eq!(ran.len(), 21);
        let at_once = |run: &Ran| ran.iter().filter(|other| other.begin <= run.begin && run.begin < other.end).count();
        let most = ran.iter().map(at_once).max().unwrap();
        assert!((2..=4).contains(&most), "{most} runs at once");
        assert!(connections(&lab) - first <= 2, "{}", lab.sshd_log(&front));
        let grown = memory_now().saturating_sub(before);
        assert!(grown < 20 << 20, "{} MiB", grown >> 20);
    });
}
