//! Export and import (docs/spec/api.md 5.6).

use crate::{
    support::{Answer, STRANGER, Server, TEXT, URIS, document},
    xmlrpc::{auth, string},
};
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
    assert_eq!(import(&server, &given).await.parts(), (200, URIS, uri.as_str()));
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
    assert_eq!(server.delete(&path).await.parts(), (200, TEXT, ""));
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
}

/// What IM 1.19.1 answered to `GET .../data`.
const ANSWER: &str = include_str!("../administration/fixtures/im-1.19.1.export.json");

/// The document in it, with another id.
fn of_the_reference(id: &str) -> String {
    let answer: Value = serde_json::from_str(ANSWER).unwrap();
    let mut document: Value = serde_json::from_str(answer["data"].as_str().unwrap()).unwrap();
    document["id"] = id.into();
    document.to_string()
}

#[tokio::test]
async fn an_export_is_taken_in_every_form_that_clients_keep_it_in() {
    let server = Server::start().await;
    let put = async |body: String| Answer::of(server.request(Method::PUT, "/infrastructures").body(body)).await;
    let id = |number: usize| format!("79afabdc-e62e-11f1-beb6-02fc0000001{number}");
    let as_text = |number| Value::from(of_the_reference(&id(number))).to_string();
    let forms = [
        of_the_reference(&id(0)),
        as_text(1),
        json!({"data": of_the_reference(&id(2))}).to_string(),
        format!("{{\"data\": {}}}", of_the_reference(&id(3))),
        Value::from(json!({"data": of_the_reference(&id(4))}).to_string()).to_string(),
    ];
    for (number, body) in forms.into_iter().enumerate() {
        let uri = server.url(&format!("/infrastructures/{}", id(number)));
        assert_eq!(put(body).await.parts(), (200, URIS, uri.as_str()), "form {number}");
        assert_eq!(server.get(&format!("/infrastructures/{}/vms/1", id(number))).await.status, 200);
    }
    for (number, data) in [(5, of_the_reference(&id(5))), (6, as_text(6))] {
        assert_eq!(server.call_text("ImportInfrastructure", &[string(&data), auth()]).await, id(number));
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
        assert_eq!(server.delete(&path).await.parts(), (200, TEXT, ""));
        assert_eq!(holds(), 0);
    }
}

/// A machine of the reference has the whole document with it, and shows its networks and its system.
#[tokio::test]
async fn machines_of_the_reference_show_what_others_show() {
    let server = Server::start().await;
    assert_eq!(Answer::of(server.request(Method::PUT, "/infrastructures").body(ANSWER)).await.status, 200);
    let path = server.get("/infrastructures").await.text.replace(&server.url(""), "");
    for vm in ["0", "1"] {
        let shown = server.get(&format!("{path}/vms/{vm}")).await.text;
        let words: Vec<&str> = shown.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(words.contains(&"network") && words.contains(&"system"), "{shown}");
        for word in ["description", "configure", "contextualize", "deploy"] {
            assert!(!words.contains(&word), "{shown}");
        }
        let json = server.get_json(&format!("{path}/vms/{vm}")).await.json();
        let classes: Vec<&Value> = json["radl"].as_array().unwrap().iter().map(|object| &object["class"]).collect();
        assert_eq!(classes, ["network", "network", "system"]);
        assert_eq!(server.call_text("GetVMInfo", &[string(&path[17..]), string(vm), auth()]).await, shown);
    }
    assert_eq!(server.get(&format!("{path}/vms/0/net_interface.0.dns_name")).await.text, "front");
    let again = exported(&server, &format!("{path}/data")).await;
    assert!(!again["vm_list"][0].to_string().contains("contextualize"), "{again}");
    assert!(again["radl"].as_str().unwrap().contains("step 1"), "{again}");
}

#[tokio::test]
async fn what_is_wrong_with_an_export_is_named_by_its_place_and_nothing_of_it_is_told() {
    let server = Server::start().await;
    let refused = async |document: String| {
        let answer = Answer::of(server.request(Method::PUT, "/infrastructures").body(document.clone())).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        let text = answer.text.strip_prefix("Error Impporting Inf.: ").expect("the prefix").to_owned();
        assert_eq!(server.refused("ImportInfrastructure", &[string(&document), auth()]).await, text);
        for word in ["sesame", "struct ", "Record", "u32", "i64"] {
            assert!(!text.contains(word), "{text}");
        }
        text.strip_prefix("Error importing the infrastructure, incorrect data: ").expect("the prefix").to_owned()
    };
    let whole: Value = serde_json::from_str(&of_the_reference("79afabdc-e62e-11f1-beb6-02fc00000020")).unwrap();
    for (place, value, expected) in [
        ("/vm_list", json!({"a": "sesame"}), "`vm_list`: expected a list"),
        ("/vm_list", json!("sesame"), "`vm_list`: this is no JSON: expected value (line 1, column 1)"),
        ("/vm_list/1", json!(["sesame"]), "`vm_list[1]`: expected an object"),
        (
            "/vm_list/1",
            json!("{\"im_id\": 1, sesame"),
            "`vm_list[1]`: this is no JSON: key must be a string (line 1, column 14)",
        ),
        ("/vm_list/1", json!({}), "`vm_list[1]`: missing field `im_id`"),
        ("/vm_list/1/im_id", json!("sesame"), "`vm_list[1].im_id`: expected a whole number"),
        ("/vm_list/1/im_id", json!(-1), "`vm_list[1].im_id`: expected a whole number"),
        ("/vm_list/0/destroy", json!("sesame"), "`vm_list[0].destroy`: expected true or false"),
        ("/vm_list/0/cloud", json!("\"sesame\""), "`vm_list[0].cloud`: expected an object"),
        ("/vm_list/0/cloud/port", json!("sesame"), "`vm_list[0].cloud.port`: expected a whole number"),
        ("/vm_list/0/info", json!(["sesame"]), "`vm_list[0].info`: expected a text"),
        ("/auth/0", json!("sesame"), "`auth[0]`: expected an object"),
        ("/private_networks/priv", json!(["sesame, expected u32"]), "`private_networks.priv`: expected a text"),
        ("/radl", json!(7), "`radl`: expected a text"),
        ("", json!([{"password": "sesame"}]), "expected an object"),
        ("", json!("\"sesame\""), "expected an object"),
        ("", json!({"data": ["sesame"]}), "expected an object"),
        ("", json!({"data": "{\"id\": sesame"}), "`data`: this is no JSON: expected value (line 1, column 8)"),
        ("", json!({"password": "sesame"}), "missing field `id`"),
    ] {
        let mut document = whole.clone();
        *document.pointer_mut(place).unwrap() = value;
        assert_eq!(refused(document.to_string()).await, expected, "{place}");
    }
    assert_eq!(
        refused("{\n \"id\": \"sesame\" \"".to_owned()).await,
        "this is no JSON: expected `,` or `}` (line 2, column 17)"
    );
    assert_eq!(server.get("/infrastructures").await.text, "");
}
