//! Which account of a cloud is asked about a machine, and who may do what to it: in both APIs.

use crate::{
    support::{Answer, Server, TEXT, USER, document},
    xmlrpc::{array, auth, item, string},
};
use dxr::Value;
use reqwest::{Method, header};
use serde_json::{Value as Json, json};

const LOGIN: &str = "type = InfrastructureManager; username = user; password = pass";

/// A request of the user with these lines of clouds.
async fn ask(server: &Server, lines: &str, method: Method, path: &str, body: &str) -> Answer {
    let authorization = format!("{LOGIN}{lines}");
    let request = server.client.request(method, server.url(path)).header(header::AUTHORIZATION, authorization);
    Answer::of(request.body(body.to_owned())).await
}

/// Which states the infrastructure and its machines have.
async fn states(server: &Server, path: &str) -> String {
    ask(server, "", Method::GET, &format!("{path}/state"), "").await.text
}

#[tokio::test]
async fn the_account_that_made_a_machine_is_the_one_that_is_asked() {
    let server = Server::start().await;
    let (mine, other) = ("\\nid = d; type = Dummy; username = a", "\\nid = d; type = Dummy; username = b");
    let created = ask(&server, mine, Method::POST, "/infrastructures", &document(2)).await;
    let path = created.text.strip_prefix(&server.url("")).expect("a URI").to_owned();
    server.wait_for(&path, "configured").await;
    let before = states(&server, &path).await;

    let missing = "No compatible auth data has been specified to Dummy: the account 'a@' of the cloud d is missing.";
    let none = "No auth data has been specified to Dummy.";
    for (lines, why) in [(other, missing), ("", none)] {
        for (method, rest, body) in [
            (Method::DELETE, "", ""),
            (Method::DELETE, "?force=yes", ""),
            (Method::DELETE, "?async=yes", ""),
            (Method::DELETE, "/vms/1", ""),
            (Method::PUT, "/vms/0/stop", ""),
            (Method::PUT, "/stop", ""),
            (Method::PUT, "/vms/0/reboot", ""),
            (Method::PUT, "/vms/0", "system node ( cpu.count = 2 )"),
            (Method::PUT, "/vms/0/disks/0/snapshot?image_name=x&auto_delete=yes", ""),
        ] {
            let answer = ask(&server, lines, method.clone(), &format!("{path}{rest}"), body).await;
            assert!(answer.status == 400 && answer.text.contains(why), "{method} {rest}: {answer:?}");
        }
        // Looking is free, and what another account does not know is not gone.
        for _ in 0..3 {
            assert_eq!(ask(&server, lines, Method::GET, &format!("{path}/vms/0/state"), "").await.text, "configured");
            tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        }
    }
    assert_eq!(states(&server, &path).await, before);
    let inf = string(path.rsplit('/').next().unwrap());
    let fault = server.refused("DestroyInfrastructure", &[inf.clone(), auth(), Value::Boolean(true)]).await;
    assert!(fault.contains(missing), "{fault}");

    // Another account of the same label works beside it, each for its own; one line of each is needed to end both.
    let added = ask(&server, other, Method::POST, &path, &document(1)).await;
    assert_eq!(added.status, 200, "{}", added.text);
    server.wait_for(&path, "configured").await;
    let both = format!("{mine}\\nid = e; type = Dummy; username = b");
    assert!(ask(&server, mine, Method::DELETE, &path, "").await.text.contains("the account 'b@'"));
    assert_eq!(ask(&server, &both, Method::DELETE, &path, "").await.parts(), (200, TEXT, ""));
    assert_eq!(quota(&server, "a").await + quota(&server, "b").await, 0.0, "nothing is left in either");
}

/// Machines that an account has.
async fn quota(server: &Server, account: &str) -> f64 {
    let lines = format!("\\nid = d; type = Dummy; username = {account}; quota = 9");
    let request = server.client.get(server.url("/clouds/d/quotas")).header(header::ACCEPT, "application/json");
    let answer = Answer::of(request.header(header::AUTHORIZATION, format!("{LOGIN}{lines}"))).await;
    answer.json()["quotas"]["instances"]["used"].as_f64().unwrap()
}

#[tokio::test]
async fn a_recipe_cannot_forget_the_machines_that_it_runs_on() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let token = server.token(path.rsplit('/').next().unwrap());
    let lines = ["", "\\nid = dummy; type = Dummy; failure_rate = auth:1"];
    // Whoever somebody is besides, it is the token that opens the door.
    let stranger = "\\nid = x; type = InfrastructureManager; username = made; password = up\\nid = dummy; type = Dummy; failure_rate = auth:1";
    for (rest, lines) in [
        ("?force=yes", lines[0]),
        ("?force=yes", lines[1]),
        ("?force=yes", stranger),
        ("", lines[0]),
        ("?async=1", lines[0]),
    ] {
        let authorization = format!("type = InfrastructureManager; token = {token}{lines}");
        let request = server.client.delete(server.url(&format!("{path}{rest}")));
        let answer = Answer::of(request.header(header::AUTHORIZATION, authorization)).await;
        assert!(matches!(answer.status.as_u16(), 400 | 403), "{rest}: {answer:?}");
    }
    let as_token = |path: String| server.client.get(server.url(&path)).bearer_auth(&token);
    assert_eq!(Answer::of(as_token(format!("{path}/state"))).await.status, 200);
    let given = Answer::of(as_token(format!("{path}/data?delete=yes"))).await;
    assert_eq!(given.status, 403, "{}", given.text);
    let inf = string(path.rsplit('/').next().unwrap());
    let credentials = array([item(&[("type", "InfrastructureManager"), ("token", &token)])]);
    let arguments = [inf, Value::Boolean(true), credentials];
    assert!(server.refused("ExportInfrastructure", &arguments).await.contains("not granted"));
    assert_eq!(server.delete(&path).await.status, 200);
}

