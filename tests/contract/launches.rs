//! Launches that fail or last, and the modes of the daemon (docs/spec/api.md 4.4, 4.6, 4.8).

use crate::{
    support::{Answer, STRANGER, Server, TEXT, document},
    xmlrpc::{array, auth, item, string, user},
};
use dxr::Value;
use imd::api::rest::RestSettings;
use reqwest::{Method, header};
use serde_json::json;
use std::time::Duration;

/// Cases: L-07, M-27.
#[tokio::test]
async fn machines_that_cannot_be_launched() {
    let server = Server::configured(RestSettings::default(), "MAX_VM_FAILS = 2").await;
    let post = |path: &str, number: u32, cloud: &str| {
        Answer::of(server.request_on(Method::POST, path, cloud).body(document(number)))
    };

    // All of a synchronous create: an error with the reasons, and nothing is left.
    let failed = post("/infrastructures", 2, "; fail_numbers = 0,1").await;
    assert_eq!(failed.status, 400);
    assert!(failed.text.starts_with("Error Creating Inf.: Error adding VMs: "), "{}", failed.text);
    let reason = "Error launching the VMs of type node to cloud ID dummy of type Dummy. Attempt 1: ";
    assert_eq!(failed.text.matches(reason).count(), 2, "{}", failed.text);
    assert_eq!(server.wait_for_list(0).await, "");

    // Some of them: they stay as failed machines, with the reason in their log.
    let created = post("/infrastructures", 2, "; fail_numbers = 1").await;
    assert_eq!(created.status, 200, "{}", created.text);
    let path = format!("/infrastructures/{}", created.text.rsplit('/').next().unwrap());
    server.wait_for(&path, "failed").await;
    assert_eq!(server.get(&format!("{path}/vms/1/state")).await.text, "failed");
    assert!(server.get(&format!("{path}/vms/1/contmsg")).await.text.contains(reason));
    let log = server.get(&format!("{path}/vms/1/contmsg")).await.text;
    let whole = server.get(&format!("{path}/contmsg")).await.text;
    assert!(whole.ends_with(&format!("VM 1:\n{log}\n{}\n", "*".repeat(75))) && !whole.contains("VM 0:"), "{whole}");
    // The others are configured all the same.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while server.get(&format!("{path}/vms/0/state")).await.text != "configured" {
        assert!(std::time::Instant::now() < deadline, "VM 0 is not configured");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.wait_for(&path, "failed").await;
    let added = post(&path, 2, "; fail_numbers = 2,3").await;
    assert_eq!(added.status, 400);
    assert!(added.text.starts_with("Error Adding resources: Error adding VMs: "), "{}", added.text);
    // Nothing happened to those that were there; the log says what happened.
    assert_eq!(server.get(&path).await.text.lines().count(), 2);
    assert_eq!(server.get(&format!("{path}/vms/0/state")).await.text, "configured");
    let log = server.get(&format!("{path}/contmsg")).await.text;
    assert!(log.contains("All VMs failed. No contextualize.") && log.contains("simulated"), "{log}");
    // Without the failed one it is as good as new.
    assert_eq!(server.delete(&format!("{path}/vms/1")).await.status, 200);
    server.wait_for(&path, "configured").await;

    // All of an asynchronous create: it stays, without machines, and its log says why.
    let created = post("/infrastructures?async=1", 1, "; fail_numbers = 0").await;
    assert_eq!(created.status, 200, "{}", created.text);
    let path = format!("/infrastructures/{}", created.text.rsplit('/').next().unwrap());
    server.wait_for(&path, "failed").await;
    // A machine is seen as failed a moment before all launches have ended and it goes.
    for _ in 0..500 {
        if server.get(&path).await.text.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.get(&path).await.text, "");
    assert!(server.get(&format!("{path}/contmsg")).await.text.contains("All VMs failed. No contextualize."));
    assert_eq!(server.delete(&path).await.status, 200);
}

