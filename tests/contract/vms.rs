//! Virtual machines and their properties (docs/spec/api.md 2.7 and 5).

use crate::support::{Answer, Server, TEXT};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn info_and_properties() {
    let server = Server::start().await;
    let path = server.create(2).await;
    let vm = format!("{path}/vms/1");

    let info = server.get(&vm).await;
    assert_eq!((info.status.as_u16(), info.header("content-type")), (200, TEXT));
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
        assert_eq!(server.get(&format!("{vm}/{name}")).await.parts(), (200, TEXT, text), "{name}");
        let answer = server.get_json(&format!("{vm}/{name}")).await;
        assert_eq!((answer.header("content-type"), answer.json()), ("application/json", json!({ name: value })));
    }
    let applications = json!({"ansible.modules.acme.x": {"name": "ansible.modules.acme.x", "preinstalled": "yes"}});
    let answer = server.get_json(&format!("{vm}/disk.0.applications")).await;
    assert_eq!(answer.json(), json!({"disk.0.applications": applications}));

    // Blanks around the number are allowed, and double slashes inside the path.
    assert_eq!(server.get(&format!("{path}//vms/%201%20/state")).await.text, "configured");

    let log = server.get(&format!("{vm}/contmsg")).await;
    assert_eq!((log.status.as_u16(), log.header("content-type")), (200, TEXT));
    assert_eq!(server.get_json(&format!("{vm}/contmsg")).await.json(), json!({"contmsg": log.text}));
}

/// Names get the number of their machine, that of the first interface is made up where none is asked for; `contmsg` and
/// `radl` name what was stored, without the sections that the daemon needs for itself.
#[tokio::test]
async fn names_and_sections() {
    let server = Server::start().await;
    let text = "network pub ( outbound = 'yes' )\nnetwork inner ()
system front ( net_interface.0.connection = 'pub' and net_interface.1.connection = 'inner' and
  disk.0.image.url = 'mock0://linux.for.ev.er/image1' )
system wn ( net_interface.0.connection = 'inner' and net_interface.0.dns_name = 'wn-#N#' and
  disk.0.image.url = 'mock0://linux.for.ev.er/image1' )
contextualize ()\ndeploy front 1\ndeploy wn 2\n";
    let made = server.post("/infrastructures", text.to_owned()).await;
    let path = made.text.replace(&server.url(""), "");
    server.wait_for(&path, "configured").await;
    for (number, name) in [(0, "vnode-0"), (1, "wn-1"), (2, "wn-2")] {
        assert_eq!(server.get(&format!("{path}/vms/{number}/net_interface.0.dns_name")).await.text, name);
    }
    let more = "network inner\nsystem wn\ndeploy wn 1\n";
    assert_eq!(server.post(&path, more.to_owned()).await.text, server.url(&format!("{path}/vms/3")));
    assert_eq!(server.get(&format!("{path}/vms/3/net_interface.0.dns_name")).await.text, "wn-3");
    // The deploys are those of the last addition.
    let radl = server.get(&format!("{path}/radl")).await.text;
    assert!(radl.contains("deploy wn 1") && !radl.contains("deploy front") && !radl.contains("FAKE"), "{radl}");
    server.wait_for(&path, "configured").await;
    let log = server.get(&format!("{path}/contmsg")).await.text;
    assert!(log.ends_with("Contextualization disabled by the RADL/TOSCA template.\n\n"), "{log}");
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
        assert_eq!(answer.parts(), (status, TEXT, message), "{suffix}");
    }

    for (method, suffix, prefix) in [
        (Method::PUT, "", "Error modifying resources: "),
        (Method::PUT, "/start", "Error in start op in VM: "),
        (Method::PUT, "/reboot", "Error in reboot op in VM: "),
        (Method::PUT, "/disks/0/snapshot?image_name=a", "Error creating snapshot: "),
        (Method::GET, "/contmsg", "Error Getting VM. property: "),
        (Method::GET, "/error", "Error Getting VM. property: "),
        (Method::DELETE, "", "Error Removing resources: "),
    ] {
        let body = "system node ( memory.size = 1g )";
        let answer = Answer::of(server.request(method.clone(), &format!("{path}/vms/7{suffix}")).body(body)).await;
        let message = format!("{prefix}Invalid VM ID");
        assert_eq!(answer.parts(), (404, TEXT, message.as_str()), "{method} {suffix}");
    }

    // One bad number of several: none is touched.
    let answer = server.delete(&format!("{path}/vms/0,1,9")).await;
    assert_eq!(answer.parts(), (404, TEXT, "Error Removing resources: Invalid VM ID"));
    assert_eq!(server.get(&path).await.text.lines().count(), 3);

    assert_eq!(server.delete(&format!("{path}/vms/0,2?context=no")).await.parts(), (200, TEXT, ""));
    assert_eq!(server.get(&path).await.text, server.url(&format!("{path}/vms/1")));
    let answer = server.get(&format!("{path}/vms/2")).await;
    assert_eq!(answer.parts(), (404, TEXT, "Error Getting VM. info: Deleted VM."));
    let answer = server.delete(&format!("{path}/vms/1,2")).await;
    assert_eq!(answer.parts(), (404, TEXT, "Error Removing resources: Deleted VM."));
    let states = server.get(&format!("{path}/state")).await.json();
    assert_eq!(states["state"]["vm_states"], json!({"1": "configured"}));
}

