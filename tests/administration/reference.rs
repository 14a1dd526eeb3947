//! The reference itself (IM 1.19.1), run by `scripts/lib/reference`, which installs it at the first need.

use crate::support::{Answer, PATIENCE};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::{Method, StatusCode, header};
use std::{
    fs::File,
    net::TcpListener,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A running reference. Killed when dropped.
pub struct Reference {
    process: Child,
    address: String,
    client: reqwest::Client,
    folder: TempDir,
}

impl Reference {
    /// Starts it on a database and waits until it serves.
    pub async fn start(database: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, rpc_port] = sockets.each_ref().map(|socket| socket.local_addr().unwrap().port());
        drop(sockets);
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let log = File::create(folder.path().join("out.log")).unwrap();
        let mut command = Command::new(root.join("scripts/lib/reference"));
        command.arg("--work").arg(root.join("target/compare")).arg("--folder").arg(folder.path());
        command.args(["--port", &port.to_string(), "--rpc-port", &rpc_port.to_string()]);
        command.arg("--database").arg(database);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let process = command.spawn().unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let mut reference = Self { process, address: format!("http://127.0.0.1:{port}"), client, folder };
        let deadline = Instant::now() + PATIENCE;
        while reference.client.get(format!("{}/version", reference.address)).send().await.is_err() {
            let ended = reference.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "the reference does not serve: {}", reference.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        reference
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out.log")).unwrap_or_default()
    }

    /// A request of a user with the password `pass`.
    pub async fn ask(&self, user: &str, method: Method, path: &str, body: &str) -> Answer {
        let authorization = format!(
            "type = InfrastructureManager; username = {user}; password = pass\\nid = dummy; type = Dummy; username = u; password = p"
        );
        let request = self.client.request(method, format!("{}{path}", self.address));
        let request = request.header(header::AUTHORIZATION, authorization).header(header::CONTENT_TYPE, "text/plain");
        let response = request.body(body.to_owned()).send().await.unwrap();
        let status = response.status();
        Answer { status, text: response.text().await.unwrap() }
    }

    /// Text of an answer that must be a success.
    pub async fn text(&self, user: &str, method: Method, path: &str, body: &str) -> String {
        let answer = self.ask(user, method.clone(), path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{method} {path}: {}\n{}", answer.text, self.log());
        answer.text
    }

    /// Waits for a state of an infrastructure.
    pub async fn until_state(&self, user: &str, path: &str, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text(user, Method::GET, &format!("{path}/state"), "").await;
            if text.contains(&format!("\"state\": \"{wanted}\"")) {
                return;
            }
            assert!(Instant::now() < deadline, "{path} is not {wanted}: {text}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops it; its database is complete then.
    pub async fn stop(mut self) {
        let pid = Pid::from_raw(self.process.id().unwrap().cast_signed());
        kill(pid, Signal::SIGTERM).unwrap();
        self.process.wait().await.unwrap();
    }
}