#[tokio::test]
async fn what_force_leaves_behind_is_told() {
    let server = Server::start().await;
    let denied = "; failure_rate = denied:1";
    let path = server.create(1).await;
    let id = exported(&server, &path).await["vm_list"][0]["id"].as_str().unwrap().to_owned();
    let refused = Answer::of(server.request_on(Method::DELETE, &path, denied)).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let forced = Answer::of(server.request_on(Method::DELETE, &format!("{path}?force=yes"), denied)).await;
    assert_eq!(forced.parts(), (200, TEXT, ""));
    let told = forced.header("x-im-warning");
    assert!(told.contains(&id) && told.contains("cloud dummy"), "{told}");
    assert_eq!(server.get(&path).await.status, 404);

    let path = server.create(1).await;
    let inf = string(path.rsplit('/').next().unwrap());
    let dummy = [("id", "dummy"), ("type", "Dummy"), ("failure_rate", "denied:1")];
    let user = [("type", "InfrastructureManager"), ("username", "user"), ("password", "pass")];
    let credentials = array([item(&user), item(&dummy)]);
    let left = server.call_text("DestroyInfrastructure", &[inf, credentials, Value::Boolean(true)]).await;
    assert!(left.starts_with("VM 0, the machine "), "{left}");
}

async fn exported(server: &Server, path: &str) -> Json {
    serde_json::from_str(server.get(&format!("{path}/data")).await.json()["data"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn an_id_alone_gives_no_right_to_a_machine() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let mut record = exported(&server, &path).await;
    let mut import = async |id: &str, lines: &str| {
        record["id"] = format!("79afabdc-e62e-11f1-beb6-02fc0000000{id}").into();
        record["vm_list"][0]["cloud"] = json!({"id": "dummy", "type": "Dummy"});
        let answer = ask(&server, lines, Method::PUT, "/infrastructures", &record.to_string()).await;
        (answer.status.as_u16(), answer.text)
    };
    let dummy = USER.strip_prefix(LOGIN).unwrap();
    let (status, text) = import("1", dummy).await;
    assert!(status == 400 && text.contains("belongs to another infrastructure"), "{text}");

    // Who shows no account is not asked for one, and gets no further.
    assert_eq!(import("2", "").await.0, 200);
    let stolen = "/infrastructures/79afabdc-e62e-11f1-beb6-02fc00000002";
    for (method, rest) in [
        (Method::DELETE, ""),
        (Method::DELETE, "/vms/0"),
        (Method::PUT, "/vms/0/stop"),
        (Method::PUT, "/vms/0/disks/0/snapshot?image_name=x&auto_delete=yes"),
    ] {
        let answer = ask(&server, dummy, method.clone(), &format!("{stolen}{rest}"), "").await;
        assert_eq!(answer.status, 400, "{method} {rest}: {answer:?}");
    }
    let port = exported(&server, stolen).await["vm_list"][0]["cloud"]["port"].clone();
    assert_eq!(port, -1, "that of the type");
    let forced = ask(&server, dummy, Method::DELETE, &format!("{stolen}?force=yes"), "").await;
    assert_eq!(forced.parts(), (200, TEXT, ""));
    assert!(forced.header("x-im-warning").contains("belongs to another infrastructure"), "{forced:?}");
    server.wait_for(&path, "configured").await;
    assert_eq!(server.delete(&path).await.status, 200);
}

/// Work that was accepted goes on with the accounts that it came with, whoever asks for something else meanwhile.
#[tokio::test]
async fn accepted_work_keeps_its_accounts() {
    let option = r#"ADMIN_USER = {"username": "root", "password": "r"}"#;
    let server = Server::configured(Default::default(), option).await;
    let slow = "\\nid = d; type = Dummy; latency_ms = 300";
    let created = ask(&server, slow, Method::POST, "/infrastructures?async=yes", &document(3)).await;
    let path = created.text.strip_prefix(&server.url("")).expect("a URI").to_owned();
    let root = "type = InfrastructureManager; username = root; password = r\\nid = d; type = Dummy; username = root";
    for _ in 0..3 {
        let request = server.client.put(server.url(&format!("{path}/reconfigure"))).header(header::AUTHORIZATION, root);
        assert_eq!(Answer::of(request).await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    server.wait_for(&path, "configured").await;
    assert_eq!((quota(&server, "").await, quota(&server, "root").await), (3.0, 0.0));
    assert_eq!(ask(&server, slow, Method::DELETE, &path, "").await.status, 200);
}
