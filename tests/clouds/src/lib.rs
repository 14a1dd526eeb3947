//! Clouds to test against: simulators of ours, and what starts emulators and real ones, each in a folder of its own. The
//! suite in `suite/` runs the behaviour cases of `connectors::conformance` over each: `cargo nextest run -p clouds
//! opennebula::` runs those of one cloud.
//!
//! | module | subject |
//! |---|---|
//! | [`openstack`] | Keystone, Nova, Neutron, Glance and Cinder in the shapes of their replies |
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

pub mod openstack;
