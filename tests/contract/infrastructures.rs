//! Infrastructures and their properties (docs/spec/api.md 2.7).

use crate::support::{Answer, STRANGER, Server, TEXT, URIS, document};
use reqwest::{Method, header};
use serde_json::json;

const UUID: usize = 36;

#[tokio::test]
async fn a_life_in_text_and_in_json() {
    let server = Server::start().await;
    assert_eq!(server.get("/infrastructures").await.parts(), (200, URIS, ""));
    assert_eq!(server.get_json("/infrastructures").await.text, r#"{"uri-list": []}"#);

    let created = server.post("/infrastructures", document(2)).await;
    let id = created.text.rsplit('/').next().unwrap().to_owned();
    assert_eq!(id.len(), UUID);
    assert_eq!(created.parts(), (200, URIS, server.url(&format!("/infrastructures/{id}")).as_str()));
    assert_eq!(created.header("infid"), id);

    let uri = server.url(&format!("/infrastructures/{id}"));
    let path = format!("/infrastructures/{id}");
    server.wait_for(&path, "configured").await;
    let machines = server.get(&path).await;
    assert_eq!(machines.parts(), (200, URIS, format!("{uri}/vms/0\n{uri}/vms/1").as_str()));
    let machines = server.get_json(&path).await;
    let expected = format!(r#"{{"uri-list": [{{"uri": "{uri}/vms/0"}}, {{"uri": "{uri}/vms/1"}}]}}"#);
    assert_eq!(machines.parts(), (200, "application/json", expected.as_str()));

    let state = server.get(&format!("{path}/state")).await;
    let expected = r#"{"state": {"state": "configured", "vm_states": {"0": "configured", "1": "configured"}}}"#;
    assert_eq!(state.parts(), (200, "application/json", expected));

    let radl = server.get(&format!("{path}/radl")).await;
    assert_eq!((radl.status.as_u16(), radl.header("content-type")), (200, TEXT));
    assert!(radl.text.contains("system node") && radl.text.contains("deploy node 2"), "{}", radl.text);
    let as_json = server.get_json(&format!("{path}/radl")).await;
    assert_eq!(as_json.json(), json!({"radl": radl.text}));
    // One line of ASCII, as the reference writes JSON.
    assert!(as_json.text.contains(r"Lab \u00e9") && as_json.text.is_ascii() && !as_json.text.contains('\n'));

    let header = server.get(&format!("{path}/contmsg?headeronly=yes")).await;
    // The first of several parameters of one name counts.
    assert_eq!(server.get(&format!("{path}/contmsg?headeronly=1&headeronly=x")).await.text, header.text);
    let log = server.get(&format!("{path}/contmsg")).await;
    assert_eq!((log.status.as_u16(), log.header("content-type")), (200, TEXT));
    assert!(log.text.starts_with(&header.text) && !header.text.contains("VM 0:"), "{log:?}");
    assert_eq!(server.get_json(&format!("{path}/contmsg")).await.json(), json!({"contmsg": log.text}));

    assert_eq!(server.get(&format!("{path}/authorization")).await.parts(), (200, TEXT, "user"));
    let owners = server.get_json(&format!("{path}/authorization")).await;
    assert_eq!(owners.parts(), (200, "application/json", r#"{"authorization": ["user"]}"#));

    let added = server.post(&format!("{path}?context=0"), document(1)).await;
    assert_eq!(added.parts(), (200, URIS, format!("{uri}/vms/2").as_str()));
    assert_eq!(added.header("infid"), "");
    let added =
        Answer::of(server.request(Method::POST, &path).header(header::ACCEPT, "application/json").body(document(1)));
    let added = added.await;
    assert_eq!(added.json(), json!({"uri-list": [{"uri": format!("{uri}/vms/3")}]}));
    assert_eq!(added.header("infid"), id);

    for operation in ["stop", "start"] {
        assert_eq!(server.put(&format!("{path}/{operation}")).await.parts(), (200, TEXT, ""), "{operation}");
    }
    let again = server.put(&format!("{path}/reconfigure?vm_list=0,7")).await;
    assert_eq!(again.parts(), (200, TEXT, ""));
    assert_eq!(again.header("infid"), id);
    server.wait_for(&path, "configured").await;

    assert_eq!(server.delete(&format!("{path}?force=no")).await.parts(), (200, TEXT, ""));
    let gone = server.get(&path).await;
    let message = "Error Getting Inf. info: Invalid infrastructure ID or access not granted.";
    assert_eq!(gone.parts(), (404, TEXT, message));
    assert_eq!(server.get("/infrastructures").await.text, "");
}

#[tokio::test]
async fn create_takes_radl_and_its_json_form() {
    let server = Server::start().await;
    let asynchronous = server.post("/infrastructures?async=yes", document(1)).await;
    assert_eq!(asynchronous.status, 200, "{}", asynchronous.text);
    let body = json!([
        {"class": "network", "id": "pub", "outbound": "yes"},
        {"class": "system", "id": "node", "cpu.count_min": 1, "memory.size_min": 512_000_000,
         "net_interface.0.connection": "pub", "disk.0.os.name": "linux",
         "disk.0.image.url": "mock0://linux.for.ev.er/image1"},
        {"class": "contextualize"},
        {"class": "deploy", "system": "node", "vm_number": 1},
    ]);
    let request = server.request(Method::POST, "/infrastructures").header(header::ACCEPT, "application/json");
    let created = Answer::of(request.json(&body)).await;
    assert_eq!((created.status.as_u16(), created.header("content-type")), (200, "application/json"), "{created:?}");
    let uri = created.json()["uri"].as_str().unwrap().to_owned();
    assert_eq!(created.text, format!(r#"{{"uri": "{uri}"}}"#));

    let listed = server.get("/infrastructures").await.text;
    assert_eq!(listed.lines().count(), 2);
    assert!(listed.lines().any(|line| line == uri), "{listed}");

    // A document without machines is accepted; the infrastructure is then a failed one.
    let empty = server.post("/infrastructures", String::new()).await;
    assert_eq!(empty.status, 200, "{}", empty.text);
    let path = empty.text.replace(&server.url(""), "");
    let state = server.get(&format!("{path}/state")).await;
    assert_eq!(state.text, r#"{"state": {"state": "failed", "vm_states": {}}}"#);
    let log = server.get(&format!("{path}/contmsg")).await.text;
    assert!(log.ends_with(": Infrastructure without any deploy. Exiting.\n"), "{log}");
    assert_eq!(server.get(&path).await.parts(), (200, URIS, ""));
    assert_eq!(server.delete(&path).await.status, 200);
}

#[tokio::test]
async fn a_filter_searches_the_document() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let other = server.post("/infrastructures", document(1).replace("Lab é", "other")).await.text;
    // The filter that the command line client makes of a name, and other searches.
    let by_name = r".*description\s*.*\s*(\s*name\s*=\s*'other'.*).*";
    for (filter, found) in [(by_name, 1), ("deploy node", 2), ("no such text", 0), ("", 2)] {
        let query: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let answer = server.get(&format!("/infrastructures?filter={query}")).await;
        assert_eq!((answer.status.as_u16(), answer.text.lines().count()), (200, found), "{filter}: {}", answer.text);
        if filter == by_name {
            assert_eq!(answer.text, other);
        }
    }
    let bad = server.get("/infrastructures?filter=(").await;
    assert_eq!(bad.status, 400);
    assert!(bad.text.starts_with("Error Getting Inf. List: "), "{}", bad.text);
    assert_eq!(server.delete(&path).await.status, 200);
}

#[tokio::test]
async fn what_belongs_to_somebody_else() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let stranger = |method: Method, path: &str| {
        Answer::of(server.client.request(method, server.url(path)).header(header::AUTHORIZATION, STRANGER))
    };
    assert_eq!(stranger(Method::GET, "/infrastructures").await.parts(), (200, URIS, ""));
    let cases = [
        (Method::GET, "", "Error Getting Inf. info: "),
        (Method::GET, "/state", "Error Getting Inf. prop: "),
        (Method::GET, "/contmsg", "Error Getting Inf. prop: "),
        (Method::GET, "/radl", "Error Getting Inf. prop: "),
        (Method::GET, "/authorization", "Error Getting Inf. prop: "),
        (Method::GET, "/data", "Error Getting Inf. prop: "),
        (Method::GET, "/data?delete=yes", "Error Getting Inf. prop: "),
        (Method::GET, "/tosca", "Error Getting Inf. prop: "),
        (Method::GET, "/outputs", "Error Getting Inf. prop: "),
        (Method::GET, "/events", "Error Getting Inf. events: "),
        (Method::POST, "", "Error Adding resources: "),
        (Method::PUT, "/start", "Error in start operation: "),
        (Method::PUT, "/stop", "Error in stop operation: "),
        (Method::PUT, "/reconfigure", "Error reconfiguring infrastructure: "),
        (Method::GET, "/vms/0", "Error Getting VM. info: "),
        (Method::GET, "/vms/0/contmsg", "Error Getting VM. property: "),
        (Method::GET, "/vms/0/state", "Error Getting VM. property: "),
        (Method::GET, "/vms/0/command", "Error Getting VM. property: "),
        (Method::GET, "/vms/0/command?step=2", "Error Getting VM. property: "),
        (Method::PUT, "/vms/0", "Error modifying resources: "),
        (Method::PUT, "/vms/0/start", "Error in start op in VM: "),
        (Method::PUT, "/vms/0/stop", "Error in stop op in VM: "),
        (Method::PUT, "/vms/0/reboot", "Error in reboot op in VM: "),
        (Method::PUT, "/vms/0/disks/0/snapshot?image_name=a", "Error creating snapshot: "),
        (Method::DELETE, "/vms/0", "Error Removing resources: "),
        (Method::DELETE, "", "Error Destroying Inf: "),
    ];
    for (method, suffix, prefix) in cases {
        let answer = stranger(method.clone(), &format!("{path}{suffix}")).await;
        let message = format!("{prefix}Access to this infrastructure not granted.");
        assert_eq!(answer.parts(), (403, TEXT, message.as_str()), "{method} {suffix}");
        let unknown = stranger(method.clone(), &format!("/infrastructures/nothing{suffix}")).await;
        let message = format!("{prefix}Invalid infrastructure ID or access not granted.");
        assert_eq!(unknown.parts(), (404, TEXT, message.as_str()), "{method} {suffix}");
    }
    server.wait_for(&path, "configured").await;
}

/// Cases: D-16.
#[tokio::test]
async fn machines_added_without_context_wait_for_a_reconfigure() {
    let server = Server::start().await;
    // With something to do, so that a machine that waits differs from one that has nothing to wait for.
    let wanted =
        |number| document(number).replace("contextualize ()", "configure node (\n@begin\n- tasks: []\n@end\n)");
    let created = server.post("/infrastructures", wanted(1)).await;
    let path = format!("/infrastructures/{}", created.text.rsplit('/').next().unwrap());
    server.wait_for(&path, "configured").await;
    let added = server.post(&format!("{path}?context=0"), wanted(1)).await;
    assert_eq!(added.status, 200, "{}", added.text);
    let states = || async { server.get_json(&format!("{path}/state")).await.json()["state"]["vm_states"].clone() };
    for _ in 0..10 {
        assert_eq!(states().await, json!({"0": "configured", "1": "running"}));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(server.put(&format!("{path}/reconfigure")).await.status, 200);
    server.wait_for(&path, "configured").await;
    assert_eq!(states().await, json!({"0": "configured", "1": "configured"}));
}

/// Documents come in the character set that their type names, in both forms of the language.
#[tokio::test]
async fn documents_in_other_character_sets() {
    let server = Server::start().await;
    let text = "description lab ( name = 'Señal é' )\nsystem a ()";
    let json = r#"[{"class": "description", "id": "lab", "name": "Señal é"}, {"class": "system", "id": "a"}]"#;
    let latin1 = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    for (kind, body) in [
        ("text/plain; charset=ISO-8859-1", latin1(text)),
        ("text/plain;charset=\"windows-1252\"", latin1(text)),
        ("text/plain; charset=utf8", text.into()),
        ("text/plain; charset=utf-16", utf16(text)),
        ("text/plain", utf16(&format!("\u{feff}{text}"))),
        ("text/plain", format!("\u{feff}{text}").into()),
        ("application/json; charset=iso-8859-15", latin1(json)),
        ("application/json", utf16(json)),
    ] {
        let request = server.request(Method::POST, "/infrastructures").header(header::CONTENT_TYPE, kind).body(body);
        let made = Answer::of(request).await;
        assert_eq!(made.status, 200, "{kind}: {}", made.text);
        let radl = server.get(&format!("{}/radl", made.text.replace(&server.url(""), ""))).await.text;
        assert!(radl.contains("'Señal é'"), "{kind}: {radl}");
    }
}
