//! Hostile documents, hostile users of the master, and where secrets may be.

use crate::{
    checkpoints::Memory,
    documents::{configure, contextualize, document, item, job, start},
    lab::{self, Lab, Node},
};
use contextualization::{Job, Outcome, VmFacts, ssh::keys};
use radl::{Features, Value};
use std::{fs, path::Path, sync::Arc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What would leave a file behind if a shell, Jinja, YAML or INI evaluated it.
const EVIL: &str = "x'\"; touch /var/tmp/owned-1; $(touch /var/tmp/owned-2) `touch /var/tmp/owned-3` \
                    {{ lookup('pipe', 'touch /var/tmp/owned-4') }} {% set x = lookup('pipe', 'touch /var/tmp/owned-5') %} \
                    key=value # : - &a *a !!python/object/apply:os.system ['touch /var/tmp/owned-6'] \\";
/// A password that says the same in fewer words: machines have their limits.
const PASSWORD: &str = "Canary-pw'\"$(touch /var/tmp/owned-7)`touch /var/tmp/owned-8`{{ 1 }}\\";
/// The part of it that no writing hides.
const CANARY: &str = "Canary-pw";
const TOKEN: &str = "token-of-this-infrastructure";

/// Shows what it was given, and waits for the test to look around.
const RECIPE: &str = r"
- tasks:
    - name: Show
      debug:
        msg: ['{{ IM_NODE_VMID }}', '{{ IM_NODE_HOSTNAME }}', '{{ ansible_become_password | default(0) }}', '{{ IM_INFRASTRUCTURE_RADL }}']
    - name: Wait
      shell: for i in $(seq 600); do test -e /var/tmp/go-on && break; sleep 0.1; done
      when: IM_NODE_NUM == '0'
    - name: Become
      shell: id -un
";

/// Sets what a tenant can choose freely to hostile values, also of a data disk.
fn hostile(mut facts: VmFacts, disk: bool) -> VmFacts {
    let mut info = (*facts.info).clone();
    let features = &mut info.systems[0].features;
    features.set_text("net_interface.0.dns_name", &format!("evil-#N#{EVIL}"));
    for (key, value) in disk
        .then_some([("device", "hdb"), ("fstype", "ext4"), ("mount_path", "/mnt/"), ("size", "1G")])
        .into_iter()
        .flatten()
    {
        features.set_text(&format!("disk.1.{key}"), &format!("{value}{EVIL}"));
    }
    let name = format!("app{EVIL}");
    let mut application = Features::new();
    application.set_text("name", &name);
    application.set_text("version", EVIL);
    application.set_text("path", EVIL);
    features.set("disk.0.applications", Value::Contains(Box::new([(name, application)].into_iter().collect())));
    facts.info = Arc::new(info);
    facts.provider_id = format!("i-{EVIL}");
    facts.cloud_server = EVIL.to_owned();
    facts
}

/// Files below a directory of this file system that hold a text, or whose names do.
fn holding(root: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(root) else { return found };
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if entry.file_name().to_string_lossy().contains(text) {
            found.push(path.display().to_string());
        }
        if kind.is_dir() {
            found.extend(holding(&path, text));
        } else if kind.is_file() && String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).contains(text) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Where users may write on a machine.
const PLACES: [&str; 6] = ["/var/tmp", "/tmp", "/home", "/root", "/dev/shm", "/etc"];

/// Command lines and environments of all processes but this one that hold a text.
fn processes_holding(text: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten().filter(|entry| *entry.file_name() != *own.as_str()) {
        // What made the machines knows their passwords.
        if fs::read(process.path().join("environ")).is_ok_and(|text| String::from_utf8_lossy(&text).contains("IM_LAB="))
        {
            continue;
        }
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(process.path().join(file)).unwrap_or_default();
            if String::from_utf8_lossy(&bytes).contains(text) {
                found.push(format!("{file}: {}", String::from_utf8_lossy(&bytes)));
            }
        }
    }
    found
}

