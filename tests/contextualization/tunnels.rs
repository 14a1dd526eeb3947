//! A machine that nothing of its infrastructure reaches: it brings its SSH to the master by itself.

use crate::{lab::Lab, options, sandbox};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::{
    fs,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
};
use tokio::{io::copy_bidirectional, net::TcpListener};

/// The worker's way out, as its cloud may give it: to the daemon and to public addresses, and nobody comes in by it. The
/// name of the host's end lets the packets pass to the public networks of the local cloud.
const UPLINK: &str = "impuplink";
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 1);
const INSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 2);

const DOCUMENT: &str = "network pub ( outbound = 'yes' )
network island ()
system front (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'pub'
)
system worker (
disk.0.image.url = 'local://host' and
net_interface.0.connection = 'island'
)
configure worker (
@begin
- tasks:
    - name: Where Ansible finds it
      shell: echo {{ ansible_host }}:{{ ansible_port }} > /var/tmp/place
@end
)
deploy front 1
deploy worker 1
";

/// The process of a node whose directories are its own.
fn process(lab: &Lab, machine: u32) -> String {
    let root = lab.root(machine).unwrap();
    root.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

/// A command in a node, started.
fn inside(lab: &Lab, machine: u32, script: &str) -> Child {
    let target = process(lab, machine);
    let mut command = Command::new("nsenter");
    command.args(["--target", &target, "--mount", "--net", "--pid", "--uts", "--ipc", "--root", "--wd=/"]);
    command.args(["sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().unwrap()
}

fn output_inside(lab: &Lab, machine: u32, script: &str) -> String {
    String::from_utf8(inside(lab, machine, script).wait_with_output().unwrap().stdout).unwrap()
}

fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
}

/// Gives the worker its way out, without one in: what the host did not hear from it first it does not send there.
fn connect(lab: &Lab, machine: u32) {
    ip(&format!("link add {UPLINK} type veth peer name up0 netns {}", process(lab, machine)));
    ip(&format!("address add {OUTSIDE}/30 dev {UPLINK}"));
    ip(&format!("link set {UPLINK} up"));
    fs::write(format!("/proc/sys/net/ipv4/conf/{UPLINK}/forwarding"), "1").unwrap();
    let rules = format!(
        "table inet uplink {{\n chain forward {{\n type filter hook forward priority 0;\n oifname {UPLINK} ct state new \
         drop\n }}\n chain output {{\n type filter hook output priority 0;\n oifname {UPLINK} ct state new drop\n }}\n}}"
    );
    assert!(Command::new("nft").arg(rules).status().unwrap().success());
    let commands =
        format!("ip address add {INSIDE}/30 dev up0 && ip link set up0 up && ip route add 198.18.0.0/16 via {OUTSIDE}");
    assert!(inside(lab, machine, &commands).wait().unwrap().success());
}

/// The daemon on the worker's side of the host: it listens on the loopback address alone. The port.
async fn relay(to: String) -> u16 {
    let listener = TcpListener::bind((OUTSIDE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut machine, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let mut daemon = tokio::net::TcpStream::connect(to).await.unwrap();
                // Either side may just go.
                let _ = copy_bidirectional(&mut machine, &mut daemon).await;
            });
        }
    });
    port
}

