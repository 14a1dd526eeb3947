//! Documents of TOSCA over both APIs (docs/spec/tosca.md 11 and 14).

use crate::{
    support::{Answer, Server, TEXT, document},
    xmlrpc::{auth, string},
};
use reqwest::{Method, header};
use serde_json::{Value, json};

/// A front end and so many workers; `more` is put behind the count.
fn cluster(count: u32, more: &str) -> String {
    format!(
        "# A lab.
tosca_definitions_version: tosca_simple_yaml_1_0
metadata: {{display_name: Lab é, icon: \"images/cluster.png\", tabs: {{Nodes: 'wn_.*'}}, childs: [galaxy.yaml]}}
imports:
- types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
topology_template:
  inputs:
    image: {{type: string, default: 'mock0://linux.for.ev.er/image1'}}
  node_templates:
    front:
      type: tosca.nodes.indigo.Compute
      capabilities:
        endpoint: {{properties: {{network_name: PUBLIC, private_ip: false, ports: {{http: {{protocol: tcp, source: 80}}}}}}}}
        host: {{properties: {{num_cpus: 1, mem_size: 512 MB}}}}
        os: {{properties: {{type: linux, image: {{get_input: image}}}}}}
    wn:
      type: tosca.nodes.indigo.Compute
      capabilities:
        host: {{properties: {{num_cpus: 1, mem_size: 512 MB}}}}
        os: {{properties: {{type: linux, image: {{get_input: image}}}}}}
        scalable: {{properties: {{count: {count}{more}}}}}
  outputs:
    front_ip: {{value: {{get_attribute: [front, public_address, 0]}}}}
    page: {{value: {{concat: ['http://', {{get_attribute: [front, public_address, 0]}}, '/x']}}}}
    workers: {{value: {{get_attribute: [wn, private_address]}}}}
    nothing: {{value: {{get_attribute: [wn, ansible_output, step, tasks, task, output]}}}}
"
    )
}

impl Server {
    async fn send(&self, method: Method, path: &str, kind: &'static str, body: String) -> Answer {
        Answer::of(self.request(method, path).header(header::CONTENT_TYPE, kind).body(body)).await
    }

    /// The path of an infrastructure of a TOSCA document, configured.
    async fn create_tosca(&self, text: &str) -> String {
        let answer = self.send(Method::POST, "/infrastructures", "text/yaml", text.to_owned()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let path = answer.text[self.url("").len()..].to_owned();
        self.wait_for(&path, "configured").await;
        path
    }

    /// Numbers of the machines.
    async fn numbers(&self, path: &str) -> Vec<u32> {
        let list = self.get(path).await.text;
        list.lines().map(|line| line.rsplit('/').next().unwrap().parse().unwrap()).collect()
    }

    async fn outputs(&self, path: &str) -> Value {
        let answer = self.get(&format!("{path}/outputs")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/json"),
            "{}",
            answer.text
        );
        answer.json()["outputs"].clone()
    }

    /// All that a refused change must leave as it was.
    async fn look(&self, path: &str) -> [String; 3] {
        [
            self.get(path).await.text,
            self.get(&format!("{path}/tosca")).await.text,
            self.get(&format!("{path}/radl")).await.text,
        ]
    }
}

#[tokio::test]
async fn a_document_is_made_shown_and_changed() {
    let server = Server::start().await;
    let text = cluster(2, "");
    let path = server.create_tosca(&text).await;
    assert_eq!(server.numbers(&path).await, [0, 1, 2]);
    assert_eq!(server.get(&format!("{path}/vms/0/net_interface.0.connection")).await.text, "public_net");

    // What was sent comes back, down to its last blank.
    assert_eq!(server.get(&format!("{path}/tosca")).await.parts(), (200, TEXT, text.as_str()));
    assert_eq!(server.get_json(&format!("{path}/tosca")).await.json(), json!({"tosca": text}));
    let outputs = server.outputs(&path).await;
    let front = server.get(&format!("{path}/vms/0/net_interface.0.ip")).await.text;
    assert_eq!(outputs["front_ip"], front.as_str());
    assert_eq!(outputs["page"], format!("http://{front}/x"));
    assert_eq!((outputs["workers"].as_array().unwrap().len(), &outputs["nothing"]), (2, &Value::Null));

    // More workers, by each of the types that TOSCA has.
    for (count, kind) in [(3, "text/x-yaml"), (4, "application/yaml; charset=utf-8")] {
        let added = server.send(Method::POST, &path, kind, cluster(count, "")).await;
        assert_eq!(added.parts().2, server.url(&format!("{path}/vms/{count}")), "{kind}");
        server.wait_for(&path, "configured").await;
        assert_eq!(server.outputs(&path).await["workers"].as_array().unwrap().len(), count as usize);
    }
    let stored = server.get(&format!("{path}/tosca")).await.text;
    assert!(stored.contains("count: 4") && stored.contains("display_name: Lab é"), "{stored}");

    // Fewer: those that are listed, then the oldest one.
    let fewer = server.send(Method::POST, &path, "text/yaml", cluster(2, ", removal_list: ['2', '4']")).await;
    assert_eq!(fewer.parts().2, "");
    server.wait_for(&path, "configured").await;
    assert_eq!(server.numbers(&path).await, [0, 1, 3]);
    server.send(Method::POST, &path, "text/yaml", cluster(1, "")).await;
    server.wait_for(&path, "configured").await;
    assert_eq!(server.numbers(&path).await, [0, 3]);

    // Nothing to do is a reconfiguration; both, an addition and a removal, are one change.
    assert_eq!(
        server.send(Method::POST, &path, "text/yaml", cluster(1, "")).await.parts(),
        (200, "text/uri-list; charset=utf-8", "")
    );
    server.wait_for(&path, "configured").await;
    let other = cluster(0, "").replace("  outputs:", "    db:\n      type: tosca.nodes.indigo.Compute\n      capabilities:\n        os: {properties: {type: linux, image: {get_input: image}}}\n  outputs:");
    let added = server.send(Method::POST, &path, "text/yaml", other).await;
    assert_eq!(added.text, server.url(&format!("{path}/vms/5")));
    server.wait_for(&path, "configured").await;
    assert_eq!(server.numbers(&path).await, [0, 5]);
    assert_eq!(server.outputs(&path).await["workers"], Value::Null);
    let server = server.restarted("").await;
    assert_eq!(server.outputs(&path).await["front_ip"], front.as_str());
    assert_eq!(server.delete(&path).await.status, 200);
}

#[tokio::test]
async fn a_refused_update_leaves_everything_as_it_was() {
    let server = Server::start().await;
    let path = server.create_tosca(&cluster(2, "")).await;
    let before = server.look(&path).await;
    for (text, why) in [
        ("a: [".to_owned(), "Error parsing TOSCA template: "),
        (cluster(1, ", wrong: 1"), "contains unknown field \"wrong\""),
        (cluster(1, "").replace("{get_input: image}", "{get_input: other}"), "Unknown input \"other\""),
        (cluster(100_000, ""), "MAX_VMS_PER_REQUEST"),
    ] {
        let refused = server.send(Method::POST, &path, "text/yaml", text.clone()).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused.text.starts_with("Error Adding resources: ") && refused.text.contains(why), "{}", refused.text);
        assert_eq!(server.look(&path).await, before, "{why}");
        let id = path.rsplit('/').next().unwrap();
        let told = server.refused("AddResource", &[string(id), string(&text), auth()]).await;
        if text != "a: [" {
            assert_eq!(format!("Error Adding resources: {told}"), refused.text);
        }
        assert_eq!(server.look(&path).await, before, "{why}");
    }
    // The caller shows no account that can make what comes: what was to go stays as well.
    let no_cloud = "type = InfrastructureManager; username = user; password = pass\\nid = mine; type = DeployedNode";
    let db = "    db: {type: tosca.nodes.indigo.Compute}\n  outputs:";
    let request = server.client.post(server.url(&path)).header(header::AUTHORIZATION, no_cloud);
    let text = cluster(1, "").replace("  outputs:", db);
    let refused = Answer::of(request.header(header::CONTENT_TYPE, "text/yaml").body(text)).await;
    assert_eq!(refused.text, "Error Adding resources: No auth data for cloud with ID: dummy");
    assert_eq!(server.look(&path).await, before);
}

#[tokio::test]
async fn both_apis_take_tosca_wherever_they_take_radl() {
    let server = Server::start().await;
    let text = cluster(1, "");
    let dry = server.send(Method::POST, "/infrastructures?dry_run=yes", "text/yaml", text.clone()).await;
    assert_eq!(dry.json()["dummy"]["compute"].as_array().unwrap().len(), 2, "{}", dry.text);
    assert_eq!(server.get("/infrastructures").await.text, "");
    let id = server.call_text("CreateInfrastructure", &[string(&text), auth()]).await;
    let path = format!("/infrastructures/{id}");
    server.wait_for(&path, "configured").await;
    assert_eq!(server.get(&format!("{path}/tosca")).await.text, text);
    server.call("AddResource", &[string(&id), string(&cluster(2, "")), auth()]).await;
    server.wait_for(&path, "configured").await;
    assert_eq!(server.numbers(&path).await, [0, 1, 2]);

    // An alteration and a reconfiguration leave the stored document alone.
    let stored = server.get(&format!("{path}/tosca")).await.text;
    let larger = cluster(7, "").replace("num_cpus: 1", "num_cpus: 2");
    let altered = server.send(Method::PUT, &format!("{path}/vms/0"), "text/yaml", larger.clone()).await;
    assert_eq!(altered.status, 200, "{}", altered.text);
    assert_eq!(server.get(&format!("{path}/vms/0/cpu.count")).await.text, "2");
    let again = server.send(Method::PUT, &format!("{path}/reconfigure"), "text/yaml", larger).await;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (200, ""));
    server.wait_for(&path, "configured").await;
    assert_eq!((server.get(&format!("{path}/tosca")).await.text, server.numbers(&path).await.len()), (stored, 3));

    // It is found by its words, and by its icon in the statistics.
    assert_eq!(server.get("/infrastructures?filter=display_name").await.text, server.url(&path));
    assert_eq!(server.get("/stats").await.json()["stats"][0]["tosca_name"], "cluster");

    // What was RADL becomes TOSCA with the first document of it.
    let path = server.create(1).await;
    let added = server.send(Method::POST, &path, "text/yaml", text.clone()).await;
    assert_eq!(added.text.lines().count(), 2, "{}", added.text);
    assert_eq!(server.get(&format!("{path}/tosca")).await.text, text);
    server.wait_for(&path, "configured").await;
    let radl = server.post(&path, document(1)).await;
    assert_eq!(radl.status, 200, "{}", radl.text);
    assert_eq!(server.get(&format!("{path}/tosca")).await.text, text);
}

#[tokio::test]
async fn secrets_that_are_made_up_stay_the_same() {
    let server = Server::start().await;
    let inputs = "    password: {type: string, default: random(12)}\n    image:";
    let outputs = "  outputs:\n    password: {value: {get_input: password}}";
    let text = |count| cluster(count, "").replace("    image:", inputs).replace("  outputs:", outputs);
    let path = server.create_tosca(&text(1)).await;
    let password = server.outputs(&path).await["password"].clone();
    assert_eq!(password.as_str().unwrap().len(), 12, "{password}");
    assert_eq!(server.send(Method::POST, &path, "text/yaml", text(2)).await.status, 200);
    assert_eq!(server.outputs(&path).await["password"], password);
    let stored = server.get(&format!("{path}/tosca")).await.text;
    assert!(stored.contains(password.as_str().unwrap()) && !stored.contains("random"), "{stored}");
}

#[tokio::test]
async fn files_that_are_not_part_of_the_service_are_refused_with_a_reason() {
    let server = Server::start().await;
    let text = cluster(1, "").replace("grycap/tosca/main", "somebody/else/main");
    let refused = server.send(Method::POST, "/infrastructures", "text/yaml", text).await;
    assert_eq!(refused.status, 400);
    let why = "Failed to reach server \"https://raw.githubusercontent.com/somebody/else/main/custom_types.yaml\". Reason is: \
               documents may not import from raw.githubusercontent.com";
    assert!(refused.text.contains(why), "{}", refused.text);
}

#[tokio::test]
async fn exports_take_the_document_along() {
    let server = Server::start().await;
    let text = cluster(2, "");
    let path = server.create_tosca(&text).await;
    let outputs = server.outputs(&path).await;
    let given = server.get(&format!("{path}/data?delete=yes")).await.json()["data"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&given).unwrap()["extra_info"], json!({"TOSCA": text}));
    let imported = Answer::of(server.request(Method::PUT, "/infrastructures").body(given)).await;
    assert_eq!(imported.text, server.url(&path));
    server.wait_for(&path, "configured").await;
    assert_eq!((server.get(&format!("{path}/tosca")).await.text, server.outputs(&path).await), (text, outputs));
    let fewer = server.send(Method::POST, &path, "text/yaml", cluster(1, "")).await;
    assert_eq!(fewer.status, 200, "{}", fewer.text);
    assert_eq!(server.numbers(&path).await, [0, 2]);
}
