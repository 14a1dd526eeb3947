//! External Ansible hosts: used in the place of a master, each for its machines.

use crate::{
    documents::{configure, document, job},
    keeper::Keeper,
    lab::{self, Lab, Node},
};
use contextualization::{ErrorCode, KeyPair, Outcome, VmError, VmFacts, ssh::keys};
use radl::{AnsibleHost, Features, Radl, Value};
use std::{os::unix::fs::PermissionsExt, process::Command, sync::Arc};
use tempfile::TempDir;

const RECIPE: &str = "
- tasks:
    - name: Say where
      debug: {msg: 'from [{{ IM_MASTER_HOSTNAME }}] [{{ IM_MASTER_DOMAIN }}] [{{ IM_MASTER_FQDN }}] {{ lookup(\"pipe\", \"hostname\") }}'}
    - name: Of a peer
      debug: {msg: \"peer {{ hostvars[groups['far'][0]]['IM_NODE_PRIVATE_IP'] | default('none') }}\"}
    - name: Slow
      command: sleep 2
";

const ROLE_FIRST: &str = "
- roles: [lab.said]
- tasks:
    - name: Say where
      debug: {msg: 'from [{{ IM_MASTER_HOSTNAME }}] [{{ IM_MASTER_DOMAIN }}] [{{ IM_MASTER_FQDN }}] {{ lookup(\"pipe\", \"hostname\") }}'}
    - name: Of a peer
      debug: {msg: \"peer {{ hostvars[groups['far'][0]]['IM_NODE_PRIVATE_IP'] | default('none') }}\"}
    - name: Slow
      command: sleep 2
";

/// A directory of archives with the role `lab.said`.
fn role() -> TempDir {
    let made = tempfile::tempdir().unwrap();
    for (file, text) in [
        (
            "said/meta/main.yml",
            "galaxy_info: {author: lab, description: test, license: none, min_ansible_version: '2.9'}\n",
        ),
        ("said/tasks/main.yml", "- name: Speak\n  debug: {msg: \"a role of {{ lookup('pipe', 'hostname') }}\"}\n"),
    ] {
        let path = made.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let archive = made.path().join("lab.said-1.0.tar.gz");
    let tar = Command::new("tar").arg("-czf").arg(archive).arg("-C").arg(made.path()).arg("said").status().unwrap();
    assert!(tar.success());
    made
}

fn host(id: &str, features: &[(&str, &str)]) -> AnsibleHost {
    let mut all = Features::new();
    features.iter().for_each(|(name, value)| all.set_text(name, value));
    AnsibleHost { id: id.to_owned(), features: all, line: 0 }
}

/// Facts of a machine that nobody but the external hosts reaches, with a host named by its system.
fn inner(lab: &Lab, id: u32, system: &str, node: &Node, ansible_host: Option<&str>) -> VmFacts {
    let mut facts = lab.facts(id, system, node);
    if let Some(name) = ansible_host {
        Arc::make_mut(&mut facts.info).systems[0].features.set_text("ansible_host", name);
    }
    facts
}

/// Two infrastructures whose machines have private addresses only are configured from external hosts, by accounts without
/// any privilege: the first host by its key, the second, which one system asks for, by its password. The daemon dies in
/// the middle and goes on. Both infrastructures use the first host at once and share nothing there. A host that shows
/// another key than before is refused. The role that one system asks for is on both hosts.
///
/// Cases: B-09, K-08.
#[test]
fn in_the_place_of_a_master() {
    if !lab::inside("ansible_hosts::in_the_place_of_a_master") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let first = Node { links: vec![(0, 21), (1, 21)], sudoers: "", ..Node::new("ctl1", 21) };
        let second =
            Node { links: vec![(0, 22), (1, 22)], sudoers: "", ..Node::with_password("ctl2", 22, "host's \"pw\": 1") };
        let near = Node { links: vec![(1, 31)], ..Node::new("near", 31) };
        let far = Node { links: vec![(1, 32)], ..Node::new("far", 32) };
        let other = Node { links: vec![(1, 33)], ..Node::new("other", 33) };
        let lab = Lab::with(&[&first, &second, &near, &far, &other]);
        let hosts = vec![
            host(
                "one",
                &[
                    ("host", "10.77.0.21"),
                    ("credentials.username", "cloud"),
                    ("credentials.private_key", &lab.key.private),
                ],
            ),
            host(
                "two",
                &[
                    ("host", "10.77.0.22"),
                    ("credentials.username", "cloud"),
                    ("credentials.password", "host's \"pw\": 1"),
                ],
            ),
            // Nobody uses it, so that it does not matter that nothing is there.
            host("three", &[("host", "10.77.0.99"), ("credentials.username", "u"), ("credentials.password", "p")]),
        ];
        let radl = |facts: &[VmFacts], names: &[&str]| -> Radl {
            let recipe = |name: &&str| configure(name, if *name == "near" { ROLE_FIRST } else { RECIPE });
            let recipes = names.iter().map(recipe).collect();
            let mut radl = Radl { ansible_hosts: hosts.clone(), ..document(facts, recipes, vec![]) };
            if let Some(near) = radl.systems.iter_mut().find(|system| system.name == "near") {
                let mut application = Features::new();
                application.set_text("name", "ansible.roles.lab.said");
                let wanted = Value::Contains(Box::new(
                    [("ansible.roles.lab.said".to_owned(), application)].into_iter().collect(),
                ));
                near.features.set("disk.0.applications", wanted);
            }
            radl
        };
        let archives = role();
        let (key, other_key) =
            (keys::generate(Default::default()).unwrap(), keys::generate(Default::default()).unwrap());
        let facts = [inner(&lab, 0, "near", &near, None), inner(&lab, 1, "far", &far, Some("two"))];
        let keeper = Keeper::new(&facts);
        let one = |generation| {
            let mut job = job(radl(&facts, &["near", "far"]), keeper.vms.subscribe(), generation, &key);
            job.progress = keeper.memory.0.lock().unwrap().progress.clone();
            Arc::make_mut(&mut job.settings).galaxy_dir = Some(archives.path().to_owned());
            job
        };
        // The second infrastructure, at the same time.
        let facts_of_other = [inner(&lab, 0, "far", &other, Some("one"))];
        let other_keeper = Keeper::new(&facts_of_other);
        let mut second_job = job(radl(&facts_of_other, &["far"]), other_keeper.vms.subscribe(), 1, &other_key);
        second_job.infrastructure = "8a1cf2f5-0000-4000-8000-000000000002".to_owned();
        let other_task = tokio::spawn({
            let keeper = Arc::clone(&other_keeper);
            async move { keeper.contextualize(second_job).await }
        });
        // The daemon dies while both hosts are at work.
        let task = tokio::spawn({
            let (keeper, job) = (Arc::clone(&keeper), one(1));
            async move { keeper.contextualize(job).await }
        });
        let slow = |log: &String| log.contains("TASK [Slow]");
        keeper.memory.until("both recipes", |seen| seen.logs.values().filter(|log| slow(log)).count() == 2).await;
        task.abort();
        let _ = task.await;
        assert_eq!(keeper.contextualize(one(1)).await, Outcome::Done, "{}", keeper.memory.dump());
        assert_eq!(other_task.await.unwrap(), Outcome::Done, "{}", other_keeper.memory.dump());

        let known = {
            let seen = keeper.memory.0.lock().unwrap();
            assert!(seen.results.len() == 2 && seen.results.values().all(Result::is_ok), "{:#?}", seen.logs);
            assert_eq!(seen.master, None);
            assert!(seen.logs[&0].contains("\"msg\": \"a role of ctl1\""), "{}", seen.logs[&0]);
            assert!(!seen.infrastructure.iter().any(|line| line.contains("Select master VM")));
            for (vm, ip, name) in [(0, "10.77.0.21", "ctl1"), (1, "10.77.0.22", "ctl2")] {
                let log = &seen.logs[&vm];
                assert!(log.contains(&format!("\"msg\": \"from [{ip}] [] [{ip}] {name}\"")), "{log}");
                assert!(log.contains("\"msg\": \"peer 10.77.1.32\""), "{log}");
                for once in ["TASK [Slow] **", "TASK [Prepare the machine]", "Launch task: basic\n"] {
                    assert_eq!(log.matches(once).count(), 1, "{once}:\n{log}");
                }
            }
            seen.ansible_host_keys.clone()
        };
        let ids = ["8a1cf2f5-0000-4000-8000-000000000001", "8a1cf2f5-0000-4000-8000-000000000002"];
        let conf_dir = |node: &Node, id: &str| lab.path(node, &format!("/var/tmp/.im/{id}"));
        let private_key = |id: &str| std::fs::read_to_string(conf_dir(&first, id).join("ansible_key")).unwrap();
        let facts_of = |node: &Node, id: &str| -> Vec<String> {
            let cached = std::fs::read_dir(conf_dir(node, id).join("facts")).unwrap();
            cached.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let pairs: [(&str, &KeyPair, &str); 2] = [(ids[0], &key, "10.77.1.31_0"), (ids[1], &other_key, "10.77.1.33_0")];
        for (id, pair, host) in pairs {
            assert_eq!(std::fs::metadata(conf_dir(&first, id)).unwrap().permissions().mode() & 0o7777, 0o700);
            assert_eq!(private_key(id), pair.private);
            assert_eq!(facts_of(&first, id), [host]);
        }
        assert_eq!(facts_of(&second, ids[0]), ["10.77.1.32_1"]);
        assert!(!conf_dir(&second, ids[1]).exists());
        assert_eq!(known.keys().collect::<Vec<_>>(), ["one", "two"]);

        // Another host under a known address.
        let mut again = one(2);
        again.progress = serde_json::Value::Null;
        keeper.memory.0.lock().unwrap().results.clear();
        again.ansible_host_keys = known;
        again.ansible_host_keys.insert("two".to_owned(), keys::generate(Default::default()).unwrap().public);
        let Outcome::Failed(why) = keeper.contextualize(again).await else { panic!("{}", keeper.memory.dump()) };
        assert!(why.contains("ansible host two cannot be used") && why.contains("key"), "{why}");
        let seen = keeper.memory.0.lock().unwrap();
        let shared = |result: &Result<(), VmError>| result.as_ref().is_err_and(|e| e.code == ErrorCode::HostkeyChanged);
        assert!(seen.results.values().all(shared), "{:?}", seen.results);
    });
}
