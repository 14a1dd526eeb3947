//! Ids, places in a cloud, and the marks by which everything that was made is found again.

use crate::error::{ConnectorError, ErrorClass};
use serde::{Deserialize, Serialize};

/// Our own id of a machine, chosen and made durable before the cloud is called; the mark that finds it again.
/// Text of `[a-z0-9-]`, at most 36 characters, so that every cloud can carry it in a name, tag or label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VmUid(pub String);

impl std::fmt::Display for VmUid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The cloud's id of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderId(pub String);

impl std::fmt::Display for ProviderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Our own id of an image, chosen and made durable before the cloud is called; the mark that finds it again. Text of the
/// same form as a [`VmUid`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageUid(pub String);

/// The part of a cloud that something is made in, by the cloud's own names. It is chosen with the candidate, durable before
/// the cloud is called, and says where to look for the thing afterwards. A cloud that is not divided in a way has none of
/// that name; a cloud that is not divided at all has the default. Where nobody knows the location of a thing (of imports, for
/// one) it is the default, too, and the whole cloud is searched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    /// Region or data centre.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Availability zone of the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Resource group or name space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
    /// Project or tenant, where one account has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl Location {
    /// Whether the cloud is not divided, or nobody knows where.
    #[must_use]
    pub fn is_whole_cloud(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something that is there is among what is looked for here.
    #[must_use]
    pub fn covers(&self, there: &Self) -> bool {
        self.is_whole_cloud() || self == there
    }
}

/// The parts that are known, as in `region=north,zone=a`.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("project", &self.project),
            ("resource_group", &self.resource_group),
            ("region", &self.region),
            ("zone", &self.zone),
        ];
        let known = parts.into_iter().filter_map(|(name, part)| Some((name, part.as_deref()?)));
        for (number, (name, part)) in known.enumerate() {
            write!(f, "{}{name}={part}", if number == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// What the machines of an infrastructure in one location, and all that they share there, are found by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfrastructureMark {
    /// Infrastructure id.
    pub infrastructure: String,
    /// Where they were made.
    pub location: Location,
}

impl InfrastructureMark {
    /// The mark of an infrastructure in a cloud that is not divided.
    #[must_use]
    pub fn in_whole_cloud(infrastructure: &str) -> Self {
        Self { infrastructure: infrastructure.to_owned(), location: Location::default() }
    }
}

/// What a machine and everything that belongs to it (key pair, volumes, addresses, ...) is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmMark {
    /// Infrastructure id.
    pub infrastructure: String,
    /// Where it was made.
    pub location: Location,
    /// Our id of the machine.
    pub uid: VmUid,
    /// The cloud's id of the machine, once it is known.
    pub id: Option<ProviderId>,
}

impl VmMark {
    /// Refuses the machine of this id when it carries the mark of another infrastructure: who knows its id alone has no
    /// right to it.
    ///
    /// # Errors
    /// [`ErrorClass::Denied`].
    pub fn admit(&self, infrastructure: Option<&str>) -> Result<(), ConnectorError> {
        if infrastructure.is_none_or(|owner| owner == self.infrastructure) {
            return Ok(());
        }
        let id = self.id.as_ref().map(ToString::to_string).unwrap_or_default();
        Err(ConnectorError::new(ErrorClass::Denied, format!("The machine {id} belongs to another infrastructure")))
    }

    /// The cloud's id, for what needs a machine that exists.
    ///
    /// # Errors
    /// [`ErrorClass::NotFound`] when it is not known.
    pub fn existing(&self) -> Result<&ProviderId, ConnectorError> {
        let missing = || ConnectorError::new(ErrorClass::NotFound, "The machine has no id of its cloud yet");
        self.id.as_ref().ok_or_else(missing)
    }
}

/// A machine found by the mark of its infrastructure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Our id, read from the mark.
    pub uid: VmUid,
    /// The cloud's id.
    pub id: ProviderId,
    /// Where it is.
    pub location: Location,
}

impl Found {
    /// The mark it was found by, for a machine of this infrastructure.
    #[must_use]
    pub fn mark(&self, infrastructure: &str) -> VmMark {
        VmMark {
            infrastructure: infrastructure.to_owned(),
            location: self.location.clone(),
            uid: self.uid.clone(),
            id: Some(self.id.clone()),
        }
    }
}
