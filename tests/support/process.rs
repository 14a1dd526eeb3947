//! The daemon as a process of its own: started, asked over REST, stopped, killed, started again. Shared by the test
//! binaries, each of which uses a part of it.
#![allow(dead_code)]

use connectors::dummy::{Cloud, Inventory, Machine, system_clock};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longest wait for anything that must happen: machines that run tests may be slow.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// What the daemon of a test is like.
#[derive(Default)]
pub struct Setup {
    /// Lines of `[im]`, and other sections behind them.
    pub options: String,
    /// Clouds of the user, one a line.
    pub clouds: String,
    /// Program and arguments that the daemon is started by; the last program must `exec` it, so that its process is the
    /// daemon's.
    pub wrapper: Vec<String>,
    /// `DATA_DB`; none for a file of its own.
    pub database: Option<String>,
    /// Whether XML-RPC is served, on a port of its own.
    pub xmlrpc: bool,
    /// Where `im.cfg`, the database and the log are; none for a directory that goes with the daemon.
    pub directory: Option<PathBuf>,
}

/// A daemon that may be running. Killed when dropped.
pub struct Daemon {
    setup: Setup,
    directory: PathBuf,
    host: Ipv4Addr,
    address: String,
    xmlrpc_address: String,
    authorization: String,
    client: reqwest::Client,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    process: Option<Child>,
    _temporary: Option<TempDir>,
}

impl Daemon {
    /// A daemon that was not started yet.
    pub fn new(setup: Setup) -> Self {
        let temporary = setup.directory.is_none().then(|| tempfile::tempdir().unwrap());
        let chosen = temporary.as_ref().map(|directory| directory.path().to_owned());
        let directory = setup.directory.clone().or(chosen).unwrap();
        fs::create_dir_all(directory.join("db")).unwrap();
        let user = "type = InfrastructureManager; username = user; password = pass";
        let authorization = std::iter::once(user).chain(setup.clouds.lines()).collect::<Vec<_>>().join("\\n");
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let (address, xmlrpc_address) = (String::new(), String::new());
        let (environment, process) = (Vec::new(), None);
        Self {
            setup,
            directory,
            host: own_host(),
            address,
            xmlrpc_address,
            authorization,
            client,
            environment,
            arguments: Vec::new(),
            process,
            _temporary: temporary,
        }
    }

    /// One whose simulated cloud outlives it.
    pub fn over_dummy(setup: Setup) -> Self {
        let mut daemon = Self::new(setup);
        let options = format!("\n[Dummy]\nSTATE_DIR = {}", daemon.dummy().display());
        daemon.setup.options.push_str(&options);
        daemon
    }

    /// Further options from its next start on.
    pub fn add_options(&mut self, options: &str) {
        self.setup.options.push_str(options);
    }

    /// Directory of everything of it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Environment from its next start on.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    /// Arguments of its next start alone.
    pub fn start_with(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// Starts it by another program from now on.
    pub fn wrap(&mut self, wrapper: Vec<String>) {
        self.setup.wrapper = wrapper;
    }

    /// Its database, alone in a directory.
    pub fn database(&self) -> PathBuf {
        self.directory.join("db/inf.dat")
    }

    /// File of the key of its database.
    pub fn key(&self) -> PathBuf {
        self.directory.join("key")
    }

    /// Everything that ever happened in its simulated cloud, an entry a line.
    pub fn journal_of_dummy(&self) -> String {
        fs::read_to_string(self.dummy().join("inventory.journal")).unwrap()
    }

    /// Directory of its simulated cloud.
    fn dummy(&self) -> PathBuf {
        self.directory.join("cloud")
    }

    /// What the simulated cloud holds.
    pub fn inspect_dummy<T>(&self, look: impl FnOnce(&Inventory) -> T) -> T {
        Cloud::open(&self.dummy(), system_clock).unwrap().inspect(look).unwrap()
    }

    /// Machines that the simulated cloud holds.
    pub fn machines_of_dummy(&self) -> Vec<Machine> {
        self.inspect_dummy(|inventory| inventory.tenants().flat_map(|(_, tenant)| tenant.machines().cloned()).collect())
    }

    /// Its process, which runs.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.as_ref().unwrap().id().cast_signed())
    }

