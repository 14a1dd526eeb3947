//! The document of an exported infrastructure, which is also what the reference stores (docs/spec/api.md 5.6 and 7.3). Older
//! writers kept parts of it as JSON texts inside; missing fields have their defaults, unknown ones of machines are kept.

use crate::engine::{
    misfit::{self, Misfit},
    state::{extra_info::ExtraInfo, model::CloudRef},
};
use connectors::{ImageIntent, Location, SharedResources, VmUid, dns::RecordEntry};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};

/// Where a machine keeps what connectors keep of its cloud, among what they keep of the machine: a name that is taken in
/// the document.
pub(super) const CLOUD_EXTRA: &str = "cloud";

/// An infrastructure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InfrastructureRecord {
    /// Its id.
    pub id: String,
    /// Its machines by number, deleted ones too.
    pub vm_list: Vec<VmRecord>,
    /// Its owners as credential items.
    #[serde(default)]
    pub auth: Vec<Map<String, Value>>,
    /// The stored document.
    pub radl: String,
    /// Cloud that each private network is bound to.
    #[serde(default)]
    pub private_networks: BTreeMap<String, String>,
    /// Of no use.
    #[serde(default)]
    pub system_counter: i64,
    /// Whether it was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// Number of the machine that Ansible runs on.
    #[serde(default)]
    pub vm_master: Option<u32>,
    /// Of no use.
    #[serde(default)]
    pub vm_id: i64,
    /// Its log.
    #[serde(default)]
    pub cont_out: String,
    /// Whether Ansible was set up.
    #[serde(default)]
    pub ansible_configured: Option<bool>,
    /// Result of the contextualization.
    #[serde(default)]
    pub configured: Option<bool>,
    /// What it carries besides: the TOSCA document it was made from.
    #[serde(default)]
    pub extra_info: ExtraInfo,
    /// URLs of images to delete with it.
    #[serde(default)]
    pub snapshots: Vec<String>,
    /// Creation, seconds since the epoch.
    #[serde(default)]
    pub creation_date: Option<i64>,
    /// What it has in clouds besides machines; none where nobody knows: the reference does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_clouds: Option<InClouds>,
}

/// What an infrastructure has in clouds besides machines, by cloud id.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InClouds {
    /// What its machines share; none where it was asked for and nobody knows what came of it.
    pub shared: BTreeMap<String, Option<SharedResources>>,
    /// Images to delete with it, by their URLs.
    #[serde(default)]
    pub images: Vec<(String, String)>,
    /// Images that could not be made, and of which something may be left.
    #[serde(default)]
    pub unmade_images: Vec<(String, ImageIntent)>,
    /// Clouds without a machine of it, where it may share something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub full_clouds: Vec<Arc<CloudRef>>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmRecord {
    /// The cloud's id; none when it could not be launched.
    #[serde(default, deserialize_with = "text_or_number")]
    pub id: Option<String>,
    /// Its number.
    pub im_id: u32,
    /// The number it had while it was made.
    #[serde(default)]
    pub creation_im_id: Option<u32>,
    /// Its state.
    #[serde(default = "unknown")]
    pub state: String,
    /// Whether it was deleted.
    #[serde(default)]
    pub destroy: bool,
    /// Whether it is being deleted.
    #[serde(default)]
    pub deleting: bool,
    /// Whether it is being made.
    #[serde(default)]
    pub creating: bool,
    /// When the cloud was asked last, seconds since the epoch.
    #[serde(default)]
    pub last_update: i64,
    /// Creation, seconds since the epoch.
    #[serde(default)]
    pub creation_date: Option<i64>,
    /// Where it lives.
    pub cloud: CloudRecord,
    /// Its document now.
    pub info: String,
    /// Its document as asked for.
    #[serde(default)]
    pub requested_radl: String,
    /// Its log.
    #[serde(default)]
    pub cont_out: Option<String>,
    /// Why it could not be launched.
    #[serde(default)]
    pub error_msg: Option<String>,
    /// Result of its contextualization.
    #[serde(default)]
    pub configured: Option<bool>,
    /// Process of its contextualization: nothing is running any more.
    #[serde(default)]
    pub ctxt_pid: Option<Value>,
    /// Of no use.
    #[serde(default)]
    pub ssh_connect_errors: i64,
    /// Our own id of it, the mark of all that was made for it; the reference has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<VmUid>,
    /// The records of its names that were made for it; the reference has none of this form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_records: Vec<RecordEntry>,
    /// What connectors keep (volumes, addresses, keys): handed on as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl InfrastructureRecord {
    /// Reads a document: as the reference stores it, as clients write it into a file (a text in JSON), or still in the
    /// answer that brought it (`{"data": ...}`).
    ///
    /// # Errors
    /// The place in the document, and what should be there.
    pub fn read(text: &str) -> Result<Self, Misfit> {
        let mut document = opened(serde_json::from_str(text)?, "")?;
        if let Value::Object(members) = &mut document
            && members.len() == 1
            && let Some(inside) = members.shift_remove("data")
        {
            document = opened(inside, "data")?;
        }
        let Value::Object(members) = &mut document else { return Err(Misfit::expected("an object")) };
        for name in ["vm_list", "auth", "extra_info"] {
            open(members, name, name)?;
        }
        if let Some(Value::Array(vms)) = members.get_mut("vm_list") {
            for (number, vm) in vms.iter_mut().enumerate() {
                let path = format!("vm_list[{number}]");
                *vm = opened(vm.take(), &path)?;
                if let Value::Object(vm) = vm {
                    open(vm, "cloud", &format!("{path}.cloud"))?;
                }
            }
        }
        misfit::typed(document)
    }
}

/// Opens a member.
fn open(members: &mut Map<String, Value>, name: &str, path: &str) -> Result<(), Misfit> {
    if let Some(member) = members.get_mut(name) {
        *member = opened(member.take(), path)?;
    }
    Ok(())
}

/// A value, or the one that a text holds.
fn opened(value: Value, path: &str) -> Result<Value, Misfit> {
    match value {
        Value::String(text) => serde_json::from_str(&text).map_err(|error| Misfit::from(error).at(path)),
        other => Ok(other),
    }
}

/// A cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloudRecord {
    /// Label in the credentials.
    #[serde(default)]
    pub id: String,
    /// Connector type.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Host.
    #[serde(default)]
    pub server: String,
    /// Port; -1 for that of the type.
    #[serde(default = "usual_port")]
    pub port: i64,
    /// Protocol.
    #[serde(default)]
    pub protocol: String,
    /// Path.
    #[serde(default)]
    pub path: String,
    /// The part of the cloud; the reference has none.
    #[serde(default, skip_serializing_if = "Location::is_whole_cloud")]
    pub location: Location,
    /// What connectors keep.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

fn usual_port() -> i64 {
    -1
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Value>::deserialize(deserializer)? {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    })
}
