#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{
    carrier::{self, Carrier},
    decide::{decide, system_of},
    names,
    recipe::{Header, RecipeError, looks_at_others, merge, needs_lock_step},
};
use crate::{VmFacts, VmPower};
use proptest::prelude::*;
use radl::{Radl, System, yaml};
use std::sync::Arc;

const HEADER: Header = Header { keep_hosts: false, become_root: true };

fn vm(id: u32, system: &str) -> VmFacts {
    let system = System { name: system.to_owned(), ..System::default() };
    VmFacts {
        id,
        provider_id: format!("i-{id}"),
        cloud_type: "Test".to_owned(),
        cloud_server: String::new(),
        power: VmPower::Running,
        info: Arc::new(Radl { systems: vec![system], ..Radl::default() }),
        host_key: None,
        proxy_host_key: None,
        creation_id: id,
        tunnel_key: None,
        former_secrets: Vec::new(),
    }
}

fn document(json: &str) -> Radl {
    serde_json::from_str(json).unwrap()
}

#[test]
fn header_keeps_tags_styles_and_own_keys() {
    let recipe = "- become: no\n  hosts: [all]\n  vars: &shared\n    text: |\n      two\n      lines\n    raw: !unsafe '{{ x }}'\n    \
                  secret: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n  tasks:\n  - debug: {msg: 'a', msg: 'b'}\n- vars: *shared\n  \
                  strategy: linear\n- import_playbook: other.yml\n";
    let merged = merge("web", recipe, HEADER).unwrap().unwrap();
    let expected = "---\n- hosts: \"{{ IM_HOST }}\"\n  gather_facts: no\n  become: no\n  vars: &shared\n    \
                    text: |\n      two\n      lines\n    raw: !unsafe '{{ x }}'\n    secret: !vault |\n      \
                    $ANSIBLE_VAULT;1.1;AES256\n  tasks:\n  - debug:\n      msg: 'a'\n      msg: 'b'\n- hosts: \"{{ IM_HOST \
                    }}\"\n  gather_facts: no\n  become: yes\n  vars: *shared\n  strategy: linear\n- import_playbook: other.yml\n";
    assert_eq!(merged.text, expected);
    assert_eq!(merged.notes.len(), 1);
    let both = merge("web", "- hosts: front\n  tasks: []\n", Header { keep_hosts: true, ..HEADER }).unwrap().unwrap();
    assert!(both.text.contains("- \"{{ IM_HOST }}\"\n  - front\n"), "{}", both.text);
    assert_eq!(merge("web", " \n# nothing\n", HEADER).unwrap(), None);
    assert!(matches!(merge("web", "tasks: []", HEADER), Err(RecipeError::NotPlays(_))));
    assert!(matches!(merge("web", "- [", HEADER), Err(RecipeError::Yaml(..))));
    assert!(matches!(merge("web", "$ANSIBLE_VAULT;1.1;AES256\n00", HEADER), Err(RecipeError::Vault(_))));
    // What runs on the master needs its password; the end of the last play says who has come that far.
    let local = merge("web", "- connection: local\n  post_tasks: [{debug: {}}]\n", HEADER).unwrap().unwrap().text;
    assert!(local.contains("ansible_become_password: \"{{ hostvars['localhost']"), "{local}");
    assert!(local.ends_with("  post_tasks:\n  - debug: {}\n  - \"name\": \"im: end of the recipe\"\n    \"meta\": end_host\n    \"when\": false\n  vars:\n    ansible_become_password: \"{{ hostvars['localhost'].ansible_become_password | default('') }}\"\n"), "{local}");
    assert!(needs_lock_step("- tasks:\n  - block:\n    - add_host: {name: x}"));
    assert!(!needs_lock_step("- tasks:\n  - name: pause and add_host"));
}

#[test]
fn mitogen_unless_something_speaks_against_it() {
    let usual = "- tasks:\n  - command: raw\n    delegate_to: localhost\n    become_user: nobody\n";
    let raw = "- tasks:\n  - block:\n    - raw: 'true'\n";
    let of = |wish, recipes: &[&str]| carrier::choose(wish, recipes);
    assert_eq!(of(None, &[usual]), Carrier::Mitogen);
    assert_eq!(of(None, &[usual, raw]), Carrier::Plain);
    assert_eq!(of(Some("mitogen"), &[raw]), Carrier::Mitogen);
    for wish in ["free", "linear", "per_vm"] {
        assert_eq!(of(Some(wish), &[usual]), Carrier::Plain);
    }
}

