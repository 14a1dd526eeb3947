//! Export and import (docs/spec/api.md 5.6).

use crate::support::{Answer, STRANGER, Server, document};
use connectors::dummy::{Cloud, Inventory, system_clock};
use imd::api::rest::RestSettings;
use reqwest::{Method, header};
use serde_json::{Value, json};

/// The exported document.
async fn exported(server: &Server, path: &str) -> Value {
    let answer = server.get(path).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"), "{}", answer.text);
    serde_json::from_str(answer.json()["data"].as_str().expect("a document as text")).unwrap()
}

async fn import(server: &Server, document: &Value) -> Answer {
    Answer::of(server.request(Method::PUT, "/infrastructures").body(document.to_string())).await
}

#[tokio::test]
async fn what_is_given_away_comes_back_as_it_was() {
    let server = Server::start().await;
    let path = server.create(2).await;
    assert_eq!(server.delete(&format!("{path}/vms/0?context=no")).await.status, 200);
    server.wait_for(&path, "configured").await;
    let look = async |path: String| server.get(&path).await.text;
    let before = (look(path.clone()).await, look(format!("{path}/radl")).await, look(format!("{path}/vms/1")).await);

    let kept = exported(&server, &format!("{path}/data")).await;
    let given = exported(&server, &format!("{path}/data?delete=yes")).await;
    assert_eq!(server.get(&path).await.status, 404);
    assert_eq!(kept["vm_list"][1]["id"], given["vm_list"][1]["id"]);
    assert_eq!(given["vm_list"][0]["destroy"], true);
    assert!(!given.to_string().contains("pass\""), "passwords of owners are not told: {given}");

    // Somebody else cannot take its place.
    let foreign = server.client.put(server.url("/infrastructures")).header(header::AUTHORIZATION, STRANGER);
    let refused = Answer::of(foreign.body(given.to_string())).await;
    let text = "Error Impporting Inf.: Trying to add an existing infrastructure ID.";
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (400, text));

    let typed = |kind: &'static str| {
        Answer::of(
            server.request(Method::PUT, "/infrastructures").header(header::CONTENT_TYPE, kind).body(given.to_string()),
        )
    };
    assert_eq!(typed("text/plain").await.text, "Unsupported Media Type ['text/plain']");

    let uri = server.url(&path);
    assert_eq!(import(&server, &given).await.parts(), (200, "text/uri-list", uri.as_str()));
    assert_eq!(import(&server, &given).await.text, text, "it is in use");
    let accepting = server.request(Method::GET, &format!("{path}/data")).header(header::ACCEPT, "text/plain");
    assert_eq!(Answer::of(accepting).await.text, "Unsupported Accept Media Types: ['text/plain']");
    server.wait_for(&path, "configured").await;
    let after = (look(path.clone()).await, look(format!("{path}/radl")).await, look(format!("{path}/vms/1")).await);
    assert_eq!(after, before);

    // It lives: machines stop, grow and go.
    assert_eq!(server.put(&format!("{path}/vms/1/stop")).await.text, "");
    server.wait_for(&path, "stopped").await;
    assert_eq!(server.put(&format!("{path}/vms/1/start")).await.text, "");
    let added = server.post(&path, document(1)).await;
    assert_eq!(added.text, format!("{uri}/vms/2"));
    server.wait_for(&path, "configured").await;
    let server = server.restarted("").await;
    assert_eq!(server.delete(&path).await.parts(), (200, "text/plain", ""));
}

