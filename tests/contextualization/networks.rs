//! What infrastructures share with their machines and with each other: moved, copied, named, and what nobody has a record
//! of any more.

use crate::{lab::Lab, sandbox, support::Daemon};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::{fs, path::Path, process::Command};

const DOCUMENT: &str = "network pub ( outbound = 'yes' )
network inner ()
system front (
disk.0.image.url = 'local://localhost/host' and
net_interface.0.connection = 'pub' and
net_interface.1.connection = 'inner'
)
contextualize ()
deploy front 1
";

/// Value of a feature in a document, the first one.
fn value<'a>(document: &'a str, feature: &str) -> &'a str {
    let (_, rest) = document.split_once(&format!("{feature} = '")).unwrap_or_else(|| panic!("{feature}: {document}"));
    rest.split('\'').next().unwrap()
}

/// A document without the names of its networks in the cloud, but with their subnets.
fn without_names(document: &str) -> String {
    let mut text = document.to_owned();
    while text.contains("provider_id") {
        text = text.replace(&format!("provider_id = '{}' and", value(&text, "provider_id")), "");
    }
    text
}

async fn document(daemon: &Daemon, path: &str) -> String {
    daemon.text(Method::GET, &format!("{path}/radl"), "").await
}

async fn refused(daemon: &Daemon, method: Method, path: &str, body: &str) -> String {
    let answer = daemon.ask(method, path, body.to_owned()).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    answer.text
}

#[tokio::test]
async fn moved_infrastructures_leave_nothing() {
    if !sandbox::inside("networks::moved_infrastructures_leave_nothing") {
        return;
    }
    let mut lab = Lab::with("");
    lab.daemon.start().await;
    let daemon = &lab.daemon;
    // With all that an export of ours says, with what the reference says, and with a machine fewer than there are.
    for forgotten in [&[][..], &["in_clouds"], &["in_clouds", "vm_list"]] {
        let path = daemon.create(DOCUMENT, "").await;
        // A name that no image can have is refused, and the clean-up does not stumble over it.
        let snapshot = format!("{path}/vms/0/disks/0/snapshot?image_name=my+image");
        assert!(refused(daemon, Method::PUT, &snapshot, "").await.contains("'my image' is no image name"));
        let answer = daemon.text(Method::GET, &format!("{path}/data?delete=1"), "").await;
        let mut data: Value = serde_json::from_str(&answer).unwrap();
        data = serde_json::from_str(data["data"].as_str().unwrap()).unwrap();
        for key in forgotten {
            match data[*key].as_array_mut() {
                Some(machines) => {
                    machines[0].as_object_mut().unwrap().insert("destroy".to_owned(), true.into());
                }
                None => drop(data.as_object_mut().unwrap().remove(*key)),
            }
        }
        if !forgotten.is_empty() {
            data["vm_list"][0].as_object_mut().unwrap().remove("uid");
        }
        daemon.text(Method::PUT, "/infrastructures", &data.to_string()).await;
        daemon.text(Method::DELETE, &path, "").await;
        lab.nothing_is_left();
    }
}

#[tokio::test]
async fn documents_come_again_and_networks_are_shared() {
    if !sandbox::inside("networks::documents_come_again_and_networks_are_shared") {
        return;
    }
    let mut lab = Lab::with("");
    lab.daemon.start().await;
    let daemon = &lab.daemon;
    let first = daemon.create(DOCUMENT, "").await;
    let written = document(daemon, &first).await;
    let bridge = value(&written, "provider_id").to_owned();
    let exists = |bridge: &str| Path::new("/sys/class/net").join(bridge).exists();

    // As it is, and without the names of its networks: both beside it.
    let again = daemon.create(&written, "").await;
    let unnamed = daemon.create(&without_names(&written), "").await;
    let other = document(daemon, &unnamed).await;
    assert!(value(&other, "provider_id") != bridge && value(&other, "cidr") != value(&written, "cidr"), "{other}");
    for path in [again, unnamed] {
        daemon.text(Method::DELETE, &path, "").await;
    }
    assert!(exists(&bridge), "it is the first one's");
    // Only by its name.
    let member = format!(
        "network theirs ( outbound = 'yes' and provider_id = '{bridge}' )\nsystem node ( disk.0.image.url = 'local://host' \
         and net_interface.0.connection = 'theirs' )\ncontextualize ()\ndeploy node 1\n"
    );
    let member = daemon.create(&member, "").await;
    assert_eq!(value(&document(daemon, &member).await, "provider_id"), bridge);
    daemon.text(Method::DELETE, &first, "").await;
    assert!(exists(&bridge), "the second one uses it still");
    daemon.text(Method::DELETE, &member, "").await;
    lab.nothing_is_left();

    // After it.
    let after = daemon.create(&written, "").await;
    assert_eq!(value(&document(daemon, &after).await, "cidr"), value(&written, "cidr"));
    // What a user demands is refused at once where it cannot be.
    let demanded = DOCUMENT.replace("network inner ()", "network inner ( cidr = '192.168.77.0/24' )");
    let second = daemon.create(&demanded, "").await;
    let why = refused(daemon, Method::POST, "/infrastructures", &demanded).await;
    assert!(why.contains("'192.168.77.0/24' overlaps a network in use"), "{why}");
    assert!(!why.contains("Attempt 2"), "{why}");
    for path in [after, second] {
        daemon.text(Method::DELETE, &path, "").await;
    }
    lab.nothing_is_left();
}

