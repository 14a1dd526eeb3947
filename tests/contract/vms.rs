//! Virtual machines and their properties (spec/api.md 2.7 and 5).

use crate::support::{Answer, Server};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn info_and_properties() {
    let server = Server::start().await;
    let path = server.create(2).await;
    let vm = format!("{path}/vms/1");

    let info = server.get(&vm).await;
    assert_eq!((info.status.as_u16(), info.header("content-type")), (200, "text/plain"));
    assert!(info.text.contains("system node") && info.text.contains("state = 'configured'"), "{}", info.text);
    assert!(!info.text.contains("deploy") && !info.text.contains("contextualize"), "{}", info.text);
    let info = server.get_json(&vm).await;
    let system = info.json()["radl"].as_array().unwrap().iter().find(|o| o["class"] == "system").cloned().unwrap();
    assert_eq!((&system["id"], &system["state"]), (&json!("node"), &json!("configured")));

    let cases = [
        ("state", "configured", json!("configured")),
        ("provider.type", "Dummy", json!("Dummy")),
        ("disk.0.os.name", "linux", json!("linux")),
        ("memory.size", "512000000", json!(512_000_000)),
        ("cpu.count", "1", json!(1)),
        ("net_interface.0.ip", "10.0.0.1", json!("10.0.0.1")),
    ];
    for (name, text, value) in cases {
        assert_eq!(server.get(&format!("{vm}/{name}")).await.parts(), (200, "text/plain", text), "{name}");
        let answer = server.get_json(&format!("{vm}/{name}")).await;
        assert_eq!((answer.header("content-type"), answer.json()), ("application/json", json!({ name: value })));
    }
    let applications = json!({"ansible.modules.acme.x": {"name": "ansible.modules.acme.x", "preinstalled": "yes"}});
    let answer = server.get_json(&format!("{vm}/disk.0.applications")).await;
    assert_eq!(answer.json(), json!({"disk.0.applications": applications}));

    // Blanks around the number are allowed, and double slashes inside the path.
    assert_eq!(server.get(&format!("{path}//vms/%201%20/state")).await.text, "configured");

    let log = server.get(&format!("{vm}/contmsg")).await;
    assert_eq!((log.status.as_u16(), log.header("content-type")), (200, "text/plain"));
    assert_eq!(server.get_json(&format!("{vm}/contmsg")).await.json(), json!({"contmsg": log.text}));
}

#[tokio::test]
async fn what_is_not_there() {
    let server = Server::start().await;
    let path = server.create(3).await;
    let cases = [
        ("/vms/3", 404, "Error Getting VM. info: Invalid VM ID"),
        ("/vms/x", 404, "Error Getting VM. info: Invalid VM ID"),
        ("/vms/-1", 404, "Error Getting VM. info: Invalid VM ID"),
        ("/vms/99999999999", 404, "Error Getting VM. info: Invalid VM ID"),
        ("/vms/x/state", 404, "Error Getting VM. property: Invalid VM ID"),
        ("/vms/0/foo", 404, "Incorrect property foo for VM ID 0"),
        ("/foo", 404, "Incorrect infrastructure property"),
    ];
    for (suffix, status, message) in cases {
        let answer = server.get(&format!("{path}{suffix}")).await;
        assert_eq!(answer.parts(), (status, "text/plain; charset=utf-8", message), "{suffix}");
    }

    // One bad number of several: none is touched.
    let answer = server.delete(&format!("{path}/vms/0,1,9")).await;
    assert_eq!(answer.parts(), (404, "text/plain; charset=utf-8", "Error Removing resources: Invalid VM ID"));
    assert_eq!(server.get(&path).await.text.lines().count(), 3);

    assert_eq!(server.delete(&format!("{path}/vms/0,2?context=no")).await.parts(), (200, "text/plain", ""));
    assert_eq!(server.get(&path).await.text, server.url(&format!("{path}/vms/1")));
    let answer = server.get(&format!("{path}/vms/2")).await;
    assert_eq!(answer.parts(), (404, "text/plain; charset=utf-8", "Error Getting VM. info: Deleted VM."));
    let answer = server.delete(&format!("{path}/vms/1,2")).await;
    assert_eq!(answer.parts(), (404, "text/plain; charset=utf-8", "Error Removing resources: Deleted VM."));
    let states = server.get(&format!("{path}/state")).await.json();
    assert_eq!(states["state"]["vm_states"], json!({"1": "configured"}));
}

#[tokio::test]
async fn operations_on_one_machine() {
    let server = Server::start().await;
    let path = server.create(2).await;
    let vm = format!("{path}/vms/0");
    for operation in ["reboot", "stop"] {
        assert_eq!(server.put(&format!("{vm}/{operation}")).await.parts(), (200, "text/plain", ""), "{operation}");
    }
    let state = server.get(&format!("{path}/state")).await.json();
    assert_eq!(state["state"]["vm_states"], json!({"0": "stopped", "1": "configured"}));
    assert_eq!(server.put(&format!("{vm}/start")).await.parts(), (200, "text/plain", ""));
    server.wait_for(&path, "configured").await;
    let unknown = server.put(&format!("{path}/vms/7/stop")).await;
    assert_eq!(unknown.parts(), (404, "text/plain; charset=utf-8", "Error in stop op in VM: Invalid VM ID"));

    let body = "system node ( cpu.count >= 2 and memory.size >= 1g )";
    let altered = Answer::of(server.request(Method::PUT, &vm).body(body)).await;
    assert_eq!((altered.status.as_u16(), altered.header("content-type")), (200, "text/plain"), "{}", altered.text);
    assert!(altered.text.contains("system node"), "{}", altered.text);
    assert_eq!(server.get(&format!("{vm}/memory.size")).await.text, "1000000000");

    let snapshot = server.put(&format!("{vm}/disks/0/snapshot?image_name=copy&auto_delete=yes")).await;
    assert_eq!(snapshot.parts(), (200, "text/plain", "mock0://linux.for.ev.er/copy"));
    for (suffix, message) in [
        ("/disks/0/snapshot", "Parameter image_name required."),
        ("/disks/x/snapshot?image_name=a", "Error creating snapshot: Incorrect disk number: x"),
        ("/disks/0/snapshot?image_name=a&auto_delete=maybe", "Incorrect value in auto_delete parameter"),
    ] {
        let answer = server.put(&format!("{vm}{suffix}")).await;
        assert_eq!(answer.parts(), (400, "text/plain; charset=utf-8", message), "{suffix}");
    }
}
