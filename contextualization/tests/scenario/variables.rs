//! What recipes see: names, inventory, variables, host table, environment.

use crate::{
    checkpoints::Memory,
    documents::{configure, contextualize, document, item, job},
    lab::{self, Lab, Node},
};
use contextualization::{Outcome, Settings, VmFacts, ssh::keys};
use radl::{Features, Value};
use serde_json::{Value as Json, json};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// Writes everything that is asked about into a file of each machine.
const DUMP: &str = r#"
- gather_facts: no
  vars:
    peer: "{{ groups['front'][0] }}"
    systems: "{{ IM_INFRASTRUCTURE_RADL | selectattr('class', 'equalto', 'system') | list }}"
  tasks:
    - name: Dump
      copy:
        dest: /var/tmp/seen
        content: "{{ {'host': dict(keys | zip(keys | map('extract', hostvars[inventory_hostname]))), 'peer': [hostvars[peer]['IM_NODE_PRIVATE_IP'], hostvars[peer]['ansible_hostname']], 'names': systems | map(attribute='net_interface_0_dns_name', default='') | list, 'spot': systems | map(attribute='spot', default='') | list, 'radl': IM_INFRASTRUCTURE_RADL, 'groups': groups} | to_json }}"
      vars:
        keys: "{{ hostvars[inventory_hostname].keys() | select('match', '^IM_') | reject('match', '^IM_INFRASTRUCTURE_RADL$') | list }}"
    - name: Arithmetic
      copy: {dest: /var/tmp/sum, content: "{{ SUM }}"}
"#;

fn dump(sum: &str) -> String {
    DUMP.replace("{{ SUM }}", sum)
}

const EVIL: &str = "{{ lookup('pipe', 'touch /var/tmp/owned') }} = # \"x\" 'y'";

/// Facts of a machine with a name of its own, its other features changed at will.
fn named(lab: &Lab, id: u32, system: &str, node: &Node, change: impl FnOnce(&mut Features)) -> VmFacts {
    let mut facts = lab.facts(id, system, node);
    let info = Arc::make_mut(&mut facts.info);
    change(&mut info.systems[0].features);
    facts
}

