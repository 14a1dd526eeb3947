//! Master and access: which doors open, by which way, and what is said of those that stay shut.

use crate::{
    checkpoints::{Memory, Seen},
    documents::{configure, contextualize, document, item, job, processes, settings},
    lab::{self, Lab, Node},
};
use contextualization::{
    Checkpoints, ErrorCode, Job, Outcome, Settings, VmFacts, VmPower, run,
    ssh::{KeepAlive, SshLimits, keys},
};
use radl::{Configure, Radl};
use std::{
    collections::BTreeMap,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Changes the facts of a machine.
fn with(mut vm: VmFacts, change: impl FnOnce(&mut Radl)) -> VmFacts {
    change(Arc::make_mut(&mut vm.info));
    vm
}

/// Sets a feature of the machine's system.
fn set(vm: VmFacts, name: &str, value: &str) -> VmFacts {
    with(vm, |info| info.systems[0].features.set_text(name, value))
}

/// A job with other settings.
fn tuned(mut job: Job, change: impl FnOnce(&mut Settings)) -> Job {
    let mut own = settings();
    change(&mut own);
    job.settings = Arc::new(own);
    job
}

fn codes(seen: &Seen) -> BTreeMap<u32, Result<(), ErrorCode>> {
    seen.results.iter().map(|(vm, result)| (*vm, result.as_ref().copied().map_err(|e| e.code))).collect()
}

/// Lines of a node's sshd about logins that began at an address.
fn logins_from(lab: &Lab, node: &Node, ip: &str) -> usize {
    lab.log(node).lines().filter(|line| line.starts_with("Accepted ") && line.contains(&format!(" from {ip} "))).count()
}

/// What the daemon is, to its nodes.
const DAEMON: &str = "10.77.0.1";

const PLACES: &str = "
- tasks:
    - name: Where Ansible goes
      debug: {msg: 'way {{ ansible_host }}:{{ ansible_port }}'}
    - name: A file, without SFTP
      copy: {dest: /var/tmp/copied, content: x}
";

/// The master forbids forwarding and listens on another port; one machine of every kind behind it.
///
/// Cases: M-07, M-11, M-12, M-16, M-17, M-18, M-19, M-21, M-22, M-23, M-24, M-25, M-26, M-29.
#[test]
fn doors_of_every_kind() {
    if !lab::inside("access::doors_of_every_kind") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node {
            links: vec![(0, 11), (1, 11)],
            port: 2222,
            sshd: "AllowTcpForwarding remote",
            ..Node::new("front", 11)
        };
        let asked = Node { links: vec![(1, 12)], ..Node::with_password("asked", 12, "pass 'word") };
        let public = Node::new("public", 13);
        let root = Node {
            links: vec![(1, 14)],
            user: "root",
            setup: "rm -f $root/usr/bin/sudo $root/usr/local/bin/sudo",
            ..Node::new("root", 14)
        };
        let poor = Node { links: vec![(1, 15)], sudoers: "", ..Node::new("poor", 15) };
        let wrong = Node { key: true, links: vec![(1, 16)], ..Node::with_password("wrong", 16, "right") };
        let late = Node { key: false, links: vec![(1, 17)], ..Node::new("late", 17) };
        let tunnel = Node { links: vec![(2, 18), (0, 18)], ..Node::new("tunnel", 18) };
        let slow = Node { links: vec![(1, 19)], ..Node::new("slow", 19) };
        let lab = Lab::with(&[&front, &asked, &public, &root, &poor, &wrong, &late, &tunnel, &slow]);

        // The way back from a machine that nobody reaches.
        let command = format!(
            "umask 077; cat > /root/key <<'E'\n{}E\nssh -i /root/key -f -N -p 2222 -o StrictHostKeyChecking=no \
             -R 20042:localhost:22 cloud@10.77.0.11 > /dev/null 2>&1",
            lab.key.private
        );
        assert_eq!(lab.shell(&tunnel, &command), (true, String::new()));

        let nobody =
            |id, system, octet| lab.facts(id, system, &Node { links: vec![(1, octet)], ..Node::new("none", octet) });
        let mut facts = vec![
            nobody(0, "off", 90),
            with(lab.facts(1, "front", &front), |info| info.networks[0].features.set_text("outports", "2222-22")),
            lab.facts(2, "worker", &asked),
            lab.facts(3, "worker", &Node { links: vec![(1, 91), (0, 13)], ..public.clone() }),
            nobody(4, "worker", 92),
            lab.facts(5, "worker", &root),
            lab.facts(6, "worker", &poor),
            set(lab.facts(7, "worker", &wrong), "disk.0.os.credentials.password", "not right"),
            VmFacts { power: VmPower::Down, ..nobody(8, "worker", 93) },
            set(lab.facts(9, "worker", &late), "disk.0.os.credentials.private_key", &lab.key.private),
            VmFacts { creation_id: 42, ..lab.facts(10, "worker", &Node { links: vec![(2, 18)], ..tunnel.clone() }) },
            with(nobody(11, "worker", 94), |info| {
                info.systems[0].features.remove("net_interface.0.ip");
                info.systems[0].features.set_text("net_interface.0.ipv6", "fd00::11");
            }),
        ];
        let comes_later = lab.facts(12, "worker", &slow);
        facts.push(VmFacts {
            power: VmPower::Pending,
            ..with(comes_later.clone(), |info| drop(info.systems[0].features.remove("net_interface.0.ip")))
        });
        let off = Configure { name: "off".to_owned(), ..Configure::default() };
        let mut radl = document(&facts, vec![off, configure("places", PLACES)], vec![item("worker", "places", 1)]);
        radl.networks.clone_from(&facts[1].info.networks);
        let (vms, receiver) = watch::channel(Arc::new(facts));
        let memory = Arc::new(Memory::default());
        let job = tuned(job(radl, receiver, 1, &keys::generate(Default::default()).unwrap()), |s| {
            (s.wait_ssh, s.wait_public_ip) = (Duration::from_secs(20), Duration::from_secs(3));
        });
        let began = Instant::now();
        let task = tokio::spawn({
            let memory = Arc::clone(&memory);
            async move { contextualize(job, &memory).await }
        });

        // Nothing is known of the last machine for a while, as when the cloud does not answer.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(memory.0.lock().unwrap().master, None);
        vms.send_modify(|all| Arc::make_mut(all)[12] = comes_later.clone());
        memory
            .until("the door of VM 9", |seen| seen.logs.get(&9).is_some_and(|l| l.contains("Waiting SSH access")))
            .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let authorize =
            format!("cat > /home/cloud/.ssh/authorized_keys <<'E'\n{}\nE\nchown -R cloud /home/cloud", lab.key.public);
        assert!(lab.shell(&late, &authorize).0);

        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        eprintln!("done after {:?}", began.elapsed());
        let seen = memory.0.lock().unwrap();
        let expected = BTreeMap::from([
            (0, Ok(())),
            (1, Ok(())),
            (2, Ok(())),
            (3, Ok(())),
            (4, Err(ErrorCode::SshTimeout)),
            (5, Ok(())),
            (6, Err(ErrorCode::SudoDenied)),
            (7, Err(ErrorCode::SudoDenied)),
            (8, Err(ErrorCode::NotRunning)),
            (9, Ok(())),
            (10, Ok(())),
            (11, Err(ErrorCode::NoIp)),
            (12, Ok(())),
        ]);
        assert_eq!(codes(&seen), expected, "{:#?}", seen.results);
        for (vm, way) in [
            (2, "10.77.1.12:22"),
            (3, "10.77.0.13:22"),
            (5, "10.77.1.14:22"),
            (9, "10.77.1.17:22"),
            (10, "127.0.0.1:20042"),
            (12, "10.77.1.19:22"),
        ] {
            assert!(seen.logs[&vm].contains(&format!("way {way}\"")), "VM {vm}: {}", seen.logs[&vm]);
        }
        assert!(lab.path(&asked, "/var/tmp/copied").exists());
        for (vm, cause) in [
            (4, "Cause: [SSH_TIMEOUT] cannot reach 10.77.1.92:22 by SSH: "),
            (6, "Cause: [SUDO_DENIED] user cloud cannot use sudo (not allowed, or the password is wrong)"),
            (8, "Cause: [NOT_RUNNING] the machine is not running\n"),
            (11, "Cause: [NO_IP] the machine has no IPv4 address, and IPv6 alone is not supported\n"),
        ] {
            assert!(seen.logs[&vm].contains(cause), "VM {vm}: {}", seen.logs[&vm]);
        }
        let warning = "WARNING: The VM ID: 8 is not running, do not include in the contextualization agent.";
        assert!(seen.infrastructure.iter().any(|line| line == warning), "{:?}", seen.infrastructure);
        let hosts = lab.path(&front, "/var/tmp/.im/8a1cf2f5-0000-4000-8000-000000000001/hosts");
        let hosts = std::fs::read_to_string(hosts).unwrap();
        for absent in ["10.77.1.90_", "10.77.1.92_", "10.77.1.93_"] {
            assert!(!hosts.contains(absent), "{hosts}");
        }
        assert!(hosts.contains("\"ansible_port\": 2222"), "{hosts}");
        // All of it went over one connection of the daemon.
        assert_eq!(logins_from(&lab, &front, DAEMON), 1, "{}", lab.log(&front));
    });
}

