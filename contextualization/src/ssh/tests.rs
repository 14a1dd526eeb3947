//! Sessions against real sshd processes on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::testing::{Sshd, free_port};
use proptest::prelude::*;
use std::{process::Command, time::Instant};
use tokio::io::{AsyncBufReadExt, BufReader};

const SOON: Duration = Duration::from_secs(15);

async fn connect(sshd: &Sshd) -> SshSession {
    let logins = [Login::PrivateKey(sshd.key.private.clone())];
    SshSession::connect(&sshd.endpoint(), "root", &logins, HostKeyPolicy::off(), SOON).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_side_by_side_on_one_connection() {
    let sshd = Sshd::start(&[]);
    let session = connect(&sshd).await;
    let start = Instant::now();
    let runs = (0..20).map(|i| {
        let session = session.clone();
        async move { session.exec(&["sh", "-c", "sleep 0.5; echo $1; echo e$1 >&2; exit $1", "x", &i.to_string()]).await }
    });
    for (i, output) in futures::future::join_all(runs).await.into_iter().enumerate() {
        let output = output.unwrap();
        assert_eq!(output.status, i as i32);
        assert_eq!(output.stdout, format!("{i}\n").into_bytes());
        assert_eq!(output.stderr, format!("e{i}\n").into_bytes());
    }
    assert!(start.elapsed() < Duration::from_secs(5), "20 commands of 0.5 s took {:?}", start.elapsed());

    let output = session.exec(&["sh", "-c", "kill -9 $$"]).await.unwrap();
    assert_eq!(output.status, 137);
    let big = vec![b'x'; 5 << 20];
    let limits = ExecLimits { stdout: 6 << 20, ..ExecLimits::default() };
    let output = session.exec_with_input(&["cat"], &big, limits).await.unwrap();
    assert!(output.stdout == big && !output.truncated);
    let limits = ExecLimits { stdout: 10, ..ExecLimits::default() };
    let output = session.exec_with_input(&["cat"], &big, limits).await.unwrap();
    assert!(output.stdout == b"xxxxxxxxxx" && output.truncated);
    let mut input = big.as_slice();
    let output = session.upload_stream(&["wc", "-c"], &mut input, ExecLimits::default()).await.unwrap();
    assert_eq!(output.stdout, b"5242880\n");
    let limits = ExecLimits::within(Duration::from_millis(300));
    let late = session.exec_with_input(&["sleep", "20"], b"", limits).await;
    assert!(matches!(late, Err(SshError::CommandTimeout { .. })), "{late:?}");
    assert!(session.exec(&["true"]).await.unwrap().success());
}
