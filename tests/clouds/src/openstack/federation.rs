//! The cloud-info API of EGI, and the part of Keystone that takes the access tokens of a federation.

use super::state::{Answer, refuse};
use hyper::HeaderMap;
use serde_json::{Value, json};

/// The access token of a user of the VO `vo.example.eu`.
pub const ACCESS_TOKEN: &str = "access-t0ken";
const UNSCOPED: &str = "unscoped-token";

/// The site `SIM` is this cloud.
pub fn cloud_info(path: &[&str], ends_with_slash: bool, base: &str) -> Answer {
    match (path, ends_with_slash) {
        (["site", "SIM"], true) => Answer::new(
            200,
            json!({"id": "1", "name": "SIM", "url": format!("{base}/v3/"), "state": "", "hostname": "127.0.0.1"}),
        ),
        (["site", "SIM", "projects"], false) => Answer::new(
            200,
            json!([
                {"id": "other-project", "name": "vo.other.eu"}, {"id": "demo-project", "name": "vo.example.eu"},
            ]),
        ),
        (["site", "SIM", "vo.example.eu", "images"], false) => {
            let image = |egi_id: &str, id: &str, version: &str| json!({"egi_id": egi_id, "id": id, "version": version, "name": egi_id, "endpoint": base, "vo": "vo.example.eu"});
            Answer::new(
                200,
                json!([
                    image("egi_vm_images/debian:12", "old", "2024.9.30"),
                    image("egi_vm_images/debian:12", "x#debian", "2024.10.1"),
                    {"egi_id": "egi_vm_images/debian:12", "id": null, "version": null},
                ]),
            )
        }
        _ => refuse(404, "Not Found"),
    }
}

/// What Keystone answers before there is a token with a project; none for other requests.
pub fn keystone(path: &[&str], headers: &HeaderMap) -> Option<Answer> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match path {
        ["v3", "OS-FEDERATION", "identity_providers", "egi.eu", "protocols", "openid", "auth"] => {
            Some(if text("authorization") == format!("Bearer {ACCESS_TOKEN}") {
                let token = json!({"token": {"methods": ["openid"], "user": {"id": "u"}}});
                Answer::new(201, token).with("x-subject-token", UNSCOPED.to_owned())
            } else {
                Answer::new(
                    401,
                    json!({"error": {"code": 401, "message": "The request you have made requires authentication."}}),
                )
            })
        }
        ["v3", "auth", "projects"] if text("x-auth-token") == UNSCOPED => Some(Answer::new(
            200,
            json!({"projects": [{"id": "demo-project", "name": "demo", "domain_id": "default"}]}),
        )),
        _ => None,
    }
}

/// What trades the token without a project for one with it.
pub fn scoped() -> Value {
    let identity = json!({"methods": ["token"], "token": {"id": UNSCOPED}});
    json!({"auth": {"identity": identity, "scope": {"project": {"id": "demo-project"}}}})
}
