#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Bundle, Choice, Collections, Line, Probe, Shelf, Wish, choice::unknown_version, choose};
use crate::ErrorCode;

const PROBE: &str = "runtime /var/tmp/.im/.runtime\nhave aaa\npython 3.11 x86_64 glibc /usr/bin/python3\n\
                     python 3.11 x86_64 glibc /usr/bin/python3.11\n";
const USUAL: Wish = Wish::UpTo(Line(2, 16));

fn bundle(core: &str, python: &str, machine: &str, sha256: &str) -> Bundle {
    let (name, libc) = (format!("ansible-{core}-py{python}-{machine}"), "glibc".to_owned());
    let [core, python, machine, sha256] = [core, python, machine, sha256].map(str::to_owned);
    Bundle { name, core, python, machine, libc, sha256, archive: "bundle.tar.gz".into() }
}

/// The hash of the bundle that is used, and whether it is there.
fn used(choice: Result<Choice, (ErrorCode, String)>) -> (String, bool) {
    match choice {
        Ok(Choice::Bundle { bundle, there, .. }) => (bundle.sha256, there),
        other => panic!("{other:?}"),
    }
}

/// Cases: B-02.
#[test]
fn what_is_there_first_then_installed_then_sent_then_online() {
    let bundles = [
        bundle("2.16.3", "3.11", "x86_64", "aaa"),
        bundle("2.18.1", "3.11", "x86_64", "bbb"),
        bundle("2.16.3", "3.9", "x86_64", "ccc"),
    ];
    let probe = Probe::parse(PROBE).unwrap();
    assert_eq!(probe.pythons.len(), 1);
    assert_eq!(used(choose(&probe, &bundles, USUAL, true)), ("aaa".to_owned(), true));
    assert_eq!(used(choose(&probe, &bundles, Wish::Exactly(Line(2, 18)), true)), ("bbb".to_owned(), false));
    assert_eq!(used(choose(&probe, &bundles, Wish::Latest, true)), ("bbb".to_owned(), false));
    // Nothing up to the default: the oldest above it.
    assert_eq!(used(choose(&probe, &bundles[1..], USUAL, true)), ("bbb".to_owned(), false));

    let with = |version: &str| {
        let line = format!("ansible {version} with /opt/a/bin/python3 /opt/a/bin/ansible-playbook\n");
        Probe::parse(&format!("{PROBE}{line}")).unwrap()
    };
    let installed = |version: &str, wish| choose(&with(version), &bundles[1..], wish, true).unwrap();
    match installed("2.14.18", USUAL) {
        Choice::Installed(found) => {
            assert_eq!((found.python.as_str(), found.collections), ("/opt/a/bin/python3", true))
        }
        other => panic!("{other:?}"),
    }
    let runtime = installed("2.14.18", USUAL).runtime(&probe, None);
    assert_eq!((runtime.galaxy(), runtime.python_path), (vec!["/opt/a/bin/ansible-galaxy".to_owned()], None));
    // Out of the accepted range, another one than requested, or older than the newest bundle.
    for (version, wish) in
        [("2.9.27", USUAL), ("2.99.0", USUAL), ("2.14.1", Wish::Exactly(Line(2, 18))), ("2.17.0", Wish::Latest)]
    {
        assert!(matches!(installed(version, wish), Choice::Bundle { .. }), "{version}");
    }
    assert!(matches!(installed("2.19.0", Wish::Latest), Choice::Installed(_)));

    let online = |wish| choose(&probe, &bundles[2..], wish, true);
    assert!(matches!(online(USUAL), Ok(Choice::Online(Line(2, 16), _))));
    assert!(matches!(online(Wish::Latest), Ok(Choice::Online(Line(2, 19), _))));
    assert_eq!(online(Wish::Exactly(Line(2, 20))).unwrap_err().0, ErrorCode::NoAnsible);
    let old = Probe::parse("runtime /r\npython 3.8 x86_64 glibc /p8\npython 3.9 x86_64 glibc /p9\n").unwrap();
    match choose(&old, &[], USUAL, true) {
        Ok(Choice::Online(line, python)) => assert_eq!((line, python.path.as_str()), (Line(2, 15), "/p9")),
        other => panic!("{other:?}"),
    }
    let (code, why) = choose(&probe, &bundles[2..], Wish::Exactly(Line(2, 16)), false).unwrap_err();
    assert_eq!(code, ErrorCode::NoAnsible);
    assert!(why.contains("Python 3.11 (x86_64, glibc)") && why.contains("ansible-2.16.3-py3.9"), "{why}");
    assert!(why.contains("Ansible core 2.16 fits") && why.contains("CTXT_ALLOW_ONLINE"), "{why}");
    assert!(Probe::parse("error cannot make /x").is_err() && Probe::parse("This account is disabled").is_err());
}

