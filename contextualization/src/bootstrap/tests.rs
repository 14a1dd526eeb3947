#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Bundle, Choice, Probe, choose, wanted_core};
use crate::ErrorCode;

const PROBE: &str = "runtime /var/tmp/.im/.runtime\nhave aaa\npython 3.11 x86_64 glibc /usr/bin/python3\n";

fn bundle(core: &str, python: &str, sha256: &str) -> Bundle {
    let (name, machine, libc) = (format!("ansible-{core}-py{python}"), "x86_64".to_owned(), "glibc".to_owned());
    let (core, python, sha256) = (core.to_owned(), python.to_owned(), sha256.to_owned());
    Bundle { name, core, python, machine, libc, sha256, archive: "bundle.tar.gz".into() }
}

#[test]
fn what_is_there_first_then_installed_then_sent() {
    let bundles = [bundle("2.16.3", "3.11", "aaa"), bundle("2.18.1", "3.11", "bbb"), bundle("2.16.3", "3.9", "ccc")];
    let probe = Probe::parse(PROBE).unwrap();
    assert!(matches!(choose(&probe, &bundles, None), Ok(Choice::Unpacked(b, _)) if b.sha256 == "aaa"));
    assert!(
        matches!(choose(&probe, &bundles, Some("2.18")), Ok(Choice::Send { bundle, .. }) if bundle.sha256 == "bbb")
    );
    let installed = Probe::parse(&format!("{PROBE}ansible /usr/bin/ansible-playbook 2.14.18\n")).unwrap();
    assert!(matches!(choose(&installed, &bundles[1..], None), Ok(Choice::Installed(_, v, _)) if v == "2.14.18"));
    let (code, why) = choose(&probe, &bundles[2..], Some("2.16")).unwrap_err();
    assert_eq!(code, ErrorCode::NoPython);
    assert!(why.contains("Python 3.11 (x86_64, glibc)") && why.contains("ansible-2.16.3-py3.9"), "{why}");
    let nothing = Probe::parse("runtime /r\n").unwrap();
    assert_eq!(choose(&nothing, &bundles, None).unwrap_err().0, ErrorCode::NoPython);
    assert!(Probe::parse("error cannot make /x").is_err() && Probe::parse("This account is disabled").is_err());
}

#[test]
fn versions_of_the_package_and_of_the_core() {
    let core = |version| wanted_core(version).0;
    assert_eq!(core(Some("9.13.0")).as_deref(), Some("2.16"));
    assert_eq!(core(Some("2.18.2")).as_deref(), Some("2.18"));
    assert_eq!((core(None), core(Some("latest")), core(Some("2.6.20")), core(Some("99"))), (None, None, None, None));
    assert_eq!((wanted_core(Some("2.6.20")).1.len(), wanted_core(Some("latest")).1.len()), (1, 0));
}