const SLOW: &str = "
- tasks:
    - name: Slow
      command: sleep 4
    - name: A file
      copy: {dest: /var/tmp/copied, content: '{{ ansible_host }}'}
";

/// The master behind a proxy host, workers behind others that only the master reaches; then host keys change.
///
/// Cases: M-13, M-14, M-15.
#[test]
fn proxy_hosts() {
    if !lab::inside("access::proxy_hosts") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        const PASSWORD: &str = "p'w \"x$(id)";
        let hop = |name, links, sshd| Node { user: "hop", sudoers: "", links, sshd, ..Node::new(name, 0) };
        let jump = hop("jump", vec![(0, 21), (1, 21)], "");
        let asking = hop("asking", vec![(1, 23), (2, 23)], "Banner /etc/passwd");
        let asking = Node { port: 2200, key: false, password: Some(PASSWORD), ..asking };
        let keyed = hop("keyed", vec![(1, 25), (2, 25)], "");
        let master = Node { links: vec![(1, 22)], ..Node::new("master", 22) };
        let first = Node { links: vec![(2, 24)], ..Node::new("first", 24) };
        let second = Node { links: vec![(2, 26)], ..Node::with_password("second", 26, "pw of second") };
        let lab = Lab::with(&[&jump, &asking, &keyed, &master, &first, &second]);
        let behind = |vm: VmFacts, proxy: &str, key: Option<&str>| {
            with(vm, |info| {
                info.networks[0].features.set_text("proxy_host", proxy);
                if let Some(key) = key {
                    info.networks[0].features.set_text("proxy_key", key);
                }
            })
        };
        let crlf = lab.key.private.replace('\n', "\r\n");
        let key = Some(crlf.as_str());
        let nobody = |id| lab.facts(id, "worker", &Node { links: vec![(2, 90)], ..Node::new("none", 90) });
        let facts = vec![
            // It is on the network of the others, so that it becomes the master, but without a connection there.
            behind(
                lab.facts(0, "front", &Node { links: vec![(1, 22), (2, 91)], ..master.clone() }),
                "hop@10.77.0.21",
                key,
            ),
            behind(lab.facts(1, "worker", &first), &format!("hop:{PASSWORD}@10.77.1.23:2200"), None),
            behind(lab.facts(2, "worker", &second), "hop@10.77.1.25", key),
            behind(nobody(3), "hop:x@10.77.1.99", None),
            behind(nobody(4), "hop@10.77.1.23", None),
            behind(nobody(5), "hop:wrong@10.77.1.23:2200", None),
        ];
        let radl = document(&facts, vec![configure("slow", SLOW)], vec![item("worker", "slow", 1)]);
        let (vms, receiver) = watch::channel(Arc::new(facts));
        let pair = keys::generate(Default::default()).unwrap();
        let quick = |s: &mut Settings| s.wait_ssh = Duration::from_secs(10);
        let memory = Arc::new(Memory::default());
        let began = Instant::now();
        let task = tokio::spawn({
            let (memory, job) = (Arc::clone(&memory), tuned(job(radl.clone(), receiver.clone(), 1, &pair), quick));
            async move { contextualize(job, &memory).await }
        });
        memory
            .until("the slow task", |seen| {
                seen.logs.get(&1).is_some_and(|log| log.contains("TASK [Slow]")) || task.is_finished()
            })
            .await;
        // The secrets of the proxies are in memory, for their owner alone, and on no command line.
        let (_, modes) = lab.shell(&master, "cd /dev/shm && stat -c '%a %U %F' .im-*/ .im-*/*.key .im-*/*.known");
        // Two directories: that of the proxies, and the inventory with the passwords that sudo asks for.
        let expected = "700 cloud directory\n700 cloud directory\n600 cloud regular file\n600 cloud regular file\n600 cloud regular file\n";
        assert_eq!(modes, expected, "{}", memory.dump());
        let (_, lines) = lab.shell(&master, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' ' '");
        assert!(lines.contains("-l hop -- 10.77.1.23") && !lines.contains("p'w"), "{lines}");
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        eprintln!("done after {:?}", began.elapsed());
        let (host_keys, proxy_host_keys) = {
            let seen = memory.0.lock().unwrap();
            let failed = Err(ErrorCode::ProxyFailed);
            let expected = [(0, Ok(())), (1, Ok(())), (2, Ok(())), (3, failed), (4, failed), (5, failed)];
            assert_eq!(codes(&seen), BTreeMap::from(expected), "{}\n{:#?}", seen.logs[&1], seen.results);
            for (vm, says) in [
                (3, "the proxy host: cannot reach 10.77.1.99:22"),
                (4, "no credentials for the proxy host"),
                (5, "the proxy host: 10.77.1.23:2200 refused the credentials of user hop"),
            ] {
                assert!(seen.logs[&vm].contains(&format!("Cause: [PROXY_FAILED] {says}")), "{}", seen.logs[&vm]);
            }
            assert!(seen.logs.values().all(|log| !log.contains("p'w")));
            (seen.host_keys.clone(), seen.proxy_host_keys.clone())
        };
        assert_eq!(std::fs::read_to_string(lab.path(&first, "/var/tmp/copied")).unwrap(), "10.77.2.24");
        assert_eq!(std::fs::read_dir(lab.path(&master, "/dev/shm")).unwrap().count(), 0);
        let everywhere = "grep -rlF \"p'w\" /var/tmp /home /tmp; grep -rlF 'PRIVATE KEY' /var/tmp/.im/[0-9]* /tmp";
        let (_, left) = lab.shell(&master, everywhere);
        assert_eq!(left, "/var/tmp/.im/8a1cf2f5-0000-4000-8000-000000000001/ansible_key\n");
        // One connection to each proxy for the doors, and one for each run.
        assert_eq!(logins_from(&lab, &jump, DAEMON), 1, "{}", lab.log(&jump));
        assert_eq!(logins_from(&lab, &asking, "10.77.1.22"), 3, "{}", lab.log(&asking));
        assert_eq!(logins_from(&lab, &keyed, "10.77.1.22"), 3, "{}", lab.log(&keyed));

        // Another host key: of a machine, and of a proxy host. What was known is known in the next generation.
        vms.send_modify(|all| {
            let all = Arc::make_mut(all);
            all.truncate(3);
            for vm in all {
                vm.host_key = host_keys.get(&vm.id).cloned();
                vm.proxy_host_key = proxy_host_keys.get(&vm.id).cloned();
                assert!(vm.host_key.is_some() && vm.proxy_host_key.is_some());
            }
        });
        lab.change_host_key(&first);
        lab.change_host_key(&keyed);
        let memory = Arc::new(Memory::default());
        let nothing = document(&receiver.borrow(), vec![configure("worker", "- tasks: []\n")], vec![]);
        let second = tuned(job(nothing.clone(), receiver.clone(), 2, &pair), quick);
        assert_eq!(contextualize(second, &memory).await, Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            let changed = Err(ErrorCode::HostkeyChanged);
            assert_eq!(codes(&seen), BTreeMap::from([(0, Ok(())), (1, changed), (2, changed)]), "{:#?}", seen.results);
            assert!(
                seen.logs[&1].contains("[HOSTKEY_CHANGED] the host key of 10.77.2.24:22 changed"),
                "{}",
                seen.logs[&1]
            );
            let proxy = "[HOSTKEY_CHANGED] the proxy host: the host key of 10.77.1.25:22 changed";
            assert!(seen.logs[&2].contains(proxy), "{}", seen.logs[&2]);
        }

        // Created again they are strangers, and welcome. The runner is killed in the middle: no secret and no connection
        // of it is left.
        vms.send_modify(|all| {
            for vm in &mut Arc::make_mut(all)[1..] {
                (vm.host_key, vm.proxy_host_key) = (None, None);
            }
        });
        let memory = Arc::new(Memory::default());
        let task = tokio::spawn({
            let (memory, job) = (Arc::clone(&memory), tuned(job(radl, receiver, 3, &pair), quick));
            async move { contextualize(job, &memory).await }
        });
        memory
            .until("the slow task", |seen| {
                seen.logs.get(&1).is_some_and(|log| log.contains("TASK [Slow]")) || task.is_finished()
            })
            .await;
        let supervisors = processes("runner.py /var/tmp/.im/8a1cf2f5-0000-4000-8000-000000000001 start");
        assert!(!supervisors.is_empty() && !processes("-l hop -- 10.77.1.23").is_empty(), "{}", memory.dump());
        for pid in supervisors {
            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        }
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            assert!(seen.logs[&1].contains("[RUNNER_LOST]"), "{}", seen.logs[&1]);
            assert_eq!(codes(&seen), BTreeMap::from([(0, Ok(())), (1, Ok(())), (2, Ok(()))]), "{:#?}", seen.results);
        }
        assert_eq!(processes("-l hop -- 10.77.1.23"), Vec::<i32>::new());
        assert_eq!(std::fs::read_dir(lab.path(&master, "/dev/shm")).unwrap().count(), 0);
    });
}

