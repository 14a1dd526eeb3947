//! Containers of a real Docker Engine, configured by real Ansible.

use crate::{
    lab::answers,
    options, sandbox,
    support::{Daemon, Setup},
};
use clouds::docker::{Engine, IMAGE};
use connectors::conformance::Backstage;
use reqwest::Method;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
};

/// What the containers have in their data volumes once they are configured.
const TOLD: &str = "/data/told";

fn document() -> String {
    format!(
        "network pub ( outbound = 'yes' )\nnetwork inner ()\n\
         system node (\ncpu.count = 1 and memory.size = 512M and\n\
         disk.0.image.url = 'docker://{IMAGE}' and disk.1.mount_path = '/data' and\n\
         net_interface.0.connection = 'pub' and net_interface.1.connection = 'inner' and\n\
         net_interface.0.dns_name = 'node-#N#'\n)\n\
         configure node (\n@begin\n- tasks:\n    - copy:\n        dest: {TOLD}\n        \
         content: \"{{{{ IM_NODE_HOSTNAME }}}}\"\n@end\n)\ndeploy node 2\n"
    )
}

/// Archive of the root of a container that lets its user in.
fn root() -> std::path::PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !sandbox::is_inside() {
        assert!(Command::new(here.join("scripts/make-docker-image")).status().unwrap().success());
    }
    here.join("target/servers/docker-node.tar")
}

/// The name of machine `number`'s container, and where the engine has put its SSH server.
async fn container(engine: &Engine, daemon: &Daemon, path: &str, number: u32) -> (String, SocketAddr) {
    let id = daemon.text(Method::GET, &format!("{path}/vms/{number}/instance_id"), "").await.trim().to_owned();
    let port = run(engine, &["port", &id, "22/tcp"]);
    (id, port.trim().parse().unwrap_or_else(|_| panic!("{port}")))
}

fn run(engine: &Engine, arguments: &[&str]) -> String {
    let done = engine.docker(arguments);
    assert!(done.status.success(), "{arguments:?}: {done:?}");
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}

async fn configured(daemon: &Daemon, path: &str) {
    daemon.until_idle().await;
    let log = daemon.get(&format!("{path}/contmsg")).await.text;
    assert_eq!(daemon.state(path).await, "configured", "{log}");
}

#[tokio::test]
async fn containers_are_configured() {
    let (options, root) = (options(), root());
    if !sandbox::inside("docker::containers_are_configured") {
        return;
    }
    // The control groups of the host are below the mount that the sandbox has put over them.
    assert!(Command::new("umount").arg("/sys").status().unwrap().success());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let engine = Engine::of(&root, port);
    let mut daemon = Daemon::new(Setup {
        options: format!("VM_INFO_UPDATE_FREQUENCY = 1\n{options}"),
        clouds: format!("id = docker; type = Docker; host = http://127.0.0.1:{port}"),
        ..Setup::default()
    });
    daemon.start().await;
    let path = daemon.create(&document(), "").await;
    configured(&daemon, &path).await;
    let mut ports = Vec::new();
    for number in [0, 1] {
        let (id, ssh) = container(&engine, &daemon, &path, number).await;
        assert_eq!(run(&engine, &["exec", &id, "cat", TOLD]), format!("node-{number}"));
        assert!(answers(ssh), "{ssh}");
        ports.push(ssh.port());
        let known = daemon.text(Method::GET, &format!("{path}/vms/{number}"), "").await;
        assert!(known.contains(&format!("{}-22", ssh.port())), "{known}");
        assert!(!run(&engine, &["inspect", &id]).contains("PRIVATE KEY"));
    }
    assert_ne!(ports[0], ports[1]);
    // The daemon itself came by the port: what the engine leads there comes from its own bridge.
    let (front, _) = container(&engine, &daemon, &path, 0).await;
    let log = run(&engine, &["logs", &front]);
    assert!(log.contains("Accepted publickey for root from 100.127.0.1 "), "{log}");

    // Stopped and started again: the engine may choose another port, and all goes on there.
    let state = format!("{path}/vms/1/state");
    for (operation, wanted) in [("stop", "stopped"), ("start", "configured")] {
        daemon.text(Method::PUT, &format!("{path}/vms/1/{operation}"), "").await;
        daemon.until(wanted, async |daemon| daemon.get(&state).await.text.trim() == wanted).await;
    }
    let (id, ssh) = container(&engine, &daemon, &path, 1).await;
    run(&engine, &["exec", &id, "rm", TOLD]);
    let leads = format!("{}-22", ssh.port());
    let machine = format!("{path}/vms/1");
    daemon.until(&leads, async |daemon| daemon.get(&machine).await.text.contains(&leads)).await;
    assert!(answers(ssh), "{ssh}");
    daemon.text(Method::PUT, &format!("{path}/reconfigure"), "").await;
    configured(&daemon, &path).await;
    assert_eq!(run(&engine, &["exec", &id, "cat", TOLD]), "node-1");

    daemon.text(Method::DELETE, &path, "").await;
    assert_eq!(engine.holdings(), Vec::<String>::new(), "nothing is left in the engine");
}
