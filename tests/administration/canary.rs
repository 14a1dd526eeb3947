//! Planted secrets are found nowhere they do not belong: not in the files of the database, not in the log (at DEBUG, of
//! libraries too, to its last buffered line), not in error answers, not in arguments or environments of processes.

use crate::support::{Daemon, PATIENCE, Setup};
use reqwest::{Method, header};
use std::{fs, path::Path};

/// In every planted secret.
const STEM: &str = "c4naRy7SeCreT";

fn secret(place: &str) -> String {
    format!("{place}{STEM}{place}")
}

/// Whether the bytes hold the stem, as it is or in base64 or hexadecimal.
fn leaks(bytes: &[u8]) -> bool {
    let hexadecimal = hex::encode(STEM);
    // What stands around the stem decides on the first and last characters only.
    let encoded = (0..3).map(|shift| {
        let text = openssl::base64::encode_block(&[&vec![b' '; shift], STEM.as_bytes()].concat());
        text.trim_end_matches('=')[4..text.len() - 4].to_owned()
    });
    let needles: Vec<String> = [STEM.to_owned(), hexadecimal].into_iter().chain(encoded).collect();
    needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
}

fn document(image: &str) -> String {
    format!(
        "network pub (outbound = 'yes')
system node (
net_interface.0.connection = 'pub' and
disk.0.image.url = '{image}' and
disk.0.os.name = 'linux' and
disk.0.os.credentials.username = 'root' and
disk.0.os.credentials.password = '{}' and
disk.0.os.credentials.new.password = '{}' and
disk.0.os.credentials.private_key = '-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----'
)
configure node (
@begin
---
- tasks:
  - name: a step
    shell: echo {}
@end
)
deploy node 2
",
        secret("first"),
        secret("New-"),
        secret("key"),
        secret("recipe")
    )
}

fn authorization(cloud: &str) -> String {
    format!(
        "type = InfrastructureManager; username = user; password = {}\\nid = dummy; type = Dummy; username = u; \
         password = {}; token = {}; private_key = {}; {cloud}",
        secret("user"),
        secret("cloud"),
        secret("token"),
        secret("pem"),
    )
}

/// The XML of a call with the same credentials.
fn call(method: &str, arguments: &[&str]) -> String {
    let member = |(name, value): (&str, String)| {
        format!("<member><name>{name}</name><value><string>{value}</string></value></member>")
    };
    let item = |members: Vec<(&str, String)>| {
        format!("<value><struct>{}</struct></value>", members.into_iter().map(member).collect::<String>())
    };
    let user = item(vec![
        ("type", "InfrastructureManager".to_owned()),
        ("username", "user".to_owned()),
        ("password", secret("user")),
    ]);
    let cloud = item(vec![("id", "dummy".to_owned()), ("type", "Dummy".to_owned()), ("password", secret("cloud"))]);
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let texts: String = arguments
        .iter()
        .map(|text| format!("<param><value><string>{}</string></value></param>", escaped(text)))
        .collect();
    format!(
        "<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>{texts}<param><value><array><data>\
         {user}{cloud}</data></array></value></param></params></methodCall>"
    )
}

struct Client<'a> {
    daemon: &'a Daemon,
    client: reqwest::Client,
}

impl Client<'_> {
    /// Status and text; an answer that is an error holds no secret.
    async fn ask(&self, method: Method, path: &str, authorization: &str, body: &str) -> (u16, String) {
        let request = self.client.request(method.clone(), self.daemon.url(path));
        let request = request.header(header::AUTHORIZATION, authorization).body(body.to_owned());
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), format!("{:?}", response.headers()));
        let text = response.text().await.unwrap();
        assert!(!leaks(headers.as_bytes()), "{method} {path}: {headers}");
        assert!(status < 400 || !leaks(text.as_bytes()), "{method} {path}: {status} {text}");
        (status, text)
    }

    async fn rpc(&self, body: String) -> String {
        let request = self.client.post(self.daemon.xmlrpc_url()).header(header::CONTENT_TYPE, "text/xml");
        let text = request.body(body).send().await.unwrap().text().await.unwrap();
        let is_error = text.contains("<fault>") || text.contains("<boolean>0</boolean>");
        assert!(!is_error || !leaks(text.as_bytes()), "{text}");
        text
    }
}

fn nothing_in(directory: &Path) {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert!(!leaks(&fs::read(&path).unwrap()), "{}", path.display());
            names.push(path);
        }
    }
    assert!(!names.is_empty());
}

/// The daemon and all processes below it.
fn processes(daemon: &Daemon) -> Vec<i32> {
    let mut found = vec![daemon.pid().as_raw()];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
        }
        next += 1;
    }
    found
}

