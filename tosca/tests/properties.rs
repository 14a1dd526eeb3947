//! Whatever a document holds: nothing panics, what is refused is refused with a reason, and what is translated is RADL.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use std::path::{Path, PathBuf};
use tosca::yaml::{self, Data, Value};
use tosca::{Error, Fetched, Situation, Surroundings, Template, update};

fn sources(url: &str) -> Fetched {
    match url.ends_with(".yml") {
        true => Fetched::Text("- tasks: [ { debug: { msg: x } } ]".to_owned()),
        false => Fetched::Failed("Not Found".to_owned()),
    }
}

fn surroundings() -> Surroundings<'static> {
    let random = &|length| "r".repeat(length);
    Surroundings { sources: &sources, template_repository: None, access_token: Some("token"), random }
}

/// Everything that is done with a document.
fn all_that_is_done(document: Value) {
    let surroundings = surroundings();
    let refused =
        |error: &Error| !error.to_string().is_empty() && !matches!(error, Error::Refused(list) if list.is_empty());
    let template = match Template::from_document(document, &surroundings) {
        Ok(template) => template,
        Err(error) => return assert!(refused(&error), "{error:?}"),
    };
    let _ = template.outputs(&[]);
    match template.translate(&Situation { machines: &[], surroundings: &surroundings }) {
        Ok(translation) => {
            let _ = (translation.radl.check(), translation.radl.to_json(), translation.explanation());
        }
        Err(error) => assert!(refused(&error), "{error:?}"),
    }
}

/// The documents of the vectors.
fn documents() -> Vec<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/tosca");
    let files = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

/// Values that stand where something else is expected.
fn strange() -> impl Strategy<Value = Data> {
    let call = |name: &str, arguments: &[&str]| {
        let arguments = Data::List(arguments.iter().map(|text| Value::from(*text)).collect());
        Data::Map([(name.to_owned(), Value::from(arguments))].into_iter().collect())
    };
    prop_oneof![
        Just(Data::Null),
        any::<bool>().prop_map(Data::Bool),
        any::<i64>().prop_map(|whole| Data::Integer(whole.into())),
        any::<f64>().prop_map(Data::Float),
        "\\PC{0,8}".prop_map(Data::Text),
        Just(Data::Text("SELF".to_owned())),
        Just(Data::Text("vm".to_owned())),
        Just(Data::List(Vec::new())),
        Just(Data::List(vec![Value::NULL])),
        Just(Data::Map(yaml::Map::new())),
        Just(call("get_property", &["SELF", "instance_name"])),
        Just(call("get_attribute", &["HOST", "public_address"])),
        Just(call("get_property", &["SELF"])),
        Just(call("concat", &[])),
        Just(call("token", &["a", "b", "c"])),
        Just(call("get_input", &["x", "y"])),
    ]
}

/// Puts something else in the place of the n-th value.
fn replace(value: &mut Value, n: &mut usize, data: &Data) {
    if *n == 0 {
        value.data = data.clone();
    }
    let Some(rest) = n.checked_sub(1) else {
        *n = usize::MAX;
        return;
    };
    *n = rest;
    match &mut value.data {
        Data::List(items) => items.iter_mut().for_each(|item| replace(item, n, data)),
        Data::Map(map) => map.values_mut().for_each(|item| replace(item, n, data)),
        _ => {}
    }
}

fn count(value: &Value) -> usize {
    1 + match &value.data {
        Data::List(items) => items.iter().map(count).sum(),
        Data::Map(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn texts_are_read_or_refused(text in "([a-z]{1,3}: ?|- |[\\[\\]{},&*!|>#'\"\n ]|<<: |\\PC){0,40}") {
        if let Ok(document) = yaml::parse(&text) {
            all_that_is_done(document);
        }
    }

    #[test]
    fn documents_with_something_strange_in_them_are_translated_or_refused(
        file in 0_usize..200,
        changes in prop::collection::vec((any::<prop::sample::Index>(), strange()), 1..4),
    ) {
        let documents = documents();
        let text = std::fs::read_to_string(&documents[file % documents.len()]).unwrap();
        if let Ok(mut document) = yaml::parse(&text) {
            for (at, data) in changes {
                let mut n = at.index(count(&document));
                replace(&mut document, &mut n, &data);
            }
            all_that_is_done(document);
        }
    }
}

#[test]
fn a_document_merged_with_itself_is_itself() {
    for file in documents() {
        let Ok(document) = yaml::parse(&std::fs::read_to_string(&file).unwrap()) else { continue };
        let text = document.to_json().to_string();
        // Lists of removals are those of the new document alone.
        let merged = update::merged_documents(&document, &document).to_json();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), merged, "{}", file.display());
    }
}

#[test]
fn circles_end() {
    let head = "tosca_definitions_version: tosca_simple_yaml_1_3\n";
    let nodes = |nodes: &str| format!("{head}topology_template:\n  node_templates:\n{nodes}");
    for text in [
        format!("{head}node_types:\n  a: {{derived_from: b}}\n  b: {{derived_from: a}}\n"),
        format!(
            "{head}data_types:\n  a: {{properties: {{m: {{type: a}}}}}}\ntopology_template: {{inputs: {{i: {{type: a, default: {{m: {{m: {{m: {{}}}}}}}}}}}}}}\n"
        ),
        nodes(
            "    a: {type: DBMS, properties: {root_password: {get_property: [b, root_password]}}, requirements: [{host: v}]}\n    b: {type: DBMS, properties: {root_password: {get_property: [a, root_password]}}, requirements: [{host: v}], interfaces: {Standard: {create: {implementation: x.yml, inputs: {p: {get_property: [SELF, root_password]}}}}}}\n    v: {type: Compute}\n",
        ),
        nodes(
            "    a: {type: SoftwareComponent, requirements: [{host: b}]}\n    b: {type: SoftwareComponent, requirements: [{host: a}], interfaces: {Standard: {create: x.yml}}}\n",
        ),
    ] {
        all_that_is_done(yaml::parse(&text).unwrap());
    }
    // Each text is twice as long as the one before it.
    let mut doubled = "    n0: {type: DBMS, properties: {root_password: abcdefgh}, requirements: [{host: v}]}\n    v: {type: Compute}\n".to_owned();
    for n in 1..60 {
        let before = format!("{{get_property: [n{}, root_password]}}", n - 1);
        doubled += &format!(
            "    n{n}: {{type: DBMS, properties: {{root_password: {{concat: [{before}, {before}]}}}}, requirements: [{{host: v}}], interfaces: {{Standard: {{create: {{implementation: x.yml, inputs: {{p: {{get_property: [SELF, root_password]}}}}}}}}}}}}\n"
        );
    }
    all_that_is_done(yaml::parse(&nodes(&doubled)).unwrap());
}