/// What machines share is tried as often as they are: each try makes one of four networks and loses the reply, and three
/// tries are what one attempt is worth.
#[tokio::test]
async fn networks_that_come_one_by_one() {
    let server = Server::configured(RestSettings::default(), "MAX_VM_FAILS = 2").await;
    let networks: String = (0..4).map(|number| format!("network net{number} ()\n")).collect();
    let interface = |number: usize| format!("net_interface.{number}.connection = 'net{number}' and\n");
    let interfaces: String = (0..4).map(interface).collect();
    let document = format!(
        "{networks}system node (\n{interfaces}disk.0.image.url = 'mock0://linux.for.ev.er/image1' and\n\
         disk.0.os.name = 'linux' and disk.0.os.credentials.username = 'user' and disk.0.os.credentials.password = 'pass'\n)\n\
         deploy node 1\n"
    );
    let created = server.request_on(Method::POST, "/infrastructures", "; lost_reply_rate = 1").body(document);
    let created = Answer::of(created).await;
    assert_eq!(created.status, 200, "{}", created.text);
}

#[tokio::test]
async fn documents_that_no_cloud_can_serve() {
    let server = Server::start().await;
    let no_cloud = server.client.post(server.url("/infrastructures")).body(document(1));
    let no_cloud = no_cloud.header(header::AUTHORIZATION, STRANGER.split("\\n").next().unwrap());
    assert_eq!(Answer::of(no_cloud).await.parts(), (400, TEXT, "Error Creating Inf.: No cloud provider available"));
    let elsewhere = server.post("/infrastructures", document(1).replace("node 1", "node 1 other")).await;
    assert_eq!(elsewhere.parts(), (400, TEXT, "Error Creating Inf.: No auth data for cloud with ID: other"));
    let nothing = server.post("/infrastructures", "deploy node 1".to_owned()).await;
    assert_eq!(nothing.parts(), (400, TEXT, "Error Creating Inf.: Line 1: Invalid system id in the deploy."));
    assert_eq!(server.get("/infrastructures").await.text, "");
}

/// What a cloud refuses is told with the words of the operation, for one machine and for all, and changes nothing.
#[tokio::test]
async fn a_cloud_that_refuses() {
    let server = Server::start().await;
    let path = server.create(2).await;
    let broken = "; failure_rate = denied:1";
    let ask = |method: Method, path: String, body: &'static str| {
        Answer::of(server.request_on(method, &path, broken).body(body))
    };
    let why = ask(Method::GET, "/clouds/dummy/quotas".to_owned(), "").await;
    let why = why.text.strip_prefix("Error getting cloud info: ").unwrap_or_else(|| panic!("{}", why.text)).to_owned();
    let larger = "system node ( memory.size = 1g )";
    let cases = [
        (Method::PUT, "/stop", "", "Error in stop operation: Error stopping the infrastructure: "),
        (Method::PUT, "/start", "", "Error in start operation: Error starting the infrastructure: "),
        (Method::PUT, "/vms/0/stop", "", "Error in stop op in VM: Error stopping the VM: "),
        (Method::PUT, "/vms/0/start", "", "Error in start op in VM: Error starting the VM: "),
        (Method::PUT, "/vms/0/reboot", "", "Error in reboot op in VM: Error rebooting the VM: "),
        (Method::PUT, "/vms/0", larger, "Error modifying resources: Error modifying the information about the VM 0: "),
        (Method::PUT, "/vms/0/disks/0/snapshot?image_name=a", "", "Error creating snapshot: "),
    ];
    for (method, suffix, body, prefix) in cases {
        let answer = ask(method, format!("{path}{suffix}"), body).await;
        let all = ["/stop", "/start"].contains(&suffix);
        let text = if all { format!("{prefix}{why}\n{why}\n") } else { format!("{prefix}{why}") };
        assert_eq!(answer.parts(), (400, TEXT, text.as_str()), "{suffix}");
    }
    let items = item(&[("id", "dummy"), ("type", "Dummy"), ("failure_rate", "denied:1")]);
    let arguments = [string(path.rsplit('/').next().unwrap()), array([user("user"), items])];
    let text = format!("Error stopping the infrastructure: {why}\n{why}\n");
    assert_eq!(server.refused("StopInfrastructure", &arguments).await, text);
    server.wait_for(&path, "configured").await;
    assert_eq!(ask(Method::DELETE, format!("{path}?force=yes"), "").await.status, 200);
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test]
async fn operations_that_exclude_each_other() {
    let server = Server::start().await;
    let slow = "; latency_ms = 700";
    let created = Answer::of(server.request_on(Method::POST, "/infrastructures?async=1", slow).body(document(1))).await;
    let path = format!("/infrastructures/{}", created.text.rsplit('/').next().unwrap());
    let delete = |path: &str| {
        Answer::of(server.request_on(Method::DELETE, path, slow).header(header::ACCEPT, "application/json"))
    };
    let refused = delete(&path).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!(409)), "{}", refused.text);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    let told = "Error Destroying Inf: Invalid State to perform this operation. (";
    assert!(message.starts_with(told) && message.ends_with(" is running)"), "{message}");
    let vm = format!("{path}/vms/0");
    let body = "system node ( memory.size = 1g )";
    while server.get(&vm).await.status == 404 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let early = Answer::of(server.request_on(Method::PUT, &vm, slow).body(body)).await;
    let expected = "Error modifying resources: Invalid State to perform this operation. (launching the VM is running)";
    assert_eq!((early.status.as_u16(), early.text.as_str()), (409, expected));
    let info = string(path.rsplit('/').next().unwrap());
    let refused = server.refused("DestroyInfrastructure", &[info, auth()]).await;
    assert!(refused.starts_with("Invalid State to perform this operation. ("), "{refused}");
    server.wait_for(&path, "configured").await;

    // A deletion that was accepted goes on: nothing can be added, a second one is no error, then all is gone.
    assert_eq!(delete(&format!("{path}?async=yes")).await.status, 200);
    assert_eq!(server.get(&format!("{path}/state")).await.json()["state"]["state"], "deleting");
    let refused = server.post(&path, document(1)).await;
    let message = "Error Adding resources: Infrastructure deleted. Do not add resources.";
    assert_eq!(refused.parts(), (400, TEXT, message));
    assert_eq!(delete(&path).await.status, 200);
    assert_eq!(server.get(&path).await.status, 404);

    // With force it may be deleted while it is being launched.
    let created = Answer::of(server.request_on(Method::POST, "/infrastructures?async=1", slow).body(document(1))).await;
    let path = format!("/infrastructures/{}", created.text.rsplit('/').next().unwrap());
    assert_eq!(delete(&format!("{path}?force=yes")).await.parts(), (200, TEXT, ""));
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_undo_a_create() {
    let server = Server::start().await;
    let create = server.request_on(Method::POST, "/infrastructures", "; latency_ms = 1000").body(document(1)).send();
    assert!(tokio::time::timeout(Duration::from_millis(700), create).await.is_err());
    let uri = server.wait_for_list(1).await;
    let path = format!("/infrastructures/{}", uri.rsplit('/').next().unwrap());
    server.wait_for(&path, "configured").await;
}

