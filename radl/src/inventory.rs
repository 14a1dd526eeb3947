//! What recipes see of the document, as `IM_INFRASTRUCTURE_RADL`.

use crate::model::Radl;
use serde_json::{Map, Value as Json};

impl Radl {
    /// The JSON form of networks, systems and deploys, with `.` replaced by `_` in the keys of each object (Ansible could
    /// not name them otherwise).
    #[must_use]
    pub fn inventory_json(&self) -> Json {
        let shown = Self {
            networks: self.networks.clone(),
            systems: self.systems.clone(),
            deploys: self.deploys.clone(),
            ..Self::default()
        };
        match shown.to_json() {
            Json::Array(objects) => objects.into_iter().map(renamed).collect(),
            other => other,
        }
    }
}

fn renamed(object: Json) -> Json {
    match object {
        Json::Object(object) => {
            let renamed: Map<String, Json> =
                object.into_iter().map(|(key, value)| (key.replace('.', "_"), value)).collect();
            Json::Object(renamed)
        }
        other => other,
    }
}
