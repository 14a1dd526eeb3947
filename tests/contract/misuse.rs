//! Clients that keep the daemon waiting, send too much, or ask for what takes long: the others are answered all the same.

use crate::{
    support::{Answer, Apis, STRANGER, Server, USER, document},
    xmlrpc::{PATH, auth, string, xml},
};
use imd::api::{http::ServerSettings, rest::RestSettings, xmlrpc::XmlRpcSettings};
use reqwest::{Method, header};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longest that an honest client waits here, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 20;

/// Connections that say `first` and nothing more.
async fn occupy(address: &str, number: usize, first: &[u8]) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..number {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(first).await.unwrap();
        streams.push(stream);
    }
    streams
}

/// Whether both APIs answer somebody who asks and reads.
async fn is_answered(server: &Server) {
    let version = Answer::of(server.client.get(server.url("/version")).header(header::CONNECTION, "close"));
    assert_eq!(timeout(SOON, version).await.expect("REST does not answer").status, 200);
    let call = server.client.post(server.rpc_url(PATH)).header(header::CONNECTION, "close");
    let answer = timeout(SOON, Answer::of(call.body(xml("GetVersion", &[])))).await;
    assert_eq!(answer.expect("XML-RPC does not answer").status, 200);
}

fn few_connections() -> Apis {
    let (max_connections, max_from_address) = (CONNECTIONS, CONNECTIONS);
    Apis {
        http: ServerSettings { max_connections, max_from_address, ..ServerSettings::default() },
        xmlrpc: XmlRpcSettings { max_connections, max_from_address, ..XmlRpcSettings::default() },
        ..Apis::default()
    }
}

#[tokio::test]
async fn who_sends_nothing_more_makes_room_for_others() {
    let server = Server::serving(few_connections()).await;
    let body = format!("POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {USER}\r\nContent-Length: 100\r\n\r\nabc");
    let rest_body = body.replace("POST /", "POST /infrastructures");
    for first in ["", "GET /version HT", "POST / HTTP/1.1\r\nHost: x\r\nX-", &body] {
        let of_rest = if first == body { &rest_body } else { first };
        let mut idle = occupy(&server.address, CONNECTIONS, of_rest.as_bytes()).await;
        idle.extend(occupy(&server.xmlrpc, CONNECTIONS, first.as_bytes()).await);
        is_answered(&server).await;
        // One place was needed in each server, and no more are lost.
        let mut lost = 0;
        for stream in &mut idle {
            lost += usize::from(timeout(Duration::from_millis(5), stream.read(&mut [0; 1])).await.is_ok());
        }
        assert!((2..=8).contains(&lost), "{lost} were closed after {first:?}");
    }
}

#[tokio::test]
async fn who_does_not_read_makes_room_and_is_cut() {
    let mut apis = few_connections();
    apis.http.write_timeout = Duration::from_secs(2);
    let server = Server::serving(apis).await;
    let requests = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let mut deaf = Vec::new();
    for mut stream in occupy(&server.address, CONNECTIONS, b"").await {
        let requests = requests.clone();
        // Ends when the server takes no more.
        deaf.push(tokio::spawn(async move { while stream.write_all(&requests).await.is_ok() {} }));
    }
    is_answered(&server).await;
    for stream in deaf {
        timeout(Duration::from_secs(120), stream).await.expect("it was not cut").unwrap();
    }
}

