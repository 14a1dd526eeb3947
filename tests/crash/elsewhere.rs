//! Machines for which there is no room where they were planned, and whose logins the daemon makes, over daemons that die in
//! between: they are made elsewhere, once, and the private half of each key is there whatever reply was lost.

use crate::{
    dummy::models,
    support::{Daemon, Setup},
};
use connectors::dummy::Inventory;
use reqwest::{Method, StatusCode};
use std::{collections::BTreeMap, time::Duration};

const DOCUMENT: &str = "network pub ( outbound = 'yes' and provider_id = 'pool' )
system node (
net_interface.0.connection = 'pub' and
disk.0.image.url = 'mock0://linux.for.ev.er/image1' and
disk.0.os.credentials.username = 'user' and
instance_tags = 'team=blue,im=mine'
)
contextualize ()
deploy node 4
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_without_room_are_made_elsewhere_with_the_login_that_was_stored() {
    let setup = Setup {
        options: "DELAY_BETWEEN_VM_RETRIES = 0\nVM_INFO_UPDATE_FREQUENCY = 1\nSSH_KEY_TYPE = ed25519\n\
                  VM_TAG_USERNAME = im\nVM_TAG_INF_ID = infrastructure"
            .to_owned(),
        clouds: "id = dummy; type = Dummy; zones = north,south; full_zones = north; first_login = daemon; \
                 latency_ms = 10-40; lost_reply_rate = 0.2; seed = 5"
            .to_owned(),
        ..Setup::default()
    };
    let mut daemon = Daemon::over_dummy(setup);
    daemon.start().await;
    let path = daemon.create(DOCUMENT, "?async=true").await;
    for death in [30, 90, 150, 400] {
        tokio::time::sleep(Duration::from_millis(death)).await;
        daemon.kill();
        daemon.start().await;
    }
    daemon.until_state(&path, "configured").await;
    daemon.until_idle().await;
    let log = daemon.text(Method::GET, &format!("{path}/contmsg"), "").await;
    for number in 0..4 {
        let line = format!("VM {number}: no room in dummy (zone=north), so it is made in dummy (zone=south)");
        assert!(log.contains(&line), "{line}: {log}");
    }
    daemon.kill();

    let model = models(&daemon).await.remove(0);
    assert!(model.work.is_empty() && model.accounts.is_none() && model.vms.len() == 4);
    let machines: BTreeMap<String, _> =
        daemon.machines_of_dummy().into_iter().map(|machine| (machine.uid.to_string(), machine)).collect();
    assert_eq!(machines.len(), 4, "each is there once: {machines:?}");
    for vm in &model.vms {
        let (machine, login) = (&machines[&vm.uid.0], vm.info.systems[0].credentials());
        assert_eq!(machine.location.zone.as_deref(), Some("south"));
        assert_eq!(vm.cloud.location, machine.location);
        assert!(login.public_key.is_some() && login.public_key == machine.public_key, "{machine:?}");
        assert!(login.private_key.is_some_and(|key| key.contains("PRIVATE KEY")), "its private half is there");
        let tags = [("team", "blue"), ("im", "mine"), ("infrastructure", model.id.as_str())];
        assert_eq!(machine.tags, tags.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    // What follows the boot came, once, although replies were lost.
    let addresses = daemon.inspect_dummy(|inventory| {
        let tenant = inventory.tenants().next().unwrap().1;
        tenant.resources().filter(|made| made.name == "pool" && made.machine.is_some()).count()
    });
    assert_eq!(addresses, 4);

    daemon.start().await;
    let deleted = daemon.ask(Method::DELETE, path, String::new()).await;
    assert_eq!(deleted.map(|answer| answer.status), Some(StatusCode::OK));
    daemon.kill();
    assert!(daemon.inspect_dummy(Inventory::is_empty), "also what was shared in the zone without room");
}