#[tokio::test]
async fn what_no_record_tells_of_is_listed_and_cleaned() {
    if !sandbox::inside("networks::what_no_record_tells_of_is_listed_and_cleaned") {
        return;
    }
    let mut lab = Lab::with("");
    lab.daemon.start().await;
    let config = lab.daemon.directory().join("im.cfg");
    let local = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imd"));
        let output = command.arg("--config").arg(&config).arg("local").args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    assert_eq!(local(&["list"]), (true, "The local cloud has no nodes and no networks.\n".to_owned()));
    let lost = lab.daemon.create(DOCUMENT, "").await;
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();

    // Its database is gone, and another one has records of another infrastructure.
    lab.daemon.kill();
    let (database, aside) = (lab.daemon.database(), lab.daemon.directory().join("aside"));
    let records = database.parent().unwrap();
    fs::rename(records, &aside).unwrap();
    fs::rename(lab.daemon.key(), lab.daemon.directory().join("key-aside")).unwrap();
    fs::create_dir(records).unwrap();
    lab.daemon.start().await;
    let live = lab.daemon.create(DOCUMENT, "").await;
    let (listed, text) = local(&["list"]);
    let lines = |record: &str, path: &str| {
        let of = |line: &&str| line.contains(&id(path)) && line.ends_with(&format!("record: {record}"));
        text.lines().filter(of).count()
    };
    assert!(listed && (lines("unknown", &lost), lines("live", &live)) == (3, 3), "a node, two networks each: {text}");

    let (done, said) = local(&["clean", &id(&live)]);
    assert!(!done && said.contains("is kept: delete the infrastructure"), "{said}");
    assert!(!local(&["clean", "nothing-of-this-name"]).0 && !local(&["clean"]).0);
    let (done, said) = local(&["clean", "--all-unknown", "--dry-run"]);
    assert!(done && said.contains(&format!("networks of infrastructure {} would be cleaned", id(&lost))), "{said}");
    assert_eq!(lab.nodes().len(), 2);
    let (done, said) = local(&["clean", "--all-unknown"]);
    assert!(done && !said.contains(&id(&live)), "{said}");
    assert_eq!((lab.nodes().len(), lab.cables()), (1, 2), "what has a record runs on");
    assert_eq!(local(&["clean", "--all-unknown"]), (true, "Nothing is to be cleaned.\n".to_owned()));

    // What was given away may be somebody else's: it is cleaned by its name alone.
    lab.daemon.text(Method::GET, &format!("{live}/data?delete=1"), "").await;
    assert_eq!(local(&["clean", "--all-unknown"]), (true, "Nothing is to be cleaned.\n".to_owned()));
    let (done, said) = local(&["clean", &id(&live)]);
    assert!(done && said.contains(&format!("of infrastructure {} cleaned", id(&live))), "{said}");
    lab.nothing_is_left();

    // So is what a daemon with another database made, as long as that is there.
    let theirs = lab.daemon.create(DOCUMENT, "").await;
    lab.daemon.kill();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("/db/inf.dat", "/aside/inf.dat").replace("/key\n", "/key-aside\n")).unwrap();
    let (listed, said) = local(&["list"]);
    assert!(listed && said.contains("record: not here: made under ") && said.contains("/db/inf.dat"), "{said}");
    assert_eq!(local(&["clean", "--all-unknown"]), (true, "Nothing is to be cleaned.\n".to_owned()));
    fs::remove_dir_all(records).unwrap();
    let (done, said) = local(&["clean", "--all-unknown"]);
    assert!(done && said.contains(&id(&theirs)), "{said}");
    lab.nothing_is_left();
}
