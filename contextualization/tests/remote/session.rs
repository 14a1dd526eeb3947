//! What a session does, seen from outside.

use crate::sshd::{SOON, Sshd, run};
use contextualization::ssh::{ExecLimits, HostKeyPolicy, Login, SshError, SshLimits, SshSession, TarEntry, keys, quote};

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
    // A command that does not read its input says why it ended.
    let output = session.upload_stream(&["sh", "-c", "exit 3"], &mut big.as_slice(), all).await.unwrap();
    assert_eq!(output.status, 3);

    let short = ExecLimits::within(Duration::from_millis(300));
    let late = session.exec_with_input(&["sleep", "20"], b"", short).await;
    assert!(matches!(late, Err(SshError::CommandTimeout { .. })), "{late:?}");
    assert!(session.exec(&["true"]).await.unwrap().success());
}
