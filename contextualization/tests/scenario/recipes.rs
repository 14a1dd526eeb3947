//! How recipes run: order, header, strategy, retries, limits, includes, what runs on the master, output.

use crate::{
    checkpoints::Memory,
    documents::{configure, contextualize, document, item, job, settings},
    lab::{self, Lab, Node},
};
use contextualization::{ErrorCode, Outcome, Settings, ssh::keys};
use radl::{Contextualize, Features, Value};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The value of a task as TOSCA outputs take it from a log: the banner, the state, the object after the arrow.
fn output(log: &str, task: &str, name: &str) -> (String, serde_json::Value) {
    let part = log.split("Launch task: ").find(|part| part.starts_with(&format!("{task}\n"))).expect(log);
    let result = part.split("\nTASK [").find(|part| part.split("] **").next() == Some(name)).expect(part);
    let line = result.lines().find(|line| line.contains(": [")).expect(result);
    let state = line.split(": [").next().unwrap().to_owned();
    let json = result.split_once("=> {").and_then(|(_, rest)| rest.split_once("\n}")).expect(result).0;
    (state, serde_json::from_str(&format!("{{{json}}}")).unwrap())
}

const FIRST: &str = "
- name: One
  tasks:
    - name: First
      shell: echo first-one >> /var/tmp/order
    - name: Fails on the server
      fail: {msg: 'no server today'}
      when: inventory_hostname in groups['server']
- name: Two
  become: no
  tasks:
    - name: Who
      command: id -un
      register: who
    - name: Shown
      debug: {msg: '{{ who.stdout }}'}