/// The front is a machine that exists already, for an infrastructure of its own: configured by address and credentials,
/// and left alone by the deletion.
async fn existing_machine(lab: &Lab, path: &str) {
    let feature = async |name: &str| lab.daemon.text(Method::GET, &format!("{path}/vms/0/{name}"), "").await;
    let document = json!([
        {"class": "network", "id": "lan", "outbound": "yes"},
        {
            "class": "system",
            "id": "old",
            "net_interface.0.connection": "lan",
            "net_interface.0.ip": feature("net_interface.0.ip").await,
            "disk.0.os.name": "linux",
            "disk.0.os.credentials.username": feature("disk.0.os.credentials.username").await,
            "disk.0.os.credentials.private_key": feature("disk.0.os.credentials.private_key").await,
        },
        {"class": "configure", "id": "old", "recipes": "- tasks:\n  - shell: echo old > /var/tmp/existing\n"},
        {"class": "deploy", "system": "old", "vm_number": 1, "cloud": "mine"},
    ]);
    let by = "type = InfrastructureManager; username = user; password = pass\\nid = mine; type = DeployedNode";
    let client = reqwest::Client::new();
    let send = async |method: Method, path: &str| {
        let request = client.request(method.clone(), lab.daemon.url(path)).header("Authorization", by);
        let body = if method == Method::POST { document.to_string() } else { String::new() };
        let answer = request.header("Content-Type", "application/json").body(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        (status, text)
    };
    let (status, url) = send(Method::POST, "/infrastructures").await;
    assert_eq!(status, StatusCode::OK, "{url}");
    let old = url.replace(&lab.daemon.url(""), "");
    lab.daemon.until_idle().await;
    let log = lab.daemon.get(&format!("{old}/contmsg")).await.text;
    assert_eq!(lab.daemon.state(&old).await, "configured", "{log}");
    let file = lab.root(0).unwrap().join("var/tmp/existing");
    assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
    let (status, text) = send(Method::PUT, &format!("{old}/vms/0/stop")).await;
    assert!(status == StatusCode::BAD_REQUEST && text.starts_with("Error in stop op in VM: Error stopping"), "{text}");
    assert_eq!(send(Method::DELETE, &old).await.0, StatusCode::OK);
    assert!(crate::lab::answers(lab.front(path).await) && file.exists());
}

/// Cases: M-16.
/// Findings: S10.
#[tokio::test]
async fn a_machine_brings_its_door_to_the_master() {
    let options = options();
    if !sandbox::inside("tunnels::a_machine_brings_its_door_to_the_master") {
        return;
    }
    let mut lab = Lab::with(&options);
    lab.daemon.start().await;
    let path = lab.daemon.create(DOCUMENT, "").await;
    connect(&lab, 1);
    let port = relay(lab.daemon.url("").replace("http://", "")).await;
    let command = format!("{path}/vms/1/command");

    // What the machine runs at its boot, as the daemon tells its owner; the address is that of the request.
    let address = format!("http://{OUTSIDE}:{port}");
    let script = lab.daemon.text(Method::GET, &command, "").await.replace(&lab.daemon.url(""), &address);
    assert!(script.contains(&format!("url='{address}{command}'\n")), "{script}");
    for secret in ["pass", "PRIVATE", "user"] {
        assert!(!script.contains(&format!("'{secret}")) && !script.contains("InfrastructureManager"), "{script}");
    }
    let file = lab.root(1).unwrap().join("var/tmp/boot.sh");
    fs::write(&file, &script).unwrap();
    let mut boot = inside(&lab, 1, "setsid sh /var/tmp/boot.sh > /var/tmp/boot.log 2>&1 & wait");

    lab.daemon.until_idle().await;
    let log = lab.daemon.get(&format!("{path}/contmsg")).await.text;
    assert_eq!(lab.daemon.state(&path).await, "configured", "{log}");
    assert!(log.contains("Remote access to VM: 127.0.0.1 Open!"), "{log}");
    let place = fs::read_to_string(lab.root(1).unwrap().join("var/tmp/place")).unwrap();
    assert_eq!(place, "127.0.0.1:20001\n");

    // The token is the machine's, and so is its key: it opens nothing else, and no other key is taken with it.
    let token = script.lines().find_map(|line| line.strip_prefix("token='")).unwrap().trim_end_matches('\'');
    let bearer = format!("Bearer {token}");
    let client = reqwest::Client::new();
    let ask = async |method: Method, path: &str| {
        let request = client.request(method, lab.daemon.url(path)).header("Authorization", &bearer);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    for other in ["", "/state", "/radl", "/data", "/vms/1", "/vms/0/command", "/vms/1/net_interface.0.ip"] {
        assert_eq!(ask(Method::GET, &format!("{path}{other}")).await.0, StatusCode::FORBIDDEN, "{other}");
    }
    assert_eq!(ask(Method::DELETE, &path).await.0, StatusCode::FORBIDDEN);
    assert_eq!(ask(Method::GET, "/infrastructures").await, (StatusCode::OK, String::new()));
    let own = fs::read_to_string(lab.root(1).unwrap().join("var/lib/imd-tunnel/key.pub")).unwrap();
    let other = contextualization::ssh::keys::generate(Default::default()).unwrap().public;
    let form = |key: &str| {
        let query: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
        format!("{command}?step=2&key={query}")
    };
    let (status, open) = ask(Method::GET, &form(&own)).await;
    assert!(status == StatusCode::OK && open.contains("-R localhost:20001:localhost:22"), "{open}");
    assert!(!open.contains("PRIVATE"), "{open}");
    assert_eq!(ask(Method::GET, &form(&other)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(ask(Method::GET, &form("ssh-rsa x")).await.0, StatusCode::BAD_REQUEST);
    let master = ask(Method::GET, &format!("{path}/vms/0/command?step=2")).await;
    assert_eq!(master.0, StatusCode::FORBIDDEN);
    assert_eq!(lab.daemon.text(Method::GET, &format!("{path}/vms/0/command?step=2"), "").await, "true");

    // On the master the key opens that one port and nothing else.
    let front = lab.daemon.text(Method::GET, &format!("{path}/vms/0/net_interface.0.ip"), "").await;
    let user = lab.daemon.text(Method::GET, &format!("{path}/vms/0/disk.0.os.credentials.username"), "").await;
    let ssh = |more: &str| {
        let options = "-i key -o UserKnownHostsFile=known_hosts -o HostKeyAlias=imd-master -o BatchMode=yes";
        let line = format!("cd /var/lib/imd-tunnel && timeout 20 ssh {options} {more} {user}@{front} id 2>&1; echo $?");
        output_inside(&lab, 1, &line)
    };
    let shell = ssh("");
    assert!(!shell.contains("uid=") && shell.ends_with("1\n"), "{shell}");
    let port_of_another = ssh("-o ExitOnForwardFailure=yes -R localhost:20002:localhost:22");
    assert!(port_of_another.contains("forwarding failed"), "{port_of_another}");
    let onwards = ssh("-W localhost:22");
    assert!(onwards.contains("prohibited") && !onwards.contains("SSH-2.0"), "{onwards}");

    // A broken tunnel comes again, and the next contextualization goes through it.
    assert_eq!(output_inside(&lab, 1, "pkill -f '^ssh -N -F /dev/null' && echo broken"), "broken\n");
    lab.daemon.text(Method::PUT, &format!("{path}/reconfigure"), "").await;
    lab.daemon.until_idle().await;
    assert_eq!(lab.daemon.state(&path).await, "configured");

    existing_machine(&lab, &path).await;
    lab.daemon.text(Method::DELETE, &path, "").await;
    boot.kill().ok();
    boot.wait().unwrap();
    assert!(Command::new("nft").args(["delete", "table", "inet", "uplink"]).status().unwrap().success());
    lab.nothing_is_left();
}