#[test]
fn deciding() {
    let vms = [vm(0, "front"), vm(1, "wn"), vm(2, "wn")];
    let configures = r#""configures": [{"name": "front", "recipe": "- tasks: []"}, {"name": "wn", "recipe": "- tasks: []"},
                       {"name": "empty", "recipe": ""}]"#;
    let implicit = decide(&document(&format!("{{{configures}}}")), &vms, None);
    assert!(implicit.enabled);
    assert_eq!(
        implicit.steps[&1].iter().map(|l| (l.system.as_str(), l.vms.len())).collect::<Vec<_>>(),
        [("front", 1), ("wn", 2)]
    );
    let with =
        |section: &str| decide(&document(&format!("{{{configures}, \"contextualize\": {section}}}")), &vms, None);
    let item = |system: &str, configure: &str, step: i64, tool: &str| {
        format!(r#"{{"system": "{system}", "configure": "{configure}", "step": {step}, "tool": {tool}}}"#)
    };
    let none = r#"{"max_time": 0, "items": [], "options": {}}"#;
    assert!(!with(none).enabled);
    let options =
        r#"{"max_time": 0, "items": [], "options": {"ansible_version": {"text": {"operator": "=", "text": "9"}}}}"#;
    let decision = with(options);
    assert!(decision.enabled && decision.steps.len() == 1 && decision.notes.len() == 1);
    let section = |items: &[String]| format!(r#"{{"max_time": 0, "items": [{}], "options": {{}}}}"#, items.join(","));
    assert!(!with(&section(&[item("wn", "wn", 1, "\"cloud_init\"")])).enabled);
    let decision = with(&section(&[
        item("front", "front", 50, "null"),
        item("wn", "wn", 5, "\"ansible\""),
        item("wn", "empty", 5, "null"),
        item("gone", "wn", 5, "null"),
        item("front", "wn", 50, "null"),
    ]));
    assert_eq!(decision.steps.keys().copied().collect::<Vec<_>>(), [5, 50]);
    assert_eq!(decision.steps[&50][0].recipes, ["front", "wn"]);
    assert_eq!(decision.steps[&5].len(), 1);
    assert_eq!(decision.notes.len(), 1, "{:?}", decision.notes);
    let off = document(r#"{"configures": [{"name": "wn", "recipe": null}]}"#);
    let decision = decide(&off, &vms, None);
    assert_eq!((decision.enabled, decision.participants.len(), decision.switched_off.len()), (true, 1, 2));
    assert_eq!(system_of(&vms[1]), "wn");
}

proptest! {
    #[test]
    fn safe_names_are_safe_and_distinct(a in "\\PC{0,200}", b in "\\PC{0,200}") {
        let name = names::safe(&a);
        prop_assert!(!name.is_empty() && name.len() <= 128);
        prop_assert!(!name.starts_with(['.', '-']) && !name.contains(['/', ' ', '\0']));
        prop_assert_eq!(a == b, name == names::safe(&b));
    }

    #[test]
    fn any_text_survives_yaml(text in "(\\PC|[\n\t ])*") {
        let node = yaml::Node::map([("key", yaml::Node::inert(&text)), ("other", yaml::Node::text(&text))]);
        let parsed = yaml::parse(&yaml::emit(&node).unwrap()).unwrap().unwrap();
        prop_assert_eq!(parsed.get("key").unwrap().scalar(), Some(text.as_str()));
        prop_assert_eq!(parsed.get("key").unwrap().tag.as_deref(), Some("!unsafe"));
        prop_assert_eq!(parsed.get("other").unwrap().scalar(), Some(text.as_str()));
    }
}

/// What waits for machines that come late.
#[test]
fn recipes_that_look_at_other_machines() {
    let alone = ["lab.alone".to_owned()];
    for text in [
        "- tasks: [{debug: {msg: \"{{ hostvars['x'].y }}\"}}]",
        "- tasks: [{debug: {msg: \"{{ groups['front'][0] }}\"}}]",
        "- roles: [lab.other]",
        "- roles: [lab.alone, {role: lab.other, x: 1}]",
        "- tasks: [{block: [{include_role: {name: lab.other}}]}]",
        "- tasks: [{import_role: name=lab.alone}]",
    ] {
        assert!(looks_at_others(text, &alone), "{text}");
    }
    for text in [
        "- tasks: [{user: {name: x, groups: docker}}]",
        "- roles: [lab.alone, {role: lab.alone, x: 1}]",
        "- tasks: [{ansible.builtin.include_role: {name: lab.alone}}]",
    ] {
        assert!(!looks_at_others(text, &alone), "{text}");
    }
}
