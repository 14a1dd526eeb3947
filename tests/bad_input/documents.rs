//! Documents that cannot be read or mean nothing: refused at once, with the place, at creation, addition and
//! reconfiguration alike.

use crate::{
    bystander::{Bystander, Sent},
    support::document,
};
use reqwest::Method;

/// What is wrong, the document, and what the message must say.
const DOCUMENTS: &[(&str, &str, &[&str])] = &[
    ("no RADL at all", "Please give me two machines.", &["Line 1:", "found a word", "column 1"]),
    (
        "a sentence that stops in the middle",
        "network pub ()\nsystem node (\n  cpu.count >= and\n)\ndeploy node 1\n",
        &["Line 3:", "and", "column 16"],
    ),
    ("a bracket that is never closed", "network pub (\nsystem node (\n", &["Line 2:", "system", "column 1"]),
    ("an end too early", "system node (\n  cpu.count >= 1", &["Parse error", "line 2, column 17"]),
    ("a character of no word", "system node (\n  cpu.count >= ^ 1\n)\n", &["Line 2:", "'^'", "column 16"]),
    ("two networks of one name", "network n ()\nnetwork n ()\n", &["same id", "line 2"]),
    (
        "an unknown network",
        "system node (\n  net_interface.0.connection = 'nowhere'\n)\ndeploy node 1\n",
        &["Line 2:", "'net_interface.0.connection'"],
    ),
    (
        "an interface without a network",
        "system node (\n  net_interface.0.ip = '10.0.0.1'\n)\n",
        &["net_interface.0.connection", "line 1"],
    ),
    ("JSON", "[{\"class\": \"network\", \"id\": \"n\"}]", &["Line 1:", "'['", "application/json"]),
    ("TOSCA", "tosca_definitions_version: tosca_simple_yaml_1_0\n", &["Line 1:", "looks like TOSCA"]),
    ("an indented end", "configure c (\n@begin\n- tasks: []\n @end\n)\n", &["Parse error in: None", "line 4"]),
    ("an unknown system", "system node ()\n\ndeploy other 1\n", &["Line 3:", "system id in the deploy"]),
    (
        "an unknown configure",
        "system node ()\ncontextualize (\n  system node configure missing step 1\n)\ndeploy node 1\n",
        &["Line 3:", "configure id 'missing'"],
    ),
    (
        "an unknown system to configure",
        "configure c ()\ncontextualize (\n  system missing configure c\n)\n",
        &["Line 3:", "system id 'missing'"],
    ),
    ("a reference to nothing stored", "configure nothing\n", &["Unknown reference", "configure", "'nothing'"]),
    (
        "a configure that only refers to itself",
        "system node ()\nconfigure loop\ncontextualize ( system node configure loop )\ndeploy node 1\n",
        &["Unknown reference", "'loop'"],
    ),
    ("fewer machines than none", "system node ()\ndeploy node -1\n", &["Line 2:"]),
    ("half a machine", "system node ()\ndeploy node 1.5\n", &["Line 2:", "number of virtual machines"]),
    (
        "an unit of something else",
        "system node (\n  memory.size >= 1 parsecs\n)\ndeploy node 1\n",
        &["Line 2:", "expected one of"],
    ),
    (
        "a contradiction",
        "system node (\n  cpu.count >= 4 and\n  cpu.count <= 2\n)\n",
        &["Line 3:", "cpu.count", "column 3"],
    ),
    ("a text where a number belongs", "system node (\n  cpu.count = 'many'\n)\n", &["Line 2:", "expected"]),
    ("an operating system that nobody knows", "system node (\n  disk.0.os.name = 'hurd'\n)\n", &["Line 2:", "LINUX"]),
    (
        "a role that is a command",
        "system node ( disk.0.applications contains (name='ansible.roles.a.b;reboot') )\ndeploy node 1\n",
        &["role", "a.b;reboot", "NAMESPACE.NAME"],
    ),
    (
        "a role that adds a task",
        "system node ( disk.0.applications contains (name='ansible.roles.a.b\n- hosts: localhost') )\ndeploy node 1\n",
        &["role", "NAMESPACE.NAME"],
    ),
    (
        "a role that is a template",
        "system node ( disk.0.applications contains (name='ansible.modules.{{ lookup(1) }}') )\ndeploy node 1\n",
        &["role", "NAMESPACE.NAME"],
    ),
    (
        "a collection that is a path",
        "system node ( disk.0.applications contains (name='ansible.collections.../../etc') )\ndeploy node 1\n",
        &["collection", "NAMESPACE.NAME"],
    ),
    (
        "a version of a role that is an option",
        "system node ( disk.0.applications contains (name='ansible.roles.a.b' and version='--force') )\ndeploy node 1\n",
        &["role", "a.b", "version"],
    ),
    ("a port that is none", "network n ( outports = '99999999' )\n", &["Line 1:", "'outports'", "rule 1", "65535"]),
];

/// Cases: R-16.
#[tokio::test]
async fn documents_are_refused_with_their_place_and_nothing_changes() {
    let bystander = Bystander::start().await;
    let existing = bystander.path.clone();
    for (what, text, words) in DOCUMENTS {
        let message = bystander.refuses(Sent::create(*text), 400, words).await;
        assert!(message.starts_with("Error Creating Inf.: "), "{what}: {message}");
        let sent = Sent::document(Method::POST, "/infrastructures?async=yes", *text);
        assert_eq!(bystander.refuses(sent, 400, words).await, message, "{what}: the same when asynchronous");
        let added = bystander.refuses(Sent::document(Method::POST, &existing, *text), 400, &[]).await;
        assert!(added.starts_with("Error Adding resources: "), "{what}: {added}");
    }
    bystander.still_works().await;
}

#[tokio::test]
async fn json_documents_are_refused_with_their_place() {
    let bystander = Bystander::start().await;
    let cases: &[(&str, &[&str])] = &[
        ("[\n  {\"class\": \"network\", \"id\": }\n]", &["not JSON", "line 2 column 30"]),
        ("{\"class\": \"network\"}", &["list"]),
        ("[{\"class\": \"cloud\", \"id\": \"x\"}]", &["Unknown class", "object 0", "system"]),
        ("[{\"class\": \"network\"}]", &["id"]),
        ("[{\"class\": \"deploy\", \"system\": \"nothing\", \"vm_number\": 1}]", &["system id in the deploy"]),
    ];
    for (body, words) in cases {
        let sent = Sent { content_type: Some("application/json"), ..Sent::create(*body) };
        bystander.refuses(sent, 400, words).await;
    }
    bystander.still_works().await;
}

#[tokio::test]
async fn changes_of_a_machine_are_refused_without_its_system() {
    let bystander = Bystander::start().await;
    let vm = format!("{}/vms/1", bystander.path);
    let cases: &[(&str, &[&str])] = &[
        ("system other ( cpu.count = 2 )", &["no system with name node"]),
        ("", &["no system with name node"]),
        ("system node (", &["line 1"]),
    ];
    for (body, words) in cases {
        bystander.refuses(Sent::document(Method::PUT, &vm, *body), 400, words).await;
    }
    let none = format!("{}/vms/7", bystander.path);
    bystander.refuses(Sent::document(Method::PUT, &none, document(1)), 404, &["Invalid VM ID"]).await;
    bystander.still_works().await;
}
