//! Any daemon answers: reads at once and up to date, changes by passing them on.

use crate::cluster::{Cluster, document};
use reqwest::{Method, StatusCode};

pub const CLOUD: &str = "id = dummy; type = Dummy";

/// Each step goes to another daemon than the one before, and each sees what was done before: over REST and XML-RPC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_daemon_answers_for_all() {
    every_daemon_answers(Cluster::start(3, CLOUD).await).await;
}

/// The scenario, on whatever database.
pub async fn every_daemon_answers(cluster: Cluster) {
    let [a, b, c] = &cluster.daemons[..] else { unreachable!() };
    let path = &a.create(&document(2), "").await;
    assert_eq!(cluster.holder(path).await, Some(0));
    let id = path.rsplit('/').next().unwrap();
    let mut events = c.stream(&format!("{path}/events")).await;

    b.until_state(path, "configured").await;
    assert_eq!(c.state(path).await, "configured");
    for daemon in [a, b, c] {
        assert_eq!(daemon.text(Method::GET, path, "").await.lines().count(), 2);
        assert!(daemon.text(Method::GET, "/infrastructures", "").await.contains(id));
        assert!(daemon.text(Method::GET, "/infrastructures?filter=node", "").await.contains(id));
        assert_eq!(daemon.text(Method::GET, "/infrastructures?filter=nonesuch", "").await, "");
        assert!(daemon.text(Method::GET, &format!("{path}/contmsg"), "").await.contains("simulated"));
        assert!(daemon.text(Method::GET, &format!("{path}/vms/1"), "").await.contains("state = 'configured'"));
        assert!(daemon.text(Method::GET, &format!("{path}/data"), "").await.contains("vm_list"));
        // What a machine asks for its tunnel: nobody can log in to a master here.
        let command = daemon.text(Method::GET, &format!("{path}/vms/1/command"), "").await;
        assert!(command.contains(&format!("url='{}'", daemon.url(&format!("{path}/vms/1/command")))), "{command}");
        assert_eq!(daemon.text(Method::GET, &format!("{path}/vms/1/command?step=2"), "").await, "wait");
        assert!(daemon.text(Method::GET, "/stats?init_date=2020-01-01", "").await.contains(id));
    }

    let added = b.text(Method::POST, path, &document(1)).await;
    assert!(added.trim().ends_with("/vms/2") && added.starts_with(&b.url("")), "{added}");
    assert_eq!(c.text(Method::GET, path, "").await.lines().count(), 3);
    c.until_state(path, "configured").await;
    c.text(Method::PUT, &format!("{path}/vms/2/stop"), "").await;
    assert_eq!(b.text(Method::GET, &format!("{path}/vms/2/state"), "").await, "stopped");
    b.text(Method::PUT, &format!("{path}/vms/2/start"), "").await;
    let larger = "system node ( cpu.count = 4 )";
    assert!(c.text(Method::PUT, &format!("{path}/vms/2"), larger).await.contains("node"));
    assert_eq!(b.text(Method::GET, &format!("{path}/vms/2/cpu.count"), "").await, "4");
    b.text(Method::PUT, &format!("{path}/reconfigure"), "").await;
    c.until_state(path, "configured").await;
    let snapshot =
        c.text(Method::PUT, &format!("{path}/vms/0/disks/0/snapshot?image_name=i&auto_delete=yes"), "").await;
    assert!(!snapshot.is_empty());
    b.text(Method::DELETE, &format!("{path}/vms/1?context=no"), "").await;
    assert_eq!(c.text(Method::GET, path, "").await.lines().count(), 2);

    // Refusals come as from the daemon itself.
    for daemon in [a, b, c] {
        let missing = daemon.ask(Method::PUT, format!("{path}/vms/1/stop"), String::new()).await.unwrap();
        assert_eq!(
            (missing.status, missing.text.contains("Deleted VM.")),
            (StatusCode::NOT_FOUND, true),
            "{missing:?}"
        );
        let unknown = daemon.ask(Method::DELETE, "/infrastructures/none", String::new()).await.unwrap();
        assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{unknown:?}");
        let wrong = daemon.ask(Method::POST, path, "system x".to_owned()).await.unwrap();
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    }

    // XML-RPC, elsewhere and elsewhere again.
    let rpc = async |daemon: &crate::support::Daemon, method: &str, arguments: &[&str]| {
        let item = |pairs: &[(&str, &str)]| {
            let member =
                |(name, value): &(&str, &str)| format!("<member><name>{name}</name><value>{value}</value></member>");
            format!("<value><struct>{}</struct></value>", pairs.iter().map(member).collect::<String>())
        };
        let user = item(&[("type", "InfrastructureManager"), ("username", "user"), ("password", "pass")]);
        let cloud = item(&[("id", "dummy"), ("type", "Dummy")]);
        let auth = format!("<array><data>{user}{cloud}</data></array>");
        let parameters = arguments.iter().copied().chain([auth.as_str()]);
        let parameters: String = parameters.map(|text| format!("<param><value>{text}</value></param>")).collect();
        let body = format!("<methodCall><methodName>{method}</methodName><params>{parameters}</params></methodCall>");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.post(daemon.xmlrpc_url()).body(body).send().await.unwrap().text().await.unwrap()
    };
    const SUCCESS: &str = "<boolean>1</boolean>";
    assert!(rpc(b, "StopInfrastructure", &[id]).await.contains(SUCCESS));
    assert!(rpc(c, "GetInfrastructureState", &[id]).await.contains("stopped"));
    assert!(rpc(c, "StartInfrastructure", &[id]).await.contains(SUCCESS));
    assert!(rpc(b, "AddResource", &[id, &document(1).replace('>', "&gt;")]).await.contains(SUCCESS));
    assert_eq!(a.text(Method::GET, path, "").await.lines().count(), 3);
    assert_eq!(cluster.holder(path).await, Some(0), "it never moved");

    // Who follows it at another daemon sees all of it, to the end.
    assert!(rpc(c, "DestroyInfrastructure", &[id]).await.contains(SUCCESS));
    let mut seen = String::new();
    while !seen.contains("event:end") {
        let more = tokio::time::timeout(crate::support::PATIENCE, events.chunk()).await.unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&more.expect("the stream ended early")).unwrap());
    }
    let numbers: Vec<u64> =
        seen.lines().filter_map(|line| line.strip_prefix("id:")).map(|id| id.trim().parse().unwrap()).collect();
    assert!(numbers.len() > 5 && numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    for state in ["stopped", "configured"] {
        assert!(seen.contains(&format!("\"state\": \"{state}\"")), "{state}: {seen}");
    }
    for daemon in [a, b, c] {
        assert_eq!(daemon.get(path).await.status, StatusCode::NOT_FOUND);
        assert_eq!(daemon.text(Method::GET, "/infrastructures", "").await, "");
    }
    assert!(cluster.inspect(|inventory| inventory.is_empty()));
    cluster.nothing_was_made_twice();
}
