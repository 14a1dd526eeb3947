//! Updates by documents of TOSCA, with a daemon that is killed at any moment of them: what is stored of the document and the
//! machines always tell the same, in the store and in the cloud.

use crate::{
    dummy::models,
    support::{Daemon, Setup, path_of},
};
use imd::engine::state::model::Lifecycle;
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::{Method, StatusCode};
use std::time::Duration;
use tosca::yaml;

/// So many machines of each of two kinds.
fn document(front: u64, wn: u64) -> String {
    let node = |name: &str, count: u64| {
        format!(
            "    {name}:\n      type: tosca.nodes.indigo.Compute\n      capabilities:\n        os: {{properties: {{type: linux, \
             image: 'mock0://linux/image1'}}}}\n        scalable: {{properties: {{count: {count}}}}}\n"
        )
    };
    format!(
        "tosca_definitions_version: tosca_simple_yaml_1_0\nimports:\n- types: \
         https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml\ntopology_template:\n  node_templates:\n{}{}",
        node("front", front),
        node("wn", wn)
    )
}

/// How many machines of a node a stored document asks for.
fn wished(text: &str, node: &str) -> u64 {
    let json = yaml::parse(text).unwrap().to_json();
    json["topology_template"]["node_templates"][node]["capabilities"]["scalable"]["properties"]["count"]
        .as_u64()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_takes_place_as_a_whole_or_not_at_all() {
    const SEED: u64 = 12;
    let mut chance = StdRng::seed_from_u64(SEED);
    let setup = Setup {
        clouds: format!("id = dummy; type = Dummy; latency_ms = 1-30; lost_reply_rate = 0.1; seed = {SEED}"),
        ..Setup::default()
    };
    let mut daemon = Daemon::over_dummy(setup);
    daemon.start().await;
    let created = daemon.ask_in_tosca(Method::POST, "/infrastructures", document(1, 3)).await.unwrap();
    assert_eq!(created.status, StatusCode::OK, "{}", created.text);
    let path = path_of(&created.text);
    let mut acknowledged = (1, 3);
    for _ in 0..8 {
        // One grows while the other shrinks.
        let (front, wn) = (chance.random_range(1..5), chance.random_range(1..6));
        let update = daemon.ask_in_tosca(Method::POST, &path, document(front, wn));
        let (answer, ()) = futures::join!(update, daemon.die_after(Duration::from_millis(chance.random_range(1..250))));
        daemon.kill();
        daemon.start().await;
        daemon.until_idle().await;
        daemon.kill();
        let models = models(&daemon).await;
        let [model] = &models[..] else { panic!("{} infrastructures", models.len()) };
        let stored = model.extra_info.tosca().unwrap();
        let now = (wished(stored, "front"), wished(stored, "wn"));
        let is_done = answer.is_some_and(|answer| answer.status == StatusCode::OK);
        assert!(now == (front, wn) || (!is_done && now == acknowledged), "{now:?}: {front}, {wn} or {acknowledged:?}");
        acknowledged = now;
        let live: Vec<_> = model.live_vms().collect();
        assert!(live.iter().all(|vm| matches!(vm.lifecycle, Lifecycle::Present(_))), "{live:?}");
        let count = |name: &str| live.iter().filter(|vm| vm.system == name).count() as u64;
        assert_eq!((count("front"), count("wn")), now, "machines (left), document (right)");
        assert_eq!(daemon.machines_of_dummy().len(), live.len(), "machines in the cloud");
        daemon.start().await;
    }
}
