//! Cloud connectors: one trait, one folder per cloud, and layers that wrap any of them.
//!
//! | module | subject |
//! |---|---|
//! | [`contract`] | the [`Connector`] trait and the values that cross it |
//! | [`error`] | the error taxonomy every connector maps its cloud's errors to |
//! | [`account`] | one credential line that names a cloud |
//! | [`candidate`] | concrete systems and the choice of sizes |
//! | [`cloud_type`] | what the folder of a cloud exports |
//! | [`settings`] | what connectors take from the configuration |
//! | [`registry`] | from a credential line to a connector in its layers |
//! | [`layers`] | retry, concurrency, metrics, time-out and tracing around any connector |
//! | [`dns`] | records of machines' names, and who makes them |
//! | [`http`] | the HTTP client of real clouds |
//! | [`user_data`] | what cloud-init does at the first boot |
//! | [`private_networks`] | which addresses are private |
//! | [`deployed`] | machines that exist already |
//! | [`dummy`] | the simulated cloud |
//! | [`ec2`] | Amazon EC2 |
//! | [`local`] | nodes on the daemon's host |
//! | [`docker`] | containers of a Docker Engine |
//! | [`opennebula`] | OpenNebula |
//! | [`openstack`] | OpenStack, and the sites of EGI |
//! | `conformance` | the behaviour suite that every connector passes (feature `conformance`) |
#![deny(unsafe_code)]

pub mod account;
pub mod candidate;
pub mod cloud_type;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod contract;
pub mod deployed;
pub mod dns;
pub mod docker;
pub mod dummy;
pub mod ec2;
pub mod error;
pub mod http;
pub mod layers;
pub mod local;
pub mod opennebula;
pub mod openstack;
pub mod private_networks;
pub mod registry;
pub mod settings;
pub mod user_data;

pub use account::{AccountName, CloudAccount, Endpoint};
pub use cloud_type::{CloudType, ConnectContext};
pub use contract::{
    Address, Candidate, Capabilities, CloudImage, Connector, DiskSource, FirstLogin, Found, GuestKind, GuestOs, Guests,
    ImageIntent, ImageUid, InfrastructureIntent, InfrastructureMark, Location, LoginPart, MappedPort, NewDisk,
    Observation, PowerOperation, PowerState, ProviderId, PublicAddress, Quota, Resize, SharedResources, VmIntent,
    VmMark, VmUid,
};
pub use error::{ConnectorError, ErrorClass};
pub use private_networks::PrivateNetworks;
pub use registry::{Registry, account_name, guests, is_cloud, is_served};
pub use settings::{ConnectorSettings, DockerSettings};
pub use user_data::{Guest, UserData};
