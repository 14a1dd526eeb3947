//! What the sender of a document is told: why it is refused, by both APIs alike, and what of it is probably a slip.

use crate::{
    support::{Answer, Server, document},
    xmlrpc::{auth, string},
};
use reqwest::{Method, header};

const SECRET: &str = "S3cretH0rse";

/// The words that clients know, then the place, the cause and the cure, and of what stands there nothing that may be a
/// secret; from REST and XML-RPC alike, at creation and at addition.
#[tokio::test]
async fn refusals_tell_place_cause_and_cure_and_no_secret() {
    let server = Server::start().await;
    let id = server.create_by_call(1).await;
    let in_system = |body: &str| format!("system other (\n{body}\n)");
    for (text, told) in [
        (
            in_system(&format!("disk.0.os.credentials.password = {SECRET}")),
            "Line 2: Parse error in: column 34: found a word, expected a number, a string or a list; strings stand in \
             single quotes: 'text'"
                .to_owned(),
        ),
        (
            in_system(&format!("disk.0.os.name = \"{SECRET}\"")),
            "Line 2: Parse error in: column 18: found the character '\"', expected a number, a string or a list; strings \
             stand in single quotes: 'text'"
                .to_owned(),
        ),
        (
            "system other (\ncpu.count = 1".to_owned(),
            "Parse error in: None (line 2, column 14: the document ends here, expected 'and' or ')'; the ')' is missing \
             that closes the '(' of line 1)"
                .to_owned(),
        ),
        (
            "network other (outports = '22,80-81-82')".to_owned(),
            "Line 1: Invalid value in property 'outports' (rule 2 of the list: it has too many parts: PORT, PORT-PORT or \
             FIRST:LAST, behind ADDRESSES- if not all may connect)"
                .to_owned(),
        ),
        (
            in_system(&format!("disk.0.os.credentials.new.password = '{}'", SECRET.to_lowercase())),
            "Line 2: Invalid value in property 'disk.0.os.credentials.new.password' (it needs 7 characters at least, \
             among them a capital letter, a digit and one that is neither letter nor digit)"
                .to_owned(),
        ),
    ] {
        for (path, prefix) in [
            ("/infrastructures".to_owned(), "Error Creating Inf.: "),
            ("/infrastructures?async=yes".to_owned(), "Error Creating Inf.: "),
            (format!("/infrastructures/{id}"), "Error Adding resources: "),
        ] {
            let answer = server.post(&path, text.clone()).await;
            assert_eq!((answer.status.as_u16(), answer.text), (400, format!("{prefix}{told}")), "{text}");
        }
        let added = [string(&id), string(&text), auth()];
        assert_eq!(server.refused("CreateInfrastructure", &[string(&text), auth()]).await, told);
        assert_eq!(server.refused("AddResource", &added).await, told);
        assert!(!told.to_lowercase().contains(&SECRET.to_lowercase()));
    }
}

/// An addition is told what it only has to refer to, not the lines of the document that it is added to.
#[tokio::test]
async fn additions_are_told_to_refer_to_what_is_there() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let refused = async |text: &str| server.post(&path, text.to_owned()).await.text;
    let refer = "the infrastructure has it: refer to it with";
    assert_eq!(
        refused("deploy node 1").await,
        format!(
            "Error Adding resources: Line 1: Invalid system id in the deploy. ({refer} 'system node' in this document)"
        )
    );
    assert_eq!(
        refused("system node\ndeploy node 1").await,
        format!(
            "Error Adding resources: Invalid value in property 'net_interface.0.connection' (system node, as the \
             infrastructure has it: {refer} 'network pub' in this document)"
        )
    );
    assert_eq!(server.post(&path, "network pub\nsystem node\ndeploy node 1".to_owned()).await.status, 200);
}

