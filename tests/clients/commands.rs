//! Every sub-command on the simulated cloud.

use crate::{
    client::{Api, Client},
    support::{Daemon, Setup},
};
use serde_json::{Value, json};

const UNKNOWN: &str = "Invalid infrastructure ID or access not granted.";

/// A document with a name and machines.
fn document(name: &str, machines: u32) -> String {
    format!(
        "description d (\nname = '{name}'\n)\nnetwork pub ( outbound = 'yes' )\nsystem node (\ncpu.count >= 1 and\n\
         memory.size >= 512m and\nnet_interface.0.connection = 'pub' and\ndisk.0.os.name = 'linux' and\n\
         disk.0.image.url = 'mock0://linux.for.ev.er/image1'\n)\ncontextualize ()\ndeploy node {machines}\n"
    )
}

async fn daemon() -> Daemon {
    let mut daemon = Daemon::over_dummy(Setup {
        options: "VM_INFO_UPDATE_FREQUENCY = 1".to_owned(),
        clouds: "id = dummy; type = Dummy".to_owned(),
        xmlrpc: true,
        ..Setup::default()
    });
    daemon.start().await;
    daemon
}

/// A client with documents.
fn client(api: Api, daemon: &Daemon) -> Client {
    let client = Client::new(api, daemon, "somebody");
    client.write("lab.radl", &document("lab", 2));
    client.write("lab2.radl", &document("lab2", 1));
    client.write("add.radl", "network pub\nsystem node\ndeploy node 1\n");
    client.write("alter.radl", "system node (\ncpu.count >= 2 and\nmemory.size >= 1g\n)\n");
    client.write("recipe.radl", "configure node (\n@begin\n---\n- tasks: []\n@end\n)\n");
    client.write("broken.radl", "system node (");
    client
}

/// Creates an infrastructure and waits, as the client does but more often; its id.
async fn create(client: &Client, file: &str) -> String {
    let said = client.says(&format!("create {file}"));
    let id = said.strip_prefix("Infrastructure successfully created with ID: ").unwrap_or_else(|| panic!("{said}"));
    until(client, id, "configured").await;
    id.to_owned()
}

