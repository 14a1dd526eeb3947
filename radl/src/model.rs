//! The document as plain data: one struct per sentence class.

use crate::features::Features;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Stands for a number of machines, a step or a time that is not a whole number: the parsers keep it, `check` refuses it
/// like any other negative one.
pub const NOT_WHOLE: i64 = -1;

/// A whole document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Radl {
    /// `description`
    pub description: Option<Description>,
    /// `ansible`: external control nodes.
    pub ansible_hosts: Vec<AnsibleHost>,
    /// `network`
    pub networks: Vec<Network>,
    /// `system`
    pub systems: Vec<System>,
    /// `configure`
    pub configures: Vec<Configure>,
    /// `contextualize`, all sentences merged; none without a sentence.
    pub contextualize: Option<Contextualize>,
    /// `deploy`
    pub deploys: Vec<Deploy>,
}

/// `description ID ( ... )`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The id.
    pub id: String,
    /// Free features; `name` is the display name of the infrastructure.
    pub features: Features,
    /// Whether it was written without a body.
    #[serde(default)]
    pub reference: bool,
    /// Line of the sentence (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// `ansible ID ( ... )`: an external control node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AnsibleHost {
    /// The id.
    pub id: String,
    /// `host`, `credentials.*`.
    pub features: Features,
    /// Line of the sentence (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// `network ID ( ... )`, or a reference `network ID`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The id.
    pub id: String,
    /// Its features; empty for a reference.
    pub features: Features,
    /// Whether it refers to a stored definition.
    #[serde(default)]
    pub reference: bool,
    /// Line of the sentence (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// `system NAME ( ... )`, or a reference `system NAME`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// The name.
    pub name: String,
    /// Its features; empty for a reference.
    pub features: Features,
    /// Whether it refers to a stored definition.
    #[serde(default)]
    pub reference: bool,
    /// Line of the sentence (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// `configure NAME ( @begin ... @end )`, an empty one, or a reference.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Configure {
    /// The name.
    pub name: String,
    /// The recipe; none for `configure X ()` and for references.
    pub recipe: Option<String>,
    /// Whether it refers to a stored definition.
    #[serde(default)]
    pub reference: bool,
    /// Line of the sentence (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// All `contextualize` sentences, merged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contextualize {
    /// Seconds for the whole process; 0 means the configured maximum.
    pub max_time: i64,
    /// Items in order; one per pair (system, configure).
    pub items: Vec<ContextualizeItem>,
    /// Options in order, by name (`ansible_version`, `ctxt_strategy`, ...).
    pub options: IndexMap<String, crate::features::Value>,
    /// Line of the first sentence (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// `system S configure C [step N] [with TOOL]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContextualizeItem {
    /// System it applies to.
    pub system: String,
    /// Recipe to run.
    pub configure: String,
    /// Ordering number; equal steps run side by side.
    pub step: i64,
    /// `Ansible` when absent, or `cloud_init`.
    pub tool: Option<String>,
    /// Step of an item of the same pair that this one took the place of, when it was another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_step: Option<i64>,
    /// Line of the item (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// `deploy SYSTEM N [CLOUD]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// System to launch.
    pub system: String,
    /// How many machines.
    pub number: i64,
    /// Cloud id of the credentials, none to let the daemon choose.
    pub cloud: Option<String>,
    /// Line of the sentence (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// Who a contextualize item is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// A recipe that Ansible runs.
    Ansible,
    /// Data that the cloud gives the machine for its first boot.
    CloudInit,
}

impl Tool {
    /// The names, as documents spell them.
    pub const NAMES: [&str; 2] = ["Ansible", "cloud_init"];

    /// The tool of a name, in any case; none when there is no such tool.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let [ansible, cloud_init] = Self::NAMES;
        match name {
            _ if name.eq_ignore_ascii_case(ansible) => Some(Self::Ansible),
            _ if name.eq_ignore_ascii_case(cloud_init) => Some(Self::CloudInit),
            _ => None,
        }
    }
}

impl ContextualizeItem {
    /// The tool; none when the item names an unknown one, which `check` refuses.
    #[must_use]
    pub fn tool(&self) -> Option<Tool> {
        self.tool.as_deref().filter(|name| !name.is_empty()).map_or(Some(Tool::Ansible), Tool::named)
    }
}

impl Contextualize {
    /// Whether contextualization is switched off: a sentence without items and options. Options alone do not.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.items.is_empty() && self.options.is_empty()
    }

    /// Adds items in order; one for a known pair (system, configure) replaces the known one in place.
    pub fn add_items(&mut self, items: impl IntoIterator<Item = ContextualizeItem>) {
        let known = std::mem::take(&mut self.items);
        let mut merged: IndexMap<(String, String), ContextualizeItem> = IndexMap::new();
        for mut item in known.into_iter().chain(items) {
            let pair = (item.system.clone(), item.configure.clone());
            let former = merged.get(&pair).map(|former| former.step).filter(|step| *step != item.step);
            item.replaced_step = former.or(item.replaced_step);
            merged.insert(pair, item);
        }
        self.items = merged.into_values().collect();
    }
}

