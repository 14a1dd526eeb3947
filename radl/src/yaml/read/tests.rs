#![allow(clippy::unwrap_used)]

use super::{Bounds, Data, Value, YamlError, read};
use crate::yaml::{Place, plain};

const BOUNDS: Bounds = Bounds { bytes: 1 << 20, depth: 64, values: 40_000 };

fn parse(text: &str) -> Result<Value, YamlError> {
    read(text, &BOUNDS)
}

#[test]
fn plain_scalars_have_the_types_of_yaml_1_1() {
    for (text, data) in [
        ("yes", Data::Bool(true)),
        ("OFF", Data::Bool(false)),
        ("017", Data::Integer(15)),
        ("0x16", Data::Integer(22)),
        ("0b11", Data::Integer(3)),
        ("1_000", Data::Integer(1000)),
        ("1:30", Data::Integer(90)),
        ("-7", Data::Integer(-7)),
        ("22.10", Data::Float(22.1)),
        (".5", Data::Float(0.5)),
        ("1e3", Data::Text("1e3".to_owned())),
        ("08", Data::Text("08".to_owned())),
        ("2020-09-08", Data::Text("2020-09-08".to_owned())),
        ("9.3.1", Data::Text("9.3.1".to_owned())),
        ("-", Data::Text("-".to_owned())),
        ("~", Data::Null),
    ] {
        assert_eq!(plain(text), data, "{text}");
    }
}

#[test]
fn aliases_and_merges_are_resolved_and_values_know_their_place() {
    let value = parse("a: &x { n: 1, m: 2 }\nb:\n  <<: *x\n  m: 3\n  z: *x\n").unwrap();
    let b = value.get("b").unwrap();
    assert_eq!(b.get("n"), Some(&Data::Integer(1).into()));
    assert_eq!(b.get("m").unwrap().place, Place { line: 4, column: 3 });
    assert_eq!(b.get("z"), value.get("a"));
    assert_eq!(b.as_map().unwrap().keys().collect::<Vec<_>>(), ["n", "m", "z"]);
}

#[test]
fn bombs_and_abysses_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    (1..20).for_each(|n| bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", ")));
    let refused = |text: &str| parse(text).unwrap_err().to_string();
    assert!(refused(&bomb).contains("more than 40000 values, aliases resolved"));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), ["*a"; 11].join(", "));
    assert!(refused(&long).contains("the aliases stand for more than 1048576 bytes of text"));
    let nested = format!("{}{}", (0..60).map(|n| format!("&a{n} [")).collect::<String>(), ["x"; 1000].join(", "));
    assert!(refused(&format!("{nested}{}", "]".repeat(60))).contains("more than 40000 values"));
    assert!(refused(&"[".repeat(100_000)).contains("nest deeper than 64"));
    assert!(refused(&"x".repeat(BOUNDS.bytes + 1)).contains("more than 1048576 bytes"));
    assert!(parse(&"a: [".repeat(1000)).is_err());
    assert!(parse("a: &a [*a]").is_err());
    assert!(parse("[ unclosed").is_err());
    assert!(parse("--- 1\n--- 2\n").is_err());
    assert!(parse("? [1]\n: 2\n").is_err());
}

#[test]
fn texts_within_lists_print_as_python_prints_them() {
    let value = parse("[a, \"it's\", 1, 2.0, true, null, {k: v}]").unwrap();
    assert_eq!(value.to_string(), "['a', \"it's\", 1, 2.0, True, None, {'k': 'v'}]");
    assert_eq!(Value::from("plain").to_string(), "plain");
}
