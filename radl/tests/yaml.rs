//! Which recipes are read: the answers of the reader that Ansible 2.16 has, taken down text by text; unknown directives as
//! PyYAML takes them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use radl::{
    Radl, merge,
    yaml::{self, Node, NodeKind},
};

#[rustfmt::skip]
const READ: &[&str] = &[
    "- &x a\n- {*x : b}", "- <<: {a: b}", "- <<: [{a: b}]", "- <<: []", "- &x {a: b}\n- <<: *x",
    "- &x [{a: b}]\n- <<: *x", "- '<<': a", "- &x {<<: *x, a: b}", "- =: a", "- '='", "- {=: 1}", "- a: 2024-02-29",
    "- a: 2024-1-1", "- a: 2024-01-01 1:00:00", "- a: 2024-01-01 01:00:00 +23:59", "- a: 2024-01-01 01:00:00.123 Z",
    "- a: 2024-01-01T01:00", "- a: 2024-1-1 1:00:00", "- a: '2024-13-01'", "- a: 2024-13-01x",
    "- a: !!timestamp 2024-1-1", "- a: !!str 2024-13-01", "- a: 2024-01-01 01:00:00 +1", "- a: 2024-01-01 01:00:00.Z",
    "- a: 2024-01-01  01:00:00   -05:00", "- a: 2024-01-01t01:00:00", "- a: !vault x", "- a: !vault-encrypted x",
    "- a: !unsafe x", "- a: !unsafe [x]", "- a: !unsafe {x: y}", "- {!unsafe x: y}", "- a: !!python/dict {a: b}",
    "- a: !!python/unicode x", "- a: !!set {a, b}", "- a: !!omap [a: 1, b: 2]", "- a: !!pairs [a: 1, a: 2]",
    "- a: !!null x", "- a: !!null", "- a: !!bool Yes", "- a: !!int 5", "- a: !!int 1_0", "- a: !!int 0o7",
    "- a: !!int -0x1f", "- a: !!int 1:30", "- a: !!float 1e5", "- a: !!float .inf", "- a: !!float 1:30.5",
    "- a: !!binary aGk=", "- a: !!binary ''", "- a: !!binary aGk=aGk=", "- a: !!binary '===='",
    "- a: !!binary 'aG k ='", "- a: !!binary 'aGk!='", "- a: !!binary 'ab=='", "- a: !!binary '='",
    "- a: !!binary 'ab=c='", "- a: ! x", "- a: ! [x]", "- ! {a: b}", "- a: !<tag:yaml.org,2002:str> x",
    "- a: !<!vault> x", "%TAG !e! !\n---\n- !e!vault y", "- a: 0_", "- a: 08", "- a: 1__", "- a: 0b12", "- a: 1:60",
    "- a: 190:20:30", "- a: 1_000", "- &x a\n- &y b", "- &x [*x]", "- &x {a: *x}", "- &x a\n- *x", "- {&x a: *x}",
    "- a: 1\n  a: 2", "- a\n- b: {}\n- {}", "- {a, b}", "- a: x {{ y }}", "- a: {b}", "- a: {b: c}",
    "- debug: msg={{ x }}", "- ? a\n  : b", "- ?", "- {}", "%FOO bar\n---\n- a", "%YAML 1.1\n---\n- a",
    "%YAML 1.3\n---\n- a", "# x\n%FOO\n---\n- a", "\n%FOO\n%TAG ! tag:x\n---\n- a", "%FOO a\n%FOO b\n---\n- a",
    "%FOO bar\n--- {a: b}", "%FOO bar # c\n\n---\n- a", "%YAML 1.10\n---\n- a", "---\n- a\n...", "- a\n...\n# x", "",
    "---", "~", "\u{feff}- a", "- a: !!int '1 '", "- a: !!int ' 1'", "- ? !!null\n  : a", "- !!str : a", "- ~: a",
    "- 1.5: a", "- true: a", "- !!binary aGk=: a", "- a: !unsafe 2024-13-01", "- a: !unsafe =", "- a: !unsafe <<",
    "- !!str <<: x", "- !!str =", "- a: \"<<\"", "- \"<<\": x", "- !!merge <<: {a: b}", "- !!merge x: {a: b}",
    "- !!value x: b", "- a: !!float infinity", "- a: !!int 0b1", "- a: !!int +5",
];

