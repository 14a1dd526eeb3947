//! The real services of Debian's packages, started by `tests/clouds/openstack/testbed` for one run of all cases: bringing
//! them up takes longer than the cases.
//!
//! `OPENSTACK_TESTBED=DIR` uses services that run already.

use super::{account, subject};
use connectors::conformance::{self, Case};
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openstack/testbed");

/// Services that run.
struct Testbed {
    directory: PathBuf,
    /// Where they are ours: ended with the test.
    scratch: Option<tempfile::TempDir>,
}

#[derive(Deserialize)]
struct Cloud {
    keystone: String,
    image: String,
    password: String,
}

impl Testbed {
    fn up() -> Self {
        if let Some(directory) = std::env::var_os("OPENSTACK_TESTBED") {
            return Self { directory: directory.into(), scratch: None };
        }
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("services");
        let testbed = Self { directory, scratch: Some(scratch) };
        let output = Command::new(SCRIPT).arg("up").arg(&testbed.directory).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        testbed
    }

    fn cloud(&self) -> Cloud {
        let text = std::fs::read_to_string(Path::new(&self.directory).join("cloud.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        if self.scratch.is_some() {
            let ended = Command::new(SCRIPT).arg("down").arg(&self.directory).status();
            println!("testbed down: {ended:?}");
        }
    }
}

macro_rules! cases {
    ($($case:ident)*) => {
        [$((stringify!($case), (|subject| Box::pin(conformance::$case(subject))) as Case)),*]
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_of_debian_do_what_the_suite_asks() {
    let testbed = Testbed::up();
    let Cloud { keystone, image, password } = testbed.cloud();
    let account = account(&keystone, &password);
    let cases = cases![
        launches_one_machine
        launches_five_machines
        creates_one_machine_per_uid
        makes_one_machine_when_replies_are_lost
        waits_when_throttled
        finds_by_mark_and_keeps_infrastructures_apart
        observes_what_exists
        changes_power
        changes_sizes
        adds_disks_as_asked_or_refuses
        adds_and_takes_a_public_address
        makes_and_deletes_images
        lists_images_that_can_be_used
        tells_limits
        makes_another_of_a_document_that_comes_again
        deletes_what_is_there_and_what_is_not
        leaves_machines_of_others_alone
        says_that_credentials_expired
        cleans_up_what_it_refused
    ];
    let wanted = std::env::var("OPENSTACK_CASES").unwrap_or_default();
    for (name, case) in cases.into_iter().filter(|(name, _)| name.contains(wanted.as_str())) {
        println!("{name}");
        let start = std::time::Instant::now();
        case(&subject(&account, &image).await).await;
        println!("{name}: {:?}", start.elapsed());
    }
}
