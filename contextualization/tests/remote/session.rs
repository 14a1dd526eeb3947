//! What a session does, seen from outside.

use crate::sshd::{SOON, Sshd, run};
use contextualization::ssh::{
    ConnectRequest, Endpoint, ExecLimits, HostKeyPolicy, KeepAlive, Login, SshError, SshLimits, SshSession, TarEntry,
    keys, quote,
};

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_side_by_side_on_one_connection() {
    let sshd = Sshd::start(&[]);
    let session = sshd.session("root").await;
    let start = Instant::now();
    let runs = (0..20).map(|i| {
        let session = session.clone();
        let script = "sleep 0.5; echo $1; echo e$1 >&2; exit $1";
        async move { session.exec(&["sh", "-c", script, "x", &i.to_string()]).await }
    });
    for (i, output) in futures::future::join_all(runs).await.into_iter().enumerate() {
        let output = output.unwrap();
        assert_eq!(output.status, i as i32);
        assert_eq!(output.stdout, format!("{i}\n").into_bytes());
        assert_eq!(output.stderr, format!("e{i}\n").into_bytes());
    }
    assert!(start.elapsed() < Duration::from_secs(6), "20 commands of 0.5 s took {:?}", start.elapsed());
    assert_eq!(session.exec(&["sh", "-c", "kill -9 $$"]).await.unwrap().status, 137);

    let big = vec![b'x'; 5 << 20];
    let all = ExecLimits { stdout: 6 << 20, ..ExecLimits::default() };
    let output = session.exec_with_input(&["cat"], &big, all).await.unwrap();
    assert!(output.stdout == big && !output.truncated);
    let few = ExecLimits { stdout: 10, ..ExecLimits::default() };
    let output = session.exec_with_input(&["cat"], &big, few).await.unwrap();
    assert!(output.stdout == b"xxxxxxxxxx" && output.truncated);
    let output = session.upload_stream(&["wc", "-c"], &mut big.as_slice(), all).await.unwrap();
    assert_eq!(output.stdout, b"5242880\n");
    // What never stops is not read for ever, whichever way it talks.
    for script in ["cat /dev/zero", "cat /dev/zero >&2"] {
        let start = Instant::now();
        let endless = session.exec(&["sh", "-c", script]).await;
        assert!(matches!(endless, Err(SshError::Remote { .. })), "{script}: {endless:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{script}: {:?}", start.elapsed());
    }
    assert!(session.exec(&["true"]).await.unwrap().success());
    // A command that does not read its input says why it ended.
    let output = session.upload_stream(&["sh", "-c", "exit 3"], &mut big.as_slice(), all).await.unwrap();
    assert_eq!(output.status, 3);

    let short = ExecLimits::within(Duration::from_millis(300));
    let late = session.exec_with_input(&["sleep", "20"], b"", short).await;
    assert!(matches!(late, Err(SshError::CommandTimeout { .. })), "{late:?}");
    assert!(session.exec(&["true"]).await.unwrap().success());
}

