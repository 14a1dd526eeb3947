#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::engine::{
    exchange::{export, import::read},
    state::{model::Lifecycle, states::Clock},
};
use connectors::Location;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;

fn machine(number: u32, id: Value) -> Value {
    json!({
        "id": id,
        "im_id": number,
        "state": "configured",
        "destroy": false,
        "cloud": {"id": "d", "type": "Dummy", "server": "", "port": -1, "protocol": "", "path": "", "extra": {}},
        "info": "system node (\nstate = 'configured' and disk.0.os.credentials.password = 'x'\n)\n",
        "requested_radl": "",
        "configured": true,
        "ctxt_pid": "WAIT",
        "volumes": ["v1"],
    })
}

fn document() -> Value {
    json!({
        "id": "79afabdc-e62e-11f1-beb6-02fc00000001",
        "vm_list": [machine(0, json!("179532227098")), machine(1, Value::Null)],
        "auth": [{"type": "InfrastructureManager", "username": "user", "password": "pass"}],
        "radl": "system node ()\ndeploy node 2\n",
        "cont_out": "a line\n",
        "configured": null,
    })
}

#[test]
fn older_forms_mean_the_same() {
    let (model, logs) = read(&document().to_string(), 7).unwrap();
    let mut older = document();
    for vm in older["vm_list"].as_array_mut().unwrap() {
        vm["cloud"] = vm["cloud"].to_string().into();
        *vm = vm.to_string().into();
    }
    older["vm_list"] = older["vm_list"].to_string().into();
    older["auth"] = older["auth"].to_string().into();
    let (mut same, same_logs) = read(&older.to_string(), 7).unwrap();
    // Marks in the cloud are new each time.
    for (vm, other) in same.vms.iter_mut().zip(&model.vms) {
        std::sync::Arc::make_mut(vm).uid = other.uid.clone();
    }
    assert_eq!((same, same_logs), (model.clone(), logs));
    assert_eq!(model.created, 7);
    assert_eq!(model.prototypes.len(), 1, "alike machines share one");
    assert_eq!((model.vms[0].prototype, model.vms[1].prototype), (Some(0), Some(0)));
    assert_eq!(model.configured, Some(true), "all machines are");
    assert!(matches!(&model.vms[0].lifecycle, Lifecycle::Present(id) if id.0 == "179532227098"));
    assert!(matches!(&model.vms[1].lifecycle, Lifecycle::Failed { .. }));
    assert_eq!(model.vms[0].foreign.as_ref().unwrap()["volumes"], json!(["v1"]));
}

/// Where machines are, and where else something is shared, goes with the document and comes back; of a cloud that is not
/// divided nothing is said, as the reference says nothing.
#[test]
fn locations_are_told_and_taken_in() {
    let mut document = document();
    document["vm_list"][0]["cloud"]["location"] = json!({"region": "north", "zone": "a"});
    let (mut model, _) = read(&document.to_string(), 7).unwrap();
    let location = Location { region: Some("north".into()), zone: Some("a".into()), ..Location::default() };
    assert_eq!(model.vms[0].cloud.location, location);
    assert!(model.vms[1].cloud.location.is_whole_cloud());
    model.full_clouds = vec![model.vms[0].cloud.clone()];
    let clock = Clock { now: 7, grace: 0 };
    let record = export::record(&model, String::new(), &HashMap::new(), clock).unwrap();
    let written = serde_json::to_value(&record).unwrap();
    assert_eq!(written["vm_list"][1]["cloud"].get("location"), None);
    let (again, _) = read(&written.to_string(), 7).unwrap();
    assert_eq!((&again.vms[0].cloud, &again.full_clouds), (&model.vms[0].cloud, &model.full_clouds));
    let shared: Vec<String> = again.clouds().iter().map(|cloud| cloud.location.to_string()).collect();
    assert_eq!(shared, ["", "region=north,zone=a"]);
}

#[test]
fn what_cannot_be_taken_in_is_named() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut document = document();
        change(&mut document);
        read(&document.to_string(), 0).unwrap_err().to_string()
    };
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(Change<'_>, &str); 6] = [
        (&|d| *d = json!({}), "missing field `id`"),
        (&|d| d["id"] = "../x".into(), "the id is not a UUID"),
        (&|d| d["radl"] = "bad".into(), "radl: "),
        (&|d| d["vm_list"][0]["im_id"] = 5.into(), "there is no machine 0"),
        (&|d| d["vm_list"][0]["cloud"]["location"] = json!({"zone": "a\n"}), "has control characters"),
        (&|d| d["vm_list"][1]["info"] = "network a ()".into(), "info of machine 1 has no system"),
    ];
    for (change, expected) in cases {
        let text = refused(change);
        assert!(
            text.starts_with("Error importing the infrastructure, incorrect data: ") && text.contains(expected),
            "{text}"
        );
    }
}

proptest! {
    /// Whatever stands in one place of a good document: it is taken in or refused.
    #[test]
    fn nothing_in_a_document_panics(place in 0_usize..12, value in any::<i64>().prop_map(Value::from)
        .boxed().prop_union("\\PC{0,20}".prop_map(Value::from).boxed())) {
        let mut document = document();
        let places = [
            "/id", "/vm_list", "/vm_list/0", "/vm_list/0/id", "/vm_list/0/im_id", "/vm_list/0/cloud", "/vm_list/0/info",
            "/vm_list/0/state", "/auth", "/radl", "/configured", "/cont_out",
        ];
        *document.pointer_mut(places[place]).unwrap() = value;
        let _ = read(&document.to_string(), 0);
    }
}

/// Records bear no mark: whoever goes on with the infrastructure learns of them from its document alone.
#[test]
fn records_of_names_go_along() {
    let mut text = document();
    let entry =
        json!({"host": "a", "domain": "example.org.", "address": "192.0.2.1", "provider": "cloud", "made": true});
    text["vm_list"][0]["dns_records"] = json!([entry]);
    let (model, _) = read(&text.to_string(), 7).unwrap();
    assert_eq!(model.vms[0].records[0].record.to_string(), "a.example.org A 192.0.2.1");
    assert!(model.vms[1].records.is_empty());
    let record = export::record(&model, String::new(), &HashMap::new(), Clock { now: 7, grace: 0 }).unwrap();
    let again = serde_json::to_value(&record).unwrap();
    assert_eq!(again["vm_list"][0]["dns_records"], json!([entry]));
    assert!(again["vm_list"][1].get("dns_records").is_none());
}