/// What is waited for and does not come.
///
/// Cases: M-03, M-05, M-06, M-20.
#[test]
fn waits_end_with_a_clear_sentence() {
    if !lab::inside("access::waits_end_with_a_clear_sentence") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node::with_password("front", 11, "right");
        let lab = Lab::with(&[&front]);
        let good = || lab.facts(0, "front", &front);
        let without_public_ip = |id, system| {
            let vm = lab.facts(id, system, &Node { links: vec![(0, 31), (1, 31)], ..Node::new("none", 31) });
            with(vm, |info| drop(info.systems[0].features.remove("net_interface.0.ip")))
        };
        let wrong = set(good(), "disk.0.os.credentials.password", "wrong");
        let private = lab.facts(0, "front", &Node { links: vec![(1, 32)], ..Node::new("none", 32) });
        let no_master =
            "Contextualization Error: No correct Master VM found. Check if there a linux VM with Public IP.";
        let ssh = "Contextualization Error: Error Waiting the Master VM to have the SSH active: ";
        let mut work = Vec::new();
        for (facts, expected) in [
            (vec![private], no_master.to_owned()),
            (vec![set(good(), "disk.0.os.name", "windows")], no_master.to_owned()),
            (
                vec![VmFacts { power: VmPower::Pending, ..good() }],
                "Contextualization Error: Error Waiting the Master VM to boot".to_owned(),
            ),
            (
                vec![wrong],
                format!(
                    "{ssh}Error connecting with ip: 10.77.0.11 incorrect credentials. [10.77.0.11:22 refused the \
                     credentials of user cloud]"
                ),
            ),
            (vec![without_public_ip(0, "front")], format!("{ssh}Timeout waiting the VM to get a public IP.")),
            (
                vec![good(), without_public_ip(1, "worker")],
                "Error waiting all the VMs to have all the requested IPs".to_owned(),
            ),
            (
                vec![
                    good(),
                    with(without_public_ip(1, "worker"), |info| {
                        info.systems[0].features.remove("net_interface.1.ip");
                    }),
                ],
                "Error waiting for an IP of VM 1: none within 3 s.".to_owned(),
            ),
        ] {
            let radl = document(&facts, vec![], vec![]);
            let (vms, receiver) = watch::channel(Arc::new(facts));
            let job = tuned(job(radl, receiver, 1, &keys::generate(Default::default()).unwrap()), |s| {
                (s.wait_running, s.wait_public_ip) = (Duration::from_secs(3), Duration::from_secs(2));
                // The machine of the last but one never answers: the public address is not waited for that long.
                s.wait_ssh = Duration::from_secs(if expected.contains("incorrect") { 4 } else { 60 });
            });
            work.push(async move {
                let memory = Arc::new(Memory::default());
                let began = Instant::now();
                assert_eq!(contextualize(job, &memory).await, Outcome::Failed(expected.clone()));
                assert!(began.elapsed() < Duration::from_secs(40), "{expected}: {:?}", began.elapsed());
                assert_eq!(memory.0.lock().unwrap().infrastructure.last(), Some(&expected));
                drop(vms);
            });
        }
        futures::future::join_all(work).await;
    });
}

