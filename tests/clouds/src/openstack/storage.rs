//! Cinder and Glance.

use super::state::{Answer, State, is_text, refuse, unknown_key};
use hyper::Method;
use serde_json::{Value, json};

impl State {
    pub(super) fn volume(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &[(String, String)],
        body: &Value,
    ) -> Answer {
        match (method.as_str(), path) {
            ("GET", ["volumes", "detail"]) => self.list("volumes", query, |_, _, _| None),
            ("GET", ["volumes", id]) => match self.of("volumes").get_mut(*id) {
                Some(volume) => {
                    if volume["status"] == "creating" {
                        volume["status"] = "available".into();
                    }
                    Answer::new(200, json!({ "volume": volume }))
                }
                None => refuse(404, "Volume could not be found."),
            },
            ("POST", ["volumes"]) => {
                let order = &body["volume"];
                if let Some(key) = unknown_key(order, &["name", "size", "metadata", "volume_type", "imageRef"]) {
                    return refuse(400, &format!("Additional properties are not allowed ('{key}' was unexpected)"));
                }
                let id = self.make_volume(order);
                let mut volume = self.of("volumes")[&id].clone();
                volume["status"] = "creating".into();
                self.keep("volumes", &id, volume.clone());
                Answer::new(202, json!({ "volume": volume }))
            }
            ("DELETE", ["volumes", id]) => match self.of("volumes").get(*id).map(|volume| volume["status"].clone()) {
                None => refuse(404, "Volume could not be found."),
                Some(status) if status != "available" => {
                    refuse(400, "Invalid volume: Volume status must be available or error")
                }
                Some(_) => {
                    self.of("volumes").remove(*id);
                    Answer::new(202, Value::Null)
                }
            },
            ("GET", ["os-quota-sets", "demo-project"]) => {
                let used = self.of("volumes").len();
                let limit = |limit: i64| json!({"in_use": used, "reserved": 0, "limit": limit});
                Answer::new(
                    200,
                    json!({"quota_set": {"id": "demo-project", "volumes": limit(50), "gigabytes": limit(-1)}}),
                )
            }
            _ => refuse(404, "The resource could not be found."),
        }
    }

    pub(super) fn make_volume(&mut self, order: &Value) -> String {
        let id = format!("volume-{:06}", self.number());
        let volume_type =
            if order["volume_type"].is_null() { "__DEFAULT__".into() } else { order["volume_type"].clone() };
        let metadata = if order["metadata"].is_null() { json!({}) } else { order["metadata"].clone() };
        self.keep(
            "volumes",
            &id,
            json!({
                "id": id, "name": order["name"], "size": order["size"], "status": "available", "metadata": metadata,
                "attachments": [], "volume_type": volume_type,
            }),
        );
        id
    }

    pub(super) fn image(&mut self, method: &Method, path: &[&str], query: &[(String, String)]) -> Answer {
        match (method.as_str(), path) {
            ("GET", ["images"]) => self.list("images", query, |image, name, value| Some(is_text(image, name, value))),
            ("GET", ["images", id]) => match self.of("images").get(*id) {
                Some(image) => Answer::new(200, image.clone()),
                None => refuse(404, "No image found with this ID"),
            },
            ("DELETE", ["images", id]) => match self.of("images").remove(*id) {
                Some(_) => Answer::new(204, Value::Null),
                None => refuse(404, "No image found with this ID"),
            },
            _ => refuse(404, "The resource could not be found."),
        }
    }
}
