//! The access phase against real machines.

use crate::sshd::{SOON, Sshd, USERS};
use contextualization::{
    ErrorCode, InstalledCredentials, KeyPair,
    access::{
        AccessError, AccessSettings, Accessed, LoginKind, NodeTask, Proxy, Routes, Sudo, Target, WaitLimits,
        access_all, prepare_node, reach, wait_ssh,
    },
    ssh::{Endpoint, Login, SshError, SshLimits, SshSession, keys},
};
use futures::StreamExt;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

const AWKWARD: &str = "n'e\"w$(id)\\`:x é #";

fn quick() -> AccessSettings {
    let ms = Duration::from_millis;
    let wait = WaitLimits { timeout: ms(2000), first_pause: ms(50), max_pause: ms(200), grace: ms(0), refusals: 3 };
    AccessSettings { wait, attempt: SOON, parallel: 50, check_host_keys: true }
}

fn target(vm: u32, sshd: &Sshd, user: &str, logins: Vec<(LoginKind, Login)>) -> Target {
    Target {
        vm,
        user: user.to_owned(),
        addresses: vec![sshd.endpoint()],
        outside: sshd.endpoint(),
        logins,
        host_key: None,
        proxy: None,
        task: NodeTask::default(),
        installs: InstalledCredentials::default(),
        notes: Vec::new(),
    }
}

fn key(kind: LoginKind, pair: &KeyPair) -> (LoginKind, Login) {
    (kind, Login::PrivateKey(pair.private.clone()))
}

fn password(kind: LoginKind, text: &str) -> (LoginKind, Login) {
    (kind, Login::Password(text.to_owned()))
}

/// Cases: M-23, M-24, M-25.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_says_what_it_is_and_who_may_be_root() {
    let sshd = Sshd::start(&[]);
    let with = |password: &str| NodeTask { sudo_passwords: vec![password.to_owned()], ..NodeTask::default() };
    let start = Instant::now();
    for (user, task, expected) in [
        ("root", with(""), Some(Sudo::Root)),
        ("easy", with(""), Some(Sudo::NoPassword)),
        ("asked", with("pw-asked"), Some(Sudo::Password)),
        ("asked", with("wrong"), None),
        ("asked", with(""), None),
        ("poor", with("pw-poor"), None),
    ] {
        let result = prepare_node(&sshd.session(user).await, &task).await;
        match (&result, expected) {
            (Ok(prepared), Some(sudo)) => assert_eq!(prepared.facts.sudo, sudo, "{user}"),
            (Err(AccessError::SudoDenied { .. }), None) => {}
            _ => panic!("{user}: {result:?}"),
        }
    }
    // Each wrong password costs sudo about two seconds, never a hang.
    assert!(start.elapsed() < Duration::from_secs(20));

    let root = sshd.session("root").await;
    let facts = prepare_node(&root, &NodeTask::default()).await.unwrap().facts;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(facts.boot_id, boot.trim());
    assert!(!facts.os.is_empty() && !facts.machine.is_empty() && facts.memory_available > 0, "{facts:?}");
    let python = facts.python().unwrap();
    assert!(python.version.0 == 3 && python.path.starts_with('/'), "{python:?}");

    // Root needs no sudo.
    root.exec(&["sh", "-c", "mount --bind /dev/null /usr/bin/sudo"]).await.unwrap();
    assert_eq!(prepare_node(&root, &NodeTask::default()).await.unwrap().facts.sudo, Sudo::Root);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_change_once_and_a_repetition_ends_the_same() {
    let sshd = Sshd::start(&[]);
    let (own, new) = (keys::generate(Default::default()).unwrap(), keys::generate(Default::default()).unwrap());
    for (user, old, _) in USERS.iter().filter(|(user, ..)| *user != "poor") {
        let task = NodeTask {
            sudo_passwords: vec![(*old).to_owned(), AWKWARD.to_owned()],
            new_password: Some(AWKWARD.to_owned()),
            authorize: vec![own.public.clone(), new.public.clone()],
        };
        let mut logins = vec![password(LoginKind::Initial, old), password(LoginKind::New, AWKWARD)];
        logins.push(key(LoginKind::Infrastructure, &own));
        let settings = quick();
        let limits = SshLimits::new(10, 100);
        let installs = InstalledCredentials { password: true, key: true };
        let target = Target { task, installs, ..target(1, &sshd, user, logins) };
        let mut seen = Vec::new();
        // As if the daemon had died each time before it could store what it did.
        for _ in 0..3 {
            let session = reach(&limits, &target, &settings).await.unwrap();
            let done = Accessed::prepare(&target, &session).await.unwrap();
            assert!(done.installed == installs && sshd.host_key().starts_with(&done.host_key));
            seen.push(done.login);
        }
        assert_eq!(seen, [LoginKind::Initial, LoginKind::New, LoginKind::New], "{user}");
        let logins = [Login::PrivateKey(new.private.clone())];
        let by_key = SshSession::connect(sshd.request(user, logins.to_vec())).await.unwrap();
        let lines = by_key.exec(&["cat", ".ssh/authorized_keys"]).await.unwrap().stdout;
        let lines = String::from_utf8(lines).unwrap();
        for pair in [&own, &new] {
            assert_eq!(lines.matches(pair.public.as_str()).count(), 1, "{lines}");
        }
        let old = [Login::Password((*old).to_owned())];
        let refused = SshSession::connect(sshd.request(user, old.to_vec())).await;
        assert!(matches!(refused, Err(SshError::AuthFailed { .. })));
    }
    let bad = NodeTask { new_password: Some("a\nroot:b".to_owned()), ..NodeTask::default() };
    let refused = prepare_node(&sshd.session("root").await, &bad).await;
    assert_eq!(refused, Err(AccessError::NewlineInPassword));
}

