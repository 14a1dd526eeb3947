//! Every method of XML-RPC, with the forms of arguments that clients use (docs/spec/api.md 3.2).

use crate::{
    support::{Apis, Server, document},
    xmlrpc::{array, auth, item, string, structure, user},
};
use dxr::Value;
use imd::api::xmlrpc::XmlRpcSettings;

const UNKNOWN: &str = "Invalid infrastructure ID or access not granted.";

#[tokio::test]
async fn an_infrastructure_from_its_creation_to_its_end() {
    let server = Server::start().await;
    assert_eq!(server.call("GetVersion", &[]).await, string("1.19.1"));
    assert_eq!(server.call("GetInfrastructureList", &[auth()]).await, array([]));
    let id = server.create_by_call(2).await;
    let inf = string(&id);
    let named = |method: &'static str| (method, [inf.clone(), auth()]);

    assert_eq!(server.call("GetInfrastructureList", &[auth()]).await, array([inf.clone()]));
    for (filter, found) in [(Value::Nil, true), (string(""), true), (string("Lab"), true), (string("No such"), false)] {
        let list = server.call("GetInfrastructureList", &[auth(), filter.clone()]).await;
        assert_eq!(list == array([inf.clone()]), found, "{filter:?}");
    }
    let (method, arguments) = named("GetInfrastructureInfo");
    assert_eq!(server.call(method, &arguments).await, array([string("0"), string("1")]));
    let (method, arguments) = named("GetInfrastructureState");
    let states = structure(&[("0", string("configured")), ("1", string("configured"))]);
    let expected = structure(&[("state", string("configured")), ("vm_states", states)]);
    assert_eq!(server.call(method, &arguments).await, expected);
    let (method, arguments) = named("GetInfrastructureOwners");
    assert_eq!(server.call(method, &arguments).await, array([string("user")]));

    // Texts are those of REST, letter by letter.
    for (method, path) in [("GetInfrastructureRADL", "radl"), ("GetInfrastructureContMsg", "contmsg")] {
        let text = server.call_text(method, &[inf.clone(), auth()]).await;
        assert_eq!(text, server.get(&format!("/infrastructures/{id}/{path}")).await.text, "{method}");
        assert!(!text.is_empty());
    }
    let header = server.call_text("GetInfrastructureContMsg", &[inf.clone(), auth(), Value::Boolean(true)]).await;
    assert_eq!(header, server.get(&format!("/infrastructures/{id}/contmsg?headeronly=yes")).await.text);

    let add = "network pub\nsystem node\ndeploy node 1\n";
    assert_eq!(server.call("AddResource", &[inf.clone(), string(add), auth()]).await, array([Value::Integer(2)]));
    let without = [inf.clone(), string("network pub\nsystem node\ndeploy node 4\n"), auth(), Value::Boolean(false)];
    let numbers = array([3, 4, 5, 6].map(Value::Integer));
    assert_eq!(server.call("AddResource", &without).await, numbers);

    for (vms, gone) in [
        (string("2"), 1),
        (Value::Integer(3), 1),
        (array([string("4")]), 1),
        (array([Value::Integer(5), string("6")]), 2),
        (string("0, 1"), 2),
    ] {
        let removed = server.call("RemoveResource", &[inf.clone(), vms.clone(), auth(), Value::Boolean(false)]).await;
        assert_eq!(removed, Value::Integer(gone), "{vms:?}");
    }
    let (method, arguments) = named("GetInfrastructureInfo");
    assert_eq!(server.call(method, &arguments).await, array([]));
    assert_eq!(server.refused("GetVMInfo", &[inf.clone(), string("2"), auth()]).await, "Deleted VM.");

    let destroy = [inf.clone(), auth(), Value::Boolean(false)];
    assert_eq!(server.call("DestroyInfrastructure", &destroy).await, string(""));
    assert_eq!(server.refused("DestroyInfrastructure", &destroy).await, UNKNOWN);
}

