//! Who is contextualized, with what, and in which order.

use crate::{
    checkpoints::Memory,
    documents::{configure, contextualize, document, item, job},
    lab::{self, Lab, Node},
};
use contextualization::{Outcome, VmFacts, ssh::keys};
use radl::{Configure, Contextualize, ContextualizeItem, Radl, Value};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

const DISABLED: &str = "Contextualization disabled by the RADL/TOSCA template.\n\n";

/// A recipe that leaves its name and the time on every machine it runs on.
fn trace(name: &str) -> Configure {
    let recipe = format!("- tasks:\n    - name: Trace\n      shell: echo {name} >> /var/tmp/trace\n");
    configure(name, &recipe)
}

fn with(tool: &str, item: ContextualizeItem) -> ContextualizeItem {
    ContextualizeItem { tool: Some(tool.to_owned()), ..item }
}

/// `configure NAME ()`
fn off(name: &str) -> Configure {
    Configure { name: name.to_owned(), ..Configure::default() }
}

/// Cases: D-03, D-05, D-13 (nobody logs in anywhere: the machines do not even exist). With cloud-init alone it is the same;
/// what its caller has to say about it comes first.
#[tokio::test]
async fn switched_off_for_all() {
    let lab = Lab::new();
    let (a, b) = (Node::new("a", 21), Node::new("b", 22));
    let facts = vec![lab.facts(0, "a", &a), lab.facts(1, "b", &b)];
    let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
    let key = keys::generate(Default::default()).unwrap();
    let none = || Some(Contextualize::default());
    let cloud_init = vec![with("cloud_init", item("a", "a", 0))];
    let documents = [
        Radl { contextualize: none(), ..document(&facts, vec![trace("a")], vec![]) },
        document(&facts, vec![configure("a", "packages: [x]")], cloud_init),
        document(&facts, vec![off("a"), off("b")], vec![]),
    ];
    for (generation, radl) in (1..).zip(documents) {
        let memory = Arc::new(Memory::default());
        let warning = "WARNING: the configure a is left out.";
        let mut job = job(radl, receiver.clone(), generation, &key);
        job.notes.extend((generation == 2).then(|| warning.to_owned()));
        assert_eq!(contextualize(job, &memory).await, Outcome::Done);
        let seen = memory.0.lock().unwrap();
        let wanted: &[&str] = if generation == 2 { &[warning, DISABLED] } else { &[DISABLED] };
        assert_eq!(seen.infrastructure, wanted);
        assert_eq!(seen.results, BTreeMap::from([(0, Ok(())), (1, Ok(()))]));
        assert_eq!(seen.logs, BTreeMap::new());
    }
}

/// Cases: D-01, D-02, D-04, D-06, D-09, D-10, D-11, D-12, M-26.
#[test]
fn steps_and_machines() {
    if !lab::inside("deciding::steps_and_machines") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (dead, front, w1) = (Node::new("dead", 21), Node::new("front", 22), Node::new("w1", 23));
        // The first machine does not exist, and is switched off.
        let lab = Lab::with(&[&front, &w1]);
        let facts: Vec<VmFacts> =
            vec![lab.facts(0, "off", &dead), lab.facts(1, "front", &front), lab.facts(2, "worker", &w1)];
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let traces = |node: &Node| std::fs::read_to_string(lab.path(node, "/var/tmp/trace")).unwrap_or_default();

        // Options alone change nothing: the configure of a system's name runs on it, at step 1.
        let memory = Arc::new(Memory::default());
        let mut radl = document(&facts, vec![trace("front"), off("off"), trace("other")], vec![]);
        let mut section = Contextualize::default();
        let option = |text: &str| Value::Text { operator: radl::Operator::Eq, text: text.to_owned(), line: 0 };
        section.options.insert("ctxt_strategy".to_owned(), option("sideways"));
        radl.contextualize = Some(section);
        let outcome = contextualize(job(radl, receiver.clone(), 1, &key), &memory).await;
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            assert_eq!(seen.results, BTreeMap::from([(0, Ok(())), (1, Ok(())), (2, Ok(()))]), "{:?}", seen.logs);
            assert_eq!(seen.master, Some(1));
            assert_eq!(seen.logs[&0], "Contextualization disabled\n");
            assert!(seen.logs[&1].contains("Launch task: front_front\n"), "{}", seen.logs[&1]);
            assert_eq!(seen.logs[&2].matches("Launch task: ").count(), 1, "{}", seen.logs[&2]);
            let told = |words: &str| seen.infrastructure.iter().any(|line| line.contains(words));
            assert!(
                told("options only") && told("WARNING: option ctxt_strategy: 'sideways'"),
                "{:?}",
                seen.infrastructure
            );
        }
        assert_eq!((traces(&front).as_str(), traces(&w1).as_str()), ("front\n", ""));
        let conf = "/var/tmp/.im/8a1cf2f5-0000-4000-8000-000000000001";
        for file in ["/etc/hosts", &format!("{conf}/etc_hosts"), &format!("{conf}/hosts")] {
            let text = std::fs::read_to_string(lab.path(&front, file)).unwrap();
            let absent =
                if file.ends_with("/etc/hosts") || file.ends_with("etc_hosts") { "10.77.0.21" } else { "10.77.0.21_0" };
            assert!(text.contains(&w1.ip()) && !text.contains(absent), "{file}: {text}");
        }

        // Steps with gaps, a tool per item, an empty configure, a pair that is given twice.
        let memory = Arc::new(Memory::default());
        let mut twice = Contextualize::default();
        twice.add_items([
            item("front", "late", 1),
            item("front", "early", 5),
            item("front", "empty", 7),
            with("cloud_init", item("worker", "other", 0)),
            item("front", "late", 50),
        ]);
        let configures = vec![trace("late"), trace("early"), configure("empty", "\n"), trace("other"), off("off")];
        let radl = Radl { contextualize: Some(twice), ..document(&facts, configures, vec![]) };
        let outcome = contextualize(job(radl, receiver.clone(), 2, &key), &memory).await;
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        assert_eq!(seen.results, BTreeMap::from([(0, Ok(())), (1, Ok(())), (2, Ok(()))]), "{:?}", seen.logs);
        assert_eq!((traces(&front).as_str(), traces(&w1).as_str()), ("front\nearly\nlate\n", ""));
        let told = |words: &str| seen.infrastructure.iter().any(|line| line.contains(words));
        assert!(told("configure late of system front is given twice: step 50 is used"), "{:?}", seen.infrastructure);
        assert!(told("The configure empty is empty"), "{:?}", seen.infrastructure);
    });
}