/// Cases: M-10, M-13, M-14, M-17, M-29.
#[tokio::test(flavor = "multi_thread")]
async fn machines_are_accessed_side_by_side_and_fail_alone() {
    let (master, worker) = (Sshd::start(&["AllowTcpForwarding=no"]), Sshd::start(&[]));
    let open = Sshd::start(&[]);
    let (jump, shut) = (Sshd::start(&[]), Sshd::start(&["AllowTcpForwarding=no"]));
    let nowhere = Endpoint::new("127.0.0.1", 1);
    let mut targets: Vec<Target> = (0..12)
        .map(|vm| {
            let mut one = target(vm, &worker, "easy", vec![key(LoginKind::Infrastructure, &worker.key)]);
            one.addresses.insert(0, nowhere.clone());
            one
        })
        .collect();
    let keys = &worker.key;
    targets[3].addresses = vec![nowhere.clone()];
    targets[4].logins = vec![password(LoginKind::Initial, "wrong")];
    targets[5].user = "poor".to_owned();
    targets[6].host_key = Some(keys::generate(Default::default()).unwrap().public);
    targets[7].logins = vec![(LoginKind::Initial, Login::PrivateKey("~/.ssh/id_rsa".to_owned()))];
    targets[8].addresses = vec![nowhere.clone()];
    let proxy = |sshd: &Sshd, logins: Vec<Login>| {
        Some(Proxy { endpoint: sshd.endpoint(), user: "easy".to_owned(), logins, host_key: None })
    };
    targets[8].proxy = proxy(&jump, vec![Login::PrivateKey(keys.private.clone())]);
    for behind in &mut targets[9..] {
        behind.addresses = vec![nowhere.clone()];
        behind.proxy = proxy(&jump, jump.login());
    }
    targets[11].proxy = proxy(&shut, shut.login());

    let (relays, routes) = (Routes::from(master.session("root").await), Routes::from(open.session("root").await));
    let settings = quick();
    let direct = access_all(&relays, &targets[..8], &settings).chain(access_all(&relays, &targets[9..10], &settings));
    let (mut results, behind): (Vec<_>, Vec<_>) =
        tokio::join!(direct.collect(), access_all(&routes, &targets[8..], &settings).collect());
    assert_eq!(results.pop().unwrap().1.map(|a| a.proxy_host_key.is_some()), Ok(true));
    results.extend(behind);
    results.sort_by_key(|(vm, _)| *vm);
    let codes: Vec<_> = results.iter().map(|(_, result)| result.as_ref().map(|_| ()).map_err(|e| e.code)).collect();
    let mut expected = vec![Ok(()); 12];
    expected[3] = Err(ErrorCode::SshTimeout);
    expected[4] = Err(ErrorCode::SshAuth);
    expected[5] = Err(ErrorCode::SudoDenied);
    expected[6] = Err(ErrorCode::HostkeyChanged);
    expected[7] = Err(ErrorCode::SshAuth);
    expected[8] = Err(ErrorCode::ProxyFailed);
    expected[11] = Err(ErrorCode::ProxyFailed);
    assert_eq!(codes, expected, "{results:#?}");
    let says = |vm: usize, text: &str| {
        let message = &results[vm].1.as_ref().unwrap_err().message;
        assert!(message.contains(text), "VM {vm}: {message}");
    };
    says(8, "the proxy host: ");
    says(11, "AllowTcpForwarding");
    // Both machines behind the proxy share one connection of their master to it (the other one is a relay's), and its host key is known from now on.
    assert_eq!(jump.log().matches("Accepted publickey").count(), 2, "{}", jump.log());
    let seen = results[9].1.as_ref().unwrap().proxy_host_key.clone().unwrap();
    assert!(jump.host_key().starts_with(&seen));
    assert_eq!(results[0].1.as_ref().unwrap().proxy_host_key, None);
    says(7, "invalid private key");
    says(6, "CTXT_HOSTKEY = off");

    // The daemon's own way through a proxy host.
    let limits = SshLimits::new(10, 100);
    assert!(reach(&limits, &targets[9], &settings).await.unwrap().exec(&["true"]).await.unwrap().success());
    assert_eq!(reach(&limits, &targets[8], &settings).await.unwrap_err().code, ErrorCode::ProxyFailed);

    // A hop with another host key than before is not trusted.
    let other = Some(keys::generate(Default::default()).unwrap().public);
    for known in [Some(seen), other.clone()] {
        targets[9].proxy.as_mut().unwrap().host_key = known.clone();
        let (direct, through) =
            (reach(&limits, &targets[9], &settings).await.map(drop), access_all(&routes, &targets[9..10], &settings));
        let through = through.collect::<Vec<_>>().await.remove(0).1.map(drop);
        for result in [direct, through] {
            match result {
                Ok(()) => assert_ne!(known, other),
                Err(error) => assert_eq!((error.code, &known), (ErrorCode::HostkeyChanged, &other), "{error:?}"),
            }
        }
    }
    let unchecked = AccessSettings { check_host_keys: false, ..settings };
    assert!(reach(&limits, &targets[9], &unchecked).await.is_ok());
}

