//! Behind HAProxy, with the configuration of the manual and with a plain round robin, while daemons die. Needs `haproxy`.

use crate::{
    cluster::{Cluster, SLOW, TAKEN_OVER, document},
    support::{PATIENCE, path_of},
};
use reqwest::{Method, StatusCode, header};
use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const USER: &str = "type = InfrastructureManager; username = user; password = pass";
const DUMMY: &str = "id = dummy; type = Dummy";

/// The manual's, with the sticky table.
pub const STICKY: &str = "global
tune.bufsize 131072
defaults
timeout connect 600s
timeout client 600s
timeout server 600s
frontend http-frontend
mode http
bind FRONT
default_backend imbackend
backend imbackend
mode http
balance roundrobin
option httpchk GET /version
stick-table type string len 32 size 30k expire 60m
stick store-response hdr(InfID)
acl inf_id path -m beg /infrastructures/
stick on path,field(3,/) if inf_id
SERVERS
";

/// Every request to the next daemon; one that does not answer is left out soon. A retry goes elsewhere at once, also of a read
/// that the dead daemon had already got.
const ROUND_ROBIN: &str = "defaults
mode http
timeout connect 1s
timeout client 300s
timeout server 300s
option redispatch 1
retries 3
retry-on conn-failure empty-response
frontend f
bind FRONT
default_backend b
backend b
balance roundrobin
option httpchk GET /version
http-request disable-l7-retry unless METH_GET
default-server check inter 200ms fall 2 rise 1
SERVERS
";

/// What HAProxy itself answers for a server that it takes to live.
const UNSERVED: &str = "No server is available";
/// Until then the manual's HAProxy has found out that a server died: three checks two seconds apart, and three retries.
pub const NOTICED: Duration = Duration::from_secs(10);

