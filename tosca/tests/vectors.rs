//! The conformance vectors: documents, updates, outputs and errors. They are read from `$IM_SHARED/vectors/tosca`, from
//! `../shared/vectors/tosca` next to the repository, and from the copy in `tests/vectors/tosca`, wherever they exist.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};
use tosca::offline::{self, Setup};
use tosca::yaml::{self, Value};

/// Every place that holds vectors; the copy in the repository always does.
fn places() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the repository");
    let shared = std::env::var_os("IM_SHARED").map(PathBuf::from).unwrap_or_else(|| root.join("../shared"));
    let places = [root.join("tests/vectors/tosca"), shared.join("vectors/tosca")];
    assert!(places[0].join("index.json").exists(), "the copy of the vectors is missing");
    places.into_iter().filter(|place| place.join("index.json").exists()).collect()
}

const RANDOM: &str = "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6";

fn random(length: usize) -> String {
    RANDOM.chars().cycle().take(length).collect()
}

fn read(place: &Path, case: &Json, key: &str) -> Option<String> {
    Some(std::fs::read_to_string(place.join(case[key].as_str()?)).expect("a file of the vectors"))
}

/// What is wrong with a case; nothing when it passes.
fn check(place: &Path, case: &Json) -> Result<(), String> {
    let setup = read(place, case, "setup").map(|text| serde_json::from_str::<Json>(&text).unwrap());
    let setup = Setup::from_json(&setup.unwrap_or_default()).map_err(|error| error.to_string())?;
    let expected: Json = serde_json::from_str(&read(place, case, "expected").unwrap()).unwrap();
    let document = read(place, case, "input").unwrap();
    let report = offline::run(&document, &Value::NULL, read(place, case, "update").as_deref(), &setup, &random);
    let Some(texts) = expected.get("contains") else {
        let report = report.map_err(|failure| format!("refused in {}: {failure}", failure.phase))?;
        let report = report.to_json();
        return compare_report(&report, &expected);
    };
    let Err(failure) = report else { return Err("it is not refused".to_owned()) };
    let (phase, wanted) = (failure.phase, expected["phase"].as_str().unwrap());
    let early = |phase: &str| matches!(phase, "parse" | "translate");
    if early(phase) != early(wanted) {
        return Err(format!("refused in {phase} and not in {wanted}: {failure}"));
    }
    let message = failure.to_string();
    let missing: Vec<&str> = texts
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .filter(|text| !message.contains(text))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are not in {message}")) }
}

fn compare_report(report: &Json, expected: &Json) -> Result<(), String> {
    for (key, wanted) in expected.as_object().unwrap() {
        let got = report.get(key).ok_or_else(|| format!("there is no {key}"))?;
        match key.as_str() {
            "radl" => compare_radl(got, wanted)?,
            "first" => compare_radl(&got["radl"], &wanted["radl"])?,
            _ => compare(got, wanted, key)?,
        }
    }
    Ok(())
}

/// Elements of a class in their order; the order between classes and that of items does not matter.
fn compare_radl(got: &Json, wanted: &Json) -> Result<(), String> {
    for class in ["ansible", "network", "system", "configure", "deploy", "contextualize", "description"] {
        let of_class = |list: &Json| -> Vec<Json> {
            let mut list = list.as_array().unwrap().clone();
            list.retain(|object| object["class"] == class);
            for object in &mut list {
                if let Some(items) = object.get_mut("items").and_then(Json::as_array_mut) {
                    items.sort_by_key(ToString::to_string);
                }
            }
            list
        };
        let (got, mut wanted) = (of_class(got), of_class(wanted));
        // Sorted in the same way after the digits are filled in.
        wanted.iter_mut().for_each(|object| *object = filled(object));
        wanted.iter_mut().filter_map(|object| object.get_mut("items")?.as_array_mut()).for_each(|items| {
            items.sort_by_key(|item| sorted(item).to_string());
        });
        let mut got = got;
        got.iter_mut().filter_map(|object| object.get_mut("items")?.as_array_mut()).for_each(|items| {
            items.sort_by_key(|item| sorted(item).to_string());
        });
        compare(&Json::Array(got), &Json::Array(wanted), class)?;
    }
    Ok(())
}

fn sorted(object: &Json) -> Json {
    let mut pairs: Vec<(String, Json)> = object.as_object().unwrap().clone().into_iter().collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    Json::Object(pairs.into_iter().collect::<Map<_, _>>())
}

/// The digits of containers as the random source of this test gives them.
fn filled(json: &Json) -> Json {
    let digits: String = random(8).bytes().map(|byte| char::from_digit(u32::from(byte) % 16, 16).unwrap()).collect();
    serde_json::from_str(&json.to_string().replace("<ID8>", &digits)).unwrap()
}

fn parsed_yaml(text: &Json) -> Result<Json, String> {
    let text = text.as_str().ok_or("the recipe is no text")?;
    radl::yaml::check(text).map_err(|error| error.to_string())?;
    Ok(yaml::parse(&text.replace("!unsafe ", "")).map_err(|fault| fault.message)?.to_json())
}

