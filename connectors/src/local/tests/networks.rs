//! Networks: who reaches whom, and who shares which.

use super::lab::{Lab, connect, connects, ip_on, network, shared};
use crate::{
    contract::{InfrastructureMark, VmIntent},
    error::ErrorClass,
};
use radl::Network;
use std::{collections::BTreeSet, net::IpAddr, path::Path};

#[tokio::test(flavor = "multi_thread")]
async fn networks_reach_whom_they_should() {
    let lab = Lab::new(2);
    let front_net = network("front", &[("outbound", "yes"), ("outports", "8080,9090-8081")]);
    let back_net = network("back", &[("cidr", "192.168.*.0/24")]);
    let far_net = network("far", &[("outbound", "yes")]);
    let lonely_net = network("lonely", &[]);
    let all = [&front_net, &back_net, &far_net, &lonely_net].map(Clone::clone).to_vec();
    let intent = shared(&lab.infrastructure, "owner", all);
    let shared = lab.connector.ensure_shared(&intent).await.unwrap();
    assert_eq!(lab.connector.ensure_shared(&intent).await.unwrap(), shared, "safe to repeat");
    let subnets: BTreeSet<_> = shared.networks.values().map(|f| f.text("cidr").unwrap().to_owned()).collect();
    assert_eq!(subnets.len(), 4);
    let back_cidr: ipnetwork::IpNetwork = shared.networks["back"].text("cidr").unwrap().parse().unwrap();
    assert!(back_cidr.to_string().starts_with("192.168."));
    let mut again = intent.clone();
    again.networks[1].features.set_text("provider_id", shared.networks["back"].text("provider_id").unwrap());
    assert_eq!(lab.connector.ensure_shared(&again).await.unwrap(), shared, "what was written back is known again");
    again.networks[1].features.set_text("provider_id", "br0");
    assert_eq!(lab.connector.ensure_shared(&again).await.unwrap_err().class, ErrorClass::Invalid);

    let mut intents: Vec<VmIntent> = (0..4).map(|number| lab.intent(number)).collect();
    connect(&mut intents[0], &[&front_net, &back_net]);
    connect(&mut intents[1], &[&back_net]);
    let fixed = back_cidr.iter().nth(77).unwrap();
    intents[1].system.features.set_text("net_interface.0.ip", &fixed.to_string());
    connect(&mut intents[2], &[&far_net, &lonely_net]);
    connect(&mut intents[3], &[&front_net]);
    let seen = futures::future::join_all(intents.iter().map(|intent| lab.launch(intent))).await;
    let (front, worker) = (lab.login(&seen[0]), ip_on(&seen[1], "back"));
    let (far, member) = (lab.login(&seen[2]), lab.login(&seen[3]));
    assert_eq!(worker, fixed);
    assert!(!seen[1].addresses[0].public);

    // Private: from its members alone, even when a stranger pretends to be one.
    assert!(!connects(worker, 22), "host to private");
    assert!(front.connects(worker, 22), "member to member");
    assert!(!far.connects(worker, 22));
    far.run(&format!("sudo ip route replace {back_cidr} dev eth1"));
    assert!(!far.connects(worker, 22), "another private network");
    far.run(&format!("sudo ip route replace {back_cidr} via {}", gateway(&shared.networks["far"])));
    assert!(!far.connects(worker, 22), "through the host");
    far.run(&format!("sudo ip addr add 172.31.255.1/32 dev eth1; sudo ip route replace {} dev eth1", front.ip));
    assert!(!far.connects(front.ip, 22), "the host is no neighbour on a private network");
    far.run(&format!("sudo ip route delete {}", front.ip));

    // Public: what is open to everybody, everything to members.
    for port in [8080, 8081, 8082] {
        front.listen(port);
    }
    assert!(connects(front.ip, 22) && connects(front.ip, 8080));
    assert!(connects(front.ip, 9090), "mapped to 8081");
    assert!(!connects(front.ip, 8082), "not listed");
    assert!(member.connects(front.ip, 8082), "members reach each other freely");
    assert!(far.connects(front.ip, 22) && far.connects(front.ip, 8080), "between public networks");
    assert!(!far.connects(front.ip, 8082));
    far.listen(8080);
    assert!(!connects(far.ip, 8080), "without outports secure shell alone is open");

    // What cannot be.
    for ip in ["192.0.2.9", &*fixed.to_string()] {
        let mut wrong = lab.intent(9);
        connect(&mut wrong, &[&back_net]);
        wrong.system.features.set_text("net_interface.0.ip", ip);
        assert_eq!(lab.connector.create_vm(&wrong).await.unwrap_err().class, ErrorClass::Invalid, "{ip}");
    }
    assert_eq!(lab.connector.find(&lab.shared()).await.unwrap().len(), 4, "a failed launch leaves nothing");
    lab.delete_all().await;
}

