//! How requests reach a cloud: paths, proxies, time limits, redirections.

use super::*;
use crate::support::{Body, Server, empty, json};
use bytes::Bytes;
use connectors::{ErrorClass, http::Method};
use http_body_util::{BodyExt, StreamBody};
use hyper::{Response, body::Frame};
use std::{convert::Infallible, sync::Arc};

#[tokio::test]
async fn each_item_of_a_path_is_one_segment() {
    let server = Server::answering(|_| empty(204)).await;
    let client = client(&account("", server.address, &[]));
    client.send(client.request(Method::DELETE, ["servers", "a/../b?c"])).await.unwrap();
    client.send(client.request(Method::GET, ["servers"]).query(&[("name", "a b")])).await.unwrap();
    assert_eq!(server.asked(), ["DELETE /api/servers/a%2F..%2Fb%3Fc", "GET /api/servers?name=a+b"]);
    let agent = server.requests()[0].headers()["user-agent"].clone();
    assert!(agent.to_str().unwrap().starts_with("imd/"));
}

#[tokio::test]
async fn the_proxy_of_the_line_is_asked() {
    let proxy = Server::answering(|_| json(200, "through")).await;
    let mut line = account("http", proxy.address, &[("http_proxy", &format!("http://{}", proxy.address))]);
    line.endpoint.server = "cloud.invalid".to_owned();
    line.endpoint.port = None;
    let client = client(&line);
    let reply = client.send(client.request(Method::GET, ["x"])).await.unwrap();
    assert_eq!(reply.json::<String>().unwrap(), "through");
    assert_eq!(proxy.asked(), ["GET http://cloud.invalid/api/x"]);
    let bad = account("http", proxy.address, &[("http_proxy", "s3cr3t:// nonsense")]);
    let error = Client::new(&settings(), &bad, base_url(&bad, "http", None).unwrap()).err().unwrap();
    assert!(error.class == ErrorClass::Invalid && error.message.contains("http_proxy"), "{error}");
    assert!(!error.message.contains("s3cr3t"), "{error}");
}

#[tokio::test]
async fn a_body_that_trickles_and_a_server_that_is_not_there_are_given_up() {
    let server = Server::answering(|_| {
        let chunks = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b" "))), ()))
        });
        Response::new(StreamBody::new(chunks).boxed_unsync())
    })
    .await;
    let own = client(&account("", server.address, &[]));
    let error = own.send(own.request(Method::GET, ["x"])).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(error.message.contains("in time"), "{error}");
    let address = server.address;
    drop(server);
    let other = client(&account("", address, &[]));
    let error = other.send(other.request(Method::GET, ["x"])).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(error.message.contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn only_what_stays_on_the_server_is_followed() {
    let elsewhere = Server::answering(|_| json(200, "elsewhere")).await;
    let other = format!("http://{}/", elsewhere.address);
    let to = |target: String| -> Response<Body> {
        let mut reply = empty(302);
        reply.headers_mut().insert("location", target.parse().unwrap());
        reply
    };
    let server = Server::answering(move |request| match request.uri().path() {
        "/api/old" => to("/api/new".to_owned()),
        "/api/new" => json(200, "here"),
        "/api/circle" => to("/api/circle".to_owned()),
        _ => to(other.clone()),
    })
    .await;
    let client = Arc::new(client(&account("", server.address, &[])));
    let send = async |method: Method, path: &'static str| client.send(client.request(method, [path])).await;
    assert_eq!(send(Method::GET, "old").await.unwrap().json::<String>().unwrap(), "here");
    for (method, path) in [(Method::GET, "away"), (Method::POST, "old"), (Method::GET, "circle")] {
        assert_eq!(send(method, path).await.unwrap_err().class, ErrorClass::Invalid, "{path}");
    }
    assert!(elsewhere.asked().is_empty(), "nothing goes to another server");
}
