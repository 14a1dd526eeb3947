//! Owners of infrastructures (docs/spec/api.md 6.4).

use crate::support::{Answer, STRANGER, Server, TEXT, USER};
use reqwest::{Method, header};

#[tokio::test]
async fn owners_are_added_and_replaced() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let change = |authorization: &'static str, query: &str, body: &'static str| {
        let url = server.url(&format!("{path}/authorization{query}"));
        Answer::of(server.client.post(url).header(header::AUTHORIZATION, authorization).body(body))
    };
    let stranger = r#"{"username": "stranger", "password": "pass"}"#;
    let prefix = "Error modifying infrastructure owner";
    let refused = change(STRANGER, "", stranger).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.text, format!("{prefix}s: Access to this infrastructure not granted."));
    for (body, why) in [
        ("{}", "No username nor token for the InfrastructureManager."),
        (r#"{"username": "__OPENID__x"}"#, "Invalid username used for the InfrastructureManager."),
        (r#"{"type": "Dummy"}"#, "No credentials provided for the InfrastructureManager."),
        ("[1]", "expected one JSON object with texts as values (line 1, column 0)"),
    ] {
        let refused = change(USER, "", body).await;
        let text = format!("{prefix}: Invalid new infrastructure data provided: {why}");
        assert_eq!((refused.status.as_u16(), refused.text), (400, text), "{body}");
    }
    let as_text = Answer::of(
        server
            .request(Method::POST, &format!("{path}/authorization"))
            .header(header::CONTENT_TYPE, "text/plain")
            .body(stranger),
    );
    assert_eq!(as_text.await.text, "Unsupported Media Type ['text/plain']");

    // Added once, although asked for twice.
    for _ in 0..2 {
        assert_eq!(change(USER, "", stranger).await.parts(), (200, TEXT, ""));
    }
    assert_eq!(server.get(&format!("{path}/authorization")).await.text, "user\nstranger");
    assert_eq!(change(STRANGER, "?overwrite=yes", stranger).await.status, 200);
    let lost = server.get(&path).await;
    assert_eq!(lost.status, 403, "{}", lost.text);
    let owners = server.client.get(server.url(&format!("{path}/authorization")));
    assert_eq!(Answer::of(owners.header(header::AUTHORIZATION, STRANGER)).await.text, "stranger");
    // The list follows, also after a restart.
    let server = server.restarted("").await;
    assert_eq!(server.get("/infrastructures").await.text, "");
    let list = server.client.get(server.url("/infrastructures")).header(header::AUTHORIZATION, STRANGER);
    assert_eq!(Answer::of(list).await.text, server.url(&path));
}

#[tokio::test]
async fn nobody_changes_owners_in_the_modes_without_changes() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let server = server.restarted("BOOT_MODE = 1").await;
    let body = r#"{"username": "stranger", "password": "pass"}"#;
    let refused = server.post(&format!("{path}/authorization"), body.to_owned()).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.ends_with("Function currently disabled."), "{}", refused.text);
}
