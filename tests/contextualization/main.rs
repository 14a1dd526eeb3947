//! Contextualization of the daemon as a whole: real nodes on this host, real Ansible, asked over REST.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod disks;
mod docker;
#[allow(dead_code, reason = "shared, and each program of tests uses a part")]
#[path = "../support/lab.rs"]
mod lab;
mod life;
mod networks;
#[path = "../crash/sandbox.rs"]
mod sandbox;
mod stop;
#[path = "../support/process.rs"]
mod support;
mod tosca;
mod tunnels;

use std::path::Path;

/// Options of a daemon that brings Ansible from the bundle.
fn options() -> String {
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bundles");
    if !sandbox::is_inside() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-bundle");
        assert!(std::process::Command::new(script).arg("--output").arg(&bundles).status().unwrap().success());
    }
    format!("CTXT_BUNDLE_DIR = {}\nCTXT_ALLOW_ONLINE = False", bundles.display())
}
