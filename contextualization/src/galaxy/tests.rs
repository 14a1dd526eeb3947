#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{
    cause, check, fault_key, hint,
    sources::{archive, entry},
    spec::{ContentKind, Requirement},
    wanted,
};
use radl::Radl;
use serde_json::json;

fn role(text: &str, version: Option<&str>) -> Result<Requirement, String> {
    Requirement::parse(ContentKind::Role, text, version, None).map_err(|e| e.to_string())
}

fn collection(text: &str, version: Option<&str>) -> Result<Requirement, String> {
    Requirement::parse(ContentKind::Collection, text, version, None).map_err(|e| e.to_string())
}

/// Name and version are honoured wherever they stand. Cases: R-15.
#[test]
fn what_galaxy_is_told() {
    let told = |requirement: Result<Requirement, String>| entry(&requirement.unwrap(), None);
    assert_eq!(told(role("grycap.nfs", None)), json!({"src": "grycap.nfs", "name": "grycap.nfs"}));
    assert_eq!(told(role("a.b,v1|c", None)), json!({"src": "a.b", "name": "c", "version": "v1"}));
    let git = json!({"src": "https://git.example.org/x/role-y.git", "scm": "git", "name": "z", "version": "1.2"});
    for (text, version) in [
        ("git+https://git.example.org/x/role-y.git|z,1.2", None),
        ("git+https://git.example.org/x/role-y.git,1.2|z", None),
        ("git+https://git.example.org/x/role-y.git|z", Some("1.2")),
        ("git+https://git.example.org/x/role-y.git,1.2|z", Some("1.2")),
    ] {
        assert_eq!(told(role(text, version)), git, "{text}");
    }
    let ssh = json!({"src": "ssh://git@git.example.org:2222/x/y", "scm": "git", "name": "y"});
    assert_eq!(told(role("git+ssh://git@git.example.org:2222/x/y", None)), ssh);
    let archived = json!({"src": "https://example.org/a/role-1.tar.gz", "name": "role-1"});
    assert_eq!(told(role("https://example.org/a/role-1.tar.gz", None)), archived);
    let wanted = json!({"name": "community.docker", "type": "galaxy", "version": ">=3.0.0"});
    assert_eq!(told(collection("community.docker", Some(">=3.0.0"))), wanted);
    let url = json!({"name": "https://example.org/a-b-1.0.0.tar.gz", "type": "url"});
    assert_eq!(told(collection("https://example.org/a-b-1.0.0.tar.gz", None)), url);
    let shown = role("git+https://me:secret@git.example.org/x/y,1|z", None).unwrap().to_string();
    assert_eq!(shown, "git+https://***@git.example.org/x/y,1|z");
}

/// What git says of a URL shows no credentials, however it writes them.
#[test]
fn errors_show_no_credentials() {
    let hidden = |text: &str, error: &str| role(text, None).unwrap().hide(error);
    let secret = "git+https://me:p%40ssw0rd@git.example.org/x/y.git|z";
    assert_eq!(
        hidden(secret, "fatal: unable to access 'https://me:p%40ssw0rd@git.example.org/x/y.git/': 403"),
        "fatal: unable to access 'https://***@git.example.org/x/y.git/': 403"
    );
    assert_eq!(hidden(secret, "could not read for 'me', tried p@ssw0rd"), "could not read for 'me', tried ***");
    let token = "https://t0ken-x@git.example.org/a.tar.gz";
    assert_eq!(hidden(token, "GET https://t0ken-x@git.example.org: t0ken-x"), "GET https://***@git.example.org: ***");
    let ssh = "git+ssh://git@git.example.org/x/y";
    assert_eq!(hidden(ssh, "git@git.example.org: denied"), "git@git.example.org: denied");
}

/// Each thing once, in the order of the document, and in no more time than it takes to read it.
#[test]
fn much_that_is_wanted() {
    let role = |n: usize| format!("disk.0.applications contains (name='ansible.roles.lab.r{n}')");
    let system =
        |name: &str, n: usize| format!("system {name} ({})\n", (0..n).map(role).collect::<Vec<_>>().join(" and "));
    let radl = Radl::parse(&(system("a", 20_000) + &system("b", 20_000))).unwrap();
    let start = std::time::Instant::now();
    let wanted = wanted(&radl, None);
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
    let names = |n: usize| (wanted[n].requirement.to_string(), wanted[n].systems.len());
    assert_eq!((wanted.len(), names(0), names(19_999)), (20_000, ("lab.r0".into(), 2), ("lab.r19999".into(), 2)));
}

