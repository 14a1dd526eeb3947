//! Windows machines: our own WinRM client for passwords, then real Ansible with pywinrm from the bundle, against a strict
//! stand-in for the service of Windows (`winrm.py`).

use crate::{
    documents::{configure, document, job, processes},
    keeper::Keeper,
    lab::{self, Lab, Node},
};
use contextualization::{ErrorCode, Outcome, VmFacts, ssh::keys};
use std::{
    path::PathBuf,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

const NEW: &str = "'N\"ew$(id)\\`: <{{ 1 }}>&é %PATH% ";
const RECIPE: &str = "
- tasks:
    - name: Say something
      raw: Write-Output 'I am {{ IM_NODE_FQDN }} of {{ IM_MASTER_HOSTNAME }}'
      register: said
    - name: Show it
      debug: {msg: '{{ said.stdout | trim }}'}
    - name: Only VM 2 fails
      raw: exit 3
      when: IM_NODE_NUM == '2'
";

/// A Windows machine on a node of the lab.
struct Windows<'a> {
    lab: &'a Lab,
    node: &'a Node,
    service: Option<Child>,
}

impl Drop for Windows<'_> {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

impl<'a> Windows<'a> {
    /// Starts the service with an account.
    fn start(lab: &'a Lab, node: &'a Node, port: u16, password: &str) -> Self {
        let mut windows = Self { lab, node, service: None };
        std::fs::create_dir(windows.file("")).unwrap();
        windows.set(&serde_json::json!({"user": "Administrator", "password": password}));
        let pid = lab.pid(node).to_string();
        let service = Command::new("nsenter")
            .args([
                "-a",
                "-t",
                &pid,
                "/usr/bin/python3",
                "-c",
                include_str!("winrm.py"),
                "/srv/winrm",
                &port.to_string(),
            ])
            .spawn();
        windows.service = Some(service.unwrap());
        let start = Instant::now();
        while !lab.shell(node, &format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' 2>/dev/null")).0 {
            assert!(start.elapsed() < Duration::from_secs(60), "the service does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        windows
    }

    fn file(&self, name: &str) -> PathBuf {
        self.lab.path(self.node, &format!("/srv/winrm/{name}"))
    }

    fn set(&self, state: &serde_json::Value) {
        std::fs::write(self.file("state.json"), state.to_string()).unwrap();
    }

    fn state(&self, key: &str) -> String {
        let state: serde_json::Value =
            serde_json::from_slice(&std::fs::read(self.file("state.json")).unwrap()).unwrap();
        state[key].as_str().unwrap_or_default().to_owned()
    }

    fn requests(&self) -> String {
        std::fs::read_to_string(self.file("requests")).unwrap_or_default()
    }

    /// Facts of the machine.
    fn facts(&self, id: u32, system: &str, password: &str) -> VmFacts {
        let mut facts = self.lab.facts(id, system, self.node);
        let features = &mut Arc::make_mut(&mut facts.info).systems[0].features;
        features.set_text("disk.0.os.name", "Windows");
        features.set_text("disk.0.os.credentials.username", "Administrator");
        features.set_text("disk.0.os.credentials.password", password);
        features.remove("disk.0.os.credentials.private_key");
        facts
    }
}

/// A private Windows machine at 5986 and a public one behind another port, of a system called `windows`; the Linux machine,
/// of a system called `allnowindows`, is the master. The daemon dies after the password of one was changed and before that
/// is stored. All variables arrive, the hosts file is overwritten, recipes run; a failing machine fails alone. Then another
/// password that Windows does not accept concerns that machine only.
///
/// Cases: K-07, I-06.
#[test]
fn passwords_hosts_file_and_recipes() {
    if !lab::inside("windows::passwords_hosts_file_and_recipes") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node { links: vec![(0, 11), (1, 11)], ..Node::new("front", 11) };
        let private = Node { links: vec![(1, 12)], ..Node::new("win1", 12) };
        let public = Node::new("win2", 13);
        let lab = Lab::with(&[&front, &private, &public]);
        let one = Windows::start(&lab, &private, 5986, "first Pw:1");
        let two = Windows::start(&lab, &public, 15986, "first Pw:2");
        let mut facts = vec![
            lab.facts(0, "allnowindows", &front),
            one.facts(1, "windows", "first Pw:1"),
            two.facts(2, "windows", "first Pw:2"),
        ];
        let network = &mut Arc::make_mut(&mut facts[2].info).networks[0];
        network.features.set_text("outports", "15986-5986");
        // More names than one command line holds.
        for vm in 3..60 {
            facts.push(VmFacts { id: vm, power: contextualization::VmPower::Down, ..facts[0].clone() });
        }
        let keeper = Keeper::new(&facts);
        keeper.ask(&[1], &[("password", NEW)]);
        let radl = document(&facts[..3], vec![configure("windows", RECIPE)], vec![]);
        let key = keys::generate(Default::default()).unwrap();
        let again = |generation| {
            let mut job = job(radl.clone(), keeper.vms.subscribe(), generation, &key);
            let mut settings = (*job.settings).clone();
            settings.wait_ssh = Duration::from_secs(60);
            job.settings = Arc::new(settings);
            job.progress = keeper.memory.0.lock().unwrap().progress.clone();
            job
        };
        keeper.die_at(1, again(1)).await;
        assert_eq!(
            (one.state("password").as_str(), keeper.credential(1, "password").as_deref()),
            (NEW, Some("first Pw:1"))
        );
        let task = tokio::spawn({
            let (keeper, job) = (Arc::clone(&keeper), again(1));
            async move { keeper.contextualize(job).await }
        });
        keeper
            .memory
            .until("the recipe", |seen| seen.logs.get(&1).is_some_and(|log| log.contains("windows_windows")))
            .await;
        assert_eq!(processes("first Pw:2"), Vec::<i32>::new(), "a password on a command line");
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", keeper.memory.dump());
        {
            let mut seen = keeper.memory.0.lock().unwrap();
            assert_eq!((&seen.results[&0], &seen.results[&1]), (&Ok(()), &Ok(())), "{:#?}", seen.logs);
            let error = seen.results[&2].clone().unwrap_err();
            assert_eq!((error.code, error.phase.as_str()), (ErrorCode::TaskFailed, "step 1"), "{error:?}");
            assert!(
                seen.logs[&1].contains("\"msg\": \"I am windows-1.localdomain of allnowindows-0\""),
                "{}",
                seen.logs[&1]
            );
            assert!(!seen.logs[&1].contains(NEW.trim()) && !seen.logs[&2].contains("first Pw:2"), "{:#?}", seen.logs);
            seen.results.clear();
            seen.progress = serde_json::Value::Null;
        }
        assert_eq!(keeper.credential(1, "password").as_deref(), Some(NEW));
        assert_eq!((keeper.credential(1, "new.password"), two.state("password").as_str()), (None, "first Pw:2"));
        for windows in [&one, &two] {
            let requests = windows.requests();
            assert!(!requests.contains("WRONG"), "{requests}");
            let hosts = windows.state("hosts");
            assert!(hosts.starts_with("10.77.0.11 allnowindows-0.localdomain allnowindows-0\r\n"), "{hosts}");
            assert!(
                hosts.ends_with("10.77.0.11 allnowindows-59.localdomain allnowindows-59\r\n") && hosts.len() > 3000,
                "{hosts}"
            );
            assert_eq!(hosts.matches('\n').count(), hosts.matches("\r\n").count());
        }
        // Nothing that the master keeps holds the password that it was given for its runs.
        assert_eq!(lab.shell(&front, "grep -rlF 'first Pw:2' /var/tmp /tmp /home /dev/shm"), (false, String::new()));
        // Every action was used, and the old password was tried first.
        let requests = one.requests();
        for action in ["Create", "Command", "Send", "Receive", "Signal", "Delete"] {
            assert!(requests.contains(&format!("{action} Administrator ok\n")), "{action}:\n{requests}");
        }
        assert!(requests.contains("- Administrator refused\n"), "{requests}");

        // A password that the policy of the machine forbids.
        keeper.vms.send_modify(|all| Arc::make_mut(all).truncate(3));
        keeper.ask(&[2], &[("password", "Short1!")]);
        let outcome = keeper.contextualize(again(2)).await;
        assert_eq!(outcome, Outcome::Done, "{}", keeper.memory.dump());
        let seen = keeper.memory.0.lock().unwrap();
        assert_eq!((&seen.results[&0], &seen.results[&1]), (&Ok(()), &Ok(())), "{:#?}", seen.logs);
        let error = seen.results[&2].clone().unwrap_err();
        assert_eq!((error.code, error.phase.as_str()), (ErrorCode::SshAuth, "access"));
        assert!(error.message.contains("password policy requirements."), "{error:?}");
        assert_eq!(keeper.credential(2, "new.password").as_deref(), Some("Short1!"));
        assert_eq!(one.state("hosts").lines().count(), 3);
    });
}
