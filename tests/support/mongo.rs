//! A server of a test that speaks MongoDB's protocol (SecantusDB, installed by `scripts/make-mongo-server`; it is no
//! MongoDB): on a free port of loopback, in a directory of its own, ended when dropped.
#![allow(dead_code)]

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

pub struct Mongo {
    directory: TempDir,
    pub port: u16,
    options: Vec<String>,
    process: Option<Child>,
}

impl Drop for Mongo {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

impl Mongo {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut server = Self { directory: tempfile::tempdir().unwrap(), port, options, process: None };
        server.run(&[]);
        server
    }

    /// Starts it again after [`Mongo::stop`], with further options.
    pub fn run(&mut self, further: &[&str]) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers/secantusdb/bin/secantusd-py");
        let log = self.directory.path().join("log");
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let process = Command::new(&program)
            .args(["--host", "127.0.0.1", "--log-level", "WARNING", "--cache-size", "64M", "--port"])
            .arg(self.port.to_string())
            .arg("--storage-path")
            .arg(self.directory.path().join("data"))
            .args(&self.options)
            .args(further)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run scripts/make-mongo-server", program.display()));
        self.process = Some(process);
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(self.process.as_mut().unwrap().try_wait().unwrap().is_none(), "the server ended: {}", said());
            assert!(start.elapsed() < PATIENCE, "the server does not start: {}", said());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends it as a crash does.
    pub fn crash(&mut self) {
        self.signal(Signal::SIGKILL);
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(process.id().cast_signed()), signal);
            process.wait().unwrap();
        }
    }

    /// `DATA_DB` of it.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// `DATA_DB` of it behind another port.
    pub fn url_at(&self, port: u16) -> String {
        format!("mongodb://127.0.0.1:{port}/im?directConnection=true")
    }
}