/// Cases: R-16.
#[test]
fn anything_else_is_refused() {
    let hostile = [
        "",
        "x",
        "a.b; touch /tmp/x",
        "a.b\n- hosts: localhost",
        "{{ lookup('pipe', 'id') }}",
        "a.b,{{ x }}",
        "a.b,--upload-pack=x",
        "a.b,1/../2",
        "a.b|../../etc",
        "a.b|..",
        "a.b|x y",
        "-a.b",
        "../a.b",
        "/etc/passwd",
        "file:///etc/passwd",
        "git+file:///srv/x",
        "ext::sh -c id",
        "git+git@github.com:x/y",
        "https://h",
        "https://-oProxyCommand=x/y",
        "https://h/a b",
        "https://h/$(id)",
        "https://h/`id`",
        "https://h/../x",
        "https://h/%2E%2e/x",
        "https://h:99999/x",
        "git+ssh://-oProxyCommand=id@h/x",
        "git+ssh://-h/x",
        "a.b,1|c,2",
        "é.b",
    ];
    for text in hostile {
        role(text, None).expect_err(text);
        collection(text, None).expect_err(text);
    }
    role("a.b", Some("1; x")).expect_err("version");
    role("a.b", Some(">=1")).expect_err("roles have no ranges");
    role("a.b,1", Some("2")).expect_err("two versions");
    assert!(collection("a.b|c", None).unwrap_err().contains("leave out what follows |"));
    // Plain http only from the operator's own mirror.
    let mirrored = |url, mirror| Requirement::parse(ContentKind::Role, url, None, Some(mirror));
    assert!(role("http://mirror:8080/a.tar.gz", None).unwrap_err().contains("CTXT_GALAXY_SERVER"));
    mirrored("http://mirror:8080/a.tar.gz", "http://mirror:8080/galaxy").unwrap();
    for (url, mirror) in [
        ("http://mirror/a.tar.gz", "http://mirror:8080"),
        ("http://other:8080/a.tar.gz", "http://mirror:8080"),
        ("http://mirror:8080/a.tar.gz", "https://mirror:8080"),
    ] {
        mirrored(url, mirror).unwrap_err();
    }

    let document =
        |applications: &str| Radl::parse(&format!("system s (disk.0.applications contains ({applications}))")).unwrap();
    check(&document("name='ansible.roles.a.b' and version='1' "), None).unwrap();
    let refused = check(&document("name='ansible.roles.a.b;x'"), None).unwrap_err().to_string();
    assert!(refused.starts_with("role \"a.b;x\": expected NAMESPACE.NAME"), "{refused}");
    let twice = "name='ansible.roles.a.b,1') and disk.0.applications contains (name='ansible.modules.a.b,2'";
    let refused = check(&document(twice), None).unwrap_err().to_string();
    assert!(refused.contains("a.b,1") && refused.contains("same name"), "{refused}");
}

#[test]
fn what_a_recipe_misses() {
    let text = "ERROR! couldn't resolve module/action 'community.aws.ec2_ami'. This often indicates a misspelling";
    assert!(hint(text).unwrap().contains("add ansible.collections.community.aws to disk.0.applications"));
    let text = "ERROR! the role 'grycap.nfs' was not found in /a:/b";
    assert!(hint(text).unwrap().contains("add ansible.roles.grycap.nfs to"));
    let text = "No filter named 'community.general.json_query'.";
    assert!(hint(text).unwrap().contains("add ansible.collections.community.general to"));
    for other in ["couldn't resolve module/action 'mistyped'", "the role 'x y' was not found", "the role 'a.b' failed"]
    {
        assert_eq!(hint(other), None, "{other}");
    }
}

#[test]
fn archives_of_a_directory() {
    let files = ["a.b-1.9.0.tar.gz", "a.b-1.10.0.tar.gz", "a.bc-3.tar.gz", "a-b-2.0.0.tar.gz", "a-b-2.1.0.tar.gz", "x"];
    let files = files.map(str::to_owned);
    let found = |requirement: Result<Requirement, String>| archive(&requirement.unwrap(), &files).map(str::to_owned);
    assert_eq!(found(role("a.b", None)).as_deref(), Some("a.b-1.10.0.tar.gz"));
    assert_eq!(found(role("a.b,1.9.0|z", None)).as_deref(), Some("a.b-1.9.0.tar.gz"));
    assert_eq!(found(role("a.b,2", None)), None);
    assert_eq!(found(collection("a.b", Some("<2.1.0"))).as_deref(), Some("a-b-2.0.0.tar.gz"));
    assert_eq!(found(role("https://example.org/a.b", None)), None);
    let pushed = entry(&role("a.b,1.9.0|z", None).unwrap(), Some("/c/galaxy/a.b-1.9.0.tar.gz"));
    assert_eq!(pushed, json!({"src": "/c/galaxy/a.b-1.9.0.tar.gz", "name": "z"}));
}

/// What is said of a role that could not be installed is the cause wherever a recipe misses it.
#[test]
fn what_could_not_be_installed_is_the_cause() {
    let why = "the role lab.nfs could not be installed: refused".to_owned();
    let faults = [(fault_key(ContentKind::Role, "lab.nfs"), why.clone())].into();
    let text = "Ansible did not run the recipe: the role 'lab.nfs' was not found in /a:/b";
    assert_eq!(cause(text, &faults), Some(&why));
    for other in ["the role 'lab.other' was not found in /a", "couldn't resolve module/action 'lab.nfs.mount'", "no"] {
        assert_eq!(cause(other, &faults), None, "{other}");
    }
}
