//! Cloud connectors: one trait, one folder per cloud, and layers that wrap any of them.
//!
//! | module | subject |
//! |---|---|
//! | [`contract`] | the [`Connector`] trait and the values that cross it |
//! | [`error`] | the error taxonomy every connector maps its cloud's errors to |
//! | [`account`] | one credential line that names a cloud |
#![deny(unsafe_code)]

pub mod account;
pub mod contract;
pub mod error;
pub mod local;

pub use account::{CloudAccount, Endpoint};
pub use contract::{
    Address, Capabilities, CloudImage, Connector, Found, InfrastructureIntent, Observation, PowerOperation, PowerState,
    ProviderId, Quota, Resize, SharedResources, VmIntent, VmUid,
};
pub use error::{ConnectorError, ErrorClass};