";
const SECOND: &str = "
- become: yes
  gather_facts: yes
  hosts: all
  tasks:
    - shell: echo second-$(id -un) >> /var/tmp/order
    - name: Once, but everywhere
      shell: echo once >> /var/tmp/order
      run_once: true
    - name: Grüße, 世界
      command: printf 'ä€😀'
      register: greeting
    - name: Greeting
      debug: {var: greeting.stdout}
    - name: A secret of the master
      copy: {dest: /var/tmp/drawn, content: \"{{ lookup('password', '/var/tmp/drawn-once length=12') }}\"}
    - name: On the master
      shell: echo {{ inventory_hostname }} $(id -un) >> /var/tmp/delegated
      delegate_to: localhost
    - local_action: {module: shell, _raw_params: 'echo action >> /var/tmp/delegated'}
- import_playbook: whole.yml
";
const WHOLE: &str = "
- hosts: '{{ IM_HOST }}'
  gather_facts: no
  become: yes
  tasks:
    - include_tasks: part.yml
";
const PART: &str = "
- name: Included
  shell: echo included-{{ IM_NODE_NUM }} >> /var/tmp/order
";
const LOCAL: &str = "
- connection: local
  tasks:
    - name: Local
      shell: echo {{ IM_NODE_FQDN }} >> /var/tmp/local
";
/// The linear order shows in the file of the master: every machine did A before any did B.
const LOCK_STEP: &str = "
- tasks:
    - add_host: {name: 'extra_{{ IM_NODE_NUM }}', groups: extras}
    - pause: {seconds: 1}
    - shell: echo A >> /var/tmp/steps
      delegate_to: localhost
    - shell: echo B >> /var/tmp/steps
      delegate_to: localhost
    - shell: echo once >> /var/tmp/steps
      run_once: true
      delegate_to: localhost
";
/// Nothing in the recipe tells that it needs lock step.
const HIDDEN: &str = "
- tasks:
    - include_role: {name: hidden}
    - shell: touch /var/tmp/hidden
";

/// Cases: R-01, R-02, R-03, R-04, R-05, R-07, R-08, R-09, R-10, R-11, R-20, R-24, R-25.
#[test]
fn order_header_and_strategy() {
    if !lab::inside("recipes::order_header_and_strategy") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        // The master asks for a password, also when recipes delegate to it.
        let front = Node {
            setup: "mkdir -p $root/etc/ansible/roles/hidden/tasks
                    printf -- '- shell: echo role >> /var/tmp/role\\n- action: pause seconds=1\\n' > $root/etc/ansible/roles/hidden/tasks/main.yml",
            ..Node::with_password("front", 11, "Herr der 1 Wolken")
        };
        let (s, c1, c2) = (Node::new("s", 12), Node::new("c1", 13), Node::new("c2", 14));
        let lab = Lab::with(&[&front, &s, &c1, &c2]);
        let facts = vec![
            lab.facts(0, "front", &front),
            lab.facts(1, "server", &s),
            lab.facts(2, "client", &c1),
            lab.facts(3, "client", &c2),
        ];
        let configures = [
            ("first", FIRST), ("second", SECOND), ("whole", WHOLE), ("part", PART), ("local", LOCAL),
            ("step", LOCK_STEP), ("hidden", HIDDEN),
        ];
        let configures = configures.map(|(name, recipe)| configure(name, recipe)).into();
        let items = vec![
            item("server", "first", 1), item("client", "first", 2), item("client", "second", 2),
            item("client", "local", 3), item("client", "step", 4), item("client", "hidden", 5),
        ];
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let memory = Arc::new(Memory::default());
        let outcome = contextualize(job(document(&facts, configures, items), receiver, 1, &key), &memory).await;
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        let error = seen.results[&1].clone().unwrap_err();
        assert_eq!((error.code, error.phase.as_str()), (ErrorCode::TaskFailed, "step 1"), "{}", seen.logs[&1]);
        for vm in [0, 2, 3] {
            assert_eq!(seen.results[&vm], Ok(()), "{}", seen.logs[&vm]);
            assert!(!seen.logs[&vm].contains("no server today"));
        }
        let read = |node: &Node, path: &str| std::fs::read_to_string(lab.path(node, path)).unwrap();
        for (vm, node) in [(2, &c1), (3, &c2)] {
            // One after the other, in the order of the document; both plays; the second as root.
            assert_eq!(read(node, "/var/tmp/order"), format!("first-one\nsecond-root\nonce\nincluded-{vm}\n"));
            let log = &seen.logs[&vm];
            let (state, shown) = output(log, "first_client", "Shown");
            assert_eq!((state.as_str(), &shown["msg"]), ("ok", &serde_json::json!("cloud")));
            assert_eq!(output(log, "second_client", "Greeting").1["greeting.stdout"], serde_json::json!("ä€😀"));
            assert!(log.contains("TASK [Grüße, 世界] **"), "{log}");
            assert!(!log.contains("Herr der 1 Wolken"));
        }
        let told = seen.infrastructure.iter().any(|line| line.contains("configure second: 'hosts' is ignored"));
        assert!(told, "{:?}", seen.infrastructure);
        // One file on the master served both; what is delegated runs there, as root.
        assert_eq!(read(&c1, "/var/tmp/drawn"), read(&c2, "/var/tmp/drawn"));
        assert_eq!(read(&c1, "/var/tmp/drawn").len(), 12);
        assert!(lab.path(&front, "/var/tmp/drawn-once").exists());
        let delegated = read(&front, "/var/tmp/delegated");
        assert_eq!(delegated.matches("action").count(), 2, "{delegated}");
        assert!(delegated.contains("10.77.0.13_2 root\n") && delegated.contains("10.77.0.14_3 root\n"), "{delegated}");
        let mut local: Vec<String> = read(&front, "/var/tmp/local").lines().map(str::to_owned).collect();
        local.sort();
        assert_eq!(local, ["client-2.localdomain", "client-3.localdomain"]);
        assert_eq!(read(&front, "/var/tmp/steps"), "A\nA\nB\nB\nonce\n");
        // Found out by the abort, and done again in lock step.
        for (vm, node) in [(2, &c1), (3, &c2)] {
            assert!(lab.path(node, "/var/tmp/hidden").exists());
            let log = &seen.logs[&vm];
            assert_eq!(log.matches("This recipe needs its machines to go task by task").count(), 1, "{log}");
            assert!(!log.contains("ERROR executing"), "{log}");
        }
        assert_eq!(std::fs::read_dir(lab.path(&front, "/dev/shm")).unwrap().count(), 0);
    });
}