#[tokio::test]
async fn modes_of_the_daemon() {
    let server = Server::start().await;
    let (path, other) = (server.create(1).await, server.create(1).await);
    let vm = format!("{path}/vms/0");
    let disabled = "Function currently disabled.";

    let server = server.restarted("BOOT_MODE = 1").await;
    let cases = [
        (Method::POST, "/infrastructures".to_owned(), "Error Creating Inf, info: "),
        (Method::POST, path.clone(), "Error Adding resources: "),
        (Method::PUT, format!("{path}/stop"), "Error in stop operation: "),
        (Method::PUT, format!("{path}/reconfigure"), "Error reconfiguring infrastructure: "),
        (Method::PUT, vm.clone(), "Error modifying resources: "),
        (Method::PUT, format!("{vm}/reboot"), "Error in reboot op in VM: "),
        (Method::PUT, format!("{vm}/disks/0/snapshot?image_name=a"), "Error creating snapshot: "),
        (Method::DELETE, vm.clone(), "Error Removing resources: "),
        (Method::DELETE, path.clone(), "Error Destroying Inf: "),
        (Method::PUT, format!("{path}/start"), "Error in start operation: "),
        (Method::PUT, format!("{vm}/start"), "Error in start op in VM: "),
        (Method::PUT, format!("{vm}/stop"), "Error in stop op in VM: "),
        (Method::GET, format!("{path}/data?delete=yes"), "Error Getting Inf. prop: "),
    ];
    let data = server.get(&format!("{path}/data")).await.json()["data"].as_str().unwrap().to_owned();
    let import = Answer::of(server.request(Method::PUT, "/infrastructures").body(data.clone())).await;
    assert_eq!(import.parts(), (403, TEXT, format!("Error Impporting Inf: {disabled}").as_str()));
    for (method, path, prefix) in cases {
        let answer = Answer::of(server.request(method.clone(), &path).body(document(1))).await;
        assert_eq!(answer.parts(), (403, TEXT, format!("{prefix}{disabled}").as_str()), "{method} {path}");
    }
    let inf = string(path.rsplit('/').next().unwrap());
    for (method, arguments) in [
        ("CreateInfrastructure", vec![string(&document(1)), auth()]),
        ("ImportInfrastructure", vec![string(&data), auth()]),
        ("AddResource", vec![inf.clone(), string(&document(1)), auth()]),
        ("RemoveResource", vec![inf.clone(), string("0"), auth()]),
        ("AlterVM", vec![inf.clone(), string("0"), string("system node ( memory.size = 1g )"), auth()]),
        ("Reconfigure", vec![inf.clone(), string(""), auth()]),
        ("StopInfrastructure", vec![inf.clone(), auth()]),
        ("RebootVM", vec![inf.clone(), string("0"), auth()]),
        ("DestroyInfrastructure", vec![inf.clone(), auth()]),
        ("ExportInfrastructure", vec![inf.clone(), Value::Boolean(true), auth()]),
    ] {
        assert_eq!(server.refused(method, &arguments).await, disabled, "{method}");
    }
    for path in ["", "/state", "/radl", "/contmsg", "/data", "/vms/0", "/vms/0/command"] {
        assert_eq!(server.get(&format!("{}{path}", vm.trim_end_matches("/vms/0"))).await.status, 200, "{path}");
    }
    assert_eq!(server.post("/infrastructures?dry_run=yes", document(1)).await.status, 200);

    let server = server.restarted("BOOT_MODE = 2").await;
    assert_eq!(server.delete(&vm).await.status, 403);
    assert_eq!(server.put(&format!("{vm}/stop")).await.status, 403);
    assert_eq!(server.get(&format!("{other}/data?delete=yes")).await.status, 200);
    assert_eq!(server.delete(&path).await.parts(), (200, TEXT, ""));
    assert_eq!(server.get("/infrastructures").await.text, "");
}