fn gateway(network: &radl::Features) -> IpAddr {
    network.text("cidr").unwrap().parse::<ipnetwork::IpNetwork>().unwrap().iter().nth(1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_are_shared_by_name_and_documents_make_others() {
    let lab = Lab::new(7);
    let ensure = async |infrastructure: &str, owner: &str, network: Network| {
        let intent = shared(&format!("{}-{infrastructure}", lab.infrastructure), owner, vec![network]);
        let made = lab.connector.ensure_shared(&intent).await.map(|made| made.networks["net"].clone());
        made.map(|made| ["provider_id", "cidr"].map(|name| made.text(name).unwrap().to_owned()))
    };
    let net = |provider_id: &str, cidr: &str| {
        let features = [("outbound", "yes"), ("provider_id", provider_id), ("cidr", cidr)];
        network("net", &features.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>())
    };
    let gone = async |infrastructure: &str| {
        let mark = InfrastructureMark::in_whole_cloud(&format!("{}-{infrastructure}", lab.infrastructure));
        lab.connector.delete_shared(&mark).await.unwrap();
    };
    let exists = |bridge: &str| Path::new("/sys/class/net").join(bridge).exists();

    let [bridge, cidr] = ensure("a", "ann", net("", "")).await.unwrap();
    let written = || net(&bridge, &cidr);
    // The same user's: one network, which goes with the last who uses it.
    assert_eq!(ensure("b", "ann", written()).await.unwrap(), [bridge.clone(), cidr.clone()]);
    assert_eq!(ensure("b", "ann", net(&bridge, "")).await.unwrap(), [bridge.clone(), cidr.clone()]);
    // Somebody else's document makes a network of his own.
    let [foreign, elsewhere] = ensure("c", "bob", written()).await.unwrap();
    assert!(foreign != bridge && elsewhere != cidr);
    // So does one without the name: what was chosen here is a wish.
    let [other, moved] = ensure("d", "ann", net("", &cidr)).await.unwrap();
    assert!(other != bridge && moved != cidr);
    gone("b").await;
    assert!(exists(&bridge), "it is another infrastructure's");
    assert_eq!(ensure("b", "ann", written()).await.unwrap(), [bridge.clone(), cidr.clone()]);
    gone("a").await;
    assert!(exists(&bridge), "somebody uses it still");
    gone("b").await;
    assert!(!exists(&bridge), "nobody does");
    // The document comes again when all is gone.
    let [again, same] = ensure("e", "ann", written()).await.unwrap();
    assert!(again != bridge && same == cidr);

    // What a user demands he has, or is told for good.
    let free = format!("{}/29", lab.settings.public_pool.broadcast());
    let [demanded, _] = ensure("f", "ann", net("", &free)).await.unwrap();
    for (wrong, said) in [
        (net("", &free), "overlaps a network in use"),
        (net("public", ""), "provider_id 'public' is no network of the local cloud"),
        (net(&demanded, "192.0.2.0/30"), "is not that of provider_id"),
        (network("net", &[("provider_id", &demanded)]), "is a public network"),
    ] {
        let refused = ensure("g", "ann", wrong).await.unwrap_err();
        assert!(refused.class == ErrorClass::Invalid && refused.message.contains(said), "{refused}");
    }
    // A subnet that is chosen here is none that the infrastructure has elsewhere.
    let mut intent = shared(&format!("{}-g", lab.infrastructure), "ann", vec![network("net", &[("outbound", "yes")])]);
    let chosen = lab.connector.ensure_shared(&intent).await.unwrap().networks["net"].text("cidr").unwrap().to_owned();
    gone("g").await;
    intent.used_cidrs = vec![chosen.parse().unwrap()];
    let other = lab.connector.ensure_shared(&intent).await.unwrap().networks["net"].text("cidr").unwrap().to_owned();
    assert_ne!(other, chosen);
    for infrastructure in ["a", "b", "c", "d", "e", "f", "g"] {
        gone(infrastructure).await;
    }
    lab.delete_all().await;
}