#[tokio::test]
async fn machines_that_the_reference_made_live_on() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let mut record = exported(&server, &format!("{path}/data")).await;
    record["id"] = "79afabdc-e62e-11f1-beb6-02fc00000001".into();
    record["vm_list"][0]["id"] = "179532227098".into();
    record["vm_list"][0]["volumes"] = json!(["v"]);
    record["auth"] = json!("[{\"username\": \"other\", \"password\": \"x\"}]");
    record["extra_info"] = json!({"TOSCA": "tosca_definitions_version: tosca_simple_yaml_1_0\n"});
    let imported = import(&server, &record).await;
    assert_eq!(imported.status, 200, "{}", imported.text);
    let path = "/infrastructures/79afabdc-e62e-11f1-beb6-02fc00000001";
    server.wait_for(path, "configured").await;
    assert_eq!(server.get(&format!("{path}/authorization")).await.text, "user");
    assert_eq!(server.get(&format!("{path}/tosca")).await.text, "tosca_definitions_version: tosca_simple_yaml_1_0\n");
    assert_eq!(server.get(&format!("{path}/outputs")).await.parts(), (200, "application/json", r#"{"outputs": {}}"#));
    let as_json = server.get_json(&format!("{path}/tosca")).await;
    assert_eq!(as_json.json(), json!({"tosca": "tosca_definitions_version: tosca_simple_yaml_1_0\n"}));
    for accept in ["text/plain", "text/*"] {
        for property in ["outputs", "state"] {
            let request = server.request(Method::GET, &format!("{path}/{property}")).header(header::ACCEPT, accept);
            let text = format!("Unsupported Accept Media Types: ['{accept}']");
            assert_eq!(Answer::of(request).await.text, text, "{property}");
        }
    }
    let again = exported(&server, &format!("{path}/data")).await;
    assert_eq!((&again["vm_list"][0]["volumes"], &again["extra_info"]), (&json!(["v"]), &record["extra_info"]));
    assert_eq!(server.put(&format!("{path}/vms/0/stop")).await.text, "");
    server.wait_for(path, "stopped").await;
    assert_eq!(server.delete(path).await.text, "");

    // Outputs that say a value have it; others are not evaluated.
    for (number, outputs, expected) in [
        (
            1,
            "    text: {value: a}\n    number: {value: 5}\n    list: {value: [yes, '5', 1.5, {b: null}]}\n",
            Some(json!({"text": "a", "number": 5, "list": [true, "5", 1.5, {"b": null}]})),
        ),
        (2, "    ip: {value: {get_attribute: [a, private_address]}}\n", None),
    ] {
        record["id"] = format!("79afabdc-e62e-11f1-beb6-02fc0000000{number}").into();
        let text =
            format!("tosca_definitions_version: tosca_simple_yaml_1_0\ntopology_template:\n  outputs:\n{outputs}");
        record["extra_info"] = json!({"TOSCA": text});
        assert_eq!(import(&server, &record).await.status, 200);
        let answer = server.get(&format!("/infrastructures/{}/outputs", record["id"].as_str().unwrap())).await;
        match expected {
            Some(values) => assert_eq!(answer.json(), json!({"outputs": values})),
            None => assert_eq!(answer.status, 400, "{}", answer.text),
        }
    }

    for (document, why) in [(json!({}), "missing field `id`"), (json!([]), "invalid length 0")] {
        let refused = import(&server, &document).await;
        assert_eq!(refused.status, 400);
        let prefix = "Error Impporting Inf.: Error importing the infrastructure, incorrect data: ";
        assert!(refused.text.starts_with(prefix) && refused.text.contains(why), "{}", refused.text);
    }
}

/// Volumes and security groups carry marks of their own: whatever the document forgot, nothing of them stays.
#[tokio::test]
async fn what_machines_have_and_share_goes_with_an_import() {
    let folder = tempfile::tempdir().unwrap();
    let options = format!("[Dummy]\nSTATE_DIR = {}", folder.path().display());
    let server = Server::configured(RestSettings::default(), &options).await;
    let rich = document(2)
        .replace("outbound = 'yes'", "outbound = 'yes' and outports = '80' and provider_id = 'pool'")
        .replace("disk.0.os.name", "disk.1.size = 1g and\ndisk.0.os.name");
    let holds = || {
        let look = |inventory: &Inventory| inventory.tenants().map(|(_, tenant)| tenant.resources().count()).sum();
        let resources: usize = Cloud::open(folder.path(), system_clock).unwrap().inspect(look).unwrap();
        resources
    };
    for forgotten in [false, true] {
        let created = server.post("/infrastructures", rich.clone()).await;
        assert_eq!(created.status, 200, "{}", created.text);
        let path = created.text.trim_start_matches(&server.url("")).to_owned();
        assert_eq!(holds(), 6, "a network, its rules, two volumes, two addresses");
        let mut given = exported(&server, &format!("{path}/data?delete=yes")).await;
        if forgotten {
            given.as_object_mut().unwrap().remove("in_clouds");
            for machine in given["vm_list"].as_array_mut().unwrap() {
                machine.as_object_mut().unwrap().remove("uid");
            }
        }
        assert_eq!(import(&server, &given).await.status, 200);
        assert_eq!(server.delete(&path).await.parts(), (200, "text/plain", ""));
        assert_eq!(holds(), 0);
    }
}
