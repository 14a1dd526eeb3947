//! Ansible on the master: bundles, what is installed already, versions, interpreters, a package index.

use crate::{
    checkpoints::Memory,
    documents::{configure, contextualize, document, job},
    lab::{self, Lab, Node},
    web::{WebServer, bundle, name_server, unpack},
};
use contextualization::{Job, Outcome, Settings, ssh::keys};
use radl::{Contextualize, Features, Radl};
use std::{path::Path, sync::Arc};
use tokio::sync::watch;

const RECIPE: &str = "
- tasks:
    - debug: {msg: \"runs on Ansible {{ ansible_version.full }}\"}
    - debug: {msg: '{{ IM_INFRASTRUCTURE_RADL | json_query(\"[].net_interface_0_dns_name\") | join }}'}
";

/// One machine and what one asks of it.
struct Master {
    lab: Lab,
    node: Node,
}

impl Master {
    fn new(node: Node) -> Self {
        Self { lab: Lab::with(&[&node]), node }
    }

    fn job(&self, infrastructure: &str, generation: u64, change: impl FnOnce(&mut Radl, &mut Settings)) -> Job {
        let facts = vec![self.lab.facts(0, "front", &self.node)];
        let (_, receiver) = watch::channel(Arc::new(facts.clone()));
        let mut radl = document(&facts, vec![configure("front", RECIPE)], vec![]);
        let mut job = job(Radl::default(), receiver, generation, &self.lab.key);
        change(&mut radl, Arc::make_mut(&mut job.settings));
        infrastructure.clone_into(&mut job.infrastructure);
        job.radl = Arc::new(radl);
        job.ansible_key = keys::generate(Default::default()).unwrap();
        job
    }

    /// Runs a job; its outcome, the infrastructure's log, and the machine's.
    async fn run(&self, job: Job) -> (Outcome, String, String) {
        let memory = Arc::new(Memory::default());
        let outcome = contextualize(job, &memory).await;
        let seen = memory.0.lock().unwrap();
        (outcome, seen.infrastructure.join("\n"), seen.logs.get(&0).cloned().unwrap_or_default())
    }

    /// As [`Master::run`] for a job that must end well and run the recipe.
    async fn succeed(&self, job: Job) -> String {
        let (outcome, log, machine) = self.run(job).await;
        assert_eq!(outcome, Outcome::Done, "{log}\n{machine}");
        assert!(
            machine.contains("runs on Ansible 2.16.") && machine.contains("\"msg\": \"front-#N#\""),
            "{log}\n{machine}"
        );
        log
    }

    /// As [`Master::run`] for a job that must fail as a whole; the reason.
    async fn fail(&self, job: Job) -> String {
        match self.run(job).await {
            (Outcome::Failed(why), ..) => why,
            (outcome, log, machine) => panic!("{outcome:?}\n{log}\n{machine}"),
        }
    }

    fn shell(&self, command: &str) -> String {
        let (done, output) = self.lab.shell(&self.node, command);
        assert!(done, "{command}: {output}");
        output
    }
}

fn ask(radl: &mut Radl, option: &str, value: &str) {
    let mut features = Features::new();
    features.set_text(option, value);
    let options = [(option.to_owned(), features.get(option).unwrap().clone())].into();
    radl.contextualize = Some(Contextualize { options, ..Contextualize::default() });
}

/// Copies what make-bundle made, where names contain `kind`.
fn copy(kind: &str, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(lab::bundle_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.to_string_lossy().contains(kind) {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Two infrastructures come to one machine at once, and the first transfer arrives damaged: one of them unpacks, both work,
/// nothing is asked of the world outside, the tree is read-only. A conf dir that vanished is made again. A bundle that is
/// damaged on the daemon's host, and a disk that is full, are told, and leave nothing behind.
///
/// Cases: B-01, B-05, B-06, B-07, B-08, I-12.
#[test]
fn bundles_are_checked_shared_and_rebuilt() {
    if !lab::inside("bootstrap::bundles_are_checked_shared_and_rebuilt") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let master = Master::new(Node::new("front", 11));
        let names = name_server();
        master.shell(
            "echo nameserver 10.77.0.1 > /etc/resolv.conf; nft 'add table ip out; add chain ip out o { type filter hook output priority 0; }; \
             add rule ip out o oif lo accept; add rule ip out o ip daddr 10.77.0.0/24 accept; add rule ip out o counter'; \
             ip route add default via 10.77.0.1; \
             printf '#!/bin/sh\\nif mkdir /var/tmp/lied 2>/dev/null; then echo 0000; else exec /usr/bin/sha256sum; fi\\n' \
             > /usr/local/bin/sha256sum; chmod 755 /usr/local/bin/sha256sum",
        );
        let (one, two) =
            tokio::join!(master.succeed(master.job("inf-1", 1, |_, _| {})), master.succeed(master.job("inf-2", 1, |_, _| {})));
        master.shell("test -d /var/tmp/lied");
        for log in [&one, &two] {
            assert!(log.contains("Using Ansible core 2.16.") && log.contains(" with /usr/bin/python3."), "{log}");
            assert!(log.contains("Using the default collections of the Ansible package 9."), "{log}");
        }
        let fresh = |log: &str| usize::from(log.contains("It was installed now."));
        assert_eq!(fresh(&one) + fresh(&two), 1, "{one}\n{two}");
        let counted = master.shell("nft list chain ip out o");
        assert!(counted.contains("counter packets 0 bytes 0"), "{counted}");
        let foreign = |name: &&String| !name.starts_with("front");
        let names = names.lock().unwrap().clone();
        assert_eq!(names.iter().filter(foreign).collect::<Vec<_>>(), Vec::<&String>::new(), "{names:?}");
        assert_eq!(master.shell("find /var/tmp/.im/.runtime/*/ -type f -perm /222 | head -3"), "");
        assert_eq!(master.shell("ls /var/tmp/.im/.runtime | wc -l").trim(), "2");

        master.shell("rm -rf /var/tmp/.im/inf-1");
        let again = master.succeed(master.job("inf-1", 2, |_, _| {})).await;
        assert_eq!(fresh(&again), 0, "{again}");

        let damaged = tempfile::tempdir().unwrap();
        copy("ansible-2.16", damaged.path());
        for entry in std::fs::read_dir(damaged.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "json") {
                let text = std::fs::read_to_string(&path).unwrap();
                let at = text.find("\"sha256\": \"").unwrap() + 11;
                let zero = format!("{}{}{}", &text[..at], "0".repeat(64), &text[at + 64..]);
                std::fs::write(&path, zero).unwrap();
            }
        }
        let why = master.fail(master.job("inf-3", 1, |_, s| s.bundle_dir = damaged.path().to_owned())).await;
        assert!(why.contains("without the checksum of its description, twice"), "{why}");

        master.shell("rm -rf /var/tmp/.im && mkdir /var/tmp/.im && mount -t tmpfs -o size=24m,uid=1999 small /var/tmp/.im");
        let why = master.fail(master.job("inf-4", 1, |_, _| {})).await;
        assert!(why.contains("[DISK_FULL] no space for Ansible below /var/tmp/.im/.runtime"), "{why}");
        assert_eq!(master.shell("ls /var/tmp/.im/.runtime; ls -A /var/tmp/.im/.runtime | grep -v lock || true"), "");
    });
}

/// An Ansible that the reference installed is used, when it is of the version that the document asks for.
///
/// Cases: B-02, R-19.
#[test]
fn installed_ansible_and_versions() {
    if !lab::inside("bootstrap::installed_ansible_and_versions") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let master = Master::new(Node::new("front", 11));
        let home = "/var/tmp/.ansible";
        master.shell(&format!("mkdir -p {home}/bin && ln -s /usr/bin/python3 {home}/bin/python3"));
        unpack(&bundle("/ansible-2.16"), &master.lab.path(&master.node, &format!("{home}/lib")));
        unpack(&bundle("/collections-2.16"), &master.lab.path(&master.node, &format!("{home}/lib")));
        for tool in ["playbook", "galaxy"] {
            let text = format!(
                "#!{home}/bin/python3\nimport sys\nsys.path.insert(0, '{home}/lib')\nimport os\n\
                 os.environ['PYTHONPATH'] = '{home}/lib'\nfrom ansible.cli.{tool} import main\nmain()\n"
            );
            let path = format!("{home}/bin/ansible-{tool}");
            std::fs::write(master.lab.path(&master.node, &path), text).unwrap();
            master.shell(&format!("chmod 755 {path}"));
        }
        let log = master.succeed(master.job("inf", 1, |_, _| {})).await;
        assert!(log.contains("found at /var/tmp/.ansible/bin/ansible-playbook.\n"), "{log}");
        let log = master.succeed(master.job("inf", 2, |radl, _| ask(radl, "ansible_version", "2.6.20"))).await;
        assert!(log.contains("WARNING: Ansible 2.6.20 is too old") && log.contains("(v. 2.6.20)"), "{log}");
        let log = master.succeed(master.job("inf", 3, |radl, _| ask(radl, "ansible_version", "9.13.0"))).await;
        assert!(log.contains("found at /var/tmp/.ansible/bin/ansible-playbook.\n"), "{log}");

        let log = master.succeed(master.job("inf", 4, |radl, _| ask(radl, "ansible_version", "2.18"))).await;
        assert!(log.contains("WARNING: Ansible core 2.18 cannot be had: the default version is used ("), "{log}");
        assert!(log.contains("no offline bundle with Ansible core 2.18 fits (there are: ansible-2.16-py3"), "{log}");
        let why = master.fail(master.job("inf", 5, |radl, _| ask(radl, "ansible_version", "99"))).await;
        assert!(
            why.contains("option ansible_version = \"99\" names no version") && why.contains("ansible-2.16-py3"),
            "{why}"
        );
        let why = master.fail(master.job("inf", 6, |_, s| s.ansible_version = "none".to_owned())).await;
        assert!(why.contains("ANSIBLE_VERSION = \"none\" of the daemon names no version"), "{why}");
    });
}

