//! A daemon's APIs on loopback ports, over the real engine, and a client of REST that keeps no state. Shared by the test
//! binaries, each of which uses a part of it.
#![allow(dead_code)]

use imd::{
    api::{
        http::{self, Listener, MountError, ServerSettings, Sites, Tls},
        rest::{RestSettings, RestState},
        sites,
        xmlrpc::{self, XmlRpcSettings, XmlRpcState},
    },
    auth::{KeyedHash, scoped},
    config, daemon,
    engine::Now,
    store::Keyring,
};
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Credentials of the user most tests are.
pub const USER: &str = "type = InfrastructureManager; username = user; password = pass\\nid = dummy; type = Dummy";

/// Type of answers that are texts.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// Type of answers that are lists of URIs.
pub const URIS: &str = "text/uri-list; charset=utf-8";

/// Credentials of somebody else.
pub const STRANGER: &str = "type = InfrastructureManager; username = stranger; password = pass\\nid = d; type = Dummy";

/// A document with machines of one system and no recipes.
pub fn document(number: u32) -> String {
    format!(
        "description lab ( name = 'Lab é' )
network pub ( outbound = 'yes' )
system node (
cpu.count >= 1 and
memory.size >= 512m and
net_interface.0.connection = 'pub' and
disk.0.image.url = 'mock0://linux.for.ev.er/image1' and
disk.0.os.name = 'linux' and
disk.0.applications contains ( name = 'ansible.modules.acme.x' and preinstalled = 'yes' )
)
contextualize ()
deploy node {number}
"
    )
}

/// Mounts sites beside those of the daemon.
pub type MountBeside = fn(&mut Sites) -> Result<(), MountError>;

/// What the APIs of a server are like.
#[derive(Default)]
pub struct Apis {
    /// The port of REST.
    pub http: ServerSettings,
    pub rest: RestSettings,
    pub xmlrpc: XmlRpcSettings,
    /// Mounts further sites beside REST.
    pub beside: Option<MountBeside>,
    /// Encryption of both.
    pub tls: Option<Tls>,
}

