//! What clouds refuse, and what is told of it.

use super::*;
use crate::support::{Server, json};
use connectors::{
    ErrorClass,
    http::{Fault, Method, StatusCode},
};
use serde_json::json as value;

#[tokio::test]
async fn pauses_that_a_cloud_asks_for_are_told() {
    let server = Server::answering(|_| {
        let mut reply = json(429, value!({"message": "slow down"}));
        reply.headers_mut().insert("retry-after", "7".parse().unwrap());
        reply
    })
    .await;
    let client = client(&account("", server.address, &[]));
    let error = client.send(client.request(Method::GET, ["x"])).await.unwrap_err();
    assert_eq!((error.class, error.retry_after), (ErrorClass::Throttled, Some(Duration::from_secs(7))));
    assert_eq!(error.message, "The cloud answers 429 Too Many Requests: slow down");
    assert_eq!(server.asked().len(), 1, "repeating is for the layers");
}

#[tokio::test]
async fn a_cloud_knows_its_own_errors_better() {
    let server = Server::answering(|_| json(400, value!({"errortext": "no room", "code": 533}))).await;
    let client = client(&account("", server.address, &[])).reading_faults(|refusal| {
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        let body: serde_json::Value = serde_json::from_slice(refusal.body).unwrap();
        let class = (body["code"] == 533).then_some(ErrorClass::Capacity);
        Fault { class, text: body["errortext"].as_str().map(str::to_owned) }
    });
    let error = client.send(client.request(Method::POST, ["x"])).await.unwrap_err();
    assert_eq!(
        (error.class, error.message.as_str()),
        (ErrorClass::Capacity, "The cloud answers 400 Bad Request: no room")
    );
}

#[tokio::test]
async fn secrets_that_a_cloud_repeats_are_taken_out() {
    let server = Server::answering(|request| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        json(400, value!({"message": format!("user joe with pa55word cannot {query}")}))
    })
    .await;
    let client = client(&account("", server.address, &[("username", "joe"), ("password", "pa55word")]));
    let error = client.send(client.request(Method::GET, ["x"]).query(&[("do", "this")])).await.unwrap_err();
    assert_eq!(error.message, "The cloud answers 400 Bad Request: user joe with *** cannot do=this");
}

#[tokio::test]
async fn replies_that_are_something_else_are_not_repeated_in_the_error() {
    let server = Server::answering(|_| json(200, value!({"token": "s3cr3t"}))).await;
    let client = client(&account("", server.address, &[]));
    let error = client.send(client.request(Method::GET, ["x"])).await.unwrap().json::<Vec<u8>>().unwrap_err();
    assert!(error.class == ErrorClass::Transient && !error.message.contains("s3cr3t"), "{error}");
}