#[tokio::test]
async fn operations_on_machines_and_on_all_of_them() {
    let server = Server::start().await;
    let id = server.create_by_call(2).await;
    let (inf, path) = (string(&id), format!("/infrastructures/{id}"));
    for operation in ["RebootVM", "StopVM"] {
        assert_eq!(server.call(operation, &[inf.clone(), Value::Integer(0), auth()]).await, string(""), "{operation}");
    }
    let state = [inf.clone(), string("0"), string("state"), auth()];
    assert_eq!(server.call("GetVMProperty", &state).await, string("stopped"));
    assert_eq!(server.call("StartVM", &[inf.clone(), string("0"), auth()]).await, string(""));
    server.wait_for(&path, "configured").await;
    assert_eq!(server.call("StopInfrastructure", &[inf.clone(), auth()]).await, string(""));
    server.wait_for(&path, "stopped").await;
    assert_eq!(server.call("StartInfrastructure", &[inf.clone(), auth()]).await, string(""));
    server.wait_for(&path, "configured").await;

    for number in [string("0"), Value::Integer(0), Value::Long(0), string(" 0 ")] {
        let info = server.call_text("GetVMInfo", &[inf.clone(), number, auth()]).await;
        assert_eq!(info, server.get(&format!("{path}/vms/0")).await.text);
    }
    assert_eq!(server.call("GetVMContMsg", &[inf.clone(), string("0"), auth()]).await, string(""));
    let altered = [inf.clone(), string("0"), string("system node ( cpu.count >= 2 and memory.size >= 4g )"), auth()];
    let text = server.call_text("AlterVM", &altered).await;
    assert!(text.contains("system node") && text.contains("deploy node 2"), "{text}");

    let wrong = [inf.clone(), string("0"), string("system node ( disk.3.size = 1g )"), auth()];
    let (why, said) = (server.refused("AlterVM", &wrong).await, "disk.3: the next data disk of the machine is disk.1");
    assert!(why.contains(said), "{why}");

    // Numbers of any size, fractions, texts, and groups as in RADL's JSON form.
    let application =
        structure(&[("ansible.modules.acme.x", item(&[("name", "ansible.modules.acme.x"), ("preinstalled", "yes")]))]);
    for (name, value) in [
        ("memory.size", Value::Long(4_000_000_000)),
        ("cpu.count", Value::Integer(2)),
        ("net_interface.0.ip", string("10.0.0.1")),
        ("disk.0.applications", application),
    ] {
        let found = server.call("GetVMProperty", &[inf.clone(), string("0"), string(name), auth()]).await;
        assert_eq!(found, value, "{name}");
    }
    let unknown = [inf.clone(), string("0"), string("foo"), auth()];
    assert_eq!(server.refused("GetVMProperty", &unknown).await, "Incorrect property foo for VM ID 0");

    let snapshot = |disk, name, delete| [inf.clone(), string("0"), disk, name, delete, auth()];
    for (disk, delete) in [(Value::Integer(0), Value::Boolean(true)), (string("0"), Value::Nil)] {
        let url = server.call("CreateDiskSnapshot", &snapshot(disk, string("copy"), delete)).await;
        assert_eq!(url, string("mock0://linux.for.ev.er/copy"));
    }
    for (arguments, message) in [
        (snapshot(string("x"), string("copy"), Value::Nil), "Incorrect disk number: x"),
        (snapshot(Value::Integer(0), Value::Nil, Value::Nil), "Parameter image_name required."),
        (snapshot(Value::Integer(0), string("a"), string("maybe")), "Incorrect value in auto_delete parameter"),
    ] {
        assert_eq!(server.refused("CreateDiskSnapshot", &arguments).await, message);
    }

    for (radl, vms) in [
        (string(""), Value::Nil),
        (Value::Nil, array([Value::Integer(0), Value::Integer(7)])),
        (string(" \n"), string("0,1")),
        (string("configure c (\n@begin\n---\n- tasks: []\n@end\n)\n"), array([string("1")])),
    ] {
        let result = server.call("Reconfigure", &[inf.clone(), radl.clone(), auth(), vms.clone()]).await;
        assert_eq!(result, string(""), "{radl:?} {vms:?}");
    }
    assert_eq!(server.call("Reconfigure", &[inf.clone(), string(""), auth()]).await, string(""));
    let list = [inf.clone(), string(""), auth(), array([string("a")])];
    assert_eq!(server.refused("Reconfigure", &list).await, "Incorrect vm_list format.");
}

