//! What all changes have in common: who may make them, in which mode of the daemon, and that they take place one after the
//! other.
#![allow(clippy::unwrap_used)]

use crate::{
    auth::{Authenticator, Caller, Identity, parse_header, scoped},
    config, daemon,
    engine::{
        Engine,
        error::OperationError::{self, Disabled, NotOwner, OtherVersion, UnknownInfrastructure},
        operations::{add::Add, change_owners::ChangeOwners, document::Document, give_away::GiveAway, remove::Remove},
    },
};
use radl::Radl;
use serde_json::{Value, value::to_raw_value};
use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

/// Each change by its name on the wire, with parameters; whether boot modes 1 and 2 refuse it; whether the token of the
/// infrastructure may not ask for it.
const CHANGES: [(&str, &str, [bool; 2], bool); 12] = [
    ("add", r#"{"document": {"radl": RADL}, "context": false}"#, [true, true], false),
    ("alter", r#"{"number": 0, "document": {"tosca": "a: b"}}"#, [true, true], false),
    ("change_owners", r#"{"owners": [], "overwrite": false}"#, [true, true], true),
    ("destroy", r#"{"force": true, "asynchronous": true}"#, [true, false], true),
    ("destroy", r#"{"force": false, "asynchronous": true}"#, [true, false], false),
    ("give_away", "{}", [true, false], true),
    ("open_tunnel", r#"{"vm": 0, "key": null}"#, [false, false], true),
    ("power", r#"{"number": 0, "operation": "stop"}"#, [true, true], false),
    ("reconfigure", r#"{"document": null, "vms": [0]}"#, [true, true], false),
    ("refresh", "{}", [false, false], false),
    ("remove", r#"{"vms": [0], "context": true}"#, [true, true], false),
    ("snapshot", r#"{"number": 0, "disk": 0, "name": "n", "auto_delete": true}"#, [true, true], false),
];

struct Subject {
    engine: Engine,
    authenticator: Arc<Authenticator>,
    _files: tempfile::TempDir,
}

impl Subject {
    async fn new(boot_mode: u8) -> Self {
        let files = tempfile::tempdir().unwrap();
        let place = files.path().display();
        let text = format!(
            "[im]\nDATA_DB = sqlite://{place}/im.dat\nDATA_KEY_FILE = {place}/key\nBOOT_MODE = {boot_mode}\n\
             ADMIN_USER = {{\"username\": \"root\", \"password\": \"p\"}}\n"
        );
        let config = config::read(&[(files.path().join("im.cfg"), text)], &[]).into_config().unwrap();
        let clock = Arc::new(SystemTime::now);
        let (engine, authenticator) =
            daemon::open(&config, false, &prometheus::Registry::new(), clock, daemon::fetcher(&config)).await.unwrap();
        Self { engine, authenticator, _files: files }
    }

    async fn caller(&self, item: &str) -> Caller {
        let header = format!("type = InfrastructureManager; {item}");
        self.authenticator.authenticate(parse_header(&header).unwrap()).await.unwrap()
    }

    /// Makes a change as another daemon asks for it.
    async fn ask(&self, caller: &Caller, id: &str, change: &str, parameters: &str) -> Result<Value, OperationError> {
        let radl = serde_json::to_string(&Radl::default()).unwrap();
        let parameters: Value = serde_json::from_str(&parameters.replace("RADL", &radl)).unwrap();
        self.engine.make_named(caller, id, change, &to_raw_value(&parameters).unwrap()).await
    }
}

#[tokio::test]
async fn the_boot_mode_is_asked_before_anything_else() {
    for (place, mode) in [1_u8, 2].into_iter().enumerate() {
        let subject = Subject::new(mode).await;
        let root = subject.caller("username = root; password = p").await;
        for (change, parameters, refused, _) in CHANGES {
            let expected = if refused[place] { Disabled } else { UnknownInfrastructure };
            let answer = subject.ask(&root, "nowhere", change, parameters).await;
            assert_eq!(answer, Err(expected), "{change} in mode {mode}");
        }
    }
}

#[tokio::test]
async fn strangers_change_nothing_and_the_token_of_an_infrastructure_less_than_its_owner() {
    let subject = Subject::new(0).await;
    let owner = subject.caller("username = u; password = p").await;
    let stranger = subject.caller("username = v; password = p").await;
    let id = subject.engine.create(&owner, Radl::default().into(), false).await.unwrap();
    let another = subject.engine.create(&owner, Radl::default().into(), false).await.unwrap();
    let token = |of: &str| format!("token = {}", scoped::token(&subject.engine.services.identity_key, of));
    let (own, foreign) = (subject.caller(&token(&id)).await, subject.caller(&token(&another)).await);
    for (change, parameters, _, is_for_owners) in CHANGES {
        for caller in [&stranger, &foreign] {
            let answer = subject.ask(caller, &id, change, parameters).await;
            assert_eq!(answer, Err(NotOwner), "{change} by {:?}", caller.principals);
        }
        // Its last change deletes nothing that the next one needs: what it may not do is asked alone.
        if is_for_owners {
            assert_eq!(subject.ask(&own, &id, change, parameters).await, Err(NotOwner), "{change}");
        }
    }
    let machine = scoped::machine_token(&subject.engine.services.identity_key, &id, 0);
    let machine = subject.caller(&format!("token = {machine}")).await;
    for (change, parameters, ..) in CHANGES {
        let answer = subject.ask(&machine, &id, change, parameters).await;
        assert_eq!(answer == Err(NotOwner), change != "open_tunnel", "{change}: {answer:?}");
    }
    let add = Add { document: Radl::default().into(), context: false };
    assert_eq!(subject.engine.make(&own, &id, add).await, Ok(Vec::new()), "recipes may add machines");
    assert_eq!(
        subject.engine.create(&own, Radl::default().into(), false).await,
        Err(OperationError::Invalid("These credentials are for one infrastructure only.".to_owned()))
    );
}

#[tokio::test]
async fn what_is_not_known_with_these_parameters_is_refused_and_nothing_is_done() {
    let subject = Subject::new(0).await;
    let owner = subject.caller("username = u; password = p").await;
    let id = subject.engine.create(&owner, Radl::default().into(), false).await.unwrap();
    for (change, parameters) in [
        ("unheard_of", "{}"),
        ("destroy", r#"{"force": true}"#),
        // What a later version means by it would not be done.
        ("destroy", r#"{"force": true, "asynchronous": false, "keep_images": true}"#),
        ("remove", r#"{"vms": "all", "context": false}"#),
    ] {
        let answer = subject.ask(&owner, &id, change, parameters).await;
        assert_eq!(answer, Err(OtherVersion(change.to_owned())), "{parameters}");
    }
    assert!(!subject.engine.infrastructure(&owner, &id).await.unwrap().deleted);
}

/// A document of so many machines.
fn tosca(number: u32) -> Document {
    let text = format!(
        "tosca_definitions_version: tosca_simple_yaml_1_0\nimports:\n- types: \
         https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml\ntopology_template:\n  node_templates:\n    \
         wn:\n      type: tosca.nodes.indigo.Compute\n      capabilities:\n        os: {{properties: {{type: linux, image: \
         'mock0://linux/image1'}}}}\n        scalable: {{properties: {{count: {number}}}}}\n"
    );
    Document::Tosca(text.into())
}

#[tokio::test]
async fn of_updates_at_the_same_time_the_last_one_holds() {
    let subject = Subject::new(0).await;
    let owner = subject.caller("username = u; password = p\\nid = d; type = Dummy").await;
    let id = subject.engine.create(&owner, tosca(1), false).await.unwrap();
    let update = |number| subject.engine.make(&owner, &id, Add { document: tosca(number), context: false });
    let updates = futures::future::join_all([4, 2, 5, 3].map(update)).await;
    assert!(updates.iter().all(Result::is_ok), "{updates:?}");
    let model = subject.engine.infrastructure(&owner, &id).await.unwrap();
    let stored = tosca::yaml::parse(model.extra_info.tosca().unwrap()).unwrap().to_json();
    let count = &stored["topology_template"]["node_templates"]["wn"]["capabilities"]["scalable"]["properties"]["count"];
    assert_eq!(count.as_u64(), Some(model.live_vms().count() as u64), "machines and document tell the same");
}

#[tokio::test]
async fn a_refused_tosca_document_makes_nothing() {
    let subject = Subject::new(0).await;
    let owner = subject.caller("username = u; password = p").await;
    let wrong = || Document::Tosca("tosca_definitions_version: x".into());
    let refused = |result: OperationError| {
        assert!(matches!(&result, OperationError::Invalid(text) if text.contains("\"x\" is invalid")), "{result:?}");
    };
    refused(subject.engine.create(&owner, wrong(), true).await.unwrap_err());
    refused(subject.engine.estimate(&owner, wrong()).await.unwrap_err());
    assert_eq!(subject.engine.list(&owner, None).await, Ok(Vec::new()));
    let id = subject.engine.create(&owner, Radl::default().into(), false).await.unwrap();
    refused(subject.engine.make(&owner, &id, Add { document: wrong(), context: true }).await.unwrap_err());
}

/// Machines of the simulated cloud.
fn machines(number: u32) -> Document {
    let system = "net_interface.0.connection = 'pub' and disk.0.image.url = 'mock0://linux/image1' and \
                  disk.0.os.name = 'linux'";
    let text = format!("network pub ( outbound = 'yes' )\nsystem node ( {system} )\ndeploy node {number}\n");
    Radl::parse(&text).unwrap().into()
}

#[tokio::test]
async fn changes_at_the_same_time_take_place_one_after_the_other() {
    let subject = Subject::new(0).await;
    let owner = subject.caller("username = u; password = p\\nid = d; type = Dummy").await;
    let id = subject.engine.create(&owner, Radl::default().into(), false).await.unwrap();
    let add = |number| subject.engine.make(&owner, &id, Add { document: machines(number), context: false });
    let (one, two) = tokio::try_join!(add(2), add(3)).unwrap();
    assert_eq!((one.len(), two.len()), (2, 3));
    let numbers: BTreeSet<u32> = one.into_iter().chain(two).collect();
    assert_eq!(numbers, (0..5).collect(), "each machine has a number of its own");

    let who = |name: &str| Identity { username: name.to_owned(), key: name.to_owned(), token: false };
    let join =
        |name: &str| subject.engine.make(&owner, &id, ChangeOwners { owners: vec![who(name)], overwrite: false });
    tokio::try_join!(join("v"), join("w")).unwrap();
    let owners = subject.engine.infrastructure(&owner, &id).await.unwrap().owners.clone();
    assert_eq!(owners.iter().map(|who| who.username.as_str()).collect::<BTreeSet<_>>(), ["u", "v", "w"].into());

    // A second deletion of a machine joins the first one, or finds it gone.
    let remove = || subject.engine.make(&owner, &id, Remove { vms: vec![4], context: false });
    let (one, two) = tokio::join!(remove(), remove());
    assert!(
        [&one, &two].into_iter().all(|end| matches!(end, Ok(1) | Err(OperationError::DeletedVm))),
        "{one:?} {two:?}"
    );
    assert!(one.is_ok() || two.is_ok());
}

#[tokio::test]
async fn of_two_ends_an_infrastructure_has_one() {
    let subject = Subject::new(0).await;
    let owner = subject.caller("username = u; password = p\\nid = d; type = Dummy").await;
    let id = subject.engine.create(&owner, machines(1), false).await.unwrap();
    let give_away = || subject.engine.make(&owner, &id, GiveAway {});
    // Each of them may come first; the second one finds nothing any more.
    let (one, two) = tokio::join!(give_away(), give_away());
    let (given, refused) = if one.is_ok() { (one, two) } else { (two, one) };
    let document: Value = serde_json::from_str(&given.unwrap()).unwrap();
    assert_eq!((document["id"].as_str(), document["vm_list"].as_array().map(Vec::len)), (Some(id.as_str()), Some(1)));
    assert!(matches!(refused, Err(UnknownInfrastructure | OperationError::DeletedInfrastructure)), "{refused:?}");
    let add = Add { document: machines(1), context: false };
    assert_eq!(subject.engine.make(&owner, &id, add).await, Err(UnknownInfrastructure));
}
