//! Nova.

use super::state::{Answer, State, refuse, unknown_key};
use hyper::Method;
use serde_json::{Value, json};

const NO_SERVER: &str = "Instance could not be found.";

impl State {
    pub(super) fn compute(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &[(String, String)],
        body: &Value,
    ) -> Answer {
        match (method.as_str(), path) {
            ("GET", ["servers", "detail"]) => {
                let ids: Vec<_> = self.of("servers").keys().cloned().collect();
                ids.iter().for_each(|id| self.advance(id));
                self.list("servers", query, |server, name, value| match name {
                    "name" => Some(server["name"].as_str().is_some_and(|name| name.contains(value))),
                    "tags" => Some(server["tags"].as_array().is_some_and(|tags| tags.contains(&value.into()))),
                    _ => None,
                })
            }
            ("GET", ["servers", id]) => {
                self.advance(id);
                match self.of("servers").get(*id) {
                    Some(server) => Answer::new(200, json!({ "server": server })),
                    None => refuse(404, NO_SERVER),
                }
            }
            ("POST", ["servers"]) => self.boot(&body["server"]),
            ("DELETE", ["servers", id]) => match self.of("servers").get_mut(*id) {
                Some(server) => {
                    server["OS-EXT-STS:task_state"] = "deleting".into();
                    Answer::new(204, Value::Null)
                }
                None => refuse(404, NO_SERVER),
            },
            ("POST", ["servers", id, "action"]) => self.act(id, body),
            ("POST", ["servers", id, "os-volume_attachments"]) => self.attach(id, &body["volumeAttachment"]),
            ("GET", ["flavors", "detail"]) => self.list("flavors", query, |_, _, _| None),
            ("GET", ["os-availability-zone"]) => Answer::new(
                200,
                json!({"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": true}, "hosts": null}]}),
            ),
            ("GET", ["os-quota-sets", "demo-project", "detail"]) => {
                let used = self.of("servers").len();
                let limit = |used: usize, limit: i64| json!({"in_use": used, "reserved": 0, "limit": limit});
                Answer::new(
                    200,
                    json!({"quota_set": {
                        "id": "demo-project", "cores": limit(used, 200), "ram": limit(512 * used, -1),
                        "instances": limit(used, self.quota as i64),
                    }}),
                )
            }
            _ => refuse(404, "The resource could not be found."),
        }
    }

    /// What happened to a server since somebody looked last.
    fn advance(&mut self, id: &str) {
        let Some(server) = self.of("servers").get_mut(id) else { return };
        if server["OS-EXT-STS:task_state"] == "deleting" {
            self.of("servers").remove(id);
            self.of("user_data").remove(id);
            for port in self.of("ports").values_mut().filter(|port| port["device_id"] == id) {
                (port["device_id"], port["device_owner"]) = ("".into(), "".into());
            }
            for volume in self.of("volumes").values_mut().filter(|volume| volume["attachments"][0]["server_id"] == id) {
                (volume["status"], volume["attachments"]) = ("available".into(), json!([]));
            }
            return;
        }
        if server["status"] == "BUILD" {
            let room = server["metadata"]["no_room"].is_null();
            server["hostId"] = if room { "host-1".into() } else { "".into() };
            server["status"] = if room { "ACTIVE".into() } else { "ERROR".into() };
            if !room {
                server["fault"] =
                    json!({"code": 500, "message": "No valid host was found. There are not enough hosts available."});
            }
        }
        if server["status"] == "RESIZE" {
            let (flavor, status) = (server["new_flavor"].take(), "VERIFY_RESIZE");
            server["flavor"] = flavor;
            server["status"] = status.into();
        }
        server["OS-EXT-STS:task_state"] = Value::Null;
    }

    fn boot(&mut self, order: &Value) -> Answer {
        let known = [
            "name",
            "flavorRef",
            "imageRef",
            "networks",
            "metadata",
            "tags",
            "availability_zone",
            "user_data",
            "block_device_mapping_v2",
        ];
        if let Some(key) = unknown_key(order, &known) {
            return refuse(400, &format!("Additional properties are not allowed ('{key}' was unexpected)"));
        }
        let Some(flavor) = self.flavor(&order["flavorRef"]) else {
            return refuse(400, "Invalid flavorRef provided.");
        };
        if self.of("servers").len() >= self.quota {
            return refuse(403, "Quota exceeded for instances: Requested 1, but already used all instances");
        }
        let devices: Vec<Value> = order["block_device_mapping_v2"].as_array().cloned().unwrap_or_default();
        let boots_from_volume =
            devices.iter().any(|device| device["boot_index"] == 0 && device["destination_type"] == "volume");
        if boots_from_volume != order["imageRef"].is_null() {
            return refuse(
                400,
                "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.",
            );
        }
        if let Some(image) = order["imageRef"].as_str()
            && !self.of("images").contains_key(image)
        {
            return refuse(400, &format!("Can not find requested image {image}"));
        }
        let id = format!("server-{:06}", self.number());
        let mut attached = Vec::new();
        for device in devices.iter().filter(|device| device["source_type"] == "volume") {
            let volume = device["uuid"].as_str().unwrap_or_default();
            match self.of("volumes").get_mut(volume) {
                Some(volume) if volume["status"] == "available" => attached.push(volume["id"].clone()),
                _ => return refuse(400, "Invalid volume: volume is not in state available"),
            }
        }
        let ports: Vec<_> = order["networks"].as_array().into_iter().flatten().map(|net| net["port"].clone()).collect();
        if ports.is_empty() {
            return refuse(400, "Invalid input for field/attribute networks.");
        }
        for port in &ports {
            match self.of("ports").get(port.as_str().unwrap_or_default()) {
                None => return refuse(400, "Port could not be found."),
                Some(port) if port["device_id"] != "" => return refuse(409, "Port is still in use."),
                Some(_) => {}
            }
        }
        for port in &ports {
            if let Some(port) = self.of("ports").get_mut(port.as_str().unwrap_or_default()) {
                (port["device_id"], port["device_owner"]) = (id.as_str().into(), "compute:nova".into());
            }
        }
        for volume in &attached {
            self.hold(volume.as_str().unwrap_or_default(), &id);
        }
        if let Some(text) = order["user_data"].as_str() {
            let text = openssl::base64::decode_block(text).unwrap();
            self.keep("user_data", &id, String::from_utf8(text).unwrap().into());
        }
        let attached: Vec<_> = attached.iter().map(|id| json!({ "id": id })).collect();
        let created = format!("2026-01-01T00:00:{:02}Z", self.number() % 60);
        let image = order["imageRef"].as_str().map_or(json!(""), |image| json!({ "id": image }));
        self.keep("servers", &id, json!({
            "id": id, "name": order["name"], "status": "BUILD", "metadata": order["metadata"], "tags": order["tags"],
            "flavor": flavor, "addresses": {}, "hostId": "", "created": created, "image": image,
            "OS-EXT-STS:task_state": "scheduling", "OS-EXT-STS:vm_state": "building",
            "os-extended-volumes:volumes_attached": attached,
        }));
        Answer::new(202, json!({"server": {"id": id, "links": [], "adminPass": "x"}}))
    }

    /// A flavor as servers show it.
    fn flavor(&mut self, id: &Value) -> Option<Value> {
        let flavor = self.of("flavors").values().find(|flavor| flavor["id"] == *id)?;
        Some(json!({
            "original_name": flavor["name"], "vcpus": flavor["vcpus"], "ram": flavor["ram"], "disk": flavor["disk"],
            "ephemeral": 0, "swap": 0, "extra_specs": {},
        }))
    }

    fn act(&mut self, id: &str, body: &Value) -> Answer {
        let flavor = self.flavor(&body["resize"]["flavorRef"]);
        let Some(server) = self.of("servers").get_mut(id) else { return refuse(404, NO_SERVER) };
        let Some((name, asked)) = body.as_object().and_then(|body| body.iter().next()) else {
            return refuse(400, "There is no such action");
        };
        let status = server["status"].as_str().unwrap_or_default().to_owned();
        let conflict = || refuse(409, &format!("Cannot '{name}' instance {id} while it is in vm_state {status}"));
        if !server["OS-EXT-STS:task_state"].is_null() {
            return refuse(409, &format!("Cannot '{name}' instance {id} while it is in task_state"));
        }
        match (name.as_str(), status.as_str()) {
            ("os-start", "SHUTOFF") => server["status"] = "ACTIVE".into(),
            ("os-stop", "ACTIVE") => server["status"] = "SHUTOFF".into(),
            ("reboot", "ACTIVE" | "SHUTOFF") if *asked == json!({"type": "HARD"}) => server["status"] = "ACTIVE".into(),
            ("resize", "ACTIVE" | "SHUTOFF") => {
                let Some(flavor) = flavor else { return refuse(400, "Unable to locate requested flavor.") };
                if flavor == server["flavor"] {
                    return refuse(400, "When resizing, instances must change flavor!");
                }
                server["new_flavor"] = flavor;
                server["status"] = "RESIZE".into();
                server["OS-EXT-STS:task_state"] = "resize_prep".into();
                return Answer::new(202, Value::Null);
            }
            ("confirmResize", "VERIFY_RESIZE") => {
                server["status"] = "ACTIVE".into();
                return Answer::new(204, Value::Null);
            }
            ("createImage", "ACTIVE" | "SHUTOFF") => {
                let name = asked["name"].as_str().unwrap_or_default().to_owned();
                let is_printable = name.chars().all(|c| !c.is_control());
                if name.is_empty() || name.len() > 255 || name.trim() != name || !is_printable {
                    return refuse(400, "Invalid input for field/attribute name.");
                }
                let metadata = asked["metadata"].clone();
                let id = format!("image-{:06}", self.number());
                let mut image = json!({"id": id, "name": name, "status": "active", "min_disk": 10, "min_ram": 0});
                for (key, value) in metadata.as_object().into_iter().flatten() {
                    image[key] = value.clone();
                }
                self.keep("images", &id, image);
                return Answer::new(202, json!({ "image_id": id }));
            }
            ("os-start" | "os-stop" | "reboot" | "confirmResize" | "createImage", _) => return conflict(),
            _ => return refuse(400, "There is no such action"),
        }
        Answer::new(202, Value::Null)
    }

    fn attach(&mut self, id: &str, attachment: &Value) -> Answer {
        if let Some(key) = unknown_key(attachment, &["volumeId", "device"]) {
            return refuse(400, &format!("Additional properties are not allowed ('{key}' was unexpected)"));
        }
        let volume = attachment["volumeId"].as_str().unwrap_or_default().to_owned();
        if !self.of("servers").contains_key(id) {
            return refuse(404, NO_SERVER);
        }
        match self.of("volumes").get(&volume).map(|volume| volume["status"].clone()) {
            None => return refuse(404, "Volume could not be found."),
            Some(status) if status != "available" => return refuse(400, "Invalid volume: status must be available."),
            Some(_) => {}
        }
        self.hold(&volume, id);
        let server = self.of("servers").get_mut(id).unwrap();
        server["os-extended-volumes:volumes_attached"].as_array_mut().unwrap().push(json!({ "id": volume }));
        Answer::new(
            200,
            json!({"volumeAttachment": {"id": volume, "volumeId": volume, "serverId": id, "device": "/dev/vdb"}}),
        )
    }

    /// A volume is in use by a server.
    fn hold(&mut self, volume: &str, server: &str) {
        if let Some(volume) = self.of("volumes").get_mut(volume) {
            volume["status"] = "in-use".into();
            volume["attachments"] = json!([{"server_id": server, "device": "/dev/vdb"}]);
        }
    }

    pub(super) fn user_data(&mut self, id: &str) -> Option<String> {
        self.of("user_data").get(id)?.as_str().map(str::to_owned)
    }

    /// The image that a server was made of.
    pub fn image_of(&mut self, id: &str) -> Option<String> {
        self.of("servers").get(id)?["image"]["id"].as_str().map(str::to_owned)
    }
}
