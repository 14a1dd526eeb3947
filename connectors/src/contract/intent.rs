//! What is to exist. An intent is durable before the cloud is called, so that whoever comes after a dead daemon asks for the
//! same thing.

use super::{ImageUid, InfrastructureMark, Location, VmMark, VmUid};
use crate::user_data::UserData;
use ipnetwork::IpNetwork;
use radl::{Credentials, Features, Network, System};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A way to make the machines of a system: what [`Connector::candidates`](super::Connector::candidates) offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The concrete system: image and sizes chosen.
    pub system: System,
    /// Where it would be made.
    pub location: Location,
}

impl From<System> for Candidate {
    /// A system of a cloud that is not divided.
    fn from(system: System) -> Self {
        Self { system, location: Location::default() }
    }
}

/// The infrastructure that shared resources (networks, security groups, keys) belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct InfrastructureIntent {
    /// Infrastructure id, part of every mark.
    pub infrastructure: String,
    /// Where its machines are about to be made.
    pub location: Location,
    /// Who owns it, as texts that are equal for the same user: whose networks it may use.
    pub owners: Vec<String>,
    /// Networks that machines of this cloud use, in document order.
    ///
    /// `provider_id` names a network that exists. It is used, and never deleted for this infrastructure's sake; where
    /// infrastructures of one owner share a network that was made for one of them, it goes with the last. What
    /// [`SharedResources`] wrote into a document is a wish when that document comes again for another infrastructure: a
    /// `provider_id` of ours that is gone, or somebody else's, is no error but makes another network, and the `cidr`
    /// that was chosen with it gives way to what is free. A `cidr` that a user demands is had or refused for good.
    pub networks: Vec<Network>,
    /// Ranges of addresses that networks of this infrastructure have by now, in whatever cloud: one that is chosen for
    /// another network overlaps none of them, so that machines of all its clouds can be reached from each other.
    pub used_cidrs: Vec<IpNetwork>,
}

impl InfrastructureIntent {
    /// The mark of everything that is made for it.
    #[must_use]
    pub fn mark(&self) -> InfrastructureMark {
        InfrastructureMark { infrastructure: self.infrastructure.clone(), location: self.location.clone() }
    }
}

/// What the shared resources turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SharedResources {
    /// Features to set on a network of the document (`provider_id`, `cidr`), by network id.
    pub networks: BTreeMap<String, Features>,
}

/// A machine that is to exist. It is durable before [`Connector::create_vm`](super::Connector::create_vm) is called.
#[derive(Debug, Clone, PartialEq)]
pub struct VmIntent {
    /// Infrastructure id, part of the mark.
    pub infrastructure: String,
    /// Where it is made.
    pub location: Location,
    /// Our id of the machine; creating it twice gives the same machine.
    pub uid: VmUid,
    /// Number of the machine inside the infrastructure (`#N#`).
    pub number: u32,
    /// Host name, with its domain.
    pub fqdn: String,
    /// The concrete system: image chosen, defaults filled in, with the first login where the daemon makes it
    /// ([`FirstLogin`](super::FirstLogin)) and what became known of the machine since.
    pub system: System,
    /// The system as the user asked for it: which addresses and names are wishes, and which were found out.
    pub requested: System,
    /// Networks of the document that the system is connected to.
    pub networks: Vec<Network>,
    /// Marks to put on it besides our own: those of the document (`instance_tags`), then those of the configuration.
    pub tags: Vec<(String, String)>,
    /// What cloud-init is to do at its first boot, in clouds that can be told.
    pub user_data: UserData,
}

impl VmIntent {
    /// The mark of everything that is made for it.
    #[must_use]
    pub fn mark(&self) -> VmMark {
        VmMark {
            infrastructure: self.infrastructure.clone(),
            location: self.location.clone(),
            uid: self.uid.clone(),
            id: None,
        }
    }

    /// Its first login: user, password, key pair. A connector hands it to the cloud and makes none of its own, so that the
    /// private half is there whatever becomes of the cloud's answer.
    #[must_use]
    pub fn login(&self) -> Credentials {
        self.system.credentials()
    }

    /// The operating system of the machine.
    #[must_use]
    pub fn guest_os(&self) -> GuestOs {
        GuestOs::of(&self.system)
    }
}

/// The operating system of a machine, as far as clouds treat machines by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GuestOs {
    /// One with a secure shell.
    #[default]
    Linux,
    /// Windows, which has WinRM and understands no shell.
    Windows,
}

impl GuestOs {
    /// The one that a system asks for (`disk.0.os.name`).
    #[must_use]
    pub fn of(system: &System) -> Self {
        let name = system.features.text("disk.0.os.name");
        if name.is_some_and(|name| name.eq_ignore_ascii_case("windows")) { Self::Windows } else { Self::Linux }
    }
}

/// An image of a disk that is to exist. It is durable before [`Connector::snapshot`](super::Connector::snapshot) is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIntent {
    /// Infrastructure id, part of the mark.
    pub infrastructure: String,
    /// Where it is made.
    #[serde(default, skip_serializing_if = "Location::is_whole_cloud")]
    pub location: Location,
    /// Our id of the image; making it twice gives the same image.
    pub uid: ImageUid,
    /// Number of the disk.
    pub disk: usize,
    /// Its name for users.
    pub name: String,
}