/// Cases: M-06, M-07.
#[tokio::test]
async fn refusals_count_only_after_a_while() {
    let ms = Duration::from_millis;
    let limits = WaitLimits { timeout: ms(5000), first_pause: ms(5), max_pause: ms(20), grace: ms(200), refusals: 3 };
    let refused = || SshError::AuthFailed { target: "x:22".to_owned(), user: "u".to_owned() };
    let silent = || SshError::Unreachable { target: "x:22".to_owned(), reason: "refused".to_owned() };
    // The key appears late.
    let start = Instant::now();
    let late = || async { if start.elapsed() < ms(150) { Err(refused()) } else { Ok(7) } };
    assert_eq!(wait_ssh(&limits, late).await, Ok(7));
    // It never does: the end comes soon after the grace, long before the time-out.
    let (start, tries) = (Instant::now(), AtomicU32::new(0));
    let never =
        || async { if tries.fetch_add(1, Ordering::Relaxed) < 3 { Err::<(), _>(silent()) } else { Err(refused()) } };
    assert_eq!(wait_ssh(&limits, never).await, Err(refused()));
    assert!(start.elapsed() > ms(200) && start.elapsed() < ms(2000), "{:?}", start.elapsed());
    // A machine that never answers costs exactly the time-out.
    let short = WaitLimits { timeout: ms(100), ..limits };
    let start = Instant::now();
    assert_eq!(wait_ssh(&short, || async { Err::<(), _>(silent()) }).await, Err(silent()));
    assert!(start.elapsed() <= ms(1000));
}
