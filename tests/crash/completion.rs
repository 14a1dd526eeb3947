//! What follows the boot of a machine, over a cloud that refuses it at first: the log of the machine says so, nobody's request
//! fails, and it is made when the cloud says again that it is missing.

use crate::support::{Daemon, Setup};
use connectors::dummy::{Resource, ResourceKind};
use reqwest::{Method, StatusCode};

const NETWORKS: &str = "network pub ( outbound = 'yes' and provider_id = 'pool' )\nnetwork inner ()\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_address_comes_and_goes_with_a_change() {
    let setup = Setup {
        options: "VM_INFO_UPDATE_FREQUENCY = 1".to_owned(),
        clouds: "id = dummy; type = Dummy; fail_requests = attach:1:invalid".to_owned(),
        ..Setup::default()
    };
    let mut daemon = Daemon::over_dummy(setup);
    daemon.start().await;
    let system = "system node ( net_interface.0.connection = 'inner' )\ncontextualize ()\ndeploy node 1\n";
    let path = daemon.create(&format!("{NETWORKS}{system}"), "").await;
    daemon.until_state(&path, "configured").await;
    let alter = async |daemon: &Daemon, features: &str| {
        let document = format!("{NETWORKS}system node ( {features} )");
        let answer = daemon.ask(Method::PUT, format!("{path}/vms/0"), document).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    };
    let vm = async |daemon: &Daemon| daemon.text(Method::GET, &format!("{path}/vms/0"), "").await;
    let addresses = |daemon: &Daemon| {
        let made = daemon.inspect_dummy(|inventory| {
            inventory.tenants().flat_map(|(_, tenant)| tenant.resources().cloned()).collect::<Vec<Resource>>()
        });
        made.into_iter().filter(|made| made.kind == ResourceKind::Address).collect::<Vec<_>>()
    };

    alter(&daemon, "net_interface.1.connection = 'pub' and net_interface.1.dns_name = 'front'").await;
    daemon.until_idle().await;
    let log = daemon.text(Method::GET, &format!("{path}/vms/0/contmsg"), "").await;
    let told = "What follows the boot is not complete, and given up: Simulated failure: invalid";
    assert_eq!(log.matches(told).count(), 1, "{log}");
    let made = addresses(&daemon);
    assert!(matches!(&made[..], [address] if address.machine.is_none()), "made, and not attached: {made:?}");
    // Whoever looks at the machine has it looked at, too, and the address follows.
    daemon.until("address", async |daemon| vm(daemon).await.contains("net_interface.1.ip = '203.0.113.")).await;
    let text = vm(&daemon).await;
    assert!(text.contains("net_interface.1.dns_name = 'front'") && text.contains("state = 'configured'"), "{text}");
    daemon.until_idle().await;
    let made = addresses(&daemon);
    assert!(matches!(&made[..], [address] if address.machine.is_some()), "{made:?}");

    // A change of something else leaves it alone; a document with the other interfaces alone takes it away.
    alter(&daemon, "cpu.count = 2").await;
    assert!(vm(&daemon).await.contains("net_interface.1.ip"));
    alter(&daemon, "net_interface.0.connection = 'inner'").await;
    daemon.until_idle().await;
    let text = vm(&daemon).await;
    assert!(!text.contains("net_interface.1") && text.contains("net_interface.0.connection = 'inner'"), "{text}");
    assert_eq!(addresses(&daemon), []);
}

/// Names are made to lead to the machine when its addresses are known, and go with it; what cannot be made or deleted is told,
/// and tried again. Nothing in a record tells whose it is: the machine alone does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_follow_the_addresses_of_their_machine() {
    let setup = Setup {
        options: "VM_INFO_UPDATE_FREQUENCY = 1".to_owned(),
        clouds: "id = dummy; type = Dummy; dns_zones = example.org, lab.org; \
                 fail_requests = set_record:1:invalid,delete_record:2:denied"
            .to_owned(),
        ..Setup::default()
    };
    let mut daemon = Daemon::over_dummy(setup);
    daemon.start().await;
    let names = "net_interface.0.connection = 'inner' and net_interface.0.dns.0.name = 'node-#N#.example.org'";
    let system = format!("system node ( {names} )\ncontextualize ()\ndeploy node 1\n");
    let path = daemon.create(&format!("{NETWORKS}{system}"), "").await;
    daemon.until_state(&path, "configured").await;
    let vm = async |daemon: &Daemon| daemon.text(Method::GET, &format!("{path}/vms/0"), "").await;
    let records = |daemon: &Daemon| {
        let mut names = daemon.inspect_dummy(|inventory| {
            let all = inventory.tenants().flat_map(|(_, tenant)| tenant.resources());
            all.filter(|made| made.kind == ResourceKind::Record).map(|made| made.name.clone()).collect::<Vec<_>>()
        });
        names.sort_unstable();
        names
    };
    let until = async |daemon: &Daemon, expected: &[&str]| {
        daemon
            .until(&format!("{expected:?}"), async |daemon| !vm(daemon).await.is_empty() && records(daemon) == expected)
            .await;
        daemon.until_idle().await;
    };
    let inner = "node-0.example.org A 10.0.0.1";
    until(&daemon, &[inner]).await;
    let text = vm(&daemon).await;
    assert!(text.contains("net_interface.0.dns.0.name = 'node-0.example.org'"), "{text}");
    let log = daemon.text(Method::GET, &format!("{path}/vms/0/contmsg"), "").await;
    let told = "given up: Error in add DNS entries Simulated failure: invalid";
    assert_eq!(log.matches(told).count(), 1, "{log}");

    // The names of an interface that comes and goes do so, too, whoever is asked for them after a crash.
    let alter = async |daemon: &Daemon, features: &str| {
        let document = format!("{NETWORKS}system node ( {features} )");
        let answer = daemon.ask(Method::PUT, format!("{path}/vms/0"), document).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    };
    alter(&daemon, "net_interface.1.connection = 'pub' and net_interface.1.dns_name = 'front.lab.org'").await;
    daemon.until("address", async |daemon| vm(daemon).await.contains("net_interface.1.ip = '203.0.113.")).await;
    let address =
        vm(&daemon).await.split("net_interface.1.ip = '").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let front = format!("front.lab.org A {address}");
    until(&daemon, &[&front, inner]).await;
    daemon.kill();
    daemon.start().await;
    alter(&daemon, "net_interface.0.connection = 'inner'").await;
    until(&daemon, &[inner]).await;

    // A machine is not deleted while its records are there.
    let answer = daemon.ask(Method::DELETE, path.clone(), String::new()).await.unwrap();
    assert!(
        answer.text.contains("Error in del DNS entries node-0.example.org A 10.0.0.1: Simulated failure"),
        "{}",
        answer.text
    );
    assert_eq!(records(&daemon), [inner]);
    let answer = daemon.ask(Method::DELETE, path.clone(), String::new()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(records(&daemon), <[&str; 0]>::default());
}
