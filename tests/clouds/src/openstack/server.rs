//! Requests in, replies out: over HTTP on loopback, with the faults that a test wants between.

use super::{
    federation,
    state::{Answer, State, refuse},
};
use bytes::Bytes;
use connectors::{
    ProviderId,
    conformance::{Backstage, Fate},
};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// The password of the user `demo`.
pub const PASSWORD: &str = "pa55word";
/// Requests that a token is good for.
const TOKEN_USES: u32 = 400;

/// A cloud that serves until it is dropped.
pub struct SimulatedCloud {
    address: SocketAddr,
    state: Arc<Mutex<Front>>,
    accepting: JoinHandle<()>,
}

/// What stands before the services.
struct Front {
    cloud: State,
    base: String,
    tokens: u32,
    uses: u32,
    requests: u32,
    failing: Option<(u32, Fate)>,
}

impl Drop for SimulatedCloud {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl SimulatedCloud {
    /// A cloud with an image, flavors and a pool of public addresses; lists come `page` things at a time.
    pub async fn start(page: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let front = Front {
            cloud: State::new(page),
            base: format!("http://{address}"),
            tokens: 0,
            uses: 0,
            requests: 0,
            failing: None,
        };
        let state = Arc::new(Mutex::new(front));
        let own = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let own = Arc::clone(&own);
                connections.spawn(async move {
                    let service = service_fn(|request: Request<hyper::body::Incoming>| {
                        let own = Arc::clone(&own);
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                            let answer = own.lock().unwrap().receive(&Request::from_parts(head, body));
                            Ok::<_, Infallible>(reply(answer))
                        }
                    });
                    // A client that goes away ends its connection alone.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, state, accepting }
    }

    /// URL of Keystone.
    pub fn keystone(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the test look at, and change, what the cloud holds.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap().cloud)
    }
}

fn reply(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answer.status).header("content-type", "application/json");
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let body = if answer.body.is_null() { Bytes::new() } else { serde_json::to_vec(&answer.body).unwrap().into() };
    response.body(Full::new(body)).unwrap()
}

impl Front {
    fn receive(&mut self, request: &Request<Bytes>) -> Answer {
        self.requests += 1;
        match self.failing {
            Some((number, Fate::NotDone)) if number == self.requests => refuse(503, "not done"),
            Some((number, Fate::ReplyLost)) if number == self.requests => {
                self.answer(request);
                refuse(502, "done, but nobody is told")
            }
            _ => self.answer(request),
        }
    }

    fn answer(&mut self, request: &Request<Bytes>) -> Answer {
        let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        if *request.method() == Method::POST && path == ["v3", "auth", "tokens"] {
            return self.log_in(&body);
        }
        if let ["cloud-info", rest @ ..] = path.as_slice() {
            return federation::cloud_info(rest, request.uri().path().ends_with('/'), &self.base);
        }
        if let Some(answer) = federation::keystone(&path, request.headers()) {
            return answer;
        }
        let token = request.headers().get("x-auth-token").and_then(|token| token.to_str().ok());
        self.uses += 1;
        if token != Some(&format!("token-{}", self.tokens)) || self.uses > TOKEN_USES {
            return Answer::new(
                401,
                json!({"error": {"code": 401, "message": "The request you have made requires authentication."}}),
            );
        }
        let query: Vec<(String, String)> =
            form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
        let method = request.method();
        match path.as_slice() {
            ["v3"] => Answer::new(200, json!({"version": {"id": "v3.14", "status": "stable"}})),
            ["compute", "v2.1"] => {
                Answer::new(200, json!({"version": {"id": "v2.1", "version": "2.93", "min_version": "2.1"}}))
            }
            ["compute", "v2.1", rest @ ..] => {
                let version = request.headers().get("openstack-api-version").and_then(|value| value.to_str().ok());
                if version != Some("compute 2.79") {
                    return refuse(406, &format!("Version {version:?} is not supported by the API."));
                }
                self.cloud.compute(method, rest, &query, &body)
            }
            ["network", "v2.0", rest @ ..] => self.cloud.network(method, rest, &query, &body),
            ["image", "v2", rest @ ..] => self.cloud.image(method, rest, &query),
            ["volume", "v3", "demo-project", rest @ ..] => self.cloud.volume(method, rest, &query, &body),
            _ => refuse(404, "The resource could not be found."),
        }
    }

    fn log_in(&mut self, body: &Value) -> Answer {
        let user = json!({"name": "demo", "password": PASSWORD, "domain": {"name": "Default"}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let scope = json!({"project": {"name": "demo", "domain": {"id": "default"}}});
        let scoped = federation::scoped();
        if *body != json!({"auth": {"identity": identity, "scope": scope}}) && *body != scoped {
            return Answer::new(
                401,
                json!({"error": {"code": 401, "message": "The request you have made requires authentication."}}),
            );
        }
        self.tokens += 1;
        self.uses = 0;
        let service = |kind: &str, name: &str, path: &str| {
            let url = format!("{}{path}", self.base);
            let of = |interface: &str, url: &str| json!({"interface": interface, "region": "RegionOne", "region_id": "RegionOne", "url": url, "id": "e"});
            let elsewhere = "http://192.0.2.1:1";
            json!({"type": kind, "name": name, "id": name, "endpoints": [of("internal", elsewhere), of("public", &url)]})
        };
        let catalog = json!([
            service("compute", "nova", "/compute/v2.1"),
            service("network", "neutron", "/network"),
            service("image", "glance", "/image"),
            service("volumev3", "cinder", "/volume/v3/demo-project"),
        ]);
        let token = json!({
            "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2026-01-01T01:00:00.000000Z",
            "catalog": catalog, "project": {"id": "demo-project", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "methods": ["password"],
        });
        let answer = Answer::new(201, json!({ "token": token }));
        answer.with("x-subject-token", format!("token-{}", self.tokens))
    }
}

impl Backstage for SimulatedCloud {
    fn fail(&self, request: Option<(u32, Fate)>) {
        let mut front = self.state.lock().unwrap();
        (front.requests, front.failing) = (0, request);
    }

    fn requests(&self) -> u32 {
        self.state.lock().unwrap().requests
    }

    fn holdings(&self) -> Vec<String> {
        self.with(|cloud| cloud.holdings())
    }

    fn make_users_volume(&self) -> String {
        let id = self.with(|cloud| cloud.make_volume(&json!({"size": 1, "name": "mine"})));
        format!("ost://127.0.0.1/volume/{id}")
    }

    fn delete_users_volume(&self, url: &str) -> bool {
        let id = url.rsplit('/').next().unwrap_or_default();
        self.with(|cloud| cloud.volume(&Method::DELETE, &["volumes", id], &[], &Value::Null).status == 202)
    }

    fn user_data(&self, machine: &ProviderId) -> Option<String> {
        self.with(|cloud| cloud.user_data(&machine.0))
    }
}