async fn until(client: &Client, id: &str, wanted: &str) {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let state = client.json(&format!("getstate {id}"))["state"].clone();
        if state == wanted {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn infrastructures_over_xmlrpc() {
    infrastructures(Api::XmlRpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn infrastructures_over_rest() {
    infrastructures(Api::Rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_clouds_and_refusals_over_xmlrpc() {
    owners_clouds_and_refusals(Api::XmlRpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_clouds_and_refusals_over_rest() {
    owners_clouds_and_refusals(Api::Rest).await;
}

/// Two infrastructures from creation to deletion.
async fn infrastructures(api: Api) {
    let daemon = daemon().await;
    let client = client(api, &daemon);
    assert_eq!(client.text("getversion"), "1.19.1");
    assert_eq!(client.says("list"), "No Infrastructures.");
    let lab = create(&client, "lab.radl").await;
    let other = create(&client, "lab2.radl").await;
    assert_eq!(client.says(&format!("wait {lab} 60")), "The infrastructure is in state: configured");
    questions(&client, &lab, &other);
    machines(&client, &lab).await;
    access(&client, &lab);
    // The older one goes by its name, which the other's begins with.
    assert_eq!(client.fails(&format!("destroy {lab}")), "(yes/no):EOF when reading a line");
    assert_eq!(client.says("-y -n destroy lab"), "Infrastructure successfully destroyed");
    assert_eq!(client.json("list"), json!([other]));
    assert_eq!(client.fails("-y -n destroy lab"), "Infrastructure Name not found");
    assert_eq!(client.says(&format!("-y destroy {other}")), "Infrastructure successfully destroyed");
    assert!(daemon.machines_of_dummy().is_empty());
}

/// What goes on around infrastructures.
async fn owners_clouds_and_refusals(api: Api) {
    let daemon = daemon().await;
    let client = client(api, &daemon);
    let lab = create(&client, "lab.radl").await;
    exchange(&client, &daemon, &lab).await;
    clouds(&client);
    errors(&client, &daemon, &lab);
    // Made at once, without waiting for it.
    let made = client.json("create_wait_outputs lab2.radl 0");
    assert_eq!(made["outputs"], json!({}));
    let other = made["infid"].as_str().unwrap();
    assert_eq!(client.json("list"), json!([other, lab]));
    assert_eq!(client.says(&format!("-y -f destroy {other}")), "Infrastructure successfully destroyed");
    assert_eq!(client.json("list"), json!([lab]));
}

/// What only asks.
fn questions(client: &Client, lab: &str, other: &str) {
    assert_eq!(client.json("list"), json!([other, lab]));
    assert_eq!(client.json("list lab2"), json!([other]));
    assert_eq!(client.json("-n list"), json!({other: "lab2", lab: "lab"}));
    let states = client.json(&format!("getstate {lab}"));
    assert_eq!(states, json!({"state": "configured", "vm_states": {"0": "configured", "1": "configured"}}));
    assert_eq!(client.json(&format!("getstate {other}"))["vm_states"], json!({"0": "configured"}));
    assert_eq!(client.says(&format!("getstate {lab}")), "VM ID: 1 is in state: configured.");

    let radl = client.text(&format!("getradl {lab}"));
    assert!(radl.contains("name = 'lab'") && radl.ends_with("deploy node 2"), "{radl}");
    assert!(client.text("-n getradl lab") == radl);
    assert!(!client.text(&format!("getcontmsg {lab}")).is_empty());
    assert_eq!(client.text(&format!("getvmcontmsg {lab} 0")), "");
    assert_eq!(client.text(&format!("getinfo {lab} net_interface.0.ip")), "10.0.0.1\n10.0.0.1");
    assert_eq!(client.text(&format!("-s node getinfo {other} cpu.count")), "1");
    assert_eq!(client.text(&format!("-s none getinfo {other}")), "");
    let info = client.run(&format!("getinfo {lab}"));
    assert!(info.success && info.text.matches("system node (").count() == 2, "{}", info.text);
    assert!(info.text.contains("Info about VM with ID: 1"), "{}", info.text);
    let info = client.text(&format!("getvminfo {lab} 0"));
    assert!(info.contains("system node (") && info.contains("state = 'configured'"), "{info}");
    for (name, value) in [("state", "configured"), ("memory.size", "512000000"), ("disk.0.os.name", "linux")] {
        assert_eq!(client.text(&format!("getvminfo {lab} 0 {name}")), value);
    }
}

/// What changes machines.
async fn machines(client: &Client, lab: &str) {
    // Over XML-RPC the client cannot print the numbers of what it added unless it is quiet.
    let added = if client.api == Api::XmlRpc { json!([2]) } else { json!(["2"]) };
    assert_eq!(client.json(&format!("addresource {lab} add.radl")), added);
    until(client, lab, "configured").await;
    let gone = if client.api == Api::XmlRpc { "1" } else { "2" };
    let said = client.says(&format!("removeresource {lab} 2"));
    assert_eq!(said, format!("Resources with IDs: {gone} successfully deleted."));
    until(client, lab, "configured").await;
    // Without a contextualization what is added stays as it is.
    assert_eq!(client.json(&format!("addresource {lab} add.radl 0")).as_array().map(Vec::len), Some(1));
    assert_eq!(client.json(&format!("getstate {lab}"))["vm_states"]["3"], "running");
    client.text(&format!("removeresource {lab} 3 0"));
    assert_eq!(client.json(&format!("getstate {lab}"))["vm_states"], json!({"0": "configured", "1": "configured"}));

    assert_eq!(client.says(&format!("alter {lab} 0 alter.radl")), "VM successfully modified.");
    assert_eq!(client.text(&format!("getvminfo {lab} 0 memory.size")), "1000000000");
    assert_eq!(client.text(&format!("getvminfo {lab} 0 cpu.count")), "2");

    assert_eq!(client.says(&format!("stopvm {lab} 1")), "VM successfully stopped");
    assert_eq!(client.text(&format!("getvminfo {lab} 1 state")), "stopped");
    assert_eq!(client.says(&format!("startvm {lab} 1")), "VM successfully started");
    assert_eq!(client.says(&format!("rebootvm {lab} 1")), "VM successfully rebooted");
    assert_eq!(client.says(&format!("stop {lab}")), "Infrastructure successfully stopped");
    until(client, lab, "stopped").await;
    assert_eq!(client.says(&format!("start {lab}")), "Infrastructure successfully started");
    until(client, lab, "configured").await;
    for arguments in ["", " recipe.radl", " recipe.radl 0,1"] {
        let said = client.says(&format!("reconfigure {lab}{arguments}"));
        assert_eq!(said, "Infrastructure successfully reconfigured.", "{arguments}");
        until(client, lab, "configured").await;
    }
    assert!(client.text(&format!("getradl {lab}")).contains("configure node ("));
}

/// The commands that the client would log in and copy with.
fn access(client: &Client, lab: &str) {
    let ssh =
        "sshpass -ppassword ssh -p 22 -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no username@10.0.0.1";
    assert_eq!(client.text(&format!("sshvm {lab} 1 1")), ssh);
    assert_eq!(client.text(&format!("ssh {lab} 1")), ssh);
    assert_eq!(client.text(&format!("ssh {lab} 1 hostname")), format!("{ssh} hostname"));
    let scp = "sshpass -ppassword scp -r -P 22 -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no";
    let (to, from) = (format!("{scp} here username@10.0.0.1:there"), format!("{scp} username@10.0.0.1:here there"));
    for (command, expected) in
        [("putvm LAB 1 1", &to), ("put LAB 1", &to), ("getvm LAB 1 1", &from), ("get LAB 1", &from)]
    {
        assert_eq!(client.text(&format!("{} here there", command.replace("LAB", lab))), *expected, "{command}");
    }
}

/// Export and import, and what others may do.
async fn exchange(client: &Client, daemon: &Daemon, lab: &str) {
    let exported = client.json(&format!("export {lab}"));
    let document: Value = serde_json::from_str(exported.as_str().unwrap()).unwrap();
    assert_eq!(document["id"], lab);
    let given = client.json(&format!("export {lab} 1"));
    client.fails(&format!("getstate {lab}"));
    client.write("given.json", given.as_str().unwrap());
    assert_eq!(client.says("import given.json"), format!("New Inf: {lab}"));
    let existing = "Trying to add an existing infrastructure ID.";
    assert!(client.fails("import given.json").ends_with(existing));
    until(client, lab, "configured").await;

    let friend = Client::new(client.api, daemon, "friend");
    friend.fails(&format!("getradl {lab}"));
    client.write("friend.dat", &friend.credentials());
    assert_eq!(client.says(&format!("change_auth {lab} friend.dat")), "Auth data successfully changed.");
    assert_eq!(friend.json("list"), json!([lab]));
    friend.write("friend.dat", &friend.credentials());
    assert_eq!(friend.says(&format!("change_auth {lab} friend.dat 1")), "Auth data successfully changed.");
    client.fails(&format!("getradl {lab}"));
    friend.write("other.dat", &client.credentials());
    assert_eq!(friend.says(&format!("change_auth {lab} other.dat 1")), "Auth data successfully changed.");
    friend.fails(&format!("getradl {lab}"));
    assert!(client.text(&format!("getradl {lab}")).contains("name = 'lab'"));
}

/// What the client's clouds have.
fn clouds(client: &Client) {
    let images = client.json("cloudimages dummy");
    assert_eq!(images[0], json!({"uri": "mock0://linux.for.ev.er/image1", "name": "Image Name1"}));
    assert_eq!(client.json("cloudusage dummy")["cores"]["limit"], 10);
    let said = client.fails("cloudusage nocloud");
    assert!(said.contains("Cloud ID nocloud not found."), "{said}");
}

/// What is refused: the exit status says so, and the message is the daemon's.
fn errors(client: &Client, daemon: &Daemon, lab: &str) {
    let prefixed = |prefix: &'static str, text: &str| {
        if client.api == Api::XmlRpc { text.to_owned() } else { format!("{prefix}{text}") }
    };
    for (command, start, prefix) in [
        ("getstate 12", "Error getting infrastructure state: ", "Error Getting Inf. prop: "),
        ("getradl zz", "ERROR getting the infrastructure RADL: ", "Error Getting Inf. prop: "),
        ("-y destroy zz", "ERROR destroying the infrastructure: ", "Error Destroying Inf: "),
        ("stopvm zz 0", "Error stopping VM: ", "Error in stop op in VM: "),
        ("reconfigure zz", "ERROR reconfiguring the infrastructure: ", "Error reconfiguring infrastructure: "),
    ] {
        let said = client.fails(command);
        assert!(said.starts_with(start) && said.contains(&prefixed(prefix, UNKNOWN)), "{command}: {said}");
    }
    let unknown = prefixed("Error Getting VM. info: ", "Invalid VM ID");
    assert!(client.run(&format!("getvminfo {lab} 77")).text.contains(&unknown));
    assert_eq!(client.fails(&format!("getvminfo {lab} 0 nothing")), "Incorrect property nothing for VM ID 0");
    client.fails(&format!("getoutputs {lab}"));
    client.fails("create broken.radl");
    client.fails("create missing.radl");
    client.fails("nonsense");
    let stranger = Client::new(client.api, daemon, "stranger");
    assert_eq!(stranger.says("list"), "No Infrastructures.");
    let refused = prefixed("Error Getting Inf. prop: ", "Access to this infrastructure not granted.");
    let said = stranger.fails(&format!("getcontmsg {lab}"));
    assert!(said.contains(&refused), "{said}");
    let nobody = Client::new(client.api, daemon, "");
    nobody.fails("list");
    assert_eq!(client.json(&format!("getstate {lab}"))["vm_states"].as_object().map(serde_json::Map::len), Some(2));
}