/// One network interface of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface<'a> {
    /// N of `net_interface.N`.
    pub index: usize,
    /// Id of the network.
    pub connection: &'a str,
    /// IPv4 address, once known or when fixed.
    pub ip: Option<&'a str>,
    /// IPv6 address, once known.
    pub ipv6: Option<&'a str>,
    /// Requested name, a template that may hold `#N#`.
    pub dns_name: Option<&'a str>,
}

/// `disk.0.os.credentials.*`
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Public key (OpenSSH form).
    pub public_key: Option<String>,
    /// Private key (PEM or OpenSSH form).
    pub private_key: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Radl {
    /// The network with this id.
    #[must_use]
    pub fn network(&self, id: &str) -> Option<&Network> {
        self.networks.iter().find(|n| n.id == id)
    }

    /// The system with this name.
    #[must_use]
    pub fn system(&self, name: &str) -> Option<&System> {
        self.systems.iter().find(|s| s.name == name)
    }

    /// Lets the networks and systems of two documents share what is equal in them, so that it takes its room once:
    /// documents of many machines are alike. Neither changes by it.
    pub fn share(&mut self, with: &Self) {
        for (ours, theirs) in self.networks.iter_mut().zip(&with.networks) {
            ours.features.share(&theirs.features);
        }
        for (ours, theirs) in self.systems.iter_mut().zip(&with.systems) {
            ours.features.share(&theirs.features);
        }
    }

    /// Whether there is a description and nothing else.
    pub(crate) fn is_description_only(&self) -> bool {
        let described = Self { description: self.description.clone(), ..Self::default() };
        self.description.is_some() && *self == described
    }

    /// The pairs (system, configure) whose recipe Ansible runs: those of the items, or, where there are none, every
    /// system with a configure of its name.
    pub fn ansible_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let items = self.contextualize.as_ref().map(|section| section.items.as_slice()).unwrap_or_default();
        let explicit = items.iter().filter(|item| item.tool() == Some(Tool::Ansible));
        let implicit = items.is_empty() && !self.contextualize.as_ref().is_some_and(Contextualize::is_disabled);
        // Only where they are asked for: a look through all of them for every system would take its time.
        let names: HashSet<&str> = match implicit {
            true => self.configures.iter().map(|configure| configure.name.as_str()).collect(),
            false => HashSet::new(),
        };
        let own = self.systems.iter().filter(move |system| names.contains(system.name.as_str()));
        explicit
            .map(|item| (item.system.as_str(), item.configure.as_str()))
            .chain(own.map(|system| (system.name.as_str(), system.name.as_str())))
    }

    /// What cloud-init does on machines of a system: the recipe of the last item that says so.
    #[must_use]
    pub fn cloud_init(&self, system: &str) -> Option<&Configure> {
        let mut items = self.contextualize.iter().flat_map(|section| &section.items);
        let item = items.rfind(|item| item.system == system && item.tool() == Some(Tool::CloudInit))?;
        self.configure(&item.configure)
    }

    /// The configure with this name.
    #[must_use]
    pub fn configure(&self, name: &str) -> Option<&Configure> {
        self.configures.iter().find(|c| c.name == name)
    }
}

impl Network {
    /// Whether machines on it are reachable from outside (`outbound = 'yes'`, any case).
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.features.text("outbound").is_some_and(|o| o.eq_ignore_ascii_case("yes"))
    }
}

impl System {
    /// The interfaces from 0 up to the first number without a connection.
    pub fn interfaces(&self) -> impl Iterator<Item = Interface<'_>> {
        (0..).map_while(|index| {
            let text = |key: &str| self.features.text(&format!("net_interface.{index}.{key}"));
            Some(Interface {
                index,
                connection: text("connection")?,
                ip: text("ip"),
                ipv6: text("ipv6"),
                dns_name: text("dns_name"),
            })
        })
    }

    /// The current login credentials of the machine.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.credentials_at("disk.0.os.credentials.")
    }

    /// The credentials that are to replace the current ones (the user name never changes).
    #[must_use]
    pub fn new_credentials(&self) -> Credentials {
        self.credentials_at("disk.0.os.credentials.new.")
    }

    fn credentials_at(&self, prefix: &str) -> Credentials {
        let text = |key: &str| self.features.text(&format!("{prefix}{key}")).map(str::to_owned);
        Credentials {
            username: text("username"),
            password: text("password"),
            public_key: text("public_key"),
            private_key: text("private_key"),
        }
    }
}