fn nothing_in_processes(daemon: &Daemon) {
    for pid in processes(daemon) {
        for file in ["cmdline", "environ", "comm"] {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert!(!leaks(&bytes), "{file} of {pid}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_secrets_are_nowhere() {
    assert!(leaks(secret("a").as_bytes()) && leaks(openssl::base64::encode_block(secret("ab").as_bytes()).as_bytes()));
    let options =
        "LOG_LEVEL = DEBUG\nMAX_VM_FAILS = 2\nDELAY_BETWEEN_VM_RETRIES = 0\nVM_INFO_UPDATE_FREQUENCY = 0".to_owned();
    let mut daemon = Daemon::over_dummy(Setup { options, xmlrpc: true, ..Setup::default() });
    daemon.wrap(["env", "RUST_LOG=debug"].map(str::to_owned).to_vec());
    daemon.start().await;
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let client = Client { daemon: &daemon, client };
    let good = document("mock0://linux.for.ev.er/image1");
    let auth = authorization("latency_ms = 1-20");

    let (status, uri) = client.ask(Method::POST, "/infrastructures", &auth, &good).await;
    assert_eq!(status, 200, "{uri}");
    let path = crate::support::path_of(&uri);
    daemon
        .until("made", async |_| {
            client.ask(Method::GET, &format!("{path}/state"), &auth, "").await.1.contains("\"configured\"")
        })
        .await;
    let (_, info) = client.ask(Method::GET, &format!("{path}/vms/0"), &auth, "").await;
    assert!(info.contains(&secret("New-")) || info.contains(&secret("first")), "its owner sees them: {info}");
    for property in ["radl", "contmsg", "data", "authorization", "nonsense"] {
        client.ask(Method::GET, &format!("{path}/{property}"), &auth, "").await;
    }
    client.ask(Method::POST, &path, &auth, &good).await;
    client.ask(Method::PUT, &format!("{path}/vms/0/stop"), &auth, "").await;
    client.ask(Method::PUT, &format!("{path}/vms/0/start"), &auth, "").await;
    client.ask(Method::PUT, &format!("{path}/vms/0"), &auth, "system node (cpu.count >= 2)").await;
    client.ask(Method::PUT, &format!("{path}/reconfigure"), &auth, &good).await;
    nothing_in_processes(&daemon);
    nothing_in(daemon.database().parent().unwrap());

    // Failures: clouds that fail or refuse, documents that are broken in every place, wrong credentials.
    let failing = authorization("failure_rate = 1.0");
    assert!(client.ask(Method::POST, "/infrastructures", &failing, &good).await.0 >= 400);
    client.ask(Method::POST, "/infrastructures?async=true", &failing, &good).await;
    let mut refused = 0;
    let broken = [
        good.replace("@end", ""),
        good.replace("- tasks:", "- tasks: ["),
        good.replace("deploy node 2", "deploy nobody 2"),
        good.replace("'root' and", "'root'"),
        good.replace("private_key = '", "private_key = "),
        good.replace("disk.0.os.credentials.password = '", "disk.0.os.credentials.password = "),
        good.replace("credentials.new.password", "credentials.no such"),
        format!("{good}\nsystem node (disk.0.os.credentials.password = '{}')", secret("twice")),
        document("gone://nowhere/"),
    ];
    for body in &broken {
        refused += u32::from(client.ask(Method::POST, "/infrastructures", &auth, body).await.0 >= 400);
        client.ask(Method::POST, &path, &auth, body).await;
        client.rpc(call("CreateInfrastructure", &[body])).await;
    }
    assert!(refused >= 7, "{refused}");
    for wrong in [
        format!("type = InfrastructureManager; username = user; password = {}", secret("wrong")),
        format!("type = InfrastructureManager; token = {}", secret("bearer")),
        format!("Bearer {}", secret("bearer")),
        format!("type = InfrastructureManager; username = user; password = '{}", secret("quote")),
        format!("[{{\"type\": \"InfrastructureManager\", \"password\": \"{}\"", secret("json")),
        secret("nothing"),
    ] {
        assert!(client.ask(Method::GET, &path, &wrong, "").await.0 >= 400);
        client.ask(Method::POST, "/infrastructures", &wrong, &good).await;
    }
    let owners = format!("[{{\"type\": \"InfrastructureManager\", \"password\": \"{}\"}}]", secret("owner"));
    client.ask(Method::POST, &format!("{path}/authorization"), &auth, &owners).await;
    client.ask(Method::PUT, "/infrastructures", &auth, &format!("{{\"id\": \"{}\"}}", secret("import"))).await;

    let made = client.rpc(call("CreateInfrastructure", &[&good])).await;
    assert!(made.contains("<boolean>1</boolean>"), "{made}");
    let id = path.rsplit('/').next().unwrap();
    for (method, arguments) in [
        ("GetInfrastructureInfo", vec![id]),
        ("GetVMInfo", vec![id, "0"]),
        ("AddResource", vec![id, &good]),
        ("ExportInfrastructure", vec![id, &secret("flag")]),
        ("ImportInfrastructure", vec![&secret("document")]),
        ("GetInfrastructureState", vec![&secret("id")]),
        ("NoSuchMethod", vec![&good]),
    ] {
        client.rpc(call(method, &arguments)).await;
    }
    client.rpc(call("CreateInfrastructure", &[&good]).replace("</params>", "")).await;

    client.ask(Method::DELETE, &format!("{path}?force=true"), &auth, "").await;
    nothing_in_processes(&daemon);
    nothing_in(daemon.database().parent().unwrap());
    // What was still in the buffers of the log is written when it stops.
    let (_, ended_well) = daemon.terminate().await;
    assert!(ended_well);
    nothing_in(daemon.database().parent().unwrap());
    let log = daemon.database().with_file_name("../im.log");
    let log = fs::read_to_string(log).unwrap();
    let line = log.lines().find(|line| leaks(line.as_bytes()));
    assert!(line.is_none(), "{line:?}");
    assert!(log.contains("DEBUG") && log.contains("daemon stopped"), "it was a real log: {log}");
}
