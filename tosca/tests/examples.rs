//! The templates of examples/tosca: translated with their recipes, scaled, and their metadata kept.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Map, Value as Json, json};
use std::{fs, path::Path};
use tosca::{
    offline::{self, Report, Setup},
    yaml::Value,
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/tosca");

/// The recipes of the examples, at the addresses that the templates name.
fn setup(extra: &Json) -> Setup {
    let folder = Path::new(EXAMPLES).join("mirror/recipes.example.org/tosca");
    let recipe = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        (format!("https://recipes.example.org/tosca/{name}"), Json::from(fs::read_to_string(&path).unwrap()))
    };
    let resources: Map<String, Json> = fs::read_dir(folder).unwrap().map(recipe).collect();
    let mut setup = json!({"resources": resources});
    setup.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap_or_default());
    Setup::from_json(&setup).unwrap()
}

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(EXAMPLES).join(name)).unwrap()
}

fn run(name: &str, inputs: &Json, update: Option<&str>, extra: &Json) -> Result<Report, offline::Failure> {
    let random = |length| "x".repeat(length);
    offline::run(&text(name), &Value::from_json(inputs), update, &setup(extra), &random)
}

/// System and number of each deploy.
fn deploys(report: &Report) -> Vec<(String, Json)> {
    let json = report.to_json();
    let deploys = json["deploys"].as_array().unwrap();
    deploys.iter().map(|deploy| (deploy["system"].as_str().unwrap().to_owned(), deploy["vm_number"].clone())).collect()
}

#[test]
fn every_example_is_translated() {
    // Name, systems with the numbers of their machines, and what stands in the document.
    type Example = (&'static str, &'static [(&'static str, u32)], &'static [&'static str]);
    let cases: [Example; 5] = [
        ("one-machine.yaml", &[("server", 1)], &["8080/tcp-8080/tcp", "web_server_conf", "\"web_text\": \"Hello\""]),
        ("front-and-workers.yaml", &[("front", 1), ("worker", 2)], &["8080/tcp-8080/tcp", "groups['worker']"]),
        ("two-tiers.yaml", &[("data_server", 1), ("application_server", 1)], &["data of catalogue", ":8000/"]),
        ("shared-folder.yaml", &[("lrms_server", 1), ("lrms_wn", 1)], &["/srv/shared", "members"]),
        ("dashboard.yaml", &[("simple_node", 1)], &["80/tcp-80/tcp", "name = 'My machine'"]),
    ];
    for (name, machines, parts) in cases {
        let report = run(name, &json!({}), None, &json!({})).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let mut found = deploys(&report);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let mut expected: Vec<_> = machines.iter().map(|(name, number)| ((*name).to_owned(), json!(number))).collect();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, expected, "{name}");
        let radl = report.translation.radl.to_text();
        assert_eq!(report.to_json()["radl_check"], true, "{name}: {radl}");
        for part in parts {
            assert!(radl.contains(part), "{name}: {part} in {radl}");
        }
    }
}

/// Constraints of inputs are for dashboards (docs/spec/tosca.md 4); types are checked.
#[test]
fn inputs_of_another_type_are_refused() {
    for (name, inputs) in [("two-tiers.yaml", json!({"size": "many"})), ("shared-folder.yaml", json!({"wn_num": [1]}))]
    {
        let failure = run(name, &inputs, None, &json!({})).err();
        assert!(failure.is_some_and(|failure| failure.phase == "parse"), "{name} {inputs}");
    }
}

#[test]
fn workers_are_added_and_removed() {
    let worker = |id: u32| json!({"im_id": id, "radl": [{"class": "system", "id": "worker"}]});
    let front = json!({"im_id": 0, "radl": [{"class": "system", "id": "front"}]});
    let inventory = json!({"inventory": {"vms": [front, worker(1), worker(2)]}});
    let changed = |count: &str, leaving: &str| {
        let text = text("front-and-workers.yaml");
        let text = text.replace("default: 2", count).replace("default: []", leaving);
        run("front-and-workers.yaml", &json!({}), Some(&text), &inventory).unwrap()
    };
    let up = changed("default: 4", "default: []");
    assert_eq!(deploys(&up).into_iter().find(|(system, _)| system == "worker"), Some(("worker".to_owned(), json!(2))));
    let down = changed("default: 1", "default: ['2']");
    assert_eq!(down.translation.remove.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2"]);
}

/// What dashboards read comes back as it was written.
#[test]
fn metadata_survive() {
    let report = run("dashboard.yaml", &json!({}), None, &json!({})).unwrap();
    let metadata = &report.to_json()["document"]["metadata"];
    assert_eq!(metadata["display_name"], "Simple machine");
    assert_eq!(metadata["childs"], json!(["one-machine.yaml"]));
    assert_eq!(
        metadata["tabs"],
        json!({"Machine": ["num_cpus", {"mem_size": {"tag_type": "text"}}], "Network": "port.*"})
    );
    let keys = metadata.as_object().unwrap();
    assert!(["icon", "tag", "filename", "infra_name", "order"].iter().all(|key| keys.contains_key(*key)), "{metadata}");
}
