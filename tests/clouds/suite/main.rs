//! One behaviour suite over every cloud that there is something to test against: a module for each cloud, a named test for
//! each case (`opennebula::conformance::waits_when_throttled`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod docker;
mod ec2;
mod opennebula;
mod openstack;