/// Cases: M-08, M-09, M-10.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_opens_and_the_session_says_which() {
    let sshd = Sshd::start(&[]);
    let connect = |user: &'static str, logins: Vec<Login>, host_key: HostKeyPolicy| {
        SshSession::connect(ConnectRequest { host_key, ..sshd.request(user, logins) })
    };
    let password = |text: &str| Login::Password(text.to_owned());
    let dir = tempfile::tempdir().unwrap();
    let session = sshd.session("root").await;
    assert!(sshd.host_key().starts_with(session.host_key()), "{} {}", sshd.host_key(), session.host_key());

    // Every common key form, as users paste them.
    for (kind, form) in [
        ("rsa", "PEM"),
        ("rsa", "RFC4716"),
        ("rsa", "PKCS8"),
        ("ecdsa", "PEM"),
        ("ecdsa", "RFC4716"),
        ("ed25519", "RFC4716"),
    ] {
        let file = dir.path().join(format!("{kind}{form}"));
        run(Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-m", form, "-f"]).arg(&file));
        let public = fs::read(file.with_extension("pub")).unwrap();
        let add = session.exec_with_input(&["sh", "-c", "cat >> .ssh/authorized_keys"], &public, ExecLimits::default());
        assert!(add.await.unwrap().success());
        let text = fs::read_to_string(&file).unwrap().replace('\n', "\r\n");
        let logins = vec![password("wrong"), Login::PrivateKey(text.trim_end().to_owned())];
        let opened = connect("root", logins, HostKeyPolicy::off()).await;
        assert_eq!(opened.map(|s| s.login()).map_err(|e| format!("{kind} {form}: {e}")), Ok(1));
    }
    // Our own pairs are pairs for OpenSSH too.
    let pair = keys::generate(Default::default()).unwrap();
    let file = dir.path().join("ours");
    fs::write(&file, &pair.private).unwrap();
    run(Command::new("chmod").arg("600").arg(&file));
    let public = run(Command::new("ssh-keygen").args(["-y", "-f"]).arg(&file));
    assert!(keys::same_public(&public, &pair.public), "{public} {}", pair.public);

    let opened = connect("keyless", vec![password("p'w\"$\\`: x")], HostKeyPolicy::off()).await.unwrap();
    assert_eq!(opened.exec(&["id", "-un"]).await.unwrap().stdout, b"keyless\n");

    let start = Instant::now();
    let refused = connect("easy", vec![password("no"), Login::PrivateKey(pair.private.clone())], HostKeyPolicy::off());
    assert!(matches!(refused.await, Err(SshError::AuthFailed { .. })));
    assert!(start.elapsed() < Duration::from_secs(8));
    for (text, says) in [("/etc/passwd", "neither"), (&pair.private[..200], "neither")] {
        let broken = connect("easy", vec![Login::PrivateKey(text.to_owned())], HostKeyPolicy::off()).await;
        let text = broken.err().unwrap().to_string();
        assert!(text.starts_with("invalid private key") && text.contains(says), "{text}");
    }

    let known = HostKeyPolicy::tofu(Some(session.host_key().to_owned()));
    assert!(connect("root", sshd.login(), known).await.is_ok());
    let other = HostKeyPolicy::tofu(Some(pair.public.clone()));
    let changed = connect("root", sshd.login(), other.clone()).await;
    assert!(matches!(changed, Err(SshError::HostKeyChanged { .. })), "{changed:?}");
    assert!(connect("root", sshd.login(), HostKeyPolicy { check: false, ..other }).await.is_ok());
    assert!(!sshd.log().contains("fatal"), "{}", sshd.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_leads_to_further_machines_even_without_forwarding() {
    let (open, inner) = (Sshd::start(&[]), Sshd::start(&[]));
    let closed = Sshd::start(&["AllowTcpForwarding=no"]);
    let first = open.session("root").await;
    let second = first.connect_through(closed.request("easy", closed.login())).await.unwrap();
    assert!(!second.is_relayed() && second.via().unwrap().endpoint() == &open.endpoint());
    // The third hop goes through a relay command, since the second one forbids forwarding.
    let third = second.connect_through(inner.request("root", inner.login())).await.unwrap();
    assert!(third.is_relayed());
    drop((first, second));
    let big = vec![b'y'; 3 << 20];
    let all = ExecLimits { stdout: 4 << 20, ..ExecLimits::default() };
    let copies = (0..4).map(|_| third.exec_with_input(&["cat"], &big, all));
    for output in futures::future::join_all(copies).await {
        assert!(output.unwrap().stdout == big);
    }
    let nobody = contextualization::ssh::Endpoint::new("127.0.0.1", 1);
    for via in [&third, &closed.session("root").await] {
        let lost =
            via.connect_through(ConnectRequest { endpoint: nobody.clone(), ..inner.request("root", vec![]) }).await;
        assert!(
            matches!(&lost, Err(SshError::Unreachable { reason, .. }) if reason.contains("efused") || reason.contains("connection failed")),
            "{lost:?}"
        );
        assert!(via.exec(&["true"]).await.unwrap().success());
    }
}

/// Cases: M-12.
#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_without_sftp() {
    let sshd = Sshd::start(&[]);
    let session = sshd.session("easy").await;
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let file = |path: &str, mode, content: &[u8]| TarEntry { path: path.to_owned(), mode, content: content.to_vec() };
    let entries = [
        file("a b/$(id).txt", 0o600, "ä\n\0".as_bytes()),
        file("run", 0o755, b"#!/bin/sh\necho hi\n"),
        file(&long, 0o644, b""),
    ];
    for _ in 0..2 {
        session.upload_tar("/home/easy/up there", &entries).await.unwrap();
    }
    let script =
        "cd '/home/easy/up there' && ./run && stat -c '%a %n' . 'a b/$(id).txt' && od -An -tx1 'a b/$(id).txt'";
    let output = session.exec(&["sh", "-c", script]).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hi\n700 .\n600 a b/$(id).txt\n c3 a4 0a 00\n");
    assert!(session.exec(&["test", "-f", &format!("/home/easy/up there/{long}")]).await.unwrap().success());
    let denied = session.upload_tar("/proc/none", &entries).await;
    assert!(matches!(&denied, Err(SshError::Remote { reason, .. }) if reason.contains("/proc/none")), "{denied:?}");
    let outside = session.upload_tar("/home/easy", &[file("../x", 0o600, b"")]).await;
    assert!(matches!(outside, Err(SshError::Remote { .. })), "{outside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_live_and_ends_with_its_reader() {
    let sshd = Sshd::start(&[]);
    let session = sshd.session("root").await;
    let script = "read first; echo $first; while :; do read line < /tmp/none 2>/dev/null; sleep 0.05; echo tick; done";
    let stream = session.stream(&["sh", "-c", script, "watched"], b"hello\nmore").await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "hello");
    for _ in 0..3 {
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "tick");
        assert!(session.exec(&["true"]).await.unwrap().success());
    }
    drop(lines);
    // A command that writes nothing would never notice by itself.
    let quiet = session.stream(&["sleep", "7777"], b"").await.unwrap();
    let list = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done 2>/dev/null | grep -Ec \"$0\"";
    let running = ["sh", "-c", list, "^(sleep [7]777|sh -c read [f]irst)"];
    let start = Instant::now();
    while session.exec(&running).await.unwrap().stdout == b"0\n" {
        assert!(start.elapsed() < SOON, "the quiet command does not start");
    }
    drop(quiet);
    let start = Instant::now();
    while session.exec(&running).await.unwrap().stdout != b"0\n" {
        assert!(start.elapsed() < SOON, "the commands of dropped streams still run");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stream = session.stream(&["sh", "-c", "echo out; echo err >&2; exit 4"], b"").await.unwrap();
    let exit = stream.finish().await.unwrap();
    assert_eq!((exit.status, exit.stderr.as_slice()), (4, b"err\n".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_is_an_error_at_once() {
    let mut sshd = Sshd::start(&[]);
    let session = sshd.session("root").await;
    let stream = session.stream(&["sleep", "60"], b"").await.unwrap();
    let other = session.clone();
    let command = tokio::spawn(async move { other.exec(&["sleep", "60"]).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let start = Instant::now();
    sshd.kill();
    assert!(matches!(stream.finish().await, Err(SshError::Disconnected { .. })));
    assert!(matches!(command.await.unwrap(), Err(SshError::Disconnected { .. })));
    assert!(matches!(session.exec(&["true"]).await, Err(SshError::Disconnected { .. })));
    assert!(session.is_closed() && start.elapsed() < Duration::from_secs(5));
    let gone = SshSession::connect(sshd.request("root", sshd.login())).await;
    assert!(matches!(gone, Err(SshError::Unreachable { .. })), "{gone:?}");

    // An idle session notices as well, without being asked.
    let mut sshd = Sshd::start(&[]);
    let session = sshd.session("root").await;
    sshd.kill();
    let start = Instant::now();
    while !session.is_closed() {
        assert!(start.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A port that accepts and never speaks is given up in time.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = contextualization::ssh::Endpoint::new("127.0.0.1", mute.local_addr().unwrap().port());
    let timeout = Duration::from_millis(300);
    let silent = SshSession::connect(ConnectRequest { endpoint: at, timeout, ..sshd.request("root", vec![]) }).await;
    assert!(matches!(silent, Err(SshError::Unreachable { .. })), "{silent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_keeps_its_bounds() {
    let sshd = Sshd::start(&[]);
    let limits = SshLimits::new(2, 20);
    assert!(limits.connect(sshd.request("root", vec![])).await.is_err());
    let open = || limits.connect(sshd.request("root", sshd.login()));
    let (first, second) = (open().await.unwrap(), open().await.unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(500), open()).await.is_err(), "a third one was admitted");
    drop(first);
    assert!(open().await.is_ok());
    drop(second);

    // New connections keep their distance, whoever asks.
    let limits = SshLimits::new(20, 5);
    let start = Instant::now();
    let opened = (0..6).map(|_| limits.connect(sshd.request("root", sshd.login())));
    assert!(futures::future::join_all(opened).await.iter().all(Result::is_ok));
    assert!(start.elapsed() >= Duration::from_millis(1000), "six connections within {:?}", start.elapsed());

    // An idle connection is closed, one in use is not.
    let idle = Duration::from_millis(500);
    let limits = SshLimits::new(1, 20).with_keep_alive(KeepAlive { idle, ..KeepAlive::default() });
    let session = limits.connect(sshd.request("root", sshd.login())).await.unwrap();
    assert!(session.exec(&["sleep", "1"]).await.unwrap().success());
    let start = Instant::now();
    while !session.is_closed() {
        assert!(start.elapsed() < SOON, "an idle connection stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Its place is free.
    assert!(limits.connect(sshd.request("root", sshd.login())).await.is_ok());
}

#[test]
fn a_shell_reads_back_what_was_quoted() {
    use proptest::prelude::*;
    let argument = prop_oneof![
        "[ -~\\n\\t]{0,20}",
        "[$`'\"\\\\!#&|;<>()*?{}\\[\\]~= \n]{0,10}",
        "\\PC{0,8}",
        Just("if".to_owned()),
        Just("A=b".to_owned()),
    ];
    let lists = prop::collection::vec(prop::collection::vec(argument, 1..6), 40);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(16));
    runner
        .run(&lists, |lists| {
            // One shell reads many lists: each argument comes back between markers that no argument holds.
            let script: String = lists
                .iter()
                .map(|list| {
                    let list: Vec<&str> = list.iter().map(String::as_str).collect();
                    format!("printf '%s\\001' {}; printf '\\002'\n", quote(&[&["x"], list.as_slice()].concat()))
                })
                .collect();
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            let expected: String = lists
                .iter()
                .map(|list| format!("x\u{1}{}\u{2}", list.iter().map(|a| format!("{a}\u{1}")).collect::<String>()))
                .collect();
            prop_assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
            Ok(())
        })
        .unwrap();
    // The first word is a command, whatever it looks like.
    for word in ["if", "A=b", "~", "while", ""] {
        let output = Command::new("sh").args(["-c", &quote(&[word])]).output().unwrap();
        assert_eq!(output.status.code(), Some(127), "{word}");
    }
}

/// Ports that answer for ever, but not as an SSH server does: a connection ends in its time.
#[tokio::test(flavor = "multi_thread")]
async fn ports_that_never_stop_talking() {
    // Lines without end; a greeting, then packets that have no meaning (RFC 4253, 11.2: SSH_MSG_IGNORE) without end.
    let packet = [[0, 0, 0, 12, 6, 2].as_slice(), &[0; 10]].concat();
    for (first, rest) in [(&b""[..], b"y\n".to_vec()), (b"SSH-2.0-endless\r\n", packet)] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            use std::io::Write;
            let (mut stream, _) = listener.accept().unwrap();
            // Once nobody reads on.
            stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            let flood = rest.repeat(1000);
            let mut sent = stream.write_all(first);
            while sent.is_ok() {
                sent = stream.write_all(&flood);
            }
        });
        let request = ConnectRequest {
            endpoint: Endpoint::new("127.0.0.1", port),
            user: "nobody".to_owned(),
            logins: vec![Login::Password("x".to_owned())],
            host_key: HostKeyPolicy::off(),
            timeout: Duration::from_secs(2),
        };
        let start = Instant::now();
        let refused = SshSession::connect(request).await;
        assert!(matches!(refused, Err(SshError::Unreachable { .. })), "{refused:?}");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        // Nobody reads on in the background.
        tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
    }
}