#[rustfmt::skip]
const REFUSED: &[&str] = &[
    "- content: {{ X }}", "- a: {{ X }}/y", "- when: {{ a }} == 1", "- {{ x }}: y", "- {{ x }}", "- a: [{{ x }}]",
    "- a: {b: {{ x }}}", "- a: \"{{ x }}\" == 1", "? [a]\n: b", "? {a: b}\n: c", "- {[a]: b}", "- &x [a]\n- {*x : b}",
    "- &x {a: b}\n- {*x : b}", "- ? &x [*x]\n  : b", "- <<: a", "- <<: [a]", "- <<: [{a: b}, c]", "- &x a\n- <<: *x",
    "- <<", "- a: <<", "- <<:", "- a: =", "- =", "- a: 2024-13-01", "- a: 2024-02-30", "- a: 2023-02-29",
    "- a: 0000-01-01", "- a: 2024-01-01 25:00:00", "- a: 2024-01-01T23:59:60Z", "- a: 2024-01-01 01:00:00 +24:00",
    "- 2024-13-01: a", "- a: !!timestamp x", "- a: !!timestamp 2024-99-1", "- a: ! 2024-13-01", "- a: 9999-99-99",
    "- a: 2024-01-01 01:00:00 +23:60", "- a: !x y", "- a: !!foo y", "- a: !vault [x]", "- a: !vault {x: y}",
    "- !unsafe {[a]: b}", "- {!unsafe [x]: y}", "- a: !!python/object:os.system x", "- a: !!python/tuple [x]",
    "- a: !!str [x]", "- a: !!str {x: y}", "- a: !!seq x", "- a: !!map x", "- a: !!map [x]", "- a: !!seq {x: y}",
    "- a: !!set [a]", "- a: !!set {[a]}", "- {!!set {a}: b}", "- a: !!omap {a: 1}", "- a: !!omap [a]",
    "- a: !!omap [{a: 1, b: 2}]", "- a: !!pairs [{}]", "- a: !!bool maybe", "- a: !!int x", "- a: !!int ''",
    "- a: !!int 08", "- a: !!int 0b", "- a: !!int 1.5", "- a: !!float x", "- a: !!float ''", "- a: !!float +",
    "- a: !!binary aGk", "- a: !!binary a", "- a: !!binary 'ä'", "- a: !!binary abcde", "- a: !!binary [a]",
    "- a: !!binary 'ab='", "%TAG !e! tag:example.org,2000:\n---\n- !e!x y", "- a: 0b_", "- a: 0x_", "- a: -0x__",
    "- &x a\n- &x b", "- &x [a, &x b]", "- &x {a: &x b}", "- *x", "- [*x, &x a]", "- a: *", "- a: b\n\tc: d",
    "-\ta: b", "- a: b: c", "- a: @x", "- a: %x", "- a: `x`", "- a: |\n  x", "- a: >-\n  {{ x }}", "- 'a': {{",
    "{{ x }}", "- a: {{x}}", "- a: {{ x | default({}) }}", "- a: { { x } }", "- [{{ x }}]", "- a: [b, {c: d}]: e",
    "- {a: b, ? [c] : d}", "- {? {a: b}}", "- [? [c] : d]", "- [[c] : d]", "- []: a", "- {}: a", "- !!map {}: b",
    "%FOO\n- a", "%YAML 2.0\n---\n- a", "%FOO", "%\n---\n- a", "%YAML 1.1\n%YAML 1.1\n---\n- a", "- a\n%FOO",
    "--- |\n  x\n%FOO", "%YAML\n---\n- a", "%YAML 1.1 x\n---\n- a", "---\n- a\n---\n- b", "---\n- a\n...\n---\n- b",
    "- a: \"\\q\"", "- a: '\u{7}'", "- a: \u{2028}b", "- a: !!bool [x]", "- a: !!float [x]", "- a: !!merge x",
    "- a: !!value x", "- a: !!float 0x10", "- a: !!null [x]", "- a: !!null {x: y}",
];