const FLAKY: &str = "
- tasks:
    - name: Only the first time
      shell: 'echo x >> /var/tmp/tries; test $(wc -l < /var/tmp/tries) -gt {{ 1 if IM_NODE_NUM == \"2\" else 0 }}'
    - name: Restart
      reboot: {reboot_timeout: 100, connect_timeout: 2}
      when: IM_NODE_NUM == '1'
    - shell: echo up >> /var/after
";
const HANGS: &str = "
- tasks:
    - name: Hangs
      command: sleep 4343
      when: IM_NODE_NUM == '2'
    - shell: touch /var/after-hang
      notify: late
  handlers:
    - name: late
      shell: touch /var/tmp/handled
";
const KEEP: &str = "
- hosts: front
  tasks:
    - shell: echo {{ inventory_hostname }} > /var/tmp/kept
";

/// Cases: R-04, R-11, R-12, R-13, R-23, L-11.
#[test]
fn retries_limits_and_reboots() {
    if !lab::inside("recipes::retries_limits_and_reboots") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (front, w1, w2) = (
            Node::new("front", 11),
            // Somebody outside has to start it again.
            Node { setup: "rm -f $root/sbin/shutdown $root/usr/sbin/shutdown; printf '#!/bin/sh\\ntouch /var/wants-reboot\\n' > $root/usr/sbin/shutdown; chmod 755 $root/usr/sbin/shutdown", ..Node::new("w1", 12) },
            Node::new("w2", 13),
        );
        let lab = Lab::with(&[&front, &w1, &w2]);
        let facts = vec![lab.facts(0, "front", &front), lab.facts(1, "worker", &w1), lab.facts(2, "worker", &w2)];
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();

        // One machine fails at first, another one reboots; who is done does nothing twice.
        let mut radl = document(
            &facts,
            vec![configure("flaky", FLAKY), configure("keep", KEEP)],
            vec![item("worker", "flaky", 1), item("worker", "keep", 2)],
        );
        let option = Value::Text { operator: radl::Operator::Eq, text: "yes".to_owned(), line: 0 };
        radl.contextualize.get_or_insert_default().options.insert("ctxt_keep_hosts".to_owned(), option);
        let memory = Arc::new(Memory::default());
        let mut first = job(radl, receiver.clone(), 1, &key);
        first.settings = Arc::new(Settings { playbook_retries: 3, ..settings() });
        let request = lab.path(&w1, "/var/wants-reboot");
        let rebooted = async {
            while !request.exists() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            lab.reboot(&w1);
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = contextualize(first, &memory) => outcome,
            () = rebooted => unreachable!(),
        };
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        let read = |node: &Node, path: &str| std::fs::read_to_string(lab.path(node, path)).unwrap();
        {
            let seen = memory.0.lock().unwrap();
            assert_eq!(seen.results.values().filter(|result| result.is_ok()).count(), 3, "{:?}", seen.logs);
            let log = &seen.logs[&2];
            assert!(log.contains("ERROR executing task flaky_worker: (1/3)\nCause: [TASK_FAILED]"), "{log}");
            assert!(log.contains("Sleeping 5 secs.\nLaunch task: flaky_worker\n"), "{log}");
            assert!(!seen.logs[&1].contains("ERROR executing") && !seen.logs[&1].contains("Sleeping"), "{}", seen.logs[&1]);
        }
        assert_eq!((read(&w1, "/var/after").as_str(), read(&w2, "/var/after").as_str()), ("up\n", "up\n"));
        assert_eq!(read(&w2, "/var/tmp/tries"), "x\nx\n");
        for (node, name) in [(&front, "10.77.0.11_0\n"), (&w1, "10.77.0.12_1\n"), (&w2, "10.77.0.13_2\n")] {
            assert_eq!(read(node, "/var/tmp/kept"), name);
        }

        // One hangs: the other one of its lane gets to the end, and so do those of other lanes.
        let memory = Arc::new(Memory::default());
        let front_recipe = "- tasks: [{shell: touch /var/after-hang}]";
        let radl = document(
            &facts,
            vec![configure("hangs", HANGS), configure("quick", front_recipe)],
            vec![item("worker", "hangs", 1), item("front", "quick", 1)],
        );
        let mut second = job(radl, receiver, 2, &key);
        let began = Instant::now();
        second.deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let cut = {
            let memory = memory.clone();
            let paths = [lab.path(&w1, "/var/tmp/handled"), lab.path(&front, "/var/after-hang")];
            let task = crate::documents::start(second, &memory, tokio_util::sync::CancellationToken::new());
            let done = move |_: &crate::checkpoints::Seen| paths.iter().all(|path| path.exists());
            memory.until("the others", done).await;
            assert!(began.elapsed() < Duration::from_secs(55), "too slow to tell: {:?}", began.elapsed());
            task
        };
        assert_eq!(cut.await.unwrap(), Outcome::TimedOut);
        let seen = memory.0.lock().unwrap();
        assert_eq!((&seen.results[&0], &seen.results[&1]), (&Ok(()), &Ok(())), "{:?}", seen.logs);
        let error = seen.results[&2].clone().unwrap_err();
        assert_eq!(error.code, ErrorCode::Timeout, "{error:?}");
        assert_eq!(seen.infrastructure.last().unwrap(), "ERROR: Max contextualization time passed.");
        assert!(!lab.path(&w2, "/var/after-hang").exists());
    });
}