#[tokio::test]
async fn a_target_that_is_no_path_is_refused() {
    let server = Server::start().await;
    for target in ["GET x", "GET foo:80", "CONNECT evil:443", "POST foo:80"] {
        for address in [&server.address, &server.xmlrpc] {
            let request = format!("{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            let answer = crate::support::exchange(address, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
        }
    }
    let absolute = server.raw(b"GET http://elsewhere/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(absolute.starts_with("HTTP/1.1 200 "), "{absolute}");
    let panics = server.get("/metrics").await.text;
    assert!(panics.lines().any(|line| line == "imd_panics_total 0"), "{panics}");
}

/// Large bodies share one memory; the one that does not come to its end makes room for those that do.
#[tokio::test]
async fn unfinished_bodies_do_not_keep_the_memory() {
    let server = Server::configured(RestSettings::default(), "MAX_BODY_MEMORY = 1000000").await;
    let half = "\n".repeat(300_000);
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {USER}\r\nContent-Length: 600000\r\n\r\n{half}")
    };
    let mut unfinished = occupy(&server.address, 2, head("/infrastructures").as_bytes()).await;
    unfinished.extend(occupy(&server.xmlrpc, 2, head("/").as_bytes()).await);
    let large = format!("{}\n{}", document(1), half);
    let created = timeout(SOON, server.post("/infrastructures", large.clone())).await.expect("no memory for a body");
    assert_eq!(created.status, 200, "{}", created.text);
    let arguments = [string(&large), auth()];
    let call = server.try_call("CreateInfrastructure", &arguments);
    assert!(timeout(SOON, call).await.expect("no memory for a body").is_ok());
    // Small ones need none.
    is_answered(&server).await;
    let mut told = String::new();
    timeout(SOON, unfinished[0].read_to_string(&mut told)).await.expect("the first one goes on").unwrap();
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after"), "{told}");
}

/// A filter that takes minutes is refused after a second, and nobody waits for it.
#[tokio::test]
async fn an_expensive_filter_is_refused_in_time() {
    let server = Server::start().await;
    // Without a period, so that every letter leads to a state that was not seen before.
    let mut seed = 1_u32;
    let letters: String = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if seed >> 31 == 0 { 'a' } else { 'b' }
    })
    .take(900_000)
    .collect();
    let recipe = format!("configure front (\n@begin\n---\n# {letters}\n@end\n)\n");
    let created =
        server.post("/infrastructures", document(1).replace("contextualize", &format!("{recipe}contextualize"))).await;
    assert_eq!(created.status, 200, "{}", created.text);
    let expression = "a[ab]{1000}[^abc]{3}";
    let refused = "The filter takes too long. Use a simpler one, such as a word of the document.";
    let path = format!("/infrastructures?filter={}", expression.replace('[', "%5B").replace(']', "%5D"));
    let polls = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..40 {
            let started = Instant::now();
            assert_eq!(Answer::of(server.client.get(server.url("/version"))).await.status, 200);
            slowest = slowest.max(started.elapsed());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        slowest
    };
    let all = futures::future::join_all((0..4).map(|_| server.get(&path)));
    let (answers, slowest) = tokio::join!(all, polls);
    for answer in answers {
        assert_eq!((answer.status.as_u16(), answer.text), (400, format!("Error Getting Inf. List: {refused}")));
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(server.try_call("GetInfrastructureList", &[auth(), string(expression)]).await, Err(refused.to_owned()));
    for (filter, number) in [("description%20lab", 1), ("%5Cbnode%5Cb", 1), ("nothing%20like%20it", 0), ("", 1)] {
        let list = server.get(&format!("/infrastructures?filter={filter}")).await;
        assert_eq!((list.status.as_u16(), list.text.lines().count()), (200, number), "{filter}");
    }
}

#[tokio::test]
async fn one_user_has_some_of_the_event_streams() {
    let settings = RestSettings { max_streams: 3, max_streams_of_user: 2, ..RestSettings::default() };
    let server = Server::with(settings).await;
    let mine = format!("{}/events", server.create(1).await);
    let other = server.client.post(server.url("/infrastructures")).header(header::AUTHORIZATION, STRANGER);
    let theirs = Answer::of(other.body(document(1))).await.text.replace(&server.url(""), "") + "/events";
    let open =
        |path: &str, who: &'static str| server.client.get(server.url(path)).header(header::AUTHORIZATION, who).send();
    let _mine = (open(&mine, USER).await.unwrap(), open(&mine, USER).await.unwrap());
    assert_eq!(open(&mine, USER).await.unwrap().status(), 503);
    let _theirs = open(&theirs, STRANGER).await.unwrap();
    assert_eq!(_theirs.status(), 200);
}

#[tokio::test]
async fn owners_are_bounded() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let add = async |name: String| {
        let body = format!(r#"{{"username": "{name}", "password": "p"}}"#);
        server.post(&format!("{path}/authorization"), body).await
    };
    let owners = (1..256).map(|number| add(format!("u{number}")));
    for answer in futures::future::join_all(owners).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let more = add("v".to_owned()).await;
    assert_eq!((more.status.as_u16(), more.text.contains("256 owners at most")), (400, true), "{}", more.text);
    assert_eq!(add("u9".to_owned()).await.status, 200, "who is one already stays one");
}

/// Somebody who guesses passwords is answered more slowly with every guess, whatever API is asked.
#[tokio::test]
async fn guesses_slow_down() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.json");
    std::fs::write(&file, r#"{"users": [{"username": "user", "password": "pass"}]}"#).unwrap();
    let server = Server::configured(RestSettings::default(), &format!("USER_DB = {}", file.display())).await;
    let started = Instant::now();
    for guess in 0..4 {
        let header = format!("type = InfrastructureManager; username = user; password = {guess}");
        let request = server.client.request(Method::GET, server.url("/infrastructures"));
        assert_eq!(Answer::of(request.header(header::AUTHORIZATION, header)).await.status, 401);
        let auth = crate::xmlrpc::item(&[("type", "InfrastructureManager"), ("username", "user"), ("password", "x")]);
        assert!(server.try_call("GetInfrastructureList", &[auth]).await.is_err());
    }
    // The first three at once, then 100, 200, 300 and 400 ms after the fourth.
    assert!(started.elapsed() >= Duration::from_millis(1000), "{:?}", started.elapsed());
    assert_eq!(server.get("/infrastructures").await.status, 200);
}