#[test]
fn recipes_are_read_as_ansible_reads_them() {
    let long = |digits: usize| format!("- a: {}", "1".repeat(digits));
    let nested = "- ".repeat(150) + "a";
    for text in READ.iter().copied().chain([long(4300).as_str(), &format!("{}.5", long(4400)), &nested]) {
        assert_eq!(yaml::check(text), Ok(()), "{text:?}");
        // What is accepted can be worked on.
        yaml::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
    for text in REFUSED.iter().copied().chain([long(4301).as_str(), &format!("{}:10", long(4301))]) {
        let why = yaml::check(text).expect_err(text).to_string();
        assert!(why.contains(" at line ") && why.contains(" column "), "{text:?}: {why}");
    }
}

/// The place is that of the text, and what to do about it is said. Nothing of the text is shown: it may be a secret.
#[test]
fn errors_say_where_and_what_to_do() {
    let quote = "a value that begins with {{ must stand in quotes: \"{{ ... }}\"";
    for (text, place, advice) in [
        ("\n- tasks:\n    - copy:\n        content: {{ S3cret }}\n", "line 4 column 19", quote),
        ("\n- tasks:\n    - copy:\n        content: {{ S3cret }}/x\n        dest: /y\n", "line 4 column 19", quote),
        ("\n- vars:\n    a: {{ S3cret['x'] }}\n", "line 3 column", quote),
        ("\n- vars:\n    a: \"{{ S3cret }}\" == 'b'\n", "line 3 column 23", "quotes must enclose the whole value"),
        ("\n- vars:\n\ta: S3cret\n", "line 3 column 1", "indent with blanks"),
        ("\n- vars:\n    a: S3cret: b\n", "line 3 column", "must stand in quotes"),
        ("\n- vars:\n    a: *S3cret!\n", "line 3 column", ""),
        ("\n- vars:\n    a: *S3cret\n", "line 3 column 8", "begins with * must stand in quotes"),
        ("\n- vars:\n    a: !S3cret\n", "line 3 column 8", ""),
        ("\n- vars:\n    a: &S3cret x\n    b: &S3cret y\n", "line 4 column 8", ""),
        ("\n- vars:\n    a: @S3cret\n", "line 3 column 8", "must stand in quotes"),
        ("\n- vars:\n    a: S3cret\u{7}\n", "line 3 column 14", ""),
    ] {
        let why = yaml::check(text).expect_err(text).to_string();
        assert!(why.contains(&format!(" at {place}")) && why.contains(advice), "{text}: {why}");
        assert!(!why.contains("S3cret"), "{why}");
    }
}

/// In all forms of a document, for recipes of every use.
#[test]
fn what_ansible_cannot_read_is_refused_with_the_document() {
    let recipe = "\n- vars:\n    a: {{ b }}\n";
    let text = |item: &str| format!("system s ()\nconfigure c (\n@begin{recipe}@end\n)\n{item}");
    for item in ["", "contextualize ( system s configure c )", "contextualize ( system s configure c with cloud_init )"]
    {
        let radl = Radl::parse(&text(item)).unwrap();
        let why = radl.check().unwrap_err().message();
        assert!(why.starts_with("Line 2: Invalid YAML code: ") && why.contains("at line 3 column 9; "), "{why}");
        let why = merge::reconfigure(&Radl::parse("system s ()").unwrap(), &radl).unwrap_err().message();
        assert!(why.starts_with("Error parsing YAML: ") && why.contains("at line 3 column 9; "), "{why}");
    }
    let json = serde_json::json!([{"class": "configure", "id": "c", "recipes": recipe}]).to_string();
    let why = Radl::from_json(&json).unwrap_err().message();
    assert!(why.starts_with("Error parsing YAML: ") && why.contains("at line 3 column 9; "), "{why}");

    // Cloud-init knows no tags of Ansible, and renders templates before it reads them.
    let cloud = |recipe: &str, tool: &str| {
        let text = format!("system s ()\nconfigure c (\n@begin\n{recipe}\n@end\n)\n");
        Radl::parse(&format!("{text}contextualize ( system s configure c with {tool} )")).unwrap().check()
    };
    cloud("- vars: {a: !unsafe b}", "Ansible").unwrap();
    let why = cloud("runcmd: [!unsafe b]", "cloud_init").unwrap_err().message();
    assert!(why.starts_with("Line 2: Invalid YAML code: ") && why.contains("at line 2 column 10"), "{why}");
    cloud("## template: jinja\n#cloud-config\nfqdn: {{ v1.local_hostname }}", "cloud_init").unwrap();
}

/// Every reader has the same limits, and tells the place of what is beyond them.
#[test]
fn limits_are_those_of_all_readers() {
    let (deepest, deeper) = ("[".repeat(200) + &"]".repeat(200), "[".repeat(201) + &"]".repeat(201));
    assert!(yaml::check(&deepest).is_ok() && yaml::parse(&deepest).is_ok());
    let two = "- a\n---\n- b".to_owned();
    let long = "# \n".repeat(yaml::MAX_BYTES / 3 + 1);
    for (text, why, line) in
        [(deeper, "nest deeper than 200", Some(1)), (two, "a single document", Some(2)), (long, "more than", None)]
    {
        let errors = [yaml::check(&text).unwrap_err(), yaml::parse(&text).unwrap_err()];
        for error in errors {
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.position().map(|at| at.line), line, "{error}");
        }
        assert_eq!(yaml::shape(&text), yaml::Shape::Other);
        assert_eq!(yaml::counterpart(&text, (1, 1), &text), None);
    }
}