#[tokio::test]
async fn creation_and_deletion_in_the_background() {
    let server = Server::start().await;
    for asynchronous in [Value::Boolean(true), Value::Integer(1), string("yes")] {
        let id = server.call_text("CreateInfrastructure", &[string(&document(1)), auth(), asynchronous]).await;
        server.wait_for(&format!("/infrastructures/{id}"), "configured").await;
        let destroy = [string(&id), auth(), Value::Nil, Value::Boolean(true)];
        assert_eq!(server.call("DestroyInfrastructure", &destroy).await, string(""));
    }
    server.wait_for_list(0).await;
}

#[tokio::test]
async fn refusals_are_pairs_with_the_bare_message() {
    let server = Server::start().await;
    let id = server.create_by_call(1).await;
    let inf = string(&id);
    let stranger = array([user("stranger")]);
    for (method, arguments, message) in [
        ("GetInfrastructureInfo", vec![string("zz"), auth()], UNKNOWN),
        ("GetInfrastructureState", vec![Value::Integer(12), auth()], UNKNOWN),
        ("GetInfrastructureState", vec![Value::Nil, auth()], UNKNOWN),
        ("GetInfrastructureRADL", vec![inf.clone(), stranger], "Access to this infrastructure not granted."),
        ("GetVMInfo", vec![inf.clone(), string("77"), auth()], "Invalid VM ID"),
        ("GetVMInfo", vec![inf.clone(), array([]), auth()], "Invalid VM ID"),
        ("StopVM", vec![inf.clone(), Value::Integer(-1), auth()], "Invalid VM ID"),
        (
            "RemoveResource",
            vec![inf.clone(), Value::Boolean(true), auth()],
            "Incorrect parameter type to RemoveResource function: expected: str, int or list of str.",
        ),
        ("AddResource", vec![inf.clone(), string(""), auth(), string("maybe")], "Incorrect value in context parameter"),
        ("AddResource", vec![inf.clone(), Value::Integer(1), auth()], "The document must be a string with RADL."),
        ("GetInfrastructureList", vec![array([])], "No credentials provided for the InfrastructureManager."),
        ("GetInfrastructureList", vec![Value::Nil], "No credentials provided for the InfrastructureManager."),
        ("GetInfrastructureList", vec![string("x")], "No authentication data provided: item 0 is not a struct"),
        (
            "GetInfrastructureList",
            vec![array([user("user"), item(&[("id", "1bad"), ("type", "Dummy")])])],
            "Incorrect value in auth item id: 1bad",
        ),
        (
            "GetInfrastructureList",
            vec![array([item(&[("type", "InfrastructureManager")])])],
            "No username nor token for the InfrastructureManager.",
        ),
        (
            "GetInfrastructureList",
            vec![array([item(&[("type", "InfrastructureManager"), ("token", "abc")])])],
            "Invalid InfrastructureManager credentials. Issuer not accepted.",
        ),
    ] {
        assert_eq!(server.refused(method, &arguments).await, message, "{method}");
    }
    for (method, arguments, start) in [
        ("CreateInfrastructure", vec![string("bad"), auth()], "Line 1: Parse error"),
        // The document of a call is never the name of a file.
        ("CreateInfrastructure", vec![string("/etc/passwd"), auth()], ""),
        ("AddResource", vec![inf.clone(), string("bad"), auth()], "Line 1: Parse error"),
        ("GetInfrastructureList", vec![auth(), string("(")], "Invalid filter: "),
    ] {
        let message = server.refused(method, &arguments).await;
        assert!(message.starts_with(start) && !message.contains("root"), "{message}");
    }
    // One struct stands for a list of one, and nothing was made on the way.
    assert_eq!(server.call("GetInfrastructureList", &[user("user")]).await, array([inf]));
}