/// One contextualization with hostile values everywhere: nothing is evaluated, neither here nor on a machine, and no
/// secret is where it can be read: log, arguments, environments, files of the master.
///
/// Findings: S2, S6, S8, S9, S14, S15.
/// Cases: I-08, I-09, I-11, I-13, K-03, M-25.
#[test]
fn hostile_values_and_secrets() {
    if !lab::inside("security::hostile_values_and_secrets") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::new("front", 11);
        let guarded = Node::with_password("guarded", 12, PASSWORD);
        let lab = Lab::with(&[&front, &guarded]);
        let facts = vec![lab.facts(0, "front", &front), hostile(lab.facts(1, "../../owned-9", &guarded), false), hostile(lab.facts(2, "disk", &lab.alias(&guarded, 13)), true)];
        let sudoers = |node| lab.shell(node, "cat /etc/sudoers /etc/sudoers.d/*; ls -d /etc/selinux").1;
        let before = [sudoers(&front), sudoers(&guarded)];
        let configures = vec![configure("show", RECIPE), configure("../../owned-10", "- tasks: []\n"), configure("a b;$(x)", RECIPE)];
        let items = vec![item("front", "show", 1), item("../../owned-9", "../../owned-10", 1), item("../../owned-9", "a b;$(x)", 2)];
        let radl = document(&facts, configures, items);
        let mut options = Features::new();
        options.set_text("ansible_version", EVIL);
        let version = options.get("ansible_version").unwrap().clone();
        let mut refused = radl.clone();
        refused.contextualize.as_mut().unwrap().options.insert("ansible_version".to_owned(), version);
        let (_vms, receiver) = watch::channel(Arc::new(facts));
        let memory = Arc::new(Memory::default());
        let key = keys::generate(Default::default()).unwrap();
        let private: String = lab.key.private.lines().nth(3).unwrap().to_owned();
        let ours: String = key.private.lines().nth(3).unwrap().to_owned();
        let outcome = contextualize(job(refused, receiver.clone(), 1, &key), &Arc::new(Memory::default())).await;
        let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
        assert!(why.contains("names no version of Ansible that is known"), "{why}");

        let task = start(job(radl, receiver, 2, &key), &memory, CancellationToken::new());
        let waits = |seen: &crate::checkpoints::Seen| seen.logs.get(&0).is_some_and(|log| log.contains("TASK [Wait]"));
        memory.until("the task that waits", waits).await;
        // While a run is under way.
        for secret in [CANARY, TOKEN, &private, &ours] {
            assert_eq!(processes_holding(secret), Vec::<String>::new());
        }
        lab.shell(&front, "touch /var/tmp/go-on");
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());

        let everything = memory.dump();
        let seen = memory.0.lock().unwrap();
        assert_eq!(seen.results[&0], Ok(()), "{}", seen.logs[&0]);
        for secret in [CANARY, TOKEN, &private, &ours] {
            assert!(!everything.contains(secret) && !seen.progress.to_string().contains(secret), "{secret}:\n{everything}");
        }
        // Recipes see all of it to the letter, but for secrets.
        let log = &seen.logs[&1];
        assert_eq!(seen.results[&1], Ok(()), "{log}");
        let shown = serde_json::to_string(&format!("i-{EVIL}")).unwrap();
        assert!(log.contains(&shown) && log.contains("\"********\""), "{log}");
        assert!(seen.logs[&2].contains("TASK [Prepare the data disks]"), "{}", seen.logs[&2]);
        let owned: Vec<String> = [&front, &guarded]
            .iter()
            .flat_map(|node| PLACES.iter().flat_map(|place| holding(&lab.path(node, place), "owned-")))
            .filter(|path| path.rsplit('/').next().is_some_and(|name| name.starts_with("owned-")))
            .collect();
        assert_eq!(owned, Vec::<String>::new());
        assert!(fs::read_dir("/var/tmp").unwrap().flatten().all(|e| !e.file_name().to_string_lossy().starts_with("owned-")));

        // The master's disk: no password, no key of another machine; its own directory alone, closed to others.
        for place in PLACES {
            let path = lab.path(&front, place);
            assert_eq!(holding(&path, CANARY), Vec::<String>::new());
            let keys = holding(&path, &private);
            assert_eq!(keys, Vec::<String>::new());
        }
        let (_, modes) = lab.shell(
            &front,
            "cd /var/tmp/.im; stat -c '%a %n' . */ */hosts */ansible_key */runs/*/*.json */runs/*/events.jsonl | sort -u",
        );
        for line in modes.lines() {
            let (mode, name) = line.split_once(' ').unwrap();
            let most = if name == "." { "711" } else if name.ends_with('/') { "700" } else { "600" };
            assert_eq!(mode, most, "{name}");
        }
        let (_, entries) = lab.shell(&front, "ls -A /var/tmp");
        assert_eq!(entries.lines().collect::<Vec<_>>(), [".im", "go-on"], "nothing outside of the directory");
        let hosts = fs::read_to_string(lab.path(&front, "/var/tmp/.im/8a1cf2f5-0000-4000-8000-000000000001/hosts")).unwrap();
        assert!(hosts.contains(TOKEN) && !hosts.contains("credentials_password"), "{hosts}");
        assert_eq!([sudoers(&front), sudoers(&guarded)], before, "sudoers and SELinux are as they were");
    });
}

/// Another user of the master was there first: with a link in the place of the base directory, with a directory of its
/// own, with one in which everybody may rename. Nothing is written there.
///
/// Findings: S12.
#[test]
fn others_on_the_master() {
    if !lab::inside("security::others_on_the_master") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::new("front", 11);
        let lab = Lab::with(&[&front]);
        let facts = vec![lab.facts(0, "front", &front)];
        let key = keys::generate(Default::default()).unwrap();
        let radl = document(&facts, vec![], vec![]);
        let (_vms, receiver) = watch::channel(Arc::new(facts));
        let fresh = |generation| -> Job { job(radl.clone(), receiver.clone(), generation, &key) };
        let traps = [
            "mkdir /tmp/trap; chmod 777 /tmp/trap; ln -s /tmp/trap /var/tmp/.im",
            "mkdir -m 777 /var/tmp/.im",
            "mkdir -m 755 /var/tmp/.im",
        ];
        for (generation, trap) in (1..).zip(traps) {
            let (done, text) = lab.shell(&front, &format!("su -s /bin/sh nobody -c '{trap}'"));
            assert!(done, "{text}");
            let memory = Arc::new(Memory::default());
            let outcome = contextualize(fresh(generation), &memory).await;
            let Outcome::Failed(why) = outcome else { panic!("{trap}: {outcome:?}") };
            assert!(why.contains("/var/tmp/.im") && why.contains("REMOTE_CONF_DIR"), "{trap}: {why}");
            let (_, found) =
                lab.shell(&front, "find /tmp/trap /var/tmp/.im/ -mindepth 1 2> /dev/null; rm -rf /var/tmp/.im");
            assert_eq!(found, "", "{trap}");
        }
        // And one of root that everybody may rename in.
        lab.shell(&front, "mkdir -m 777 /var/tmp/.im");
        let memory = Arc::new(Memory::default());
        assert!(matches!(contextualize(fresh(5), &memory).await, Outcome::Failed(_)), "{}", memory.dump());
    });
}