/// What the document has for cloud-init goes to the cloud with the machine, together with the user's key, whatever Ansible
/// does elsewhere; a cloud that cannot hand it over is told of in the log.
///
/// Cases: D-05, D-06, D-08.
#[tokio::test]
async fn user_data_go_to_the_cloud() {
    let cloud = tempfile::tempdir().unwrap();
    let options = format!("[Dummy]\nSTATE_DIR = {}", cloud.path().display());
    let server = Server::configured(RestSettings::default(), &options).await;
    let systems = ["a", "b"].map(|name| {
        format!(
            "system {name} (net_interface.0.connection = 'pub' and disk.0.image.url = 'mock0://linux.for.ev.er/image1' and disk.0.os.name = 'linux' and \
             disk.0.os.credentials.public_key = 'ssh-ed25519 AAAA me')\n"
        )
    });
    let configures = "configure first (\n@begin\npackages: [jq]\nruncmd:\n- echo 'made for {{ me }}'\n@end\n)\n\
                      configure tasks (\n@begin\n- tasks: []\n@end\n)\n";
    let given = || {
        let text = std::fs::read_to_string(cloud.path().join("inventory.journal")).unwrap();
        let entries = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let data =
            entries.filter_map(|mut entry| entry["event"]["machine"].get_mut("user_data").map(|data| data.take()));
        data.map(|data| data.as_str().unwrap_or_default().to_owned()).collect::<Vec<String>>()
    };
    for (items, number) in [("", 1), ("system b configure tasks step 1", 2)] {
        let section = format!("contextualize (\nsystem a configure first step 2 with cloud_init\n{items}\n)\n");
        let document = format!(
            "network pub (outbound = 'yes')\n{}{configures}{section}deploy a 1\ndeploy b 1\n",
            systems.concat()
        );
        let created = server.post("/infrastructures", document).await;
        assert_eq!(created.status, 200, "{}", created.text);
        let path = format!("/infrastructures/{}", created.text.rsplit('/').next().unwrap());
        server.wait_for(&path, "configured").await;
        let log = server.get(&format!("{path}/contmsg")).await.text;
        assert_eq!(log.contains("Contextualization disabled"), items.is_empty(), "{log}");
        assert!(!log.contains("WARNING"), "{log}");
        let given = given();
        assert_eq!(given.len(), 2 * number, "{given:?}");
        let [a, b] = &given[given.len() - 2..] else { unreachable!() };
        for part in ["#cloud-config\n", "- jq\n", "made for {{ me }}", "ssh-ed25519 AAAA me", "name: \"username\""] {
            assert!(a.contains(part), "{part}: {a}");
        }
        assert!(b.contains("ssh-ed25519 AAAA me") && !b.contains("jq"), "{b}");
    }
}
