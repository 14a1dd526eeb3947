//! Roles and collections of a document, from everywhere they can come from.

use crate::{
    checkpoints::Memory,
    documents::{configure, contextualize, document, item, job},
    lab::{self, Lab, Node},
    web::{WebServer, bundle, unpack},
};
use contextualization::{Cause, ErrorCode, Job, Outcome, ssh::keys};
use radl::{Features, Radl, Value};
use std::{io::Write, process::Command, sync::Arc};
use tokio::sync::watch;

const USES_ALL: &str = "
- roles: [named, lab.local, archived, lab.served]
  tasks:
    - name: Module of a collection
      lab.tools.hello:
      register: said
    - debug: {var: said.msg}
";
const PLAIN: &str = "
- tasks:
    - name: Plain
      command: 'true'
";

/// Puts applications, as (name, version), into a system.
fn ask(radl: &mut Radl, system: &str, applications: &[(&str, &str)]) {
    let group = |(name, version): &(&str, &str)| {
        let mut features = Features::new();
        features.set_text("name", name);
        if !version.is_empty() {
            features.set_text("version", version);
        }
        ((*name).to_owned(), features)
    };
    let groups = Box::new(applications.iter().map(group).collect());
    let system = radl.systems.iter_mut().find(|s| s.name == system).unwrap();
    system.features.set("disk.0.applications", Value::Contains(groups));
}

