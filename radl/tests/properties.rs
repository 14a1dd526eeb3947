//! Laws that hold for any input.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use radl::{Conflict, Constraint, Features, Operator, Radl, Value, addresses, merge};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Pieces that make up documents, near-documents and nonsense.
fn soup() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "network",
        "system",
        "configure",
        "contextualize",
        "deploy",
        "description",
        "ansible",
        "soft",
        "and",
        "contains",
        "step",
        "with",
        "option",
        "(",
        ")",
        "()",
        "[",
        "]",
        ",",
        "=",
        "<=",
        ">=",
        "<",
        ">",
        "'",
        "'a'",
        "'it\\'s'",
        "'\\",
        "1",
        "2.5",
        "1.",
        "99999999999999999999",
        "9999999999T",
        "512M",
        "Gi",
        ".x",
        "n",
        "s",
        "x-y",
        "cpu.count",
        "memory.size",
        "disk.0.size",
        "disk.0.os.version",
        "'1.2'",
        "net_interface.0.connection",
        "outports",
        "'22-80'",
        "'random(3)'",
        "'random(99999)'",
        "@begin",
        "\n@begin\n- a: 1\n@end\n",
        "@end",
        "#c",
        "\n",
        "é",
        "\u{feff}",
        ";",
        "system s (cpu.count >= 2 and soft 3 (x = 'y'))",
        "network n (outbound = 'yes')",
        "disk.0.applications contains (name = 'a' and version >= '1')",
        "disk.0.image.url = ['a','b']",
        "contextualize 5 (option o = 1 system s configure s step 2)",
        "deploy s 3 cloud",
    ]);
    prop::collection::vec(prop_oneof![8 => words.prop_map(str::to_owned), 1 => any::<String>()], 0..25)
        .prop_map(|pieces| pieces.join(" "))
}

/// Documents that parse, as text.
fn document() -> impl Strategy<Value = String> {
    let name = "[a-e]";
    let text = "[a-zA-Z0-9 éñ\\n\"#()@]{0,8}(\\\\')?";
    let operator = || prop::sample::select(vec!["=", ">=", "<=", ">", "<"]);
    let number = prop_oneof![
        (0..5000_u32).prop_map(|n| n.to_string()),
        (0..500_u32, 0..1000_u32).prop_map(|(a, b)| format!("{a}.{b}")),
    ];
    let unit = prop::sample::select(vec!["", "K", "Mi", "GB", "ECU"]);
    let leaf = prop_oneof![
        (name, operator(), number, unit).prop_map(|(n, o, v, u)| format!("n_{n} {o} {v}{u}")),
        (name, text).prop_map(|(n, t)| format!("t_{n} = '{t}'")),
        (name, operator(), "[1-9]\\.[0-9]").prop_map(|(n, o, v)| format!("version_{n} {o} '{v}'")),
        (name, prop::collection::vec(text, 0..3)).prop_map(|(n, items)| format!(
            "l_{n} = [{}]",
            items.iter().map(|i| format!("'{i}'")).collect::<Vec<_>>().join(",")
        )),
    ];
    let feature = leaf.prop_recursive(3, 12, 3, |inner| {
        let body = prop::collection::vec(inner, 0..3).prop_map(|features| features.join(" and "));
        prop_oneof![
            (0..50_u32, body.clone()).prop_map(|(weight, body)| format!("soft {weight} ({body})")),
            body.prop_map(|body| format!("c contains ({body})")),
        ]
    });
    let body = prop::collection::vec(feature, 0..6).prop_map(|features| features.join(" and\n"));
    let sentence = |class: &'static str, id: usize| move |body: String| format!("{class} x{id} ({body})\n");
    (body.clone(), body.clone(), body, 0..9_u32, 0..3_u32).prop_map(move |(a, b, c, machines, step)| {
        let (network, one, two) = (sentence("network", 0)(a), sentence("system", 1)(b), sentence("system", 2)(c));
        format!(
            "{one}{network}{two}configure x1 (\n@begin\n- a: {machines}\n@end\n)\n\
             contextualize {machines} (option o = 'v' system x1 configure x1 step {step})\ndeploy x1 {machines}"
        )
    })
}

