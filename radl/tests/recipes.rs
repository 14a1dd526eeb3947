//! What documents say of contextualization, and what is refused before anything is launched: the cases of the
//! contextualization that are decided by the language.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use radl::{Radl, Tool, merge, recipes, yaml};
use std::collections::BTreeMap;

fn parsed(text: &str) -> Radl {
    Radl::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Why a document is refused when it is submitted.
fn refused(text: &str) -> String {
    parsed(text).check().expect_err(text).message()
}

const TWO: &str = "system s ()\nconfigure c ()\n";

/// Cases: D-07, D-08.
#[test]
fn items_name_a_tool_and_a_step() {
    for (words, step, tool) in [
        ("with ansible", 0, Tool::Ansible),
        ("with Ansible", 0, Tool::Ansible),
        ("step 2 with cloud_init", 2, Tool::CloudInit),
        ("with cloud_init step 2", 2, Tool::CloudInit),
        ("step 3", 3, Tool::Ansible),
    ] {
        let radl = parsed(&format!("{TWO}contextualize ( system s configure c {words} )"));
        radl.check().unwrap();
        for radl in [&radl, &Radl::from_json(&radl.to_json().to_string()).unwrap(), &parsed(&radl.to_text())] {
            let item = &radl.contextualize.as_ref().unwrap().items[0];
            assert_eq!((item.step, item.tool()), (step, Some(tool)), "{words}");
        }
    }
    let text = format!("{TWO}contextualize (\n system s configure c with puppet )");
    assert_eq!(refused(&text), "Line 4: Invalid tool 'puppet'; expected one of ['Ansible', 'cloud_init']");
    assert!(Radl::parse(&format!("{TWO}contextualize ( system s configure c step 1 step 2 )")).is_err());
}

/// Cases: D-09, D-14, D-15.
#[test]
fn items_times_and_ids() {
    let radl = parsed(&format!("{TWO}contextualize ( system s configure c step 1 system s configure c step 3 )"));
    let items = &radl.contextualize.as_ref().unwrap().items;
    assert_eq!((items.len(), items[0].step, items[0].replaced_step), (1, 3, Some(1)));
    // A later document may move a recipe; that is no slip.
    let added = parsed("system s configure c contextualize ( system s configure c step 5 )");
    let moved = merge::add_resource(&radl, &added, &BTreeMap::new()).unwrap().stored.contextualize.unwrap();
    assert_eq!((moved.items[0].step, moved.items[0].replaced_step), (5, None));

    for (words, why) in
        [("system t configure c", "Invalid system id 't'"), ("system s configure d", "Invalid configure id 'd'")]
    {
        let added = format!("system s configure c contextualize (\n{words} step 1 )");
        assert_eq!(refused(&format!("{TWO}contextualize (\n{words} step 1 )")), format!("Line 4: {why}"));
        let stored = parsed(TWO);
        let error = merge::add_resource(&stored, &parsed(&added), &BTreeMap::new()).unwrap_err();
        assert!(error.message().contains(why), "{error}");
    }

    let time = |words: &str| parsed(&format!("contextualize {words} ()")).contextualize.unwrap().max_time;
    assert_eq!((time(""), time("0"), time("900")), (0, 0, 900));
    assert!(Radl::parse("contextualize -5 ()").is_err(), "the text form has no negative numbers");
    let json = Radl::from_json(r#"[{"class": "contextualize", "max_time": -5}]"#).unwrap();
    assert_eq!(json.check().unwrap_err().message(), "Invalid 'max time' in 'contextualize'");
}

/// Cases: I-06, I-08.
#[test]
fn ids_that_would_be_something_else_elsewhere() {
    for name in ["all", "ungrouped", "localhost"] {
        let error = refused(&format!("\nsystem {name} ()"));
        assert_eq!(error, format!("Line 2: Invalid system id '{name}'; it has another meaning for Ansible"));
    }
    for name in ["windows", "allnowindows", "my-sys", "a.b"] {
        parsed(&format!("system {name} ()")).check().unwrap();
    }
    for id in ["../../x", "a/b", "a b", "", "-x"] {
        for (class, key) in [("system", "x"), ("configure", "recipes")] {
            let json = format!(r#"[{{"class": "{class}", "id": "{id}", "{key}": "- tasks: []"}}]"#);
            assert!(Radl::from_json(&json).is_err(), "{json}");
        }
    }
}

/// Cases: R-06, R-14.
#[test]
fn recipes_that_ansible_cannot_run_are_refused() {
    let with = |features: &str, recipe: &str, tail: &str| {
        format!("system s ({features})\nconfigure s (\n@begin\n{recipe}\n@end\n)\n{tail}")
    };
    let plain = |recipe: &str| with("", recipe, "");
    for fine in ["", "---", "# nothing", "~", "- tasks: []\n- import_playbook: x.yml", "- &a {tasks: []}\n- *a"] {
        parsed(&plain(fine)).check().unwrap_or_else(|error| panic!("{error}: {fine}"));
    }
    for wrong in ["some text", "tasks: []", "5", "{}"] {
        assert_eq!(refused(&plain(wrong)), "Line 2: configure s: expected a list of plays", "{wrong}");
        let stored = parsed("system s ()");
        let error = merge::reconfigure(&stored, &parsed(&plain(wrong))).unwrap_err().message();
        assert!(error.ends_with("configure s: expected a list of plays"), "{error}");
    }
    let error = refused(&plain("- tasks: [\n"));
    assert!(error.starts_with("Line 2: Invalid YAML code: ") && error.ends_with("(configure s)."), "{error}");
    // What Ansible does not run may be anything.
    for tail in ["contextualize ()", "contextualize ( system s configure s with cloud_init )"] {
        parsed(&with("", "packages: [x]", tail)).check().unwrap();
    }
    let other = "system s ()\nconfigure values (\n@begin\na: 1\n@end\n)\n";
    parsed(other).check().unwrap();

    let no_password = "it is encrypted with ansible-vault, and the system s has no vault.password";
    for recipe in
        ["$ANSIBLE_VAULT;1.1;AES256\n6162", "- vars:\n    a: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      61"]
    {
        assert_eq!(refused(&plain(recipe)), format!("Line 2: configure s: {no_password}"));
        parsed(&with("vault.password = 'x'", recipe, "")).check().unwrap();
    }
    let error =
        merge::reconfigure(&parsed("system s ()"), &parsed(&plain("$ANSIBLE_VAULT;1.1;AES256\n61"))).unwrap_err();
    assert!(error.message().ends_with(no_password), "{error}");
    assert_eq!(yaml::shape("- a: [!x y, {b: !vault c}]\n"), yaml::Shape::Plays { has_vault: true });
}

/// The limits on recipes: one of a mebibyte, sixteen mebibytes together.
#[test]
fn recipes_of_an_absurd_size_are_refused() {
    let configure = |n: usize, size: usize| {
        let line = "# 0123456789\n";
        format!("configure c{n} (\n@begin\n{}@end\n)\n", line.repeat(size / line.len()))
    };
    parsed(&configure(0, recipes::MAX_RECIPE - 100)).check().unwrap();
    let error = refused(&configure(0, recipes::MAX_RECIPE + 100));
    assert_eq!(error, "Line 1: The recipe of the configure 'c0' has more than 1048576 bytes");
    let many: String = (0..17).map(|n| configure(n, recipes::MAX_RECIPE - 100)).collect();
    assert_eq!(refused(&many), "The recipes have more than 16777216 bytes together");
    // They are counted together with the stored ones.
    let stored: String = (0..10).map(|n| configure(n, recipes::MAX_RECIPE - 100)).collect();
    let added: String = (10..17).map(|n| configure(n, recipes::MAX_RECIPE - 100)).collect();
    let (stored, added) = (parsed(&stored), parsed(&added));
    assert!(merge::add_resource(&stored, &added, &BTreeMap::new()).is_err());
    assert!(merge::reconfigure(&stored, &added).is_err());
}