/// Nodes know where they stand; where is no part of what they say.
#[test]
fn nodes_have_places() {
    let text = "# é\n- name: one\n  é: [a, *x]\n";
    let root = yaml::parse(text).unwrap().unwrap();
    let NodeKind::Sequence(items) = &root.kind else { panic!("{root:?}") };
    let NodeKind::Mapping(pairs) = &items[0].kind else { panic!("{root:?}") };
    let NodeKind::Sequence(list) = &pairs[1].1.kind else { panic!("{root:?}") };
    let at = |node: &Node| node.position.map(|at| (at.line, at.column.unwrap()));
    let places = [at(&root), at(&items[0]), at(&pairs[0].1), at(&pairs[1].0), at(&list[1])];
    assert_eq!(places, [(2, 1), (2, 3), (2, 9), (3, 3), (3, 10)].map(Some));
    assert_eq!(pairs[0].1, Node { position: None, ..pairs[0].1.clone() });
    assert_eq!(yaml::counterpart(text, (3, 10), "- {name: 1, é: [b, c]}"), Some((1, 20)));
}

/// A text that the emitter cannot leave plain gets quotes, and no tag that it did not have.
#[test]
fn what_is_written_is_read_as_the_same() {
    for (text, written) in
        [("a\n\n{", "'a\n\n  {'\n"), ("! 12", "'12'\n"), ("! 'b'", "'b'\n"), ("! [c]", "- c\n"), ("'' : 1", "'': 1\n")]
    {
        let node = yaml::parse(text).unwrap().unwrap();
        let out = yaml::emit(&node).unwrap();
        assert_eq!(out.trim_start_matches("---").trim_start(), written, "{text}");
        assert_eq!(yaml::emit(&yaml::parse(&out).unwrap().unwrap()), Ok(out));
    }
}

proptest! {
    /// Whatever a text holds, nothing panics; what can be checked can be read, and what was read is written back.
    #[test]
    fn any_text_is_read_or_refused(text in "([-:?,&*!|>'\"%@`#{}\\[\\] \n]|[a<=~0]|!!(str|int|map)|\\PC){0,40}") {
        let read = yaml::parse(&text);
        prop_assert!(yaml::check(&text).is_err() || read.is_ok(), "{:?}", read);
        let _ = (yaml::shape(&text), yaml::check_for(yaml::Reader::CloudInit, &text));
        let Ok(Some(node)) = read else { return Ok(()) };
        // Some texts get quotes where they had none; then they keep them.
        if let Ok(written) = yaml::emit(&node) {
            let again = yaml::parse(&written).unwrap().unwrap();
            prop_assert_eq!(yaml::emit(&again), Ok(written));
        }
    }
}