/// Cases: B-03, B-04.
#[test]
fn interpreters_and_machines() {
    let bundles = [
        bundle("2.16.3", "3.11", "x86_64", "x11"),
        bundle("2.15.9", "3.9", "x86_64", "x9"),
        bundle("2.16.3", "3.11", "aarch64", "a11"),
    ];
    let on = |text: &str| choose(&Probe::parse(&format!("runtime /r\n{text}")).unwrap(), &bundles, USUAL, false);
    assert_eq!(used(on("python 3.11 aarch64 glibc /usr/bin/python3\n")).0, "a11");
    // The usual interpreter is too old, or good for an older Ansible only.
    let both = "python 3.6 x86_64 glibc /usr/libexec/platform-python\npython 3.9 x86_64 glibc /p9\n";
    assert_eq!(used(on(both)).0, "x9");
    assert_eq!(used(on(&format!("{both}python 3.11 x86_64 glibc /p11\n"))).0, "x11");
    let (code, why) = on("python 3.11 x86_64 musl /usr/bin/python3\n").unwrap_err();
    assert_eq!(code, ErrorCode::NoAnsible);
    assert!(why.contains("(x86_64, musl)") && why.contains("ansible-2.16.3-py3.11-x86_64"), "{why}");
    let (code, why) = on("python 3.6 x86_64 glibc /usr/bin/python3\n").unwrap_err();
    assert_eq!(code, ErrorCode::PythonTooOld);
    assert!(why.contains("the newest Python of the master is 3.6, Ansible needs 3.8"), "{why}");
    let (code, why) = on("").unwrap_err();
    assert!(code == ErrorCode::NoPython && why.starts_with("the master has no Python 3"), "{why}");
}

/// Cases: R-19.
#[test]
fn versions_of_the_package_and_of_the_core() {
    let wish = |version| Wish::new(Some(version), "9").unwrap();
    for (version, minor) in [("9.13.0", 16), ("9", 16), ("2.16.19", 16), ("2.18", 18), ("4.10.0", 11), ("13.1.0", 20)] {
        assert_eq!(wish(version), (Wish::Exactly(Line(2, minor)), None), "{version}");
    }
    assert_eq!(wish("latest"), (Wish::Latest, None));
    assert_eq!(Wish::new(None, "11").unwrap(), (Wish::UpTo(Line(2, 18)), None));
    assert_eq!(Wish::new(Some(" "), "latest").unwrap(), (Wish::Latest, None));
    for legacy in ["2.6.20", "2.9", "3.4.0", "1.9.4"] {
        let (wish, note) = wish(legacy);
        assert_eq!(wish, USUAL);
        assert!(note.unwrap().contains("the default version is used"));
    }
    for unknown in ["99", "0", "14", "2.21.0", "2.x", "9.{{ 7*7 }}", "-1"] {
        let what = Wish::new(Some(unknown), "9").unwrap_err();
        let why = unknown_version(&what, &[bundle("2.16.3", "3.11", "x86_64", "aaa")]);
        assert!(why.contains(unknown) && why.contains("ansible-2.16.3-py3.11") && why.contains("(4 to 13)"), "{why}");
    }
    assert!(Wish::new(None, "99").unwrap_err().contains("ANSIBLE_VERSION"));
}

#[test]
fn collections_of_the_line_that_is_used() {
    let set = |line: &str, set: &str| Collections {
        name: format!("collections-{line}-{set}"),
        line: line.to_owned(),
        set: set.to_owned(),
        package: "9.13.0".to_owned(),
        sha256: format!("{line}{set}"),
        archive: "c.tar.gz".into(),
    };
    let shelf = Shelf {
        collections: vec![set("2.15", "full"), set("2.16", "default"), set("2.16", "slim")],
        ..Shelf::default()
    };
    let found = |minor, set| shelf.collections(Line(2, minor), set).map(|c| c.sha256.as_str());
    assert_eq!(found(16, "slim"), Some("2.16slim"));
    assert_eq!(found(16, "full"), Some("2.16default"));
    assert_eq!(found(17, "full"), None);
}
