//! Holes of the reference (docs/spec/api.md 9): each is tried in both APIs, and refused.

use crate::{
    support::{Answer, STRANGER, Server, URIS, USER},
    xmlrpc::{array, auth, item, string},
};
use reqwest::{Method, header};
use serde_json::Value;
use std::{fs, time::Duration};
use tokio::net::TcpListener;

/// Findings: D-02, D-02b, D-05.
#[tokio::test]
async fn names_and_passwords_are_no_patterns_and_no_statements() {
    let server = Server::start().await;
    let path = server.create(1).await;
    for (username, password) in
        [("%", "%"), ("user", "%"), ("us_r", "pass"), ("user", "x"), ("user", ""), ("' OR '1'='1", "x")]
    {
        let json = serde_json::json!([{"type": "InfrastructureManager", "username": username, "password": password}]);
        let ask = async |path: &str| {
            let request = server.client.get(server.url(path)).header(header::AUTHORIZATION, json.to_string());
            Answer::of(request).await
        };
        assert_eq!(ask("/infrastructures").await.parts(), (200, URIS, ""), "{username}");
        assert_eq!(ask("/stats").await.text, r#"{"stats": []}"#, "{username}");
        assert_eq!(ask(&path).await.status, 403, "{username}");
        let auth = array([item(&[("type", "InfrastructureManager"), ("username", username), ("password", password)])]);
        assert_eq!(server.call("GetInfrastructureList", std::slice::from_ref(&auth)).await, array([]));
        assert_eq!(server.call("GetStats", &[string(""), string(""), auth]).await, array([]));
    }
}

/// Findings: D-01, D-01b.
#[tokio::test]
async fn no_request_names_a_file_of_the_host() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    fs::write(&file, "canary-of-a-file").unwrap();
    let place = file.display().to_string();
    let named = format!("file({place})");
    let header = format!("type = InfrastructureManager; username = {named}; password = {named}");
    let create = server.client.post(server.url("/infrastructures")).header(header::AUTHORIZATION, &header);
    let made = Answer::of(create.body("")).await;
    let path = made.text.replace(&server.url(""), "");
    let owners = server.client.get(server.url(&format!("{path}/authorization"))).header(header::AUTHORIZATION, &header);
    assert_eq!(Answer::of(owners).await.text, named);

    let infrastructure = server.create(1).await;
    for (method, path) in [
        (Method::POST, "/infrastructures".to_owned()),
        (Method::POST, "/infrastructures?dry_run=yes".to_owned()),
        (Method::POST, infrastructure.clone()),
        (Method::PUT, format!("{infrastructure}/vms/0")),
        (Method::PUT, format!("{infrastructure}/reconfigure")),
        (Method::PUT, "/infrastructures".to_owned()),
    ] {
        for kind in ["text/plain", "application/json", "text/yaml"] {
            let request = server.request(method.clone(), &path).header(header::CONTENT_TYPE, kind);
            let answer = Answer::of(request.body(place.clone())).await;
            assert!([400, 415].contains(&answer.status.as_u16()), "{method} {path} {kind}: {}", answer.text);
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
    }
    let id = string(&infrastructure[17..]);
    for (method, arguments) in [
        ("CreateInfrastructure", vec![string(&place), auth()]),
        ("EstimateResources", vec![string(&place), auth()]),
        ("AddResource", vec![id.clone(), string(&place), auth()]),
        ("AlterVM", vec![id.clone(), string("0"), string(&place), auth()]),
        ("Reconfigure", vec![id.clone(), string(&place), auth()]),
        ("ImportInfrastructure", vec![string(&place), auth()]),
    ] {
        let message = server.refused(method, &arguments).await;
        assert!(!message.contains("canary"), "{method}: {message}");
    }
}

/// Findings: D-03, D-03b.
#[tokio::test]
async fn nothing_is_fetched_for_anybody() {
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let tosca = format!(
        "tosca_definitions_version: tosca_simple_yaml_1_0\nimports:\n- one: http://{place}/a.yaml\n- http://{place}/b.yaml\n"
    );
    let vault = format!("type = Vault; host = http://{place}; token = x\\n{USER}");
    let module = format!("type = os.path; host = http://{place}\\n{USER}");
    for authorization in ["xxx", "type = InfrastructureManager", USER, &vault, &module] {
        for path in ["/infrastructures", "/infrastructures?dry_run=yes"] {
            let request = server.client.post(server.url(path)).header(header::AUTHORIZATION, authorization);
            let answer = Answer::of(request.header(header::CONTENT_TYPE, "text/yaml").body(tosca.clone())).await;
            assert!([400, 401].contains(&answer.status.as_u16()), "{}", answer.text);
            assert_eq!(answer.status == 401, !authorization.contains("username"), "{authorization}: {}", answer.text);
        }
    }
    assert!(tokio::time::timeout(Duration::from_millis(300), listener.accept()).await.is_err(), "somebody called");
}

/// Findings: D-04.
#[tokio::test]
async fn nobody_imports_over_anothers_infrastructure() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let data = server.get(&format!("{path}/data")).await.json()["data"].as_str().unwrap().to_owned();
    let mut other: Value = serde_json::from_str(&data).unwrap();
    other["radl"] = "".into();
    let message = "Trying to add an existing infrastructure ID.";
    // Not while it is in memory, and not when only the database knows it, deleted or not.
    let mut server = server;
    for round in 0..3 {
        if round == 2 {
            assert_eq!(server.delete(&path).await.status, 200);
        }
        if round > 0 {
            server = server.restarted("").await;
        }
        let import = server.client.put(server.url("/infrastructures")).header(header::AUTHORIZATION, STRANGER);
        let refused = Answer::of(import.body(other.to_string())).await;
        let expected = format!("Error Impporting Inf.: {message}");
        assert_eq!((refused.status.as_u16(), refused.text), (400, expected), "round {round}");
        let stranger =
            array([item(&[("type", "InfrastructureManager"), ("username", "stranger"), ("password", "pass")])]);
        assert_eq!(server.refused("ImportInfrastructure", &[string(&other.to_string()), stranger]).await, message);
        if round < 2 {
            assert!(server.get(&format!("{path}/radl")).await.text.contains("system node"));
        }
    }
}

/// Findings: D-12.
#[tokio::test]
async fn a_forged_host_concerns_its_sender_alone() {
    let server = Server::start().await;
    let forged = server.client.get(server.url("/infrastructures")).header("x-forwarded-host", "evil.example");
    assert_eq!(Answer::of(forged).await.status, 401);
    let path = server.create(1).await;
    let script = server.get(&format!("{path}/vms/0/command")).await.text;
    assert!(!script.contains("evil.example") && script.contains(&server.url(&path)), "{script}");
}