/// A memory of two bytes is made, for it may be meant; the answer and the log say so, also after the log began anew.
#[tokio::test]
async fn amounts_without_unit_are_warned_of() {
    let server = Server::start().await;
    let warning = "system node: memory.size is less than a megabyte: without a unit (M, G, ...) it counts bytes";
    let text = document(1).replace("memory.size >= 512m", "memory.size = 2");
    for query in ["?dry_run=yes", "", "?async=yes"] {
        let answer = server.post(&format!("/infrastructures{query}"), text.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-im-warning")), (200, warning), "{query}: {}", answer.text);
    }
    let text = text.replace("contextualize ()\n", "contextualize ( option a = 'b' )\n");
    let made = server.post("/infrastructures", text).await.text;
    let path = made.replace(&server.url(""), "");
    server.wait_for(&path, "configured").await;
    let log = server.get(&format!("{path}/contmsg")).await.text;
    assert!(log.contains(&format!("WARNING: {warning}.\n")), "{log}");
    let altered = server.request(Method::PUT, &format!("{path}/vms/0")).body("system node ( memory.size = 1G )");
    assert_eq!(Answer::of(altered).await.header("x-im-warning"), "");
    let altered = server.request(Method::PUT, &format!("{path}/vms/0")).body("system node ( memory.size = 3 )");
    assert_eq!(Answer::of(altered).await.header("x-im-warning"), warning);
}

/// Machines that could not be made have their names all the same, asked for or made up; a list is a line per element.
#[tokio::test]
async fn names_do_not_wait_for_the_cloud_and_lists_have_lines() {
    let server = Server::start().await;
    let text = "network pub ( outbound = 'yes' )
system wn ( net_interface.0.connection = 'pub' and net_interface.0.dns_name = 'wn-#N#' and
  net_interface.0.additional_dns_names = ['a.example.org','b.example.org'] and
  disk.0.image.url = 'mock0://linux.for.ev.er/image1' )
system nameless ( net_interface.0.connection = 'pub' and disk.0.image.url = 'mock0://linux.for.ev.er/image1' )
contextualize ()\ndeploy wn 2\ndeploy nameless 2\n";
    let faults = "; fail_numbers = 0,2";
    let made = Answer::of(server.request_on(Method::POST, "/infrastructures", faults).body(text)).await;
    let path = made.text.replace(&server.url(""), "");
    for (number, state, name) in [(0, "failed", "wn-0"), (2, "failed", "vnode-2"), (3, "configured", "vnode-3")] {
        let vm = format!("{path}/vms/{number}");
        while server.get(&format!("{vm}/state")).await.text != state {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(server.get(&format!("{vm}/net_interface.0.dns_name")).await.text, name);
        assert!(server.get(&vm).await.text.contains(&format!("net_interface.0.dns_name = '{name}'")));
        let id = string(path.rsplit('/').next().unwrap());
        let asked = [id, dxr::Value::Integer(number), string("net_interface.0.dns_name"), auth()];
        assert_eq!(server.call_text("GetVMProperty", &asked).await, name);
    }
    let list = server.get(&format!("{path}/vms/1/net_interface.0.additional_dns_names")).await;
    assert_eq!(list.parts().2, "a.example.org\nb.example.org");
}

/// A cloud that cannot make what is asked for says what it is, not that an image is missing.
#[tokio::test]
async fn clouds_say_what_they_cannot_make() {
    let server = Server::start().await;
    let header = "type = InfrastructureManager; username = user; password = pass\\nid = mine; type = DeployedNode";
    let login = "disk.0.os.credentials.username = 'u' and disk.0.os.credentials.password = 'p'";
    for (features, missing) in
        [(login, "net_interface.0.ip"), ("net_interface.0.ip = '192.0.2.1'", "disk.0.os.credentials.username")]
    {
        let text = format!("network n ()\nsystem s (net_interface.0.connection = 'n' and {features})\ndeploy s 1");
        let request =
            server.client.post(server.url("/infrastructures")).header(header::AUTHORIZATION, header).body(text);
        let told = format!(
            "Error Creating Inf.: Error adding VMs: Error, no concrete system to deploy: s in cloud: mine. A machine \
             that exists already is described by its address and its login: {missing} is missing"
        );
        assert_eq!(Answer::of(request).await.text, told);
    }
}