/// A server of its own, stopped when dropped.
pub struct Server {
    /// Address of REST.
    pub address: String,
    /// Address of XML-RPC.
    pub xmlrpc: String,
    pub client: reqwest::Client,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    /// The daemon's own, so that it can end as a process does.
    runtime: Option<Runtime>,
    files: Option<TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(RestSettings::default()).await
    }

    pub async fn with(settings: RestSettings) -> Self {
        Self::configured(settings, "").await
    }

    /// With settings of both APIs.
    pub async fn serving(apis: Apis) -> Self {
        Self::open(tempfile::tempdir().unwrap(), "", apis).await
    }

    /// With further lines of `im.cfg`; they begin in section `[im]`.
    pub async fn configured(settings: RestSettings, options: &str) -> Self {
        Self::open(tempfile::tempdir().unwrap(), options, Apis { rest: settings, ..Apis::default() }).await
    }

    /// Stops it and starts another one over its database.
    pub async fn restarted(mut self, options: &str) -> Self {
        self.stop().await;
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5))).await.unwrap();
        Self::open(self.files.take().unwrap(), options, Apis::default()).await
    }

    /// With a clock of the host that tests set.
    pub async fn with_clock(options: &str, clock: Now) -> Self {
        Self::open_at(tempfile::tempdir().unwrap(), options, Apis::default(), clock).await
    }

    async fn open(files: TempDir, options: &str, apis: Apis) -> Self {
        Self::open_at(files, options, apis, Arc::new(SystemTime::now)).await
    }

    async fn open_at(files: TempDir, options: &str, apis: Apis, clock: Now) -> Self {
        let place = files.path().display();
        let text = format!(
            "[im]\nDATA_DB = sqlite://{place}/inf.dat\nDATA_KEY_FILE = {place}/key\nVM_INFO_UPDATE_FREQUENCY = 1\n\
             DELAY_BETWEEN_VM_RETRIES = 0\n{options}\n"
        );
        let config = config::read(&[(files.path().join("im.cfg"), text)], &[]).into_config().unwrap();
        let registry = prometheus::Registry::new();
        let anywhere = || Listener::bind(([127, 0, 0, 1], 0).into(), apis.tls.clone());
        let (rest, xmlrpc) = (anywhere().await.unwrap(), anywhere().await.unwrap());
        let address = |listener: &Listener| listener.local_addr().unwrap().to_string();
        let (address, rpc_address) = (address(&rest), address(&xmlrpc));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let task = runtime.spawn(async move {
            let fetcher = daemon::fetcher(&config);
            let (engine, authenticator) =
                daemon::open(&config, false, &registry, clock, fetcher.clone()).await.unwrap();
            let (rest_state, xmlrpc_state) = (
                RestState {
                    engine: engine.clone(),
                    authenticator: authenticator.clone(),
                    registry: registry.clone(),
                    settings: apis.rest,
                },
                XmlRpcState { engine, authenticator, registry, settings: apis.xmlrpc },
            );
            let catalogue = daemon::catalogue(&config, fetcher).unwrap();
            let mut sites = sites(rest_state, catalogue).unwrap();
            if let Some(mount) = apis.beside {
                mount(&mut sites).unwrap();
            }
            let (rest, xmlrpc) = tokio::join!(
                http::serve(sites, rest, apis.http, stopped.cancelled()),
                xmlrpc::serve(xmlrpc_state, xmlrpc, stopped.cancelled()),
            );
            rest.unwrap();
            xmlrpc.unwrap();
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (task, runtime, files) = (Some(task), Some(runtime), Some(files));
        Self { address, xmlrpc: rpc_address, client, stop, task, runtime, files }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request of the user; `path` with its query.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request_on(method, path, "")
    }

    /// As [`Server::request`], with further keys of the simulated cloud (`; key = value ...`).
    pub fn request_on(&self, method: Method, path: &str, cloud: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path)).header(header::AUTHORIZATION, format!("{USER}{cloud}"))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// GET with `Accept: application/json`.
    pub async fn get_json(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).header(header::ACCEPT, "application/json")).await
    }

    pub async fn put(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::PUT, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: String) -> Answer {
        Answer::of(self.request(Method::POST, path).body(body)).await
    }

    /// Makes an infrastructure of the test document and waits until it is configured; its path.
    pub async fn create(&self, number: u32) -> String {
        let answer = self.post("/infrastructures", document(number)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let path = format!("/infrastructures/{}", answer.text.rsplit('/').next().unwrap());
        self.wait_for(&path, "configured").await;
        path
    }

    /// Waits for a state of the infrastructure, at most a minute.
    pub async fn wait_for(&self, path: &str, wanted: &str) {
        self.wait_at_most(Duration::from_secs(60), path, wanted).await;
    }

    /// Waits for a state of the infrastructure.
    pub async fn wait_at_most(&self, limit: Duration, path: &str, wanted: &str) {
        let deadline = Instant::now() + limit;
        loop {
            let answer = self.get(&format!("{path}/state")).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            let json = answer.json();
            if json["state"]["state"] == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "not {wanted}: {json}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a number of infrastructures, at most a minute; their URIs.
    pub async fn wait_for_list(&self, number: usize) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let list = self.get("/infrastructures").await.text;
            if list.lines().count() == number {
                return list;
            }
            assert!(Instant::now() < deadline, "not {number}: {list}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends bytes to REST as they are and reads until the server closes.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        exchange(&self.address, bytes).await
    }

    /// The token of an infrastructure, as its recipes hold it.
    pub fn token(&self, infrastructure: &str) -> String {
        let keyring = Keyring::load(&self.files.as_ref().unwrap().path().join("key"), None).unwrap();
        let key: KeyedHash = Arc::new(move |user, password| keyring.owner_key(user, password));
        scoped::token(&key, infrastructure)
    }

    /// Stops the server; returns how long that took.
    pub async fn stop(&mut self) -> Duration {
        let started = Instant::now();
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
        started.elapsed()
    }
}

/// Sends bytes as they are and reads until the server closes.
pub async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server did not close the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// Status, content type and text, for comparisons.
    pub fn parts(&self) -> (u16, &str, &str) {
        (self.status.as_u16(), self.header("content-type"), &self.text)
    }
}
