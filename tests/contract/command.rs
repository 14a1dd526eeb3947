//! The command of reverse tunnels: what a machine may ask with its own token (docs/spec/api.md 2.8). That a tunnel carries a
//! contextualization is a test of the daemon as a whole.

use crate::support::{Answer, STRANGER, Server, TEXT};
use reqwest::{Method, header};
use serde_json::json;

#[tokio::test]
async fn a_machine_gets_a_script_with_a_token_of_its_own() {
    let server = Server::start().await;
    let path = server.create(2).await;
    let command = format!("{path}/vms/1/command");
    let script = server.get(&command).await;
    assert_eq!((script.status.as_u16(), script.header("content-type")), (200, TEXT));
    assert_eq!(server.get(&format!("{command}?step=1")).await.text, script.text);
    assert_eq!(server.get_json(&command).await.json(), json!({"command": script.text}));
    assert!(script.text.contains(&format!("url='{}'\n", server.url(&command))), "{}", script.text);
    assert!(!script.text.contains("username") && !script.text.contains("password"), "{}", script.text);

    // Nobody can log in to a master here.
    for (suffix, status, text) in [
        ("1/command?step=2", 200, "wait"),
        ("99/command?step=2", 200, "wait"),
        ("1/command?step=3", 404, "Incorrect property command for VM ID 1"),
        ("1/command?step=-1", 404, "Incorrect property command for VM ID 1"),
        ("1/command?step=x", 400, "Incorrect value in step parameter"),
        ("1/command?step=", 400, "Incorrect value in step parameter"),
        ("x/command", 404, "Error Getting VM. property: Invalid VM ID"),
    ] {
        let answer = server.get(&format!("{path}/vms/{suffix}")).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, text), "{suffix}");
    }
    assert_eq!(server.get_json(&format!("{command}?step=2")).await.json(), json!({"command": "wait"}));

    let token = script.text.lines().find_map(|line| line.strip_prefix("token='")?.strip_suffix('\'')).unwrap();
    let with = |token: &str, method: Method, path: &str| {
        let line = format!("type = InfrastructureManager; token = {token}\\nid = dummy; type = Dummy");
        Answer::of(server.client.request(method, server.url(path)).header(header::AUTHORIZATION, line).body(""))
    };
    assert_eq!(with(token, Method::GET, &format!("{command}?step=2")).await.text, "wait");
    assert_eq!(with(token, Method::GET, &command).await.text, script.text);
    let other = server.create(2).await;
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::GET, format!("{path}/vms/0/command")),
        (Method::GET, format!("{other}/vms/1/command?step=2")),
        (Method::GET, format!("{path}/vms/1")),
        (Method::GET, format!("{path}/vms/1/state")),
        (Method::GET, format!("{path}/data?delete=yes")),
        (Method::GET, format!("{path}/events")),
        (Method::PUT, format!("{path}/vms/1/stop")),
        (Method::PUT, format!("{path}/reconfigure")),
        (Method::DELETE, format!("{path}/vms/1")),
        (Method::DELETE, path.clone()),
        (Method::POST, path.clone()),
    ] {
        assert_eq!(with(token, method.clone(), &path).await.status, 403, "{method} {path}");
    }
    assert_eq!(with(token, Method::GET, "/infrastructures").await.text, "");
    assert_eq!(with(token, Method::POST, "/infrastructures").await.status, 400);
    let another = token.replacen("/vms/1.", "/vms/0.", 1);
    assert_ne!(another, token);
    assert_eq!(with(&another, Method::GET, &format!("{path}/vms/0/command")).await.status, 401);
    let stranger = server.client.get(server.url(&command)).header(header::AUTHORIZATION, STRANGER);
    assert_eq!(Answer::of(stranger).await.status, 403);

    // It is worth nothing once the machine is gone.
    assert_eq!(server.delete(&format!("{path}/vms/1")).await.status, 200);
    let gone = with(token, Method::GET, &format!("{command}?step=2")).await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str()), (404, "Error Getting VM. property: Deleted VM."));
    assert_eq!(server.delete(&path).await.status, 200);
    assert_eq!(with(token, Method::GET, &command).await.status, 404);
}