/// A text encrypted with `ansible-vault`, by the Ansible that a former run used.
fn encrypt(lab: &Lab, node: &Node, password: &str, text: &str) -> String {
    std::fs::write(lab.path(node, "/tmp/pw"), password).unwrap();
    std::fs::write(lab.path(node, "/tmp/plain"), text).unwrap();
    let path = "import glob, json; plan = glob.glob('/var/tmp/.im/*/runs/*/plan.json')[0]; \
                print(json.load(open(plan))['env']['PYTHONPATH'])";
    let command = format!(
        "chmod 600 /tmp/pw; PYTHONPATH=$(python3 -c \"{path}\") python3 -m ansible vault encrypt \
         --vault-password-file /tmp/pw --output - /tmp/plain 2>/dev/null; rm /tmp/pw /tmp/plain"
    );
    let (ok, text) = lab.shell(node, &command);
    assert!(ok && text.starts_with("$ANSIBLE_VAULT"), "{text}");
    text
}

/// Cases: R-14.
#[test]
fn encrypted_recipes() {
    if !lab::inside("recipes::encrypted_recipes") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (front, w1) = (Node::new("front", 11), Node::new("w1", 12));
        let lab = Lab::with(&[&front, &w1]);
        let mut facts = vec![lab.facts(0, "front", &front), lab.facts(1, "worker", &w1)];
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let password = "Sesam öffne 'dich'";
        // Brings Ansible there.
        let memory = Arc::new(Memory::default());
        assert_eq!(contextualize(job(document(&facts, vec![], vec![]), receiver.clone(), 1, &key), &memory).await, Outcome::Done);

        let recipe = "
- hosts: all
  tasks:
    - name: Umlaut ä
      copy: {dest: /var/tmp/whole, content: 'ganz geheim {{ IM_NODE_NUM }}'}
    - include_tasks: part.yml
    - shell: \"cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\\\0' ' ' > /var/tmp/lines; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\\\0' '\\\\n' > /var/tmp/environments; true\"
      delegate_to: localhost
  post_tasks:
    - shell: id -un > /var/tmp/who
";
        let value = encrypt(&lab, &front, password, "nur der Wert");
        let indented = value.lines().map(|line| format!("        {line}\n")).collect::<String>();
        let with_value = format!(
            "- vars:\n    secret: !vault |\n{indented}  tasks:\n    - copy: {{dest: /var/tmp/value, content: '{{{{ secret }}}}'}}\n"
        );
        let configures = vec![
            configure("whole", &encrypt(&lab, &front, password, recipe)),
            configure("part", "- shell: touch /var/tmp/part\n"),
            configure("value", &with_value),
        ];
        let items = vec![item("worker", "whole", 1), item("worker", "value", 2), item("front", "value", 2)];
        let with_password = |facts: &mut Vec<contextualization::VmFacts>, system: usize, password: &str| {
            let info = Arc::make_mut(&mut facts[system].info);
            info.systems[0].features.set_text("vault.password", password);
        };
        with_password(&mut facts, 0, password);
        with_password(&mut facts, 1, password);
        let memory = Arc::new(Memory::default());
        let radl = document(&facts, configures.clone(), items.clone());
        radl.check().unwrap();
        assert_eq!(contextualize(job(radl, receiver.clone(), 2, &key), &memory).await, Outcome::Done);
        let read = |node: &Node, path: &str| std::fs::read_to_string(lab.path(node, path)).unwrap();
        {
            let seen = memory.0.lock().unwrap();
            assert_eq!(seen.results, BTreeMap::from([(0, Ok(())), (1, Ok(()))]), "{:?}", seen.logs);
            for text in seen.logs.values().chain(&seen.infrastructure).chain([&seen.progress.to_string()]) {
                assert!(!text.contains("Sesam") && !text.contains("ganz geheim"), "{text}");
            }
        }
        assert_eq!(read(&w1, "/var/tmp/whole"), "ganz geheim 1");
        assert_eq!((read(&w1, "/var/tmp/value"), read(&front, "/var/tmp/value")), ("nur der Wert".into(), "nur der Wert".into()));
        assert_eq!(read(&w1, "/var/tmp/who"), "root\n");
        assert!(lab.path(&w1, "/var/tmp/part").exists());
        // The password and the recipe are nowhere on the master: command lines, environments, files.
        let bytes = |path: &str| String::from_utf8_lossy(&std::fs::read(lab.path(&front, path)).unwrap()).into_owned();
        assert!(bytes("/var/tmp/environments").contains("IM_EVENTS="), "the environments were read");
        for path in ["/var/tmp/lines", "/var/tmp/environments"] {
            assert!(!bytes(path).contains("Sesam"), "{path}");
        }
        for words in ["Sesam", "ganz geheim"] {
            let (found, files) = lab.shell(&front, &format!("grep -rlaF '{words}' /var/tmp/.im /dev/shm /tmp /home/cloud"));
            assert!(!found, "{words} in {files}");
        }

        // A wrong password: told apart, and named.
        with_password(&mut facts, 0, "falsch");
        with_password(&mut facts, 1, "falsch");
        let memory = Arc::new(Memory::default());
        let radl = document(&facts, configures, items);
        assert_eq!(contextualize(job(radl, receiver, 3, &key), &memory).await, Outcome::Done);
        let seen = memory.0.lock().unwrap();
        for (vm, name, phase) in [(0, "value", "step 2"), (1, "whole", "step 1")] {
            let error = seen.results[&vm].clone().unwrap_err();
            assert_eq!((error.code, error.phase.as_str()), (ErrorCode::Vault, phase), "{}", seen.logs[&vm]);
            assert!(error.message.starts_with(&format!("configure {name}: the vault.password")), "{error:?}");
            assert!(seen.logs[&vm].contains("Cause: [VAULT] configure "), "{}", seen.logs[&vm]);
        }
    });
}

