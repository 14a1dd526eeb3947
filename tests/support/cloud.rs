//! A simulated cloud in a process of its own, which outlives the daemons of a test and may kill them. Shared by the test
//! binaries, each of which uses a part of it.
#![allow(dead_code)]

use connectors::dummy::{AccountHoldings, Death, Moment, Order, OrderOutcome, Remote};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The cloud's process. It ends when dropped, or with the test.
pub struct SimulatedCloud {
    socket: PathBuf,
    remote: Remote,
    process: Child,
}

impl SimulatedCloud {
    /// Starts one with its socket in `directory`. `faults` are those of a credential line, but for `states`
    /// (`latency_ms = 1-20; lost_reply_rate = 0.05; seed = 7`). With `duplicates` nothing but the daemon keeps things
    /// from being made twice.
    pub fn start(directory: &Path, faults: &str, duplicates: bool) -> Self {
        let socket = directory.join("cloud.socket");
        let mut command = Command::new(env!("CARGO_BIN_EXE_simulated-cloud"));
        command.arg("--socket").arg(&socket).args(["--faults", faults, "--until-eof"]);
        if duplicates {
            command.arg("--duplicates");
        }
        // Its standard input is a pipe that only this process holds open.
        let process = command.stdin(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "the simulated cloud does not listen");
            std::thread::sleep(Duration::from_millis(2));
        }
        Self { remote: Remote::new(socket.clone()), socket, process }
    }

    /// Section of `im.cfg` that leads a daemon there.
    pub fn options(&self) -> String {
        format!("\n[Dummy]\nSOCKET = {}\n", self.socket.display())
    }

    /// Everything that it holds, by account.
    pub async fn holds(&self) -> Vec<AccountHoldings> {
        match self.remote.order(Order::Inspect).await.unwrap() {
            OrderOutcome::Holds(accounts) => accounts,
            other => panic!("{other:?}"),
        }
    }

    /// Kills the process at its n-th change from now on (1 is the next one), before or after it is done.
    pub async fn kill_at(&self, pid: i32, change: u32, moment: Moment) {
        self.order(Order::Kill(Some(Death { pid, change, moment }))).await;
    }

    /// Lets what a dead daemon asked for pass, and kills nobody any more.
    pub async fn settle(&self) {
        self.order(Order::Settle).await;
        self.order(Order::Kill(None)).await;
    }

    /// Other faults from now on.
    pub async fn impose(&self, faults: &str) {
        self.order(Order::Impose(faults.to_owned())).await;
    }

    async fn order(&self, order: Order) {
        assert_eq!(self.remote.order(order).await.unwrap(), OrderOutcome::Done);
    }
}

impl Drop for SimulatedCloud {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