#[tokio::test]
async fn machines_may_be_described_in_json() {
    let xmlrpc = XmlRpcSettings { vminfo_json: true, ..XmlRpcSettings::default() };
    let server = Server::serving(Apis { xmlrpc, ..Apis::default() }).await;
    let id = server.create_by_call(1).await;
    let text = server.call_text("GetVMInfo", &[string(&id), string("0"), auth()]).await;
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rest = server.get_json(&format!("/infrastructures/{id}/vms/0")).await.json();
    assert_eq!(json, rest["radl"]);
    assert!(text.starts_with("[\n  {\n    \"class\": \"network\",\n    \"id\": \"pub\""), "{text}");
    let system = text.split("\"class\": \"system\"").nth(1).unwrap();
    assert!(system.find("cpu.count_min").unwrap() < system.find("state").unwrap() || !system.contains("cpu.count_min"));
    let keys: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("    \"")?.split('"').next()).collect();
    let systems = keys.iter().rposition(|key| *key == "class").unwrap();
    assert!(keys[systems..].is_sorted(), "{keys:?}");
    let altered = [string(&id), string("0"), string("system node ( memory.size >= 1g )"), auth()];
    assert!(server.call_text("AlterVM", &altered).await.starts_with("description lab"), "always plain");
}

#[tokio::test]
async fn owners_are_added_and_replaced() {
    let server = Server::start().await;
    let inf = string(&server.create_by_call(1).await);
    let change = |new_auth: Value, overwrite: Value| [inf.clone(), new_auth, overwrite, auth()];
    // An array as documented, or one struct as clients send it; the type may be left out.
    let untyped = item(&[("username", "third"), ("password", "pass")]);
    for new_auth in [array([user("stranger")]), user("stranger"), untyped] {
        assert_eq!(server.call("ChangeInfrastructureAuth", &change(new_auth, Value::Nil)).await, string(""));
    }
    let owners = array([string("user"), string("stranger"), string("third")]);
    assert_eq!(server.call("GetInfrastructureOwners", &[inf.clone(), auth()]).await, owners);
    for (new_auth, why) in [
        (array([]), "No credentials provided for the InfrastructureManager."),
        (string("x"), "No authentication data provided: item 0 is not a struct"),
        (user(""), "No username nor token for the InfrastructureManager."),
    ] {
        let message = server.refused("ChangeInfrastructureAuth", &change(new_auth, Value::Boolean(false))).await;
        assert_eq!(message, format!("Invalid new infrastructure data provided: {why}"));
    }
    let replace = change(user("stranger"), Value::Boolean(true));
    assert_eq!(server.call("ChangeInfrastructureAuth", &replace).await, string(""));
    let lost = server.refused("GetInfrastructureOwners", &[inf.clone(), auth()]).await;
    assert_eq!(lost, "Access to this infrastructure not granted.");
    let kept = [inf.clone(), array([user("stranger")])];
    assert_eq!(server.call("GetInfrastructureOwners", &kept).await, array([string("stranger")]));
}