/// Cases: I-01, I-02, I-03, I-04, I-05, I-06, I-07, I-09, I-10, I-11, I-12, I-13, I-14, I-15, I-16, I-17.
#[test]
fn names_and_variables() {
    if !lab::inside("variables::names_and_variables") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let front = Node {
            links: vec![(0, 11), (1, 11)],
            setup: "printf '10.9.9.9 mine # my own line\\n' >> $root/etc/hosts
                    printf 'KEEP=1\\nBEARER_TOKEN=old\\nBEARER_TOKEN=older\\n' > $root/etc/environment",
            ..Node::new("front", 11)
        };
        let (w1, w2) = (Node::new("w1", 12), Node::new("w2", 13));
        let lab = Lab::with(&[&front, &w1, &w2]);
        let front_facts = named(&lab, 0, "front", &front, |f| {
            f.set_text("net_interface.0.dns_name", "head.example.org");
            f.set_text("net_interface.1.dns_name", "inner");
            f.set_text("spot", "no");
            f.set_text("vault.password", "geheimnis1");
            f.set_text("net_interface.1.proxy", "x");
        });
        let mut w1_facts = named(&lab, 1, "my-sys", &w1, |f| {
            f.remove("net_interface.0.dns_name");
            f.set_text("net_interface.1.connection", "public");
            f.set_text("net_interface.1.dns_name", "second-#N#");
            let mut application = Features::new();
            application.set_text("name", "tool");
            application.set_text("version", "1.10");
            application.set_text("path", EVIL);
            application.set_text("preinstalled", "yes");
            f.set("disk.0.applications", Value::Contains(Box::new([("tool".to_owned(), application)].into())));
        });
        EVIL.clone_into(&mut w1_facts.provider_id);
        "cloud = # \"q\"".clone_into(&mut w1_facts.cloud_server);
        let w2_facts = named(&lab, 3, "allnowindows", &w2, |f| f.set_text("net_interface.0.dns_name", "wn-#N#"));
        let facts = vec![front_facts, w1_facts, w2_facts];
        let (vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        let items: Vec<_> = ["front", "my-sys", "allnowindows"].map(|system| item(system, "dump", 1)).into();
        let mut radl = document(&facts, vec![configure("dump", &dump("{{ IM_NODE_NUM | int + 1 }}"))], items.clone());
        // What a soft wish holds is no less secret.
        let mut wish = Features::new();
        wish.set_text("disk.0.os.credentials.password", "im-weichen-wunsch");
        radl.systems[0].features.add_soft(radl::SoftGroup { weight: 1.into(), features: wish });
        radl.networks[0].features.set_text("proxy_host", "user:durchgang@h");
        let seen_by = |node: &Node| -> Json {
            serde_json::from_str(&std::fs::read_to_string(lab.path(node, "/var/tmp/seen")).unwrap()).unwrap()
        };
        let text = |node: &Node, path: &str| std::fs::read_to_string(lab.path(node, path)).unwrap();

        let memory = Arc::new(Memory::default());
        let outcome = contextualize(job(radl.clone(), receiver.clone(), 1, &key), &memory).await;
        assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
        let results = memory.0.lock().unwrap().results.clone();
        assert_eq!(results, BTreeMap::from([(0, Ok(())), (1, Ok(())), (3, Ok(()))]), "{}", memory.dump());
        let (f, a, b) = (seen_by(&front), seen_by(&w1), seen_by(&w2));
        for (seen, wanted) in [
            (
                &f["host"],
                json!({
                    "IM_NODE_FQDN": "head.example.org", "IM_NODE_HOSTNAME": "head", "IM_NODE_DOMAIN": "example.org",
                    "IM_NODE_PUBLIC_IP": "10.77.0.11", "IM_NODE_PRIVATE_IP": "10.77.1.11", "IM_NODE_NUM": "0",
                    "IM_NODE_NET_1_IP": "10.77.1.11", "IM_NODE_NET_1_FQDN": "inner.localdomain",
                    "IM_MASTER_FQDN": "head.example.org", "IM_MY-SYS_NUM_VMS": "1", "IM_MY_SYS_NUM_VMS": "1",
                    "IM_INFRASTRUCTURE_AUTH": "token-of-this-infrastructure",
                }),
            ),
            (
                &a["host"],
                json!({
                    "IM_NODE_FQDN": "vnode-1.localdomain", "IM_NODE_PRIVATE_IP": "10.77.0.12", "IM_NODE_NUM": "1",
                    "IM_NODE_VMID": EVIL, "IM_NODE_CLOUD_SERVER": "cloud = # \"q\"", "IM_APP_TOOL_VERSION": "1.10",
                    "IM_APP_TOOL_PATH": EVIL, "IM_NODE_CLOUD_TYPE": "Test",
                }),
            ),
            (&b["host"], json!({"IM_NODE_FQDN": "wn-3.localdomain", "IM_NODE_HOSTNAME": "wn-3", "IM_NODE_NUM": "3"})),
        ] {
            for (name, value) in wanted.as_object().unwrap() {
                assert_eq!(&seen[name], value, "{name} in {seen}");
            }
        }
        assert_eq!(a["host"].get("IM_NODE_NET_1_IP"), None, "an interface without an address");
        for seen in [&f, &a, &b] {
            assert_eq!(seen["peer"], json!(["10.77.1.11", "head"]), "{seen}");
            assert_eq!(seen["names"], json!(["head.example.org", "", "wn-#N#"]));
            assert_eq!(seen["spot"][0], json!("no"));
            let shown = seen["radl"].to_string();
            for secret in ["geheimnis1", "im-weichen-wunsch", "durchgang", "PRIVATE KEY", "vault_password"] {
                assert!(!shown.contains(secret), "{secret} in {shown}");
            }
            assert!(shown.contains("10.77.0.12") || shown.contains("tool"), "{shown}");
        }
        let names = |seen: &Json| seen["groups"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        for group in ["front", "my-sys", "allnowindows", "windows"] {
            assert!(names(&f).contains(&group.to_owned()), "{:?}", names(&f));
        }
        assert_eq!(f["groups"]["allnowindows"].as_array().unwrap().len(), 3);
        assert_eq!(text(&w1, "/var/tmp/sum"), "2");
        for node in [&front, &w1, &w2] {
            assert!(!lab.path(node, "/var/tmp/owned").exists(), "something was evaluated");
        }
        let hosts = text(&w2, "/etc/hosts");
        for line in [
            "10.77.0.11 head.example.org head\n",
            "10.77.1.11 inner.localdomain inner\n",
            "10.77.0.12 vnode-1.localdomain vnode-1\n",
            "10.77.0.12 second-1.localdomain second-1\n",
        ] {
            assert_eq!(hosts.matches(line).count(), 1, "{line} in {hosts}");
        }
        assert_eq!(text(&front, "/etc/environment"), "KEEP=1\nBEARER_TOKEN=token-of-this-infrastructure\n");

        // Another token, integers, one machine less; the hosts file is written a second and a third time.
        vms.send_modify(|all| *all = Arc::new(vec![facts[0].clone(), facts[1].clone()]));
        let recipe = configure("dump", &dump("{{ IM_NODE_NUM + 1 }}"));
        for (generation, auth) in [(2, Some("another.token")), (3, Some("user:password"))] {
            let memory = Arc::new(Memory::default());
            let radl = document(&facts[..2], vec![recipe.clone()], items[..2].to_vec());
            let mut again = job(radl, receiver.clone(), generation, &key);
            again.exposed_auth = auth.map(str::to_owned);
            again.settings = Arc::new(Settings { inventory_integers: true, ..crate::documents::settings() });
            assert_eq!(contextualize(again, &memory).await, Outcome::Done, "{}", memory.dump());
            let seen = memory.0.lock().unwrap();
            assert_eq!(seen.results, BTreeMap::from([(0, Ok(())), (1, Ok(()))]), "{:?}", seen.logs);
            assert_eq!(text(&w1, "/var/tmp/sum"), "2");
            assert_eq!(seen_by(&w1)["host"]["IM_INFRASTRUCTURE_AUTH"], json!(auth));
            assert_eq!(seen_by(&w1)["host"]["IM_FRONT_NUM_VMS"], json!(1));
            // Only what is a token is kept there.
            assert_eq!(text(&front, "/etc/environment"), "KEEP=1\nBEARER_TOKEN=another.token\n");
            let hosts = text(&front, "/etc/hosts");
            assert!(hosts.contains("10.9.9.9 mine # my own line\n") && !hosts.contains("wn-3"), "{hosts}");
            assert_eq!(hosts.matches("head.example.org").count(), 1, "{hosts}");
        }
    });
}