const STEADY: &str = "
- tasks:
    - name: Before
      command: 'true'
    - name: Meanwhile
      command: sleep 8
    - name: After
      command: 'true'
";

/// The daemon cannot reach the master for a while; then the master is gone for good.
///
/// Cases: M-01, M-04, L-15.
#[test]
fn the_master_is_lost_for_a_while_and_for_good() {
    if !lab::inside("access::the_master_is_lost_for_a_while_and_for_good") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let other = Node::new("other", 10);
        let front = Node { links: vec![(0, 11), (1, 11)], ..Node::new("front", 11) };
        let heir = Node { links: vec![(0, 12), (1, 12)], ..Node::new("heir", 12) };
        let w = Node { links: vec![(1, 13)], ..Node::new("w", 13) };
        let lab = Lab::with(&[&other, &front, &heir, &w]);
        let facts = vec![
            lab.facts(0, "front", &other),
            lab.facts(1, "front", &front),
            lab.facts(2, "front", &heir),
            lab.facts(3, "worker", &w),
        ];
        let radl = document(&facts, vec![configure("front", STEADY), configure("worker", STEADY)], vec![]);
        let (vms, receiver) = watch::channel(Arc::new(facts));
        let pair = keys::generate(Default::default()).unwrap();
        let keep_alive = KeepAlive { interval: Duration::from_secs(1), missed: 2, ..KeepAlive::default() };
        let start = |generation| {
            let memory = Arc::new(Memory::default());
            let job = job(radl.clone(), receiver.clone(), generation, &pair);
            let checkpoints: Arc<dyn Checkpoints> = Arc::clone(&memory) as _;
            let limits = SshLimits::new(50, 10).with_keep_alive(keep_alive);
            (memory, tokio::spawn(run(job, checkpoints, limits, CancellationToken::new())))
        };
        let meanwhile = |seen: &Seen| seen.logs.get(&3).is_some_and(|log| log.contains("TASK [Meanwhile]"));

        let (memory, task) = start(1);
        memory.until("the long task", meanwhile).await;
        assert_eq!(memory.0.lock().unwrap().master, Some(1));
        assert_eq!(logins_from(&lab, &front, DAEMON), 1, "{}", lab.log(&front));
        let link =
            |state| assert!(Command::new("ip").args(["link", "set", "v0.11", state]).status().unwrap().success());
        link("down");
        tokio::time::sleep(Duration::from_secs(6)).await;
        link("up");
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        {
            let seen = memory.0.lock().unwrap();
            assert!(codes(&seen).values().all(Result::is_ok) && seen.results.len() == 4, "{:#?}", seen.results);
            for log in seen.logs.values() {
                for once in ["TASK [Before]", "TASK [Meanwhile]", "TASK [After]"] {
                    assert_eq!(log.matches(once).count(), 1, "{log}");
                }
                assert!(!log.contains("ERROR"), "{log}");
            }
            assert!(!seen.infrastructure.iter().any(|line| line.contains("WARNING")), "{:?}", seen.infrastructure);
        }
        assert_eq!(logins_from(&lab, &front, DAEMON), 2, "{}", lab.log(&front));

        // The master is deleted: another one takes over, and everything is done there.
        let (memory, task) = start(2);
        memory.until("the long task", meanwhile).await;
        vms.send_modify(|all| drop(Arc::make_mut(all).remove(1)));
        assert_eq!(task.await.unwrap(), Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        assert_eq!(seen.master, Some(2));
        assert_eq!(codes(&seen), BTreeMap::from([(0, Ok(())), (2, Ok(())), (3, Ok(()))]), "{:#?}", seen.results);
        assert!(seen.logs[&3].contains("TASK [After]"), "{}", seen.logs[&3]);
    });
}
