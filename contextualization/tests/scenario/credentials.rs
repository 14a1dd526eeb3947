//! Credentials: changed literally, only as far as they could be, and consistent whenever the daemon dies.

use crate::{
    documents::{configure, document, job},
    keeper::Keeper,
    lab::{self, Lab, Node},
};
use contextualization::{
    Outcome,
    ssh::{ConnectRequest, Endpoint, HostKeyPolicy, Login, SshError, SshSession, keys},
};
use std::time::Duration;

/// Everything that a shell, YAML, Jinja, `chpasswd` or a careless split might take for something else.
const AWKWARD: &str = "'n\"$(id)\\`: {{ 1 }} é#;|&%! ";
const RECIPE: &str =
    "- tasks:\n    - command: id -un\n      register: who\n    - debug: {msg: 'I am {{ who.stdout }}'}\n";

/// Whether a login opens the door.
async fn opens(node: &Node, login: Login) -> bool {
    let request = ConnectRequest {
        endpoint: Endpoint::new(node.ip(), node.port),
        user: node.user.to_owned(),
        logins: vec![login],
        host_key: HostKeyPolicy::off(),
        timeout: Duration::from_secs(20),
    };
    match SshSession::connect(request).await {
        Ok(_) => true,
        Err(SshError::AuthFailed { .. }) => false,
        Err(error) => panic!("{}: {error}", node.name),
    }
}

async fn password_opens(node: &Node, password: &str) -> bool {
    opens(node, Login::Password(password.to_owned())).await
}

/// A password of the image gives way to the one that the engine made up, whatever its characters, on the master and on
/// workers; sudo goes on with it. A new password without a current one stays a wish, with a warning, while the key beside
/// it is installed; a repetition does not authorize it twice. A reconfigure changes the machines of one system only.
///
/// Cases: K-01, K-02, K-03, K-05, K-06.
#[test]
fn new_credentials_take_the_place_of_the_old_ones() {
    if !lab::inside("credentials::new_credentials_take_the_place_of_the_old_ones") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::with_password("front", 11, "image-pw-0");
        let awkward = Node::with_password("w1", 12, "image-pw-1");
        let by_key = Node::new("w2", 13);
        let lab = Lab::with(&[&front, &awkward, &by_key]);
        let facts = [lab.facts(0, "front", &front), lab.facts(1, "worker", &awkward), lab.facts(2, "keyed", &by_key)];
        let keeper = Keeper::new(&facts);
        let pair = keys::generate(Default::default()).unwrap();
        keeper.ask(&[0], &[("password", "Ab3dEf6h")]);
        keeper.ask(&[1], &[("password", AWKWARD)]);
        let half_pair = [("public_key", pair.public.as_str()), ("private_key", pair.private.as_str())];
        keeper.ask(&[2], &[half_pair[0], half_pair[1], ("password", "Never-set-1")]);
        let radl = document(&facts, vec![configure("worker", RECIPE)], vec![]);
        let key = keys::generate(Default::default()).unwrap();
        let outcome = keeper.contextualize(job(radl.clone(), keeper.vms.subscribe(), 1, &key)).await;
        assert_eq!(outcome, Outcome::Done, "{}", keeper.memory.dump());
        {
            let mut seen = keeper.memory.0.lock().unwrap();
            assert!(seen.results.values().all(Result::is_ok), "{:#?}", seen.results);
            let warning = "WARNING: the new password is not set";
            assert!(seen.logs[&2].contains(warning) && !seen.logs[&1].contains(warning), "{:#?}", seen.logs);
            assert!(seen.logs[&1].contains("I am root"), "{}", seen.logs[&1]);
            for log in seen.logs.values().chain(&seen.infrastructure) {
                assert!(!["image-pw", "Ab3dEf6h", AWKWARD, "Never-set-1"].iter().any(|pw| log.contains(pw)), "{log}");
            }
            seen.results.clear();
        }
        for (vm, node, old, new) in [(0, &front, "image-pw-0", "Ab3dEf6h"), (1, &awkward, "image-pw-1", AWKWARD)] {
            assert!(password_opens(node, new).await && !password_opens(node, old).await);
            assert_eq!(keeper.credential(vm, "password").as_deref(), Some(new));
            assert_eq!(keeper.credential(vm, "new.password"), None);
        }
        assert_eq!(keeper.credential(2, "new.password").as_deref(), Some("Never-set-1"));
        assert_eq!((keeper.credential(2, "new.private_key"), keeper.credential(2, "new.public_key")), (None, None));
        assert_eq!(keeper.credential(2, "private_key").as_ref(), Some(&pair.private));

        // Once more, with only the new key left on that machine: it is what opens the door, and it stays there once.
        std::fs::write(lab.path(&by_key, "/home/cloud/.ssh/authorized_keys"), format!("{}\n", pair.public)).unwrap();
        keeper.ask(&[2], &half_pair);
        // And another password for one system.
        keeper.ask(&[1], &[("password", "Second:one 2")]);
        let outcome = keeper.contextualize(job(radl, keeper.vms.subscribe(), 2, &key)).await;
        assert_eq!(outcome, Outcome::Done, "{}", keeper.memory.dump());
        assert!(keeper.memory.0.lock().unwrap().results.values().all(Result::is_ok), "{}", keeper.memory.dump());
        let authorized = std::fs::read_to_string(lab.path(&by_key, "/home/cloud/.ssh/authorized_keys")).unwrap();
        assert_eq!(authorized.matches(&pair.public).count(), 1, "{authorized}");
        assert_eq!(authorized.matches(&key.public).count(), 1, "{authorized}");
        assert!(password_opens(&awkward, "Second:one 2").await && !password_opens(&awkward, AWKWARD).await);
        assert!(password_opens(&front, "Ab3dEf6h").await);
        assert_eq!(keeper.credential(0, "password").as_deref(), Some("Ab3dEf6h"));
    });
}