/// The JSON form, which forgets lines; recipes without the blank lines that printing adds.
fn comparable(radl: &Radl) -> serde_json::Value {
    let mut radl = radl.clone();
    if let Some(description) = &mut radl.description {
        description.reference = false;
    }
    for configure in &mut radl.configures {
        configure.recipe = configure.recipe.take().map(|recipe| recipe.trim_matches('\n').to_owned());
    }
    radl.to_json()
}

/// Everything that can be done with a document that parsed.
fn exercise(radl: &Radl) {
    let _ = radl.check().map_err(|error| error.to_string());
    let (text, json) = (radl.to_text(), radl.to_json());
    let stored: Radl = serde_json::from_str(&serde_json::to_string(radl).unwrap()).unwrap();
    assert_eq!(&stored, radl, "a stored document comes back as it was");
    let _ = (
        radl.inventory_json(),
        radl.warnings(),
        radl::placement::deploy_groups(&radl.without_internal()).take(50).count(),
    );
    let _ = Radl::from_json_value(&json).map(|radl| radl.to_text());
    if let Ok(parsable) = radl.to_parsable_text() {
        assert_eq!(parsable, text);
        let again = Radl::parse(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"));
        assert_eq!(comparable(&again), comparable(radl), "{text}");
    }
    for system in &radl.systems {
        let _ = system.features.concrete(None).map(|(features, _)| features.constraints());
    }
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let operators = vec![Operator::Eq, Operator::Ge, Operator::Le, Operator::Gt, Operator::Lt];
    let amounts = prop_oneof![
        (0..6_i64).prop_map(radl::Amount::Integer),
        (0..6_i64).prop_map(|n| radl::Amount::Float(n as f64 / 2.0)),
    ];
    let units = prop::sample::select(vec![None, Some("K".to_owned()), Some("Ki".to_owned())]);
    (prop::sample::select(operators), amounts, units).prop_map(|(operator, amount, unit)| Constraint {
        operator,
        amount,
        unit,
        line: 1,
    })
}

fn value(bound: &Constraint) -> Value {
    let some = Some(Box::new(bound.clone()));
    match bound.operator {
        Operator::Eq => Value::Number { lower: some.clone(), upper: some },
        Operator::Ge | Operator::Gt => Value::Number { lower: some, upper: None },
        Operator::Le | Operator::Lt => Value::Number { lower: None, upper: some },
    }
}

fn combined(bounds: &[Constraint]) -> Option<Features> {
    let mut features = Features::new();
    bounds.iter().try_for_each(|bound| features.add("n", value(bound), Conflict::Error)).ok().map(|()| features)
}

/// Every amount that the constraints of these tests can tell apart.
fn samples() -> impl Iterator<Item = (radl::Amount, &'static str)> {
    let amounts = (0..26).map(|n| radl::Amount::Float(f64::from(n) / 4.0));
    amounts.flat_map(|amount| ["", "K", "Ki"].map(|unit| (amount, unit)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_or_refused(text in soup()) {
        match Radl::parse(&text) {
            Ok(radl) => exercise(&radl),
            Err(error) => {
                let lines = u32::try_from(text.split('\n').count()).unwrap();
                let position = error.position().expect("an error of the text form knows its place");
                prop_assert!((1..=lines).contains(&position.line), "{error}: line {position:?} of {lines}");
                prop_assert!(position.column.is_some(), "{error} without column");
            }
        }
    }

    #[test]
    fn any_json_is_parsed_or_refused(text in soup(), keys in prop::collection::vec("[a-z._]{1,6}(_min|_max)?", 0..4)) {
        let mut system = serde_json::json!({"class": "system", "id": "s", "softs": [{"weight": 2, "items": {}}]});
        for (at, key) in keys.iter().enumerate() {
            let values = [serde_json::json!(at), serde_json::json!(text), serde_json::json!([{"name": text}]), serde_json::json!({"a": 1.5})];
            system[key] = values[at % values.len()].clone();
        }
        let document = serde_json::json!([system, {"class": "configure", "id": "s", "recipes": text}]);
        for text in [document.to_string(), text] {
            if let Ok(radl) = Radl::from_json(&text) {
                exercise(&radl);
            }
        }
    }

    #[test]
    fn printing_and_parsing_are_inverse(text in document()) {
        let Ok(radl) = Radl::parse(&text) else { return Ok(()) };
        prop_assert!(radl.to_parsable_text().is_ok(), "{:?}", radl.to_parsable_text());
        exercise(&radl);
    }

    #[test]
    fn intersection_does_not_depend_on_order(bounds in prop::collection::vec(constraint(), 1..5), turns in 0..5_usize) {
        let mut turned = bounds.clone();
        turned.rotate_left(turns % bounds.len());
        turned.reverse();
        let (one, other) = (combined(&bounds), combined(&turned));
        prop_assert_eq!(one.is_some(), other.is_some());
        let Some((one, other)) = one.zip(other) else {
            // A contradiction: nothing fulfils all of them.
            for (amount, unit) in samples() {
                prop_assert!(!bounds.iter().all(|bound| bound.admits(amount, unit)));
            }
            return Ok(());
        };
        for (amount, unit) in samples() {
            let all = bounds.iter().all(|bound| bound.admits(amount, unit));
            prop_assert_eq!(one.admits("n", amount, unit), all);
            prop_assert_eq!(other.admits("n", amount, unit), all);
        }
        let again = bounds.iter().fold(one.clone(), |mut features, bound| {
            features.add("n", value(bound), Conflict::Error).unwrap();
            features
        });
        prop_assert_eq!(again.to_json(), one.to_json(), "adding them again says nothing new");
    }

    #[test]
    fn conflict_modes_keep_their_promise(old in constraint(), new in constraint()) {
        let (a, b) = (combined(std::slice::from_ref(&old)).unwrap(), combined(std::slice::from_ref(&new)).unwrap());
        let both = combined(&[old, new]);
        let mode = |mode| a.apply(&b, mode).unwrap().to_json();
        prop_assert_eq!(mode(Conflict::Me), both.as_ref().unwrap_or(&a).to_json());
        prop_assert_eq!(mode(Conflict::Ignore), both.as_ref().unwrap_or(&a).to_json());
        prop_assert_eq!(mode(Conflict::Other), both.as_ref().unwrap_or(&b).to_json());
        prop_assert_eq!(a.apply(&b, Conflict::Error).is_ok(), both.is_some());
    }

    #[test]
    fn adding_a_document_twice_is_adding_it_once(stored in document(), added in document()) {
        let (Ok(stored), Ok(added)) = (Radl::parse(&stored), Radl::parse(&added)) else { return Ok(()) };
        let networks = BTreeMap::from([("x0".to_owned(), "cloud".to_owned())]);
        let Ok(once) = merge::add_resource(&stored, &added, &networks) else { return Ok(()) };
        let twice = merge::add_resource(&once.stored, &added, &networks).unwrap();
        prop_assert_eq!(&twice, &once);
        prop_assert_eq!(once.stored.without_internal(), once.stored);
    }

    #[test]
    fn refreshing_addresses_is_stable(
        public in prop::collection::btree_set(prop::sample::select(vec!["203.0.113.4", "203.0.113.5", "2001:db8::5"]), 0..4),
        private in prop::collection::btree_set(
            prop::sample::select(vec!["10.0.0.4", "10.2.0.7", "172.16.0.9", "192.168.1.1", "192.168.9.1", "fd00::1", "8.1.1.1"]), 0..6),
        document in prop::sample::select(vec![
            "system s ()",
            "network n () system s (net_interface.0.connection = 'n')",
            "network a () network b () system s (net_interface.0.connection = 'a' and net_interface.1.connection = 'b')",
            "network p (outbound = 'yes') network c (cidr = '10.2.0.0/16') network d () system s (net_interface.0.connection = 'c')",
            "network n () system s (net_interface.0.connection = 'n' and net_interface.1.connection = 'n')",
        ]),
    ) {
        let parse = |texts: &std::collections::BTreeSet<&str>| -> Vec<IpAddr> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        let (mut public, mut private) = (parse(&public), parse(&private));
        let document = Radl::parse(document).unwrap();
        let once = addresses::discovered(&document, "s", &public, &private, "1");
        prop_assert!(once.check().is_ok(), "{:?}", once.check());
        public.reverse();
        private.reverse();
        let again = addresses::discovered(&once, "s", &public, &private, "2");
        prop_assert_eq!(again.to_text(), once.to_text());
        let gone = addresses::discovered(&again, "s", &[], &[], "3");
        prop_assert!(gone.systems[0].interfaces().all(|i| i.ip.is_none() && i.ipv6.is_none()));
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!("system s ({}", "a contains (".repeat(100_000));
    assert!(Radl::parse(&deep).unwrap_err().message().contains("nest deeper"));
    let objects = (0..200).fold(serde_json::json!({}), |inner, _| serde_json::json!({"a": [inner]}));
    let json = serde_json::json!([{"class": "system", "id": "s", "a": [objects]}]);
    assert!(Radl::from_json_value(&json).unwrap_err().message().contains("nest deeper"));
    let recipe = "[".repeat(100_000) + &"]".repeat(100_000);
    assert!(radl::yaml::check(&recipe).unwrap_err().to_string().contains("nest deeper"));
    let wishes: Vec<String> =
        (0..30_000).map(|n| format!("soft {n} (x{n} = 1 and a contains (name = 'b{n}'))")).collect();
    let wishes = Radl::parse(&format!("system s ({})", wishes.join(" and "))).unwrap();
    assert_eq!(wishes.systems[0].features.concrete(None).unwrap().0.iter().count(), 30_001);
    // Sentences and constraints by the ten thousand: anything quadratic would take minutes.
    let many: String =
        (0..30_000).map(|n| format!("system s{n} (x >= {n} and x >= 1)\ncontextualize ({n}\n")).collect();
    assert!(Radl::parse(&many).is_err());
    let many: String = (0..30_000)
        .map(|n| {
            format!(
                "network n{n} () system s{n} (net_interface.0.connection = 'n{n}')\nconfigure c{n} ()\ndeploy s{n} 1\n\
                          contextualize (system s{n} configure c{n})\n"
            )
        })
        .collect();
    let many = Radl::parse(&many).unwrap();
    many.check().unwrap();
    let added = merge::add_resource(&many, &many, &BTreeMap::new()).unwrap();
    assert_eq!(radl::placement::deploy_groups(&added.stored).count(), 30_000);
}

#[test]
fn errors_know_line_and_column() {
    let place = |text: &str| {
        let error =
            Radl::parse(text).and_then(|radl| radl.check().map_err(|error| error.located_in(text))).unwrap_err();
        (error.line(), error.column(), error.position().map(|p| (p.line, p.column)))
    };
    let shown = |line, column| (Some(line), Some(column), Some((line, Some(column))));
    let hidden = |line, column| (None, None, Some((line, Some(column))));
    assert_eq!(place("system s (\n  ñandu = 2)"), shown(2, 3), "illegal character");
    assert_eq!(place("system s (x = 'a\nb' and y = '1' z = 2)"), shown(2, 16), "lines inside a string count");
    assert_eq!(place("system s (x = 'a\nb and y = 1)"), shown(1, 15), "the string without end");
    assert_eq!(place("system s (x = 'a' and\n y = 1 and x = 'b')"), shown(2, 12), "contradiction");
    assert_eq!(place("system s (x contains (n = 1 and\n  n = 2))"), shown(2, 3), "contradiction inside a group");
    assert_eq!(place("system s ()\n  system s ()"), hidden(2, 3), "duplicate");
    assert_eq!(place("system s ("), hidden(1, 11), "end of the text");
    assert_eq!(place("system s (\n x = 1 and  memory.size = 'a')"), shown(2, 13), "check");
}

#[test]
fn secrets_stay_out_of_errors() {
    let text = "system s (disk.0.os.credentials.password = 'hunter2' and disk.0.os.credentials.password = 'hunter3')";
    assert!(!Radl::parse(text).unwrap_err().message().contains("hunter"));
    assert!(!Radl::parse("system s (password 'hunter2')").unwrap_err().message().contains("hunter"));
}

#[test]
fn recipes_are_hostile() {
    for recipe in
        ["- [!a,b]", "!<%ff> x", "- !a%E9%E9%E9 b", "\"\\", "\u{feff}\u{feff}", "*a", "&a [*a]", "%TAG ! x\n--- a"]
    {
        let checked = radl::yaml::check(recipe);
        let (read, shape) = (radl::yaml::parse(recipe), radl::yaml::shape(recipe));
        assert!(checked.is_err() || read.is_ok(), "{recipe:?}: {shape:?}");
        assert_eq!(
            radl::yaml::counterpart(recipe, (9, 1), recipe).is_some(),
            matches!(read, Ok(Some(_))),
            "{recipe:?}"
        );
    }
    assert!(radl::yaml::check("- a: *nowhere").is_err());
    assert!(radl::yaml::check("- a: !vault |\n    12\n- &b c\n- *b").is_ok());
}
