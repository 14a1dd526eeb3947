//! What the cloud holds: things as their services show them, by kind and id, and lists of them in pages.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A reply.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

impl Answer {
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A refusal in the form of Nova and Cinder.
pub fn refuse(status: u16, message: &str) -> Answer {
    let name = match status {
        400 => "badRequest",
        403 => "forbidden",
        404 => "itemNotFound",
        409 => "conflictingRequest",
        413 => "overLimit",
        _ => "computeFault",
    };
    Answer::new(status, json!({name: {"code": status, "message": message}}))
}

/// Things of one kind, by id.
pub type Things = BTreeMap<String, Value>;

/// The cloud.
pub struct State {
    pub(super) things: BTreeMap<&'static str, Things>,
    pub(super) page: usize,
    pub(super) quota: usize,
    numbers: u32,
    initial: BTreeSet<String>,
}

impl State {
    pub(super) fn new(page: usize) -> Self {
        let mut state = Self { things: BTreeMap::new(), page, quota: 200, numbers: 0, initial: BTreeSet::new() };
        state.furnish();
        state.initial = state.all();
        state
    }

    fn furnish(&mut self) {
        for (name, vcpus, ram) in [("tiny", 1, 256), ("small", 1, 512), ("medium", 2, 512), ("large", 4, 2048)] {
            self.keep(
                "flavors",
                name,
                json!({
                    "id": format!("flavor-{name}"), "name": name, "vcpus": vcpus, "ram": ram, "disk": 10,
                    "OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": false, "extra_specs": {},
                }),
            );
        }
        self.keep(
            "images",
            "debian",
            json!({
                "id": "debian", "name": "Debian 12", "status": "active", "os_distro": "debian", "os_version": "12.5",
                "min_disk": 1, "min_ram": 0, "visibility": "public",
            }),
        );
        self.keep("networks", "outside", json!({
            "id": "outside", "name": "public", "description": "", "router:external": true, "shared": false, "tags": [],
            "port_security_enabled": true,
        }));
        self.keep(
            "subnets",
            "outside-v4",
            json!({
                "id": "outside-v4", "network_id": "outside", "cidr": "203.0.113.0/24", "host_routes": [],
            }),
        );
    }

    pub(super) fn keep(&mut self, kind: &'static str, id: &str, thing: Value) {
        self.things.entry(kind).or_default().insert(id.to_owned(), thing);
    }

    pub(super) fn of(&mut self, kind: &'static str) -> &mut Things {
        self.things.entry(kind).or_default()
    }

    pub(super) fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn all(&self) -> BTreeSet<String> {
        let named = |(kind, things): (&&str, &Things)| {
            let kind = (*kind).to_owned();
            things.keys().map(|id| format!("{kind} {id}")).collect::<Vec<_>>()
        };
        self.things.iter().flat_map(named).collect()
    }

    /// What was not there from the beginning.
    pub fn holdings(&self) -> Vec<String> {
        self.all()
            .difference(&self.initial)
            .filter(|thing| !thing.starts_with("security_group_rules"))
            .cloned()
            .collect()
    }

    /// Machines that the project may have.
    pub fn limit(&mut self, machines: usize) {
        self.quota = machines;
    }

    /// A page of a list, with what the query filters by; `links` says how the service tells the next page.
    pub(super) fn list(
        &mut self,
        kind: &'static str,
        query: &[(String, String)],
        fits: impl Fn(&Value, &str, &str) -> Option<bool>,
    ) -> Answer {
        let mut marker = None;
        let mut filters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in query {
            match name.as_str() {
                "marker" => marker = Some(value.clone()),
                "limit" => {}
                name => filters.entry(name).or_default().push(value),
            }
        }
        let mut found = Vec::new();
        for (id, thing) in self.of(kind).iter() {
            let mut admitted = true;
            for (name, values) in &filters {
                let outcomes: Option<Vec<bool>> = values.iter().map(|value| fits(thing, name, value)).collect();
                let Some(outcomes) = outcomes else { return refuse(400, &format!("{name} is no filter")) };
                admitted &= outcomes.contains(&true);
            }
            if admitted && marker.as_ref().is_none_or(|marker| id > marker) {
                found.push((id.clone(), thing.clone()));
            }
        }
        let more = found.len() > self.page;
        found.truncate(self.page);
        let mut body = Map::new();
        if let (true, Some((last, _))) = (more, found.last()) {
            let mut next = form_urlencoded::Serializer::new(String::new());
            let kept = query.iter().filter(|(name, _)| name != "marker");
            next.extend_pairs(kept).append_pair("marker", last);
            let next = format!("http://inside.example/{kind}?{}", next.finish());
            if kind == "images" {
                body.insert(
                    "next".to_owned(),
                    format!("/v2/images?{}", next.split('?').nth(1).unwrap_or_default()).into(),
                );
            } else {
                body.insert(format!("{kind}_links"), json!([{"rel": "next", "href": next}]));
            }
        }
        body.insert(kind.to_owned(), found.into_iter().map(|(_, thing)| thing).collect());
        Answer::new(200, body.into())
    }
}

/// Refuses a body with other keys than these.
pub fn unknown_key(body: &Value, known: &[&str]) -> Option<String> {
    let Some(body) = body.as_object() else { return Some("no object".to_owned()) };
    body.keys().find(|key| !known.contains(&key.as_str())).cloned()
}

/// Whether a text of a thing is the wanted one.
pub fn is_text(thing: &Value, name: &str, value: &str) -> bool {
    thing[name].as_str() == Some(value)
}