#[tokio::test]
async fn operations_on_one_machine() {
    let server = Server::start().await;
    let path = server.create(2).await;
    let vm = format!("{path}/vms/0");
    for operation in ["reboot", "stop"] {
        assert_eq!(server.put(&format!("{vm}/{operation}")).await.parts(), (200, TEXT, ""), "{operation}");
    }
    let state = server.get(&format!("{path}/state")).await.json();
    assert_eq!(state["state"]["vm_states"], json!({"0": "stopped", "1": "configured"}));
    assert_eq!(server.put(&format!("{vm}/start")).await.parts(), (200, TEXT, ""));
    server.wait_for(&path, "configured").await;
    let unknown = server.put(&format!("{path}/vms/7/stop")).await;
    assert_eq!(unknown.parts(), (404, TEXT, "Error in stop op in VM: Invalid VM ID"));

    let body = "system node ( cpu.count >= 2 and memory.size >= 1g )";
    let altered = Answer::of(server.request(Method::PUT, &vm).body(body)).await;
    assert_eq!((altered.status.as_u16(), altered.header("content-type")), (200, TEXT), "{}", altered.text);
    assert!(altered.text.contains("system node"), "{}", altered.text);
    assert_eq!(server.get(&format!("{vm}/memory.size")).await.text, "1000000000");
    let as_json = server.request(Method::PUT, &vm).header("accept", "application/json");
    let altered =
        Answer::of(as_json.json(&json!([{"class": "system", "id": "node", "memory.size": 2_000_000_000}]))).await;
    let classes: Vec<_> = altered.json()["radl"].as_array().unwrap().iter().map(|o| o["class"].clone()).collect();
    assert!(["system", "network", "deploy"].iter().all(|class| classes.contains(&json!(class))), "{}", altered.text);
    assert_eq!(server.get(&format!("{vm}/memory.size")).await.text, "2000000000");
    // All that is asked for, or a refusal.
    for disk in ["disk.1.size = 1g and disk.1.fstype = 'ext4' and disk.1.mount_path = '/data'", "disk.2.size = 2g"] {
        let altered = Answer::of(server.request(Method::PUT, &vm).body(format!("system node ( {disk} )"))).await;
        assert_eq!(altered.status, 200, "{}", altered.text);
    }
    for (property, value) in [("disk.1.mount_path", "/data"), ("disk.2.size", "2000000000")] {
        assert_eq!(server.get(&format!("{vm}/{property}")).await.text, value);
    }
    for (features, said) in [
        ("disk.4.size = 1g", "disk.4: the next data disk of the machine is disk.3"),
        ("disk.1.size = 2g", "disk.1.size: the disk is there and has 1000000000 bytes, which cannot be changed"),
        ("net_interface.1.connection = 'pub'", "net_interface.1.connection cannot be changed"),
    ] {
        let refused = Answer::of(server.request(Method::PUT, &vm).body(format!("system node ( {features} )"))).await;
        let prefix = "Error modifying resources: Error modifying the information about the VM 0: ";
        assert!(refused.status == 400 && refused.text.starts_with(&format!("{prefix}{said}")), "{}", refused.text);
    }
    let other = Answer::of(server.request(Method::PUT, &vm).body("system other ( memory.size = 1g )")).await;
    let message = "Error modifying resources: Incorrect RADL no system with name node provided.";
    assert_eq!(other.parts(), (400, TEXT, message));

    let snapshot = server.put(&format!("{vm}/disks/0/snapshot?image_name=copy&auto_delete=yes")).await;
    assert_eq!(snapshot.parts(), (200, TEXT, "mock0://linux.for.ev.er/copy"));
    for (suffix, message) in [
        ("/disks/0/snapshot", "Parameter image_name required."),
        ("/disks/x/snapshot?image_name=a", "Error creating snapshot: Incorrect disk number: x"),
        ("/disks/0/snapshot?image_name=a&auto_delete=maybe", "Incorrect value in auto_delete parameter"),
    ] {
        let answer = server.put(&format!("{vm}{suffix}")).await;
        assert_eq!(answer.parts(), (400, TEXT, message), "{suffix}");
    }
}

#[tokio::test]
async fn changes_of_one_machine_follow_each_other() {
    let server = Server::start().await;
    let vm = format!("{}/vms/0", server.create(1).await);
    let alter = |body: &'static str| {
        Answer::of(server.request_on(Method::PUT, &vm, "; latency_ms = 200").header("Accept", TEXT).body(body))
    };
    let answers = futures::future::join_all([
        alter("system node ( memory.size = 1g )"),
        alter("system node ( cpu.count = 3 )"),
        alter("system node ( disk.1.size = 1g )"),
        alter("system node ( disk.1.size = 1g and disk.2.size = 2g )"),
    ]);
    for answer in answers.await {
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    }
    for (name, value) in [("memory.size", "1000000000"), ("cpu.count", "3"), ("disk.1.size", "1000000000")] {
        assert_eq!(server.get(&format!("{vm}/{name}")).await.text, value, "{name}");
    }
}