fn compare(got: &Json, wanted: &Json, path: &str) -> Result<(), String> {
    let wanted = &filled(wanted);
    let differ = || Err(format!("{path}: {got} and not {wanted}"));
    match (got, wanted) {
        (_, Json::Object(map)) if map.len() == 1 && map.contains_key("$yaml") => {
            compare(&parsed_yaml(got)?, &map["$yaml"], path)
        }
        (Json::String(text), Json::Object(map)) if map.len() == 1 && map.contains_key("$json") => {
            compare(&serde_json::from_str(text).map_err(|error| error.to_string())?, &map["$json"], path)
        }
        (Json::String(text), Json::String(wanted)) if wanted.starts_with("<RANDOM:") => {
            let length: usize = wanted.trim_start_matches("<RANDOM:").trim_end_matches('>').parse().unwrap();
            if *text == random(length) { Ok(()) } else { differ() }
        }
        (Json::Number(a), Json::Number(b)) => {
            if a.as_f64() == b.as_f64() {
                Ok(())
            } else {
                differ()
            }
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().try_for_each(|(at, (a, b))| compare(a, b, &format!("{path}[{at}]")))
        }
        (Json::Object(a), Json::Object(b)) if a.len() == b.len() && b.keys().all(|key| a.contains_key(key)) => {
            b.iter().try_for_each(|(key, wanted)| compare(&a[key], wanted, &format!("{path}.{key}")))
        }
        (a, b) if a == b => Ok(()),
        _ => differ(),
    }
}

#[test]
fn binding_cases_pass() {
    let (mut failures, mut count) = (Vec::new(), 0);
    for place in places() {
        let index: Json = serde_json::from_str(&std::fs::read_to_string(place.join("index.json")).unwrap()).unwrap();
        for case in index["cases"].as_array().unwrap() {
            let result = check(&place, case);
            if case["binding"] == true {
                count += 1;
                failures.extend(result.err().map(|why| format!("{}: {why}", case["id"])));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 83, "{count}");
}

/// What the non-binding cases want in the place of what the reference does.
#[test]
fn defects_of_the_reference_are_not_ours() {
    let place = &places()[0];
    let index: Json = serde_json::from_str(&std::fs::read_to_string(place.join("index.json")).unwrap()).unwrap();
    let report = |id: &str| {
        let cases = index["cases"].as_array().unwrap();
        let case = cases.iter().find(|case| case["id"].as_str().unwrap().starts_with(id)).unwrap();
        let setup = read(place, case, "setup").map(|text| serde_json::from_str::<Json>(&text).unwrap());
        let setup = Setup::from_json(&setup.unwrap_or_default()).unwrap();
        let (input, update) = (read(place, case, "input").unwrap(), read(place, case, "update"));
        offline::run(&input, &Value::NULL, update.as_deref(), &setup, &random)
    };
    let system = |id: &str| report(id).unwrap().translation.radl.systems[0].features.to_json();
    let recipe = |id: &str| {
        let radl = report(id).unwrap().translation.radl;
        parsed_yaml(&Json::from(radl.configures[0].recipe.clone().unwrap())).unwrap().to_string()
    };
    let outputs = |id: &str| Json::Object(report(id).unwrap().outputs.unwrap().0);
    let refused = |id: &str| report(id).unwrap_err().to_string();
    assert_eq!(system("084").get("disk.0.image.url"), None);
    assert!(
        recipe("085").starts_with(r#"[{"become":true,"tasks":"#) && recipe("087").contains(r#""gather_facts":false"#)
    );
    assert_eq!(recipe("086").matches("tasks").count(), 3);
    assert!(recipe("088").contains(r##""content":"#!/bin/sh\necho one\necho two\n""##), "{}", recipe("088"));
    assert!(recipe("089").contains(r#""vars":{"q":"say \"hi\"","w":"C:\\dir"}"#), "{}", recipe("089"));
    assert_eq!(system("090")["instance_tags"], "k=val");
    assert!(report("091").is_ok());
    assert_eq!(report("092").unwrap().translation.radl.deploys[0].cloud.as_deref(), Some("cl"));
    assert_eq!(report("093").unwrap().translation.radl.deploys[0].cloud.as_deref(), Some("k8s"));
    assert_eq!(report("094").unwrap().translation.radl.deploys, []);
    assert_eq!(outputs("095")["third"], "198.51.100.6");
    assert_eq!(outputs("096")["url"], Json::Null);
    assert_eq!(system("097").get("cpu.performance"), None);
    assert_eq!(outputs("098")["o"], "random(3)tail");
    assert!(refused("099").starts_with("Property 'user' must bet set in proxy_credential."));
    assert!(refused("100").contains("Type \"tosca.relationships.AttachTo\" is not a valid type."));
    assert!(refused("101").contains("a -> b -> a"));
    assert!(refused("102").starts_with("No image specified for K8s container."));
    assert_eq!(outputs("103"), serde_json::json!({"url": "https://api.example.org/f", "cred": null, "token": null}));
    assert_eq!(outputs("104")["o"], "value");
    let radl = report("105").unwrap().translation.radl;
    assert!(radl.configures.len() == 2 && radl.configures[1].name == "app_vm_conf", "{:?}", radl.configures);
    assert!(recipe("106").contains("{{ IM_NODE_PUBLIC_IP }}"));
    assert_eq!(report("107").unwrap().translation.remove, [2]);
    assert_eq!(system("108")["disk.1.mount_path"], "/data");
}
