//! Clouds that are missing, unknown, or have not what is asked of them.

use crate::{
    bystander::{Bystander, Sent},
    support::document,
};
use reqwest::Method;

const IM: &str = "type = InfrastructureManager; username = user; password = pass";

/// Cloud items, a change of the document, and what the message must say.
const CLOUDS: &[(&str, &str, &[&str])] = &[
    ("", "", &["No cloud provider"]),
    (
        "\\nid = x; type = Foo",
        "",
        &["Cloud provider not supported: Foo", "DeployedNode, Docker, Dummy, EC2, EGI, Local, OpenNebula, OpenStack"],
    ),
    (
        "\\nid = x; type = OpenStack; host = https://a.example",
        "",
        &["No correct auth data has been specified to OpenStack.: username and password"],
    ),
    ("\\nid = x; type = OCCI", "", &["OCCI (removed"]),
    ("\\nid = x; type = Local", "", &["Local", "switched off", "[Local] ENABLED"]),
    ("\\nid = x; type = Dummy\\nid = x; type = Dummy", "", &["id used more than once: x"]),
    ("\\nid = x; type = Dummy; host = a b", "", &["Incorrect host in auth item x"]),
    ("\\nid = x; type = Dummy; latency_ms = soon", "", &["latency_ms"]),
    ("\\ntype = Vault; token = t", "", &["Vault"]),
    ("\\nid = x; type = Dummy", "deploy node 1 other", &["other"]),
];

#[tokio::test]
async fn unknown_clouds_are_refused_by_name() {
    let bystander = Bystander::start().await;
    let path = bystander.path.clone();
    for (items, deploy, words) in CLOUDS {
        let credentials = format!("{IM}{items}");
        let text = document(if deploy.is_empty() { 1 } else { 0 }) + deploy;
        bystander.refuses(Sent::create(text.as_str()).by(&credentials), 400, words).await;
        bystander.refuses(Sent::document(Method::POST, &path, text).by(&credentials), 400, words).await;
    }
    bystander.still_works().await;
}