/// Cases: R-18. The families that cannot be had here are played: dnf by a program that notes how it is called.
#[test]
fn applications() {
    if !lab::inside("recipes::applications") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let debian = Node {
            setup: r#"
                repo=$root/opt/repo
                mkdir -p $repo/tree/DEBIAN $repo/tree/usr/bin
                printf 'Package: im-probe\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@b>\nDescription: d\n' > $repo/tree/DEBIAN/control
                printf '#!/bin/sh\necho probe\n' > $repo/tree/usr/bin/im-probe
                chmod 755 $repo/tree/usr/bin/im-probe
                dpkg-deb -Znone --build $repo/tree $repo/im-probe.deb >&2
                (cd $repo; cat tree/DEBIAN/control; echo "Filename: ./im-probe.deb"; echo "Size: $(stat -c %s im-probe.deb)"; echo "SHA256: $(sha256sum < im-probe.deb | cut -d ' ' -f 1)") > $repo/Packages
                rm -rf $root/etc/apt/sources.list* $root/etc/apt/apt.conf.d $root/var/lib/apt/lists
                mkdir -p $root/etc/apt/apt.conf.d $root/var/lib/apt/lists/partial
                echo 'deb [trusted=yes] file:/opt/repo ./' > $root/etc/apt/sources.list
                printf 'Defaults    requiretty, env_reset\n' > $root/etc/sudoers.d/10-tty
                chmod 440 $root/etc/sudoers.d/10-tty
            "#,
            user: "root",
            ..Node::new("debian", 11)
        };
        let el = Node {
            setup: r#"rm -f $root/usr/bin/apt-get
                printf '#!/bin/sh\nexit 1\n' > $root/usr/bin/rpm
                printf '#!/bin/sh\necho "$@" >> /var/dnf-calls\n' > $root/usr/bin/dnf
                chmod 755 $root/usr/bin/rpm $root/usr/bin/dnf"#,
            ..Node::new("el", 12)
        };
        let unknown = Node { setup: "rm -f $root/usr/bin/apt-get", ..Node::new("unknown", 13) };
        let lab = Lab::with(&[&debian, &el, &unknown]);
        let mut facts = vec![lab.facts(0, "debian", &debian), lab.facts(1, "el", &el), lab.facts(2, "unknown", &unknown)];
        for facts in &mut facts {
            let mut group = indexmap(&["org.example.im-probe", "-x; touch /var/tmp/owned"]);
            let mut there = Features::new();
            there.set_text("preinstalled", "yes");
            group.insert("in-the-image".to_owned(), there);
            Arc::make_mut(&mut facts.info).systems[0].features.set("disk.0.applications", Value::Contains(Box::new(group)));
        }
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let memory = Arc::new(Memory::default());
        let mut radl = document(&facts, vec![], vec![]);
        radl.contextualize = None::<Contextualize>;
        assert_eq!(contextualize(job(radl, receiver, 1, &key), &memory).await, Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        assert_eq!(seen.results.values().filter(|result| result.is_ok()).count(), 3, "{:?}", seen.logs);
        assert_eq!(lab.shell(&debian, "im-probe"), (true, "probe\n".to_owned()), "{}", seen.logs[&0]);
        assert_eq!(std::fs::read_to_string(lab.path(&el, "/var/dnf-calls")).unwrap(), "install -qy -- im-probe\n");
        let warned = |words: &[&str]| seen.infrastructure.iter().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(warned(&["WARNING: VM 2: an application was not installed", "im-probe", "no package manager"]), "{:?}", seen.infrastructure);
        assert!(warned(&["WARNING: VM 0:", "is no name of a package"]), "{:?}", seen.infrastructure);
        assert!(!seen.logs.values().any(|log| log.contains("in-the-image")));
        assert!(!lab.path(&debian, "/var/tmp/owned").exists());
        // The small built-in changes: only where they are needed, and valid.
        let tty = std::fs::read_to_string(lab.path(&debian, "/etc/sudoers.d/10-tty")).unwrap();
        assert_eq!(tty, "Defaults    !requiretty, env_reset\n");
        assert_eq!(lab.shell(&debian, "visudo -c >/dev/null && python -c 'print(1)'"), (true, "1\n".to_owned()));
    });
}

/// Applications by name.
fn indexmap(names: &[&str]) -> indexmap::IndexMap<String, Features> {
    let group = |name: &&str| {
        let mut features = Features::new();
        features.set_text("name", name);
        ((*name).to_owned(), features)
    };
    names.iter().map(group).collect()
}
