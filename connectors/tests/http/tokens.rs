//! Tokens against a cloud that gives them and takes them away.

use super::*;
use crate::support::{Server, empty, json};
use async_trait::async_trait;
use connectors::{
    ConnectorError, ErrorClass,
    http::{Authority, Method, Token},
};
use futures::future::join_all;
use serde::Deserialize;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Trades the password of the line for a token.
struct Login {
    client: Client,
    password: &'static str,
}

#[derive(Deserialize)]
struct Issued {
    token: String,
}

#[async_trait]
impl Authority for Login {
    async fn issue(&self) -> Result<Token, ConnectorError> {
        let request = self.client.request(Method::POST, ["login"]).json(&self.password);
        let Issued { token } = self.client.send(request).await?.json()?;
        Ok(Token { secret: token, lifetime: None })
    }
}

/// A cloud that takes the token of its last login alone. Those of the first `broken` logins are not good at all.
async fn cloud(broken: usize) -> Server {
    let logins = Arc::new(AtomicUsize::new(0));
    Server::answering(move |request| match request.uri().path() {
        "/api/login" if request.body().as_ref() != br#""pw""# => empty(401),
        "/api/login" => {
            let number = logins.fetch_add(1, Ordering::Relaxed) + 1;
            json(200, serde_json::json!({"token": format!("token-{number}")}))
        }
        _ => {
            let number = logins.load(Ordering::Relaxed);
            let good = format!("Bearer token-{number}");
            let carried = request.headers().get("authorization").is_some_and(|value| value == good.as_str());
            if carried && number > broken { json(200, "yours") } else { empty(401) }
        }
    })
    .await
}

fn logged_in(server: &Server, password: &'static str) -> Client {
    let client = client(&account("", server.address, &[("password", password)]));
    client.clone().with_authority(Login { client, password })
}

fn logins(server: &Server) -> usize {
    server.asked().iter().filter(|asked| *asked == "POST /api/login").count()
}

#[tokio::test]
async fn twenty_refused_callers_renew_once() {
    let server = cloud(1).await;
    let client = logged_in(&server, "pw");
    let replies = join_all((0..20).map(|_| client.send(client.request(Method::GET, ["x"])))).await;
    for reply in replies {
        assert_eq!(reply.unwrap().json::<String>().unwrap(), "yours");
    }
    assert_eq!(logins(&server), 2, "one login, one renewal");
}

#[tokio::test]
async fn a_token_is_for_all_services_of_the_cloud_and_for_no_other_server() {
    let server = cloud(0).await;
    let client = logged_in(&server, "pw");
    client.send(client.request(Method::GET, ["x"])).await.unwrap();
    let mut url = client.url([]);
    url.set_path("/other");
    let service = client.at(url);
    service.send(service.request(Method::GET, ["y"])).await.unwrap();
    assert_eq!(server.asked(), ["POST /api/login", "GET /api/x", "GET /other/y"]);
    let stranger = cloud(0).await;
    let url = format!("http://{}/", stranger.address).parse().unwrap();
    let error = client.send(client.request_url(Method::GET, url)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid);
    assert!(stranger.asked().is_empty());
}

#[tokio::test]
async fn a_request_that_stays_refused_is_no_loop() {
    let server = cloud(usize::MAX).await;
    let client = logged_in(&server, "pw");
    let error = client.send(client.request(Method::GET, ["x"])).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Auth);
    assert_eq!(server.asked(), ["POST /api/login", "GET /api/x", "POST /api/login", "GET /api/x"]);
}

#[tokio::test]
async fn a_wrong_password_is_said_once() {
    let server = cloud(0).await;
    let client = logged_in(&server, "wrong");
    let replies = join_all((0..20).map(|_| client.send(client.request(Method::GET, ["x"])))).await;
    assert!(replies.iter().all(|reply| reply.as_ref().unwrap_err().class == ErrorClass::Auth));
    assert_eq!(server.asked(), ["POST /api/login"]);
}
