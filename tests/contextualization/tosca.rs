//! The templates of examples/tosca on the cloud of this host: made, configured, changed, and asked for their outputs.

use crate::{lab::Lab, options, sandbox, support::path_of};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::{fs, path::Path};

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tosca").join(name)).unwrap()
}

/// Sends a document that must be taken; the answer.
async fn send(lab: &Lab, path: &str, document: String) -> String {
    let answer = lab.daemon.ask_in_tosca(Method::POST, path, document).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    answer.text
}

async fn configured(lab: &Lab, path: &str) {
    lab.daemon.until_idle().await;
    let log = lab.daemon.get(&format!("{path}/contmsg")).await.text;
    assert_eq!(lab.daemon.state(path).await, "configured", "{log}");
}

async fn outputs(lab: &Lab, path: &str) -> Value {
    let text = lab.daemon.text(Method::GET, &format!("{path}/outputs"), "").await;
    serde_json::from_str::<Value>(&text).unwrap()["outputs"].take()
}

/// What a page of a machine says.
async fn page(url: &Value) -> String {
    let url = url.as_str().unwrap_or_else(|| panic!("{url} is no URL"));
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn templates_become_machines_that_serve() {
    let options = options();
    if !sandbox::inside("tosca::templates_become_machines_that_serve") {
        return;
    }
    let mirror = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tosca/mirror");
    let mut lab = Lab::with(&format!("TOSCA_MIRROR_DIR = {}\n{options}", mirror.display()));
    lab.daemon.start().await;
    let mut paths = Vec::new();
    for name in ["one-machine", "two-tiers", "shared-folder", "dashboard", "front-and-workers"] {
        let text = example(&format!("{name}.yaml"));
        let path = path_of(&send(&lab, "/infrastructures?async=true", text.clone()).await);
        assert_eq!(lab.daemon.text(Method::GET, &format!("{path}/tosca"), "").await, text, "{name}");
        paths.push(path);
    }
    for path in &paths {
        configured(&lab, path).await;
    }
    let [one, two, shared, dashboard, cluster] = &paths[..] else { unreachable!() };
    assert_eq!(page(&outputs(&lab, one).await["url"]).await.trim(), "Hello");
    let tiers = outputs(&lab, two).await;
    assert!(page(&tiers["url"]).await.contains(tiers["data"].as_str().unwrap()), "{tiers}");
    assert!(outputs(&lab, shared).await["cluster_ip"].is_string());
    assert!(outputs(&lab, dashboard).await["node_creds"]["token"].as_str().unwrap().contains("PRIVATE KEY"));

    // One worker more, then the first one goes.
    let text = example("front-and-workers.yaml");
    send(&lab, cluster, text.replace("default: 2", "default: 3")).await;
    configured(&lab, cluster).await;
    let workers = async |lab: &Lab| outputs(lab, cluster).await["workers"].as_array().unwrap().clone();
    let three = workers(&lab).await;
    assert_eq!(three.len(), 3);
    send(&lab, cluster, text.replace("default: []", "default: ['1']")).await;
    configured(&lab, cluster).await;
    assert_eq!(workers(&lab).await, three[1..]);

    for path in &paths {
        lab.daemon.text(Method::DELETE, path, "").await;
    }
    lab.nothing_is_left();
    lab.daemon.kill();
}