    /// Starts it and waits until it serves.
    pub async fn start(&mut self) {
        self.start_unready().await;
        self.until("ready", async |daemon| daemon.get("/readyz").await.status == StatusCode::OK).await;
    }

    /// Starts it and waits until it answers.
    pub async fn start_unready(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let deadline = Instant::now() + PATIENCE;
        // Another process may take the port between its choice and its use: then it ends, and the next one is tried.
        loop {
            self.spawn();
            while self.process.as_mut().unwrap().try_wait().unwrap().is_none() {
                if self.client.get(self.url("/healthz")).send().await.is_ok() {
                    return;
                }
                assert!(Instant::now() < deadline, "the daemon does not serve: {}", self.log());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.process = None;
            assert!(Instant::now() < deadline && self.log().contains("cannot listen"), "{}", self.log());
        }
    }

    /// Starts one that may die at any time; `told` hears of its process first. Whether it came to serve.
    pub async fn start_doomed(&mut self, told: impl AsyncFn(Pid)) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(self.process.is_none(), "it runs already");
            self.spawn();
            told(self.pid()).await;
            while !self.has_ended() {
                let ready = self.ask(Method::GET, "/readyz", String::new()).await;
                if ready.is_some_and(|ready| ready.status == StatusCode::OK) {
                    return true;
                }
                assert!(Instant::now() < deadline, "the daemon does not serve: {}", self.log());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let status = waitid(Id::Pid(self.pid()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
            if matches!(status, WaitStatus::Signaled(..)) {
                return false;
            }
            // Another process took its port.
            assert!(Instant::now() < deadline && self.log().contains("cannot listen"), "{}", self.log());
            self.kill();
        }
    }

    /// Whether its process ended by itself; [`Daemon::kill`] clears it away.
    pub fn has_ended(&self) -> bool {
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        waitid(Id::Pid(self.pid()), ended).unwrap() != WaitStatus::StillAlive
    }

    fn spawn(&mut self) {
        // Both sockets are open at the same time, so that the ports differ.
        let host = self.host;
        let sockets = [(); 2].map(|()| TcpListener::bind((host, 0)).unwrap());
        let [port, xmlrpc_port] = sockets.each_ref().map(|socket| socket.local_addr().unwrap().port());
        drop(sockets);
        self.address = format!("{host}:{port}");
        self.xmlrpc_address = format!("{host}:{xmlrpc_port}");
        let xmlrpc = if self.setup.xmlrpc { "True" } else { "False" };
        let place = self.directory.display();
        let database = self.setup.database.clone().unwrap_or_else(|| self.database().display().to_string());
        let options = format!(
            "[im]\nREST_ADDRESS = {host}\nREST_PORT = {port}\nDATA_DB = {database}\nDATA_KEY_FILE = {place}/key\n\
             ACTIVATE_XMLRPC = {xmlrpc}\nXMLRCP_ADDRESS = {host}\nXMLRCP_PORT = {xmlrpc_port}\nLOG_FILE =\n{}\n",
            self.setup.options
        );
        fs::write(self.directory.join("im.cfg"), options).unwrap();
        let log = File::options().append(true).create(true).open(self.directory.join("im.log")).unwrap();
        let mut words = self.setup.wrapper.clone();
        words.push(env!("CARGO_BIN_EXE_imd").to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("--config").arg(self.directory.join("im.cfg"));
        command.args(self.arguments.drain(..));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.envs(self.environment.iter().cloned());
        self.process = Some(command.spawn().unwrap());
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Ends without warning after a while; [`Daemon::kill`] clears it away.
    pub async fn die_after(&self, time: Duration) {
        tokio::time::sleep(time).await;
        kill(self.pid(), Signal::SIGKILL).unwrap();
    }

    /// Asks it to end; how long that took, and whether it ended well.
    pub async fn terminate(&self) -> (Duration, bool) {
        let started = Instant::now();
        kill(self.pid(), Signal::SIGTERM).unwrap();
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        loop {
            match waitid(Id::Pid(self.pid()), ended).unwrap() {
                WaitStatus::StillAlive => assert!(started.elapsed() < PATIENCE, "it does not end: {}", self.log()),
                status => return (started.elapsed(), matches!(status, WaitStatus::Exited(_, 0))),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Clears away one that was terminated.
    pub fn reap(&mut self) {
        self.process.take().unwrap().wait().unwrap();
    }

    /// URL of its XML-RPC API.
    pub fn xmlrpc_url(&self) -> String {
        format!("http://{}/RPC2", self.xmlrpc_address)
    }

    /// What it logged so far, the last lines of it.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.directory.join("im.log")).unwrap_or_default();
        let from = text.lines().count().saturating_sub(60);
        text.lines().skip(from).collect::<Vec<_>>().join("\n")
    }

    /// URL of a path of its REST API.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request of the user, its answer once complete; none when the daemon ended before.
    pub async fn ask(&self, method: Method, path: impl AsRef<str>, body: String) -> Option<Answer> {
        self.answer(self.request(method, path.as_ref()).body(body)).await
    }

    /// As [`Daemon::ask`], with a document of TOSCA.
    pub async fn ask_in_tosca(&self, method: Method, path: &str, document: String) -> Option<Answer> {
        self.answer(self.request(method, path).header(header::CONTENT_TYPE, "text/yaml").body(document)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path)).header(header::AUTHORIZATION, &self.authorization)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Option<Answer> {
        let response = request.send().await.ok()?;
        let status = response.status();
        Some(Answer { status, text: response.text().await.ok()? })
    }

    /// GET whose answer goes on: its body is read piece by piece.
    pub async fn stream(&self, path: &str) -> reqwest::Response {
        let request = self.client.get(self.url(path)).header(header::AUTHORIZATION, &self.authorization);
        let response = request.header(header::ACCEPT, "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response
    }

    /// GET of a daemon that runs.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, String::new()).await.unwrap_or_else(|| panic!("GET {path}: {}", self.log()))
    }

    /// Text of an answer that must be a success.
    pub async fn text(&self, method: Method, path: &str, body: &str) -> String {
        let answer = self.ask(method.clone(), path, body.to_owned()).await;
        let answer = answer.unwrap_or_else(|| panic!("{method} {path}: {}", self.log()));
        assert_eq!(answer.status, StatusCode::OK, "{method} {path}: {}\n{}", answer.text, self.log());
        answer.text
    }

    /// Makes an infrastructure; its path.
    pub async fn create(&self, document: &str, query: &str) -> String {
        let answer = self.text(Method::POST, &format!("/infrastructures{query}"), document).await;
        path_of(&answer)
    }

    /// State of an infrastructure.
    pub async fn state(&self, path: &str) -> String {
        let text = self.text(Method::GET, &format!("{path}/state"), "").await;
        let json: Value = serde_json::from_str(&text).unwrap();
        json["state"]["state"].as_str().unwrap().to_owned()
    }

    /// Waits for a state of an infrastructure.
    pub async fn until_state(&self, path: &str, wanted: &str) {
        self.until(&format!("{path} {wanted}"), async |daemon| daemon.state(path).await == wanted).await;
    }

    /// Waits until no work is pending and no contextualization runs.
    pub async fn until_idle(&self) {
        let is_zero = |line: &str| ["imd_pending_work 0", "imd_contextualizations 0"].contains(&line);
        let idle = async |daemon: &Self| {
            let answer = daemon.get("/metrics").await;
            answer.text.lines().filter(|line| is_zero(line)).count() == 2
        };
        self.until("idle", idle).await;
    }

    /// Waits until something is true.
    pub async fn until(&self, what: &str, is_true: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_true(self).await {
            assert!(Instant::now() < deadline, "waited too long for: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ends so:\n{}", self.log());
        }
    }
}

/// A loopback address for each daemon, so that none takes another one's port, nor answers in its place.
fn own_host() -> Ipv4Addr {
    static DAEMONS: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | high, low, 1 + DAEMONS.fetch_add(1, Ordering::Relaxed) % 250)
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub text: String,
}

/// Path of an infrastructure from its URL.
pub fn path_of(url: &str) -> String {
    format!("/infrastructures/{}", url.trim().rsplit('/').next().unwrap())
}
