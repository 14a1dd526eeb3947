//! Clouds to test against: simulators of ours, and what starts emulators and real ones, each in a folder of its own. The
//! suite in `suite/` runs the behaviour cases of `connectors::conformance` over each: `cargo nextest run -p clouds
//! opennebula::` runs those of one cloud.
//!
//! | module | subject |
//! |---|---|
//! | [`docker`] | a real Docker Engine |
//! | [`moto`] | moto, an emulator of AWS |
//! | [`opennebula`] | a simulator of OpenNebula's XML-RPC API |
//! | [`openstack`] | Keystone, Nova, Neutron, Glance and Cinder in the shapes of their replies |
//! | [`proxy`] | faults, counts and latency in front of any of them |
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

pub mod docker;
pub mod moto;
pub mod opennebula;
pub mod openstack;
pub mod proxy;