/// HAProxy in front of all daemons of a cluster.
pub struct Balancer {
    process: Child,
    address: String,
    authorization: String,
    client: reqwest::Client,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Balancer {
    /// Starts it with a configuration that says FRONT and SERVERS, for a user of these clouds.
    pub async fn start(cluster: &Cluster, configuration: &str, clouds: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let server = |(index, daemon): (usize, &crate::support::Daemon)| {
            format!("server im-{index} {} check\n", daemon.url("").trim_start_matches("http://"))
        };
        let servers: String = cluster.daemons.iter().enumerate().map(server).collect();
        let file = cluster.directory().join("haproxy.cfg");
        fs::write(&file, configuration.replace("FRONT", &address).replace("SERVERS\n", &servers)).unwrap();
        let log = fs::File::create(cluster.directory().join("haproxy.log")).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().expect("haproxy is installed");
        // A connection for each request, as the clients of the reference: on one that was used before, HAProxy leaves it to
        // the client to ask again when a server ends.
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).pool_max_idle_per_host(0).build().unwrap();
        let authorization = format!("{USER}\\n{clouds}");
        let balancer = Self { process, address, authorization, client };
        let started = Instant::now();
        while !matches!(balancer.client.get(balancer.url("/version")).send().await, Ok(answer) if answer.status().is_success())
        {
            assert!(started.elapsed() < PATIENCE, "haproxy does not serve");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        balancer
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        let request = self.client.request(method, self.url(path)).header(header::AUTHORIZATION, &self.authorization);
        let response = request.body(body.to_owned()).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    pub async fn text(&self, method: Method, path: &str, body: &str) -> String {
        let (status, text) = self.ask(method.clone(), path, body).await;
        assert_eq!(status, StatusCode::OK, "{method} {path}: {text}");
        text
    }

    /// What a client does in a life of an infrastructure; every answer shows what was done before.
    async fn life(&self) {
        let url = self.text(Method::POST, "/infrastructures", &document(2)).await;
        assert!(url.starts_with(&self.url("/infrastructures/")), "{url}");
        let path = &path_of(&url);
        for _ in 0..4 {
            assert!(self.text(Method::GET, "/infrastructures", "").await.contains(path));
            assert_eq!(self.text(Method::GET, path, "").await.lines().count(), 2);
        }
        self.until(path, "configured").await;
        self.text(Method::POST, path, &document(1)).await;
        assert_eq!(self.text(Method::GET, path, "").await.lines().count(), 3);
        self.text(Method::PUT, &format!("{path}/stop"), "").await;
        for vm in 0..3 {
            assert_eq!(self.text(Method::GET, &format!("{path}/vms/{vm}/state"), "").await, "stopped");
        }
        self.text(Method::PUT, &format!("{path}/start"), "").await;
        self.text(Method::DELETE, &format!("{path}/vms/1"), "").await;
        assert_eq!(self.ask(Method::GET, &format!("{path}/vms/1"), "").await.0, StatusCode::NOT_FOUND);
        self.text(Method::PUT, &format!("{path}/reconfigure"), "").await;
        self.until(path, "configured").await;
        let owner = r#"{"username": "friend", "password": "pass"}"#;
        let request = self.client.post(self.url(&format!("{path}/authorization")));
        let request =
            request.header(header::AUTHORIZATION, &self.authorization).header(header::CONTENT_TYPE, "application/json");
        assert_eq!(request.body(owner).send().await.unwrap().status(), StatusCode::OK);
        assert!(self.text(Method::GET, &format!("{path}/authorization"), "").await.contains("friend"));
        let exported = self
            .client
            .get(self.url(&format!("{path}/data?delete=yes")))
            .header(header::AUTHORIZATION, &self.authorization);
        let exported: serde_json::Value = exported.send().await.unwrap().json().await.unwrap();
        assert_eq!(self.ask(Method::GET, path, "").await.0, StatusCode::NOT_FOUND);
        let import = self.client.put(self.url("/infrastructures")).header(header::AUTHORIZATION, &self.authorization);
        let import = import.header(header::CONTENT_TYPE, "application/json");
        let imported = import.body(exported["data"].as_str().unwrap().to_owned()).send().await.unwrap();
        assert_eq!(imported.status(), StatusCode::OK, "{}", imported.text().await.unwrap());
        assert_eq!(self.text(Method::GET, path, "").await.lines().count(), 2);
        self.text(Method::DELETE, path, "").await;
        for _ in 0..3 {
            assert_eq!(self.ask(Method::GET, path, "").await.0, StatusCode::NOT_FOUND);
            assert!(!self.text(Method::GET, "/infrastructures", "").await.contains(path));
        }
    }

    /// Reads until `is_last` says so of a state, or the infrastructure is gone; since `death` a daemon is dead. Every read is
    /// answered, but for what the balancer refuses itself until it has `noticed`. How many were.
    pub async fn read(&self, path: &str, death: Instant, noticed: Duration, is_last: impl Fn(&str) -> bool) -> usize {
        let mut served = 0;
        loop {
            for what in
                [format!("{path}/contmsg"), path.to_owned(), "/infrastructures".to_owned(), format!("{path}/state")]
            {
                let since = death.elapsed();
                let (status, text) = self.ask(Method::GET, &what, "").await;
                if status == StatusCode::SERVICE_UNAVAILABLE && text.contains(UNSERVED) && since < noticed {
                    continue;
                }
                served += 1;
                if status == StatusCode::NOT_FOUND || what.ends_with("/state") && is_last(&text) {
                    return served;
                }
                assert_eq!(status, StatusCode::OK, "{what}, {since:?} after the death: {text}");
            }
            assert!(death.elapsed() < PATIENCE, "{path}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A change that succeeds, or is refused so that it may be tried again; then it is, until it succeeds.
    pub async fn change(&self, method: Method, path: &str) {
        let started = Instant::now();
        loop {
            let (status, text) = self.ask(method.clone(), path, "").await;
            if status == StatusCode::OK {
                return;
            }
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{method} {path}: {text}");
            assert!(started.elapsed() < PATIENCE, "{method} {path}: {text}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn until(&self, path: &str, wanted: &str) {
        let started = Instant::now();
        while !self.text(Method::GET, &format!("{path}/state"), "").await.contains(&format!("\"state\": \"{wanted}\""))
        {
            assert!(started.elapsed() < PATIENCE, "{path} does not become {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Clients see one service, whether their requests stick to a daemon or not, and when one of three dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_see_one_service() {
    let mut cluster = Cluster::start(3, "id = dummy; type = Dummy").await;
    let sticky = Balancer::start(&cluster, STICKY, DUMMY).await;
    sticky.life().await;
    drop(sticky);
    let round = Balancer::start(&cluster, ROUND_ROBIN, DUMMY).await;
    futures::join!(round.life(), round.life());
    assert_eq!(cluster.machines(), 0);

    let mut kept = Vec::new();
    for _ in 0..6 {
        kept.push(path_of(&round.text(Method::POST, "/infrastructures", &document(1)).await));
    }
    cluster.daemons[1].kill();
    let dead = Instant::now();
    let mut reads = 0;
    while dead.elapsed() < Duration::from_secs(3) {
        for path in &kept {
            let (status, text) = round.ask(Method::GET, &format!("{path}/state"), "").await;
            assert_eq!(status, StatusCode::OK, "read {reads}, {:?} after the death: {text}", dead.elapsed());
            reads += 1;
        }
    }
    assert!(reads > 50, "{reads}");
    for path in &kept {
        round.change(Method::PUT, &format!("{path}/stop")).await;
        assert!(round.text(Method::GET, &format!("{path}/state"), "").await.contains("stopped"));
    }
    cluster.nothing_was_made_twice();
}

/// Behind the manual's own configuration: HAProxy refuses what sticks to the dead daemon itself until it has noticed the death.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_goes_on_behind_the_manuals_balancer() {
    killed_behind(STICKY, NOTICED).await;
}

/// With one more option nothing is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_goes_on_behind_a_balancer_that_sends_elsewhere() {
    killed_behind(&STICKY.replace("balance roundrobin\n", "balance roundrobin\noption redispatch 1\n"), Duration::ZERO)
        .await;
}

/// The daemon that keeps an infrastructure is killed while it launches machines, and the next one while it deletes them.
async fn killed_behind(configuration: &str, noticed: Duration) {
    let mut cluster = Cluster::start(3, SLOW).await;
    let balancer = Balancer::start(&cluster, configuration, SLOW).await;
    let path = &path_of(&balancer.text(Method::POST, "/infrastructures?async=yes", &document(8)).await);
    let first = cluster.holder(path).await.unwrap();
    cluster.daemons[first].until("launching", async |_| cluster.machines() >= 2).await;
    cluster.daemons[first].kill();
    let death = Instant::now();
    let taken_over = async {
        let (holder, after) = cluster.until_taken_over(path, first).await;
        assert!(after < TAKEN_OVER, "only after {after:?}");
        holder
    };
    let reconfigure = format!("{path}/reconfigure");
    let (second, reads, ()) = futures::join!(
        taken_over,
        balancer.read(path, death, noticed, |state| state.contains("\"state\": \"configured\"")),
        balancer.change(Method::PUT, &reconfigure),
    );
    assert!(reads > 5, "{reads}");
    assert_eq!(cluster.machines(), 8);
    cluster.nothing_was_made_twice();

    balancer.change(Method::DELETE, &format!("{path}?async=yes")).await;
    cluster.daemons[second].until("deleting", async |_| cluster.machines() < 8).await;
    cluster.daemons[second].kill();
    let death = Instant::now();
    let taken_over = async {
        let (_, after) = cluster.until_taken_over(path, second).await;
        assert!(after < TAKEN_OVER, "only after {after:?}");
    };
    let ((), reads) = futures::join!(taken_over, balancer.read(path, death, noticed, |_| false));
    assert!(reads > 5, "{reads}");
    assert!(cluster.inspect(|inventory| inventory.is_empty()));
    cluster.nothing_was_made_twice();
}
