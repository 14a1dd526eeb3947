//! A MariaDB server of a test: unprivileged, on a free port of loopback, in a directory of its own, ended when dropped.
#![allow(dead_code)]

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, chown},
};
use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Who the server runs as.
const ACCOUNT: &str = "nobody";
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with the database `im`, and the user `im` of password `s@same/ü` who owns it.
pub struct MariaDb {
    directory: TempDir,
    pub port: u16,
    options: Vec<String>,
    process: Option<Child>,
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

impl MariaDb {
    pub fn start() -> Self {
        Self::start_with(&[], |_| ())
    }

    /// With further options, and after something was done to the directory that will hold its data.
    pub fn start_with(options: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let mut server = Self::installed(options.iter().map(|&option| option.to_owned()).collect(), prepare);
        server.run();
        server.make_database();
        server
    }

    /// One that does not run yet and has no database.
    pub fn installed(options: Vec<String>, prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let account = User::from_name(ACCOUNT).unwrap().unwrap();
        chown(directory.path(), Some(account.uid), Some(account.gid)).unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        prepare(&data);
        // A hole in a file of the server would be one in its promise to have that room.
        run(Command::new("cp").args(["-a", "--sparse=never"]).arg(template().join(".")).arg(&data));
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        Self { directory, port, options, process: None }
    }

    /// Makes the database and its user.
    pub fn make_database(&self) {
        self.sql(
            "CREATE DATABASE im; CREATE USER im@'127.0.0.1' IDENTIFIED BY 's@same/ü'; GRANT ALL ON im.* TO im@'127.0.0.1'",
        );
    }

    /// Starts it again after [`MariaDb::stop`].
    pub fn run(&mut self) {
        self.run_with(&[]);
    }

    /// Starts it again after [`MariaDb::stop`], with further options for this time.
    pub fn run_with(&mut self, further: &[&str]) {
        let mut command = Command::new("mariadbd");
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        command
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"])
            .args(["--innodb-buffer-pool-size=32M", "--performance-schema=off", "--innodb-fast-shutdown=2"])
            .arg(format!("--user={ACCOUNT}"))
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--port={}", self.port))
            .args(&self.options)
            .args(further)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(path("log")).unwrap());
        self.process = Some(command.spawn().expect("mariadb-server is not installed"));
        let start = Instant::now();
        while !self.client("SELECT 1").status.success() {
            let log = || fs::read_to_string(path("log")).unwrap_or_default();
            assert!(self.process.as_mut().unwrap().try_wait().unwrap().is_none(), "MariaDB ended: {}", log());
            assert!(start.elapsed() < PATIENCE, "MariaDB does not start: {}", log());
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

    /// Lets it stand still, as a host does that is out of reach, or go on.
    pub fn stand_still(&self, still: bool) {
        let process = self.process.as_ref().unwrap();
        let signal = if still { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(Pid::from_raw(process.id().cast_signed()), signal).unwrap();
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(process.id().cast_signed()), signal);
            process.wait().unwrap();
        }
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// `DATA_DB` of it.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// `DATA_DB` of it behind another port.
    pub fn url_at(&self, port: u16) -> String {
        format!("mysql://im:s%40same%2F%C3%BC@127.0.0.1:{port}/im")
    }

    /// Runs statements as its root; what they print, tab-separated.
    pub fn sql(&self, statements: &str) -> String {
        let output = self.client(statements);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs statements as its root in the background.
    pub fn begin(&self, statements: &str) -> Child {
        self.command(statements).stdout(Stdio::null()).spawn().unwrap()
    }

    fn client(&self, statements: &str) -> Output {
        self.command(statements).output().unwrap()
    }

    fn command(&self, statements: &str) -> Command {
        let socket = self.directory.path().join("socket");
        let mut command = Command::new("mariadb");
        command
            .args([
                "--no-defaults",
                "-uroot",
                "--batch",
                "--skip-column-names",
                "--default-character-set=utf8mb4",
                "-S",
            ])
            .arg(socket)
            .args(["-e", statements]);
        command
    }
}

/// A data directory that was just installed, made by the first test that needs it.
fn template() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(place.join("mariadb.lock")).unwrap();
    lock.lock().unwrap();
    let version = Command::new("mariadbd").arg("--version").output().expect("mariadb-server is not installed").stdout;
    let version: String = String::from_utf8_lossy(&version).chars().filter(char::is_ascii_alphanumeric).collect();
    let template = place.join(format!("mariadb-{version}"));
    if !template.exists() {
        // The account may not be able to enter the target directory.
        let draft = tempfile::tempdir().unwrap();
        let account = User::from_name(ACCOUNT).unwrap().unwrap();
        chown(draft.path(), Some(account.uid), Some(account.gid)).unwrap();
        run(Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ])
            .args(["--innodb-log-file-size=4M"])
            .arg(format!("--user={ACCOUNT}"))
            .arg(format!("--datadir={}", draft.path().join("data").display())));
        let copy = place.join("mariadb-draft");
        let _ = fs::remove_dir_all(&copy);
        run(Command::new("cp").arg("-a").arg(draft.path().join("data")).arg(&copy));
        fs::rename(copy, &template).unwrap();
    }
    template
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