/// The master gets a role of a directory of archives (the newest; it needs lock step), of a git repository (name and version
/// honoured), of an archive over https, of a Galaxy server, and a collection of that server in a version; all once per
/// infrastructure. When the server is away, only the machine fails that needs something new. A reconfigure installs again.
///
/// Cases.
#[test]
fn roles_and_collections() {
    if !lab::inside("galaxy::roles_and_collections") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let made = tempfile::tempdir().unwrap();
        unpack(&bundle("/ansible-2.16"), &made.path().join("tree"));
        let script = include_str!("galaxy.sh");
        let mut command = Command::new("bash");
        command.args(["-c", script, "galaxy"]).arg(made.path()).arg(made.path().join("tree"));
        assert!(command.status().unwrap().success(), "galaxy.sh failed");
        let server = WebServer::start(8443, &made.path().join("www"), Some(made.path()));

        let front = Node::new("front", 11);
        let (w1, w2) = (Node::new("w1", 12), Node::new("w2", 13));
        let lab = Lab::with(&[&front, &w1, &w2]);
        let certificate = std::fs::read(made.path().join("cert.pem")).unwrap();
        std::fs::write(lab.path(&front, "/etc/ssl/certs/lab.pem"), &certificate).unwrap();
        let all = lab.path(&front, "/etc/ssl/certs/ca-certificates.crt");
        std::fs::OpenOptions::new().append(true).open(all).unwrap().write_all(&certificate).unwrap();

        let facts = vec![lab.facts(0, "front", &front), lab.facts(1, "worker", &w1), lab.facts(2, "user", &w2)];
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let configures = || vec![configure("front", USES_ALL), configure("work", PLAIN)];
        let mut radl = document(&facts, configures(), vec![item("front", "front", 1), item("worker", "work", 1)]);
        let wanted = [
            ("ansible.roles.lab.local", ""),
            ("ansible.modules.git+https://10.77.0.1:8443/git/role-git.git|named", "1.0"),
            ("ansible.roles.https://10.77.0.1:8443/archives/archived-1.tar.gz|archived", ""),
            ("ansible.roles.lab.served,2.0", ""),
            ("ansible.collections.lab.tools", "<2.0.0"),
        ];
        ask(&mut radl, "front", &wanted);
        contextualization::galaxy::check(&radl, None).unwrap();
        let with = |radl: &Radl, generation: u64, cause: Cause, server: &str| {
            let mut job: Job = job(radl.clone(), receiver.clone(), generation, &key);
            let settings = Arc::make_mut(&mut job.settings);
            settings.galaxy_dir = Some(made.path().join("local"));
            settings.galaxy_server = Some(server.to_owned());
            job.cause = cause;
            job
        };

        let memory = Arc::new(Memory::default());
        let outcome = contextualize(with(&radl, 1, Cause::Add, "https://10.77.0.1:8443/api/"), &memory).await;
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            assert!(seen.results.values().all(Result::is_ok), "{}", memory_text(&seen.infrastructure, &seen.logs[&0]));
            let said = &seen.logs[&0];
            for text in ["lab.local 1.10.0", "git 1.0", "archived 1", "lab.served 2.0", "hello from lab.tools 1.2.0"] {
                assert!(said.contains(text), "{text} in {said}");
            }
            let log = seen.infrastructure.join("\n");
            for line in [
                "Galaxy role lab.local detected setting to install.",
                "Galaxy role git+https://10.77.0.1:8443/git/role-git.git,1.0|named detected setting to install.",
                "Galaxy collection lab.tools,<2.0.0 detected setting to install.",
                "Galaxy role lab.served,2.0: installed.",
            ] {
                assert!(log.contains(line), "{line} in {log}");
            }
        }
        // The role has add_host, which the free strategy cannot run: its run was made linear.
        let runs = "cd /var/tmp/.im/8a1cf2f5-0000-4000-8000-000000000001/runs; cat 1-*$0*/plan.json";
        let plan = |what: &str| lab.shell(&front, &runs.replace("$0", what)).1;
        let (linear, free) = (plan(".front.*.front"), plan(".worker.*.work"));
        assert!(linear.contains("linear\"") && !linear.contains("free\""), "{linear}");
        assert!(free.contains("free\"") && !free.contains("linear\""), "{free}");

        // The server is away: what is there is not asked for; the worker's new role fails it, and whoever uses that role
        // without asking for it, with the same words and once; nobody else.
        let before = server.requests().len();
        ask(&mut radl, "worker", &[("ansible.roles.lab.missing", "")]);
        radl.configures.push(configure("use", "- roles: [lab.missing]\n"));
        radl.contextualize.as_mut().unwrap().items.push(item("user", "use", 1));
        let memory = Arc::new(Memory::default());
        let mut second = with(&radl, 2, Cause::Add, "https://10.77.0.1:1/api/");
        Arc::make_mut(&mut second.settings).playbook_retries = 3;
        let outcome = contextualize(second, &memory).await;
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            assert_eq!(seen.results[&0], Ok(()), "{}", seen.logs[&0]);
            let error = seen.results[&1].clone().unwrap_err();
            assert_eq!((error.code, error.phase.as_str()), (ErrorCode::RoleInstall, "galaxy"));
            assert!(error.message.contains("the role lab.missing could not be installed"), "{}", error.message);
            assert!(error.message.contains("refused"), "{}", error.message);
            assert!(seen.logs[&1].contains("Cause: [ROLE_INSTALL] the role lab.missing"), "{}", seen.logs[&1]);
            assert!(!seen.logs[&1].contains("TASK [Plain]"), "{}", seen.logs[&1]);
            let other = seen.results[&2].clone().unwrap_err();
            assert_eq!((other.code, &other.message), (ErrorCode::RoleInstall, &error.message));
            let once = format!("ERROR executing task use_user: (1/1)\nCause: [ROLE_INSTALL] {}\nHint: ", error.message);
            assert!(
                seen.logs[&2].contains(&once) && seen.logs[&2].matches("use_user").count() == 2,
                "{}",
                seen.logs[&2]
            );
            let there = seen.infrastructure.iter().filter(|line| line.ends_with(": there already.")).count();
            assert_eq!(there, wanted.len(), "{:?}", seen.infrastructure);
            assert_eq!(
                seen.infrastructure.last().unwrap(),
                "Contextualization finished: 1 configured, 2 failed (ids: 1, 2)"
            );
        }
        assert_eq!(server.requests().len(), before, "{:?}", server.requests());

        // Asked for again, from the repository as it is now. Who forgot to ask is told what to ask for.
        let configures =
            vec![configure("front", "- roles: [named]\n"), configure("work", "- tasks: [{lab.other.thing: }]\n")];
        let mut radl = document(&facts, configures, vec![item("front", "front", 1), item("worker", "work", 1)]);
        ask(&mut radl, "front", &[("ansible.roles.git+https://10.77.0.1:8443/git/role-git.git|named", "")]);
        let memory = Arc::new(Memory::default());
        let outcome = contextualize(with(&radl, 3, Cause::Reconfigure, "https://10.77.0.1:8443/api/"), &memory).await;
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            assert!(seen.logs[&0].contains("git main"), "{}", seen.logs[&0]);
            let error = seen.results[&1].clone().unwrap_err();
            assert_eq!(error.code, ErrorCode::RecipeInvalid);
            assert!(
                error.message.contains("add ansible.collections.lab.other to disk.0.applications"),
                "{}",
                error.message
            );
        }
        assert!(server.requests().len() > before);
    });
}

fn memory_text(infrastructure: &[String], log: &str) -> String {
    format!("{}\n{log}", infrastructure.join("\n"))
}