#[tokio::test]
async fn what_is_given_away_comes_back() {
    let server = Server::start().await;
    let id = server.create_by_call(2).await;
    let inf = string(&id);
    let kept = server.call_text("ExportInfrastructure", &[inf.clone(), Value::Nil, auth()]).await;
    let document: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!((document["id"].as_str(), document["vm_list"].as_array().map(Vec::len)), (Some(id.as_str()), Some(2)));
    let existing = "Trying to add an existing infrastructure ID.";
    assert_eq!(server.refused("ImportInfrastructure", &[string(&kept), auth()]).await, existing);
    let given = server.call_text("ExportInfrastructure", &[inf.clone(), Value::Boolean(true), auth()]).await;
    assert_eq!(server.refused("GetInfrastructureInfo", &[inf.clone(), auth()]).await, UNKNOWN);
    assert_eq!(server.call("ImportInfrastructure", &[string(&given), auth()]).await, inf);
    server.wait_for(&format!("/infrastructures/{id}"), "configured").await;
    let machines = array([string("0"), string("1")]);
    assert_eq!(server.call("GetInfrastructureInfo", &[inf, auth()]).await, machines);
    let wrong = server.refused("ImportInfrastructure", &[string("{}"), auth()]).await;
    assert!(wrong.starts_with("Error importing the infrastructure, incorrect data: "), "{wrong}");
}

#[tokio::test]
async fn clouds_estimates_and_statistics() {
    let server = Server::start().await;
    let image = |number: u8| {
        let (uri, name) = (format!("mock0://linux.for.ev.er/image{number}"), format!("Image Name{number}"));
        item(&[("uri", &uri), ("name", &name)])
    };
    for filters in [vec![], vec![Value::Nil], vec![item(&[("distribution", "debian")])]] {
        let images = server.call("GetCloudImageList", &[vec![string("dummy"), auth()], filters].concat()).await;
        assert_eq!(images, array([image(1), image(2)]));
    }
    let filters = [string("dummy"), auth(), string("x")];
    assert_eq!(server.refused("GetCloudImageList", &filters).await, "Incorrect value in filters parameter");
    let Value::Struct(quotas) = server.call("GetCloudQuotas", &[string("dummy"), auth()]).await else { panic!() };
    assert_eq!(quotas["cores"], structure(&[("limit", Value::Integer(10)), ("used", Value::Integer(1))]));
    let unknown = [string("nocloud"), auth()];
    assert_eq!(server.refused("GetCloudQuotas", &unknown).await, "Cloud ID nocloud not found.");

    let compute = [("cpuCores", 1), ("memoryInMegabytes", 512), ("publicIP", 1)];
    let compute = structure(&compute.map(|(name, number)| (name, Value::Integer(number))));
    let estimate = structure(&[(
        "dummy",
        structure(&[
            ("cloudType", string("Dummy")),
            ("cloudEndpoint", string("http://:80")),
            ("compute", array([compute.clone(), compute])),
            ("storage", array([])),
        ]),
    )]);
    for name in ["EstimateResources", "EstimateResouces"] {
        assert_eq!(server.call(name, &[string(&document(2)), auth()]).await, estimate, "{name}");
    }
    assert_eq!(server.call("GetInfrastructureList", &[auth()]).await, array([]));

    let id = server.create_by_call(2).await;
    for (name, from, to) in [
        ("GetStats", string(""), Value::Nil),
        ("GetStat", string("2001-01-01"), string("2999/01/01")),
        ("GetStats", Value::Nil, string("")),
    ] {
        let Value::Array(rows) = server.call(name, &[from, to, auth()]).await else { panic!() };
        let [Value::Struct(row)] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((&row["inf_id"], &row["vm_count"]), (&string(&id), &Value::Integer(2)));
        // What has no value is empty: many clients do not read nil.
        assert_eq!((&row["deleted"], &row["cloud_host"]), (&Value::Boolean(false), &string("")));
        assert_eq!(row.len(), 12);
    }
    assert_eq!(server.call("GetStats", &[string("2999-01-01"), string(""), auth()]).await, array([]));
    let bad = [string(""), string("yesterday"), auth()];
    assert_eq!(server.refused("GetStats", &bad).await, "Incorrect format in end_date parameter: YYYY/MM/dd");
}