/// The daemon dies when a password is changed and that is not stored: on the master, then on a worker. On a third machine
/// neither password is right any more, but the infrastructure's key is. All end with the new password, stored.
///
/// Cases: K-04.
#[test]
fn a_daemon_that_dies_before_it_stores_them() {
    if !lab::inside("credentials::a_daemon_that_dies_before_it_stores_them") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::with_password("front", 11, "image-pw-0");
        let worker = Node::with_password("w1", 12, "image-pw-1");
        let lost = Node { sudoers: "cloud ALL=(ALL) NOPASSWD:ALL", ..Node::with_password("w2", 13, "unknown-pw") };
        let lab = Lab::with(&[&front, &worker, &lost]);
        let mut facts = [lab.facts(0, "front", &front), lab.facts(1, "worker", &worker), lab.facts(2, "lost", &lost)];
        let system = &mut std::sync::Arc::make_mut(&mut facts[2].info).systems[0];
        system.features.set_text("disk.0.os.credentials.password", "image-pw-2");
        let keeper = Keeper::new(&facts);
        let key = keys::generate(Default::default()).unwrap();
        std::fs::write(lab.path(&lost, "/home/cloud/.ssh/authorized_keys"), format!("{}\n", key.public)).unwrap();
        keeper.ask(&[0, 1, 2], &[("password", "Ab3dEf6h")]);
        let radl = document(&facts, vec![configure("worker", RECIPE)], vec![]);
        let again = || {
            let mut job = job(radl.clone(), keeper.vms.subscribe(), 1, &key);
            job.progress = keeper.memory.0.lock().unwrap().progress.clone();
            job
        };
        keeper.die_at(0, again()).await;
        assert!(password_opens(&front, "Ab3dEf6h").await);
        assert_eq!(keeper.credential(0, "password").as_deref(), Some("image-pw-0"));
        keeper.die_at(1, again()).await;
        assert!(password_opens(&worker, "Ab3dEf6h").await);
        assert_eq!(keeper.credential(1, "password").as_deref(), Some("image-pw-1"));

        assert_eq!(keeper.contextualize(again()).await, Outcome::Done, "{}", keeper.memory.dump());
        assert!(keeper.memory.0.lock().unwrap().results.values().all(Result::is_ok), "{}", keeper.memory.dump());
        for (vm, node) in [(0, &front), (1, &worker), (2, &lost)] {
            assert!(password_opens(node, "Ab3dEf6h").await, "{}", node.name);
            assert_eq!(keeper.credential(vm, "password").as_deref(), Some("Ab3dEf6h"));
            assert_eq!(keeper.credential(vm, "new.password"), None);
        }
    });
}
