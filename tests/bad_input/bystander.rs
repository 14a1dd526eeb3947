//! A daemon with a healthy infrastructure on it, which nothing that others send may change.

use crate::support::{Answer, Server, TEXT, USER, document};
use connectors::dummy;
use imd::api::rest::RestSettings;
use reqwest::{Method, StatusCode, header};
use std::sync::Mutex;
use tempfile::TempDir;

/// The daemon, the infrastructure, what was seen of it, and the simulated cloud it lives in.
pub struct Bystander {
    pub server: Server,
    pub path: String,
    seen: Vec<String>,
    cloud: TempDir,
    /// Answers that were not as expected: shown together at the end.
    complaints: Mutex<Vec<String>>,
}

/// A request as a client may send it.
#[derive(Clone)]
pub struct Sent<'a> {
    pub method: Method,
    pub path: &'a str,
    pub authorization: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub body: Vec<u8>,
}

impl<'a> Sent<'a> {
    /// A document of the user to a path.
    pub fn document(method: Method, path: &'a str, body: impl Into<Vec<u8>>) -> Self {
        Self { method, path, authorization: Some(USER), content_type: None, body: body.into() }
    }

    /// A new infrastructure.
    pub fn create(body: impl Into<Vec<u8>>) -> Self {
        Self::document(Method::POST, "/infrastructures", body)
    }

    /// With other credentials.
    pub fn by(self, authorization: &'a str) -> Self {
        Self { authorization: Some(authorization), ..self }
    }
}

impl Bystander {
    pub async fn start() -> Self {
        Self::configured(RestSettings::default(), "").await
    }

    /// With further lines of `im.cfg`.
    pub async fn configured(settings: RestSettings, options: &str) -> Self {
        let cloud = tempfile::tempdir().unwrap();
        let options = format!("{options}\n[Dummy]\nSTATE_DIR = {}\n", cloud.path().display());
        let server = Server::configured(settings, &options).await;
        let path = server.create(2).await;
        let mut bystander = Self { server, path, seen: Vec::new(), cloud, complaints: Mutex::default() };
        bystander.seen = bystander.look().await;
        bystander
    }

    /// Everything a client can see of the infrastructure but its place among others.
    async fn look(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for part in ["", "/state", "/radl", "/contmsg", "/authorization", "/vms/0", "/vms/1", "/vms/0/contmsg"] {
            let answer = self.server.get(&format!("{}{part}", self.path)).await;
            assert_eq!(answer.status, StatusCode::OK, "{part}: {}", answer.text);
            seen.push(answer.text);
        }
        seen
    }

    pub async fn send(&self, sent: Sent<'_>) -> Answer {
        let mut request = self.server.client.request(sent.method, self.server.url(sent.path)).body(sent.body);
        for (name, value) in [(header::AUTHORIZATION, sent.authorization), (header::CONTENT_TYPE, sent.content_type)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        Answer::of(request).await
    }

    /// Sends something that must be refused: this status, and a message that holds all these words; nothing changes.
    pub async fn refuses(&self, sent: Sent<'_>, status: u16, words: &[&str]) -> String {
        let what = format!("{} {} {:?}", sent.method, sent.path, sent.authorization);
        let answer = self.send(sent).await;
        let missing: Vec<&&str> = words.iter().filter(|word| !answer.text.contains(**word)).collect();
        if answer.status != status || !missing.is_empty() {
            let complaint = format!("{what}: {}, without {missing:?}: {}", answer.status, answer.text);
            self.complaints.lock().unwrap().push(complaint);
        }
        self.is_untouched().await;
        answer.text
    }

    /// The daemon is ready, and there is the one infrastructure, as it was.
    pub async fn is_untouched(&self) {
        assert_eq!(self.server.get("/readyz").await.parts(), (200, TEXT, "ok"));
        assert_eq!(self.server.get("/infrastructures").await.text, self.server.url(&self.path));
        assert_eq!(self.look().await, self.seen);
        assert_eq!(self.machines(), 2, "something stayed behind in the cloud");
    }

    /// Machines in the simulated cloud, of all accounts.
    fn machines(&self) -> usize {
        let cloud = dummy::Cloud::open(self.cloud.path(), dummy::system_clock).unwrap();
        cloud.inspect(|inventory| inventory.tenants().map(|(_, tenant)| tenant.len()).sum()).unwrap()
    }

    /// Good requests still work, and what they make can be deleted without a trace.
    pub async fn still_works(self) {
        let Self { server, path, complaints, .. } = &self;
        let made = server.create(1).await;
        assert_eq!(self.machines(), 3);
        let added = server.post(path, document(1)).await;
        assert_eq!(added.status, StatusCode::OK, "{}", added.text);
        server.wait_for(path, "configured").await;
        for path in [&made, path] {
            let deleted = server.delete(path).await;
            assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.text);
        }
        assert_eq!(server.get("/infrastructures").await.text, "");
        let cloud = dummy::Cloud::open(self.cloud.path(), dummy::system_clock).unwrap();
        cloud.inspect(|inventory| assert!(inventory.is_empty())).unwrap();
        let complaints = complaints.lock().unwrap().join("\n");
        assert!(complaints.is_empty(), "{complaints}");
    }
}
