//! HTTP itself: methods, paths, limits, addresses behind proxies, CORS, shutdown (docs/spec/api.md 2.1, 2.6).

use crate::support::{Answer, Apis, Server, TEXT, USER, document};
use imd::api::{http::ServerSettings, rest::RestSettings};
use reqwest::{Method, header};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn methods_and_paths() {
    let server = Server::start().await;
    for path in ["/nothing", "/infrastructures/", "/infrastructures/a/b/c", "/a/b/c/d/e/f/g/h/i"] {
        let answer = server.get(path).await;
        assert_eq!(answer.parts(), (404, TEXT, "The requested URL was not found on the server."), "{path}");
    }
    let wrong = Answer::of(server.request(Method::DELETE, "/infrastructures")).await;
    assert_eq!(wrong.parts(), (405, TEXT, "The method is not allowed for the requested URL."));
    assert_eq!(wrong.header("allow"), "GET, HEAD, OPTIONS, POST, PUT");
    let wrong = Answer::of(server.request(Method::POST, "/infrastructures/a/vms/0")).await;
    assert_eq!((wrong.status.as_u16(), wrong.header("allow")), (405, "DELETE, GET, HEAD, OPTIONS, PUT"));
    let wrong = Answer::of(server.request(Method::PATCH, "/version")).await;
    assert_eq!(wrong.status, 405);

    let options = Answer::of(server.client.request(Method::OPTIONS, server.url("/infrastructures/x"))).await;
    assert_eq!((options.status.as_u16(), options.text.as_str()), (200, ""));
    assert_eq!(options.header("allow"), "DELETE, GET, HEAD, OPTIONS, POST");
    let options = Answer::of(server.client.request(Method::OPTIONS, server.url("/nothing"))).await;
    assert_eq!(options.parts(), (200, "application/json", "{}"));

    let head = Answer::of(server.request(Method::HEAD, "/version")).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.text.as_str()), (200, "6", ""));
    let head = server.raw(b"HEAD /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(head.ends_with("\r\n\r\n"), "{head}");

    // Machines booted by older daemons call with a double slash; balancers may speak HTTP 1.0 without a host.
    let slashes = server.raw(b"GET //version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(slashes.starts_with("HTTP/1.1 200 ") && slashes.ends_with("1.19.1"), "{slashes}");
    let old = server.raw(format!("GET /infrastructures HTTP/1.0\r\nAuthorization: {USER}\r\n\r\n").as_bytes()).await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
}

#[tokio::test]
async fn uris_name_the_address_the_client_used() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let cases: [(&[(&str, &str)], String); 4] = [
        (&[], server.url("")),
        (&[("host", "foo.bar:99")], "http://foo.bar:99".to_owned()),
        (
            &[
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "a.org,im.example.org:443"),
                ("x-forwarded-prefix", "/im"),
            ],
            "https://im.example.org/im".to_owned(),
        ),
        (
            &[("x-forwarded-host", "im.example.org"), ("x-forwarded-port", "8443")],
            "http://im.example.org:8443".to_owned(),
        ),
    ];
    for (headers, base) in cases {
        let mut request = server.request(Method::GET, "/infrastructures");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        assert_eq!(Answer::of(request).await.text, format!("{base}{path}"), "{headers:?}");
    }
    let http = ServerSettings { public_url: Some("https://im.org/x".to_owned()), ..ServerSettings::default() };
    let server = Server::serving(Apis { http, ..Apis::default() }).await;
    let created = server.post("/infrastructures", document(1)).await;
    assert!(created.text.starts_with("https://im.org/x/infrastructures/"), "{}", created.text);
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_is_cut() {
    let (head_timeout, body_timeout) = (Duration::from_millis(300), Duration::from_millis(300));
    let server = Server::serving(Apis {
        http: ServerSettings { max_head: 8192, head_timeout, ..ServerSettings::default() },
        rest: RestSettings { max_body: 1000, body_timeout, ..RestSettings::default() },
        ..Apis::default()
    })
    .await;
    let fits = Answer::of(server.request(Method::POST, "/infrastructures").body("\n".repeat(1000))).await;
    assert_eq!(fits.status, 200, "{}", fits.text);
    let announced = Answer::of(server.request(Method::POST, "/infrastructures").body("\n".repeat(1001))).await;
    assert_eq!(announced.parts(), (413, TEXT, "The request body is larger than 1000 bytes."));
    let head = format!("POST /infrastructures HTTP/1.1\r\nHost: x\r\nAuthorization: {USER}\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n", "\n".repeat(1001));
    let answer = server.raw(chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let slow = server.raw(format!("{head}Content-Length: 10\r\n\r\nabc").as_bytes()).await;
    assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");

    let long = Answer::of(server.request(Method::GET, "/version").header("x-long", "x".repeat(10_000))).await;
    assert_eq!(long.status, 431);
    // Nobody holds a connection by sending nothing, or half a head.
    assert_eq!(server.raw(b"").await, "");
    assert!(!server.raw(b"GET /version HTTP/1.1\r\nHost").await.contains(" 200 "));
    assert_eq!(server.get("/infrastructures").await.text.lines().count(), 1);
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let http = ServerSettings { max_connections: 2, ..ServerSettings::default() };
    let server = Server::serving(Apis { http, ..Apis::default() }).await;
    // The daemon works for both, so that none of them has to make room.
    let mut busy = Vec::new();
    for _ in 0..2 {
        let slow = server.request_on(Method::POST, "/infrastructures", "; latency_ms = 3000").body(document(1));
        busy.push(tokio::spawn(Answer::of(slow)));
    }
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let request = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let waiting = tokio::time::timeout(Duration::from_millis(300), server.raw(request)).await;
    assert!(waiting.is_err(), "{waiting:?}");
    for busy in busy {
        assert_eq!(busy.await.unwrap().status, 200);
    }
    assert!(server.raw(request).await.ends_with("1.19.1"));
}

#[tokio::test]
async fn cross_origin_headers_only_when_enabled() {
    let origin = "access-control-allow-origin";
    let server = Server::start().await;
    assert_eq!(server.get("/version").await.header(origin), "");
    let settings = RestSettings { cors_origin: Some("https://dash.org".to_owned()), ..RestSettings::default() };
    let server = Server::with(settings).await;
    let preflight = Answer::of(server.client.request(Method::OPTIONS, server.url("/infrastructures"))).await;
    let refused = Answer::of(server.client.get(server.url("/infrastructures"))).await;
    assert_eq!(refused.status, 401);
    for answer in [preflight, refused, server.get("/nothing").await] {
        assert_eq!(answer.header(origin), "https://dash.org");
        assert_eq!(answer.header("access-control-allow-methods"), "PUT, GET, POST, DELETE, OPTIONS");
        let names = answer.header("access-control-allow-headers");
        assert_eq!(names, "Origin, Accept, Content-Type, Authorization");
    }
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_lets_requests_finish() {
    let mut server = Server::start().await;
    let mut idle = TcpStream::connect(&server.address).await.unwrap();
    let mut busy = TcpStream::connect(&server.address).await.unwrap();
    let body = document(1);
    let (start, end) = body.split_at(10);
    let head =
        format!("POST /infrastructures HTTP/1.1\r\nHost: x\r\nAuthorization: {USER}\r\nExpect: 100-continue\r\n");
    busy.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    // The server says that it waits for the body: the request is under way.
    let mut proceed = [0; 25];
    busy.read_exact(&mut proceed).await.unwrap();
    assert_eq!(&proceed, b"HTTP/1.1 100 Continue\r\n\r\n");
    busy.write_all(start.as_bytes()).await.unwrap();
    idle.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    assert!(idle.read(&mut buffer).await.unwrap() > 0);

    let address = server.address.clone();
    let rest = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(TcpStream::connect(&address).await.is_err(), "still accepting");
        busy.write_all(end.as_bytes()).await.unwrap();
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (took, answer) = tokio::join!(server.stop(), rest);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(idle.read(&mut buffer).await.unwrap(), 0);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_client_may_send_accept_in_several_lines() {
    let server = Server::start().await;
    let request = server.request(Method::GET, "/infrastructures");
    let request = request.header(header::ACCEPT, "image/png").header(header::ACCEPT, "application/json");
    assert_eq!(Answer::of(request).await.text, r#"{"uri-list": []}"#);
}

#[tokio::test]
async fn a_client_that_has_the_answer_is_told_so() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let state = format!("{path}/state");
    let first = server.get(&state).await;
    let tag = first.header("etag").to_owned();
    let ask = |tag: String| Answer::of(server.request(Method::GET, &state).header(header::IF_NONE_MATCH, tag));
    let same = ask(tag.clone()).await;
    assert_eq!((same.status.as_u16(), same.text.as_str(), same.header("etag")), (304, "", tag.as_str()));
    assert_eq!(ask(format!("\"other\", W/{tag}")).await.status, 304);
    assert_eq!(ask("\"other\"".to_owned()).await.parts(), first.parts());
    assert_eq!(server.put(&format!("{path}/vms/0/stop")).await.header("etag"), "");
    server.wait_for(&path, "stopped").await;
    let changed = ask(tag.clone()).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(server.get("/nothing").await.header("etag"), "");
}