/// Without a usable Python there is nothing to run Ansible; where it may, the daemon has the distribution install one. Without
/// a bundle that fits, and where it may, it takes Ansible from a package index.
///
/// Cases: B-03.
#[test]
fn python_and_ansible_from_the_network() {
    if !lab::inside("bootstrap::python_and_ansible_from_the_network") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let name = std::fs::canonicalize("/usr/bin/python3").unwrap();
        let (usual, saved) = (name.display(), "/opt/saved-python");
        let master = Master::new(Node::with_password("front", 11, "its password"));
        // A distribution whose package of Python is a file.
        master.shell(&format!(
            "mv {usual} {saved}; rm -f /usr/bin/python3*
            printf '#!/bin/sh\\ncase \"$*\" in *install*\" python3\") cp {saved} {usual}; ln -s {usual} /usr/bin/python3;; esac\\n' \
            > /usr/local/bin/apt-get; chmod 755 /usr/local/bin/apt-get"
        ));
        let why = master.fail(master.job("inf", 1, |_, _| {})).await;
        assert!(why.contains("[NO_PYTHON] the master has no Python 3"), "{why}");
        // One that says it is 3.6.
        master.shell(&format!(
            "printf '#!/bin/sh\\nexec {saved} -c \"import sys; sys.version_info = (3, 6, 8); c = sys.argv[2]; \
             sys.argv = sys.argv[2:]; exec(c)\" \"$@\"\\n' > /usr/local/bin/python3; chmod 755 /usr/local/bin/python3"
        ));
        let why = master.fail(master.job("inf", 2, |_, _| {})).await;
        assert!(why.contains("[PYTHON_TOO_OLD] the newest Python of the master is 3.6"), "{why}");
        master.shell("rm /usr/local/bin/python3");
        let log = master.succeed(master.job("inf", 3, |_, s| s.allow_online = true)).await;
        assert!(log.contains("Installing Python from the distribution of the master VM."), "{log}");

        // The wheels that make-bundle used, as a package index.
        let made = tempfile::tempdir().unwrap();
        let (simple, bundles) = (made.path().join("index/simple"), made.path().join("bundles"));
        copy("collections-2.16", &bundles);
        let wheels = bundle("/ansible-2.16").file_name().unwrap().to_string_lossy().replace(".tar.gz", "");
        for entry in std::fs::read_dir(lab::bundle_dir().join(".downloads").join(wheels)).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            if let Some(project) = file.strip_suffix(".whl").and_then(|f| f.split('-').next()) {
                let page = simple.join(project.to_lowercase().replace(['_', '.'], "-"));
                std::fs::create_dir_all(&page).unwrap();
                std::fs::copy(&path, page.join(&file)).unwrap();
                std::fs::write(page.join("index.html"), format!("<a href=\"{file}\">{file}</a>")).unwrap();
            }
        }
        let offline = |s: &mut Settings| s.bundle_dir = bundles.clone();
        let why = master.fail(master.job("inf", 4, |_, s| offline(s))).await;
        assert!(why.contains("build one with make-bundle, or set CTXT_ALLOW_ONLINE, or choose another image"), "{why}");
        let index = |s: &mut Settings| {
            offline(s);
            s.allow_online = true;
            s.pip_index = Some("http://10.77.0.1:8081/simple".to_owned());
        };
        let why = master.fail(master.job("inf", 5, |_, s| index(s))).await;
        assert!(why.contains("installing ansible-core==2.16.* from the Python package index on the master failed"), "{why}");
        let server = WebServer::start(8081, &made.path().join("index"), None);
        let log = master.succeed(master.job("inf", 6, |_, s| index(s))).await;
        assert!(log.contains("Using Ansible core 2.16 of the Python package index at /var/tmp/.im/.runtime/online-2.16-py3."), "{log}");
        let asked = server.requests().len();
        assert!(asked > 0);
        master.succeed(master.job("inf", 7, |_, s| index(s))).await;
        assert_eq!(server.requests().len(), asked, "{:?}", server.requests());
    });
}
