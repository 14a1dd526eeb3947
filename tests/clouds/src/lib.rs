//! Clouds to test against: simulators of ours, and what starts emulators and real ones, each in a folder of its own. The
//! suite in `suite/` runs the behaviour cases of `connectors::conformance` over each: `cargo nextest run -p clouds
//! opennebula::` runs those of one cloud.

pub mod opennebula;
