//! A tiny cloud with an HTTP API, in this process. It is as awkward as real ones: lists come in pages, tokens end,
//! machines take a while to boot, deleting goes on after the reply, and whoever asks for what it does not know is refused.
//!
//! | request | reply |
//! |---|---|
//! | `POST /login {user, password}` | `{token, seconds}` |
//! | `GET /images` | `[{id, name}]` |
//! | `GET /sizes` | `[{name, cores, mebibytes}]` |
//! | `GET /machines?infrastructure=` | `[machine]`, a page of [`PAGE`], with a link to the next |
//! | `POST /machines {name, infrastructure, image, size, user_data}` | `machine`; 409 where the name is taken |
//! | `GET /machines/ID` | `machine` |
//! | `POST /machines/ID/start`, `.../stop`, `.../reset` | nothing |
//! | `DELETE /machines/ID` | `{job}`; the machine is there, with `job`, until the job is done |
//! | `GET /jobs/ID` | `{done}` |

use crate::support::{Body, Server, empty, json};
use bytes::Bytes;
use connectors::{
    ProviderId,
    conformance::{Backstage, Fate},
};
use hyper::{Method, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::json as value;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

/// Machines on a page.
pub const PAGE: usize = 3;
/// Requests that a token is good for.
const TOKEN_USES: u32 = 300;
/// Questions after which a machine is up, or a job done.
const LOOKS: u32 = 2;

/// The cloud; its inventory lives as long as it does.
pub struct TinyCloud {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    machines: BTreeMap<u32, Machine>,
    jobs: BTreeMap<String, (u32, u32)>,
    /// Numbers given out so far.
    numbers: u32,
    token: String,
    uses: u32,
    /// Requests since the test last chose one that fails, and that one.
    requests: u32,
    failing: Option<(u32, Fate)>,
}

#[derive(Clone, Serialize)]
struct Machine {
    id: String,
    state: &'static str,
    address: String,
    job: Option<String>,
    #[serde(flatten)]
    order: Order,
    #[serde(skip)]
    looks: u32,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    name: String,
    infrastructure: String,
    image: String,
    size: String,
    user_data: Option<String>,
}

impl TinyCloud {
    pub async fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let own = Arc::clone(&state);
        let server = Server::answering(move |request| own.lock().unwrap().receive(request)).await;
        Self { server, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }
}

impl Backstage for TinyCloud {
    fn fail(&self, request: Option<(u32, Fate)>) {
        let mut state = self.state.lock().unwrap();
        (state.requests, state.failing) = (0, request);
    }

    fn requests(&self) -> u32 {
        self.state.lock().unwrap().requests
    }

    fn holdings(&self) -> Vec<String> {
        self.state.lock().unwrap().machines.values().map(|machine| machine.id.clone()).collect()
    }

    fn make_users_volume(&self) -> String {
        panic!("the cloud has no volumes")
    }

    fn delete_users_volume(&self, _url: &str) -> bool {
        false
    }

    fn user_data(&self, machine: &ProviderId) -> Option<String> {
        let state = self.state.lock().unwrap();
        state.machines.values().find(|made| made.id == machine.0)?.order.user_data.clone()
    }
}

impl State {
    /// Answers, or fails where the test wants it.
    fn receive(&mut self, request: &Request<Bytes>) -> Response<Body> {
        self.requests += 1;
        match self.failing {
            Some((number, Fate::NotDone)) if number == self.requests => refuse(500, "not done"),
            Some((number, Fate::ReplyLost)) if number == self.requests => {
                self.answer(request);
                refuse(500, "done, but nobody is told")
            }
            _ => self.answer(request),
        }
    }

    fn answer(&mut self, request: &Request<Bytes>) -> Response<Body> {
        let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        if path == ["login"] {
            return self.login(request.body());
        }
        let token = request.headers().get("x-token").map(|token| token.as_bytes());
        self.uses += 1;
        if token != Some(self.token.as_bytes()) || self.uses > TOKEN_USES {
            return refuse(401, "no such token");
        }
        match (request.method(), path.as_slice()) {
            (&Method::GET, ["images"]) => json(200, value!([{"id": "linux", "name": "Linux"}])),
            (&Method::GET, ["sizes"]) => json(
                200,
                value!([{"name": "small", "cores": 1, "mebibytes": 1024}, {"name": "large", "cores": 4, "mebibytes": 8192}]),
            ),
            (&Method::GET, ["machines"]) => self.list(request.uri().query().unwrap_or_default()),
            (&Method::POST, ["machines"]) => self.make(request.body()),
            (&Method::GET, ["machines", id]) => self.machine(id, |_, machine| json(200, machine)),
            (&Method::DELETE, ["machines", id]) => self.machine(id, |numbers, machine| {
                *numbers += 1;
                let job = machine.job.get_or_insert_with(|| format!("job-{numbers}")).clone();
                json(202, value!({"job": job}))
            }),
            (&Method::POST, ["machines", id, operation]) => self.machine(id, |_, machine| match *operation {
                "start" | "reset" => power(machine, "on"),
                "stop" => power(machine, "stopped"),
                _ => refuse(404, "no such operation"),
            }),
            (&Method::GET, ["jobs", id]) => self.job(id),
            _ => refuse(404, "no such resource"),
        }
    }

    fn login(&mut self, body: &[u8]) -> Response<Body> {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        if body != value!({"user": "joe", "password": "pa55word"}) {
            return refuse(401, &format!("wrong: {body}"));
        }
        self.numbers += 1;
        (self.token, self.uses) = (format!("token-{}", self.numbers), 0);
        json(200, value!({"token": self.token, "seconds": 3600}))
    }

    fn list(&mut self, query: &str) -> Response<Body> {
        let mut wanted: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let after: u32 = wanted.remove("after").map_or(0, |number| number.parse().unwrap_or(0));
        let Some(infrastructure) = wanted.remove("infrastructure").filter(|_| wanted.is_empty()) else {
            return refuse(400, "which infrastructure?");
        };
        let ours = |machine: &Machine| machine.order.infrastructure == infrastructure;
        let left: Vec<_> = self.machines.range(after + 1..).filter(|(_, machine)| ours(machine)).collect();
        let page: Vec<_> = left.iter().take(PAGE).map(|(_, machine)| machine).collect();
        let mut reply = json(200, &page);
        if left.len() > PAGE {
            let link = format!("<?infrastructure={infrastructure}&after={}>; rel=\"next\"", left[PAGE - 1].0);
            reply.headers_mut().insert("link", link.parse().unwrap());
        }
        reply
    }

    fn make(&mut self, body: &[u8]) -> Response<Body> {
        let Ok(order) = serde_json::from_slice::<Order>(body) else { return refuse(400, "no order") };
        if order.image != "linux" || !["small", "large"].contains(&order.size.as_str()) {
            return refuse(400, "no such image or size");
        }
        if self.machines.values().any(|machine| machine.order.name == order.name) {
            return refuse(409, "the name is taken");
        }
        self.numbers += 1;
        let (number, address) = (self.numbers, format!("192.0.2.{}", self.numbers % 250 + 1));
        let machine = Machine { id: format!("m{number}"), state: "building", address, job: None, order, looks: 0 };
        let reply = json(201, &machine);
        self.machines.insert(number, machine);
        reply
    }

    fn machine(&mut self, id: &str, answer: impl FnOnce(&mut u32, &mut Machine) -> Response<Body>) -> Response<Body> {
        let Some(machine) = self.machines.values_mut().find(|machine| machine.id == id) else {
            return refuse(404, "no such machine");
        };
        machine.looks += 1;
        if machine.looks >= LOOKS && machine.state == "building" {
            machine.state = "on";
        }
        answer(&mut self.numbers, machine)
    }

    fn job(&mut self, id: &str) -> Response<Body> {
        let Some(number) = self.machines.iter().find(|(_, machine)| machine.job.as_deref() == Some(id)) else {
            return if self.jobs.contains_key(id) {
                json(200, value!({"done": true}))
            } else {
                refuse(404, "no such job")
            };
        };
        let number = *number.0;
        let (looks, _) = self.jobs.entry(id.to_owned()).or_insert((0, number));
        *looks += 1;
        let done = *looks >= LOOKS;
        if done {
            self.machines.remove(&number);
        }
        json(200, value!({"done": done}))
    }
}

fn power(machine: &mut Machine, state: &'static str) -> Response<Body> {
    machine.state = state;
    empty(204)
}

fn refuse(status: u16, message: &str) -> Response<Body> {
    json(status, value!({"message": message}))
}
