//! `index.json`: parse, check, print both ways.

use crate::{places, read_json, same};
use radl::{Radl, RadlError};
use rand::SeedableRng;
use serde_json::{Value as Json, json};
use std::path::Path;

/// What a document turned out to be.
struct Outcome {
    error: Option<(&'static str, RadlError)>,
    parsed: Option<Radl>,
}

/// Parses either form, with the same draws every time.
pub fn parse(text: &str, is_json: bool) -> Result<Radl, RadlError> {
    if is_json { Radl::from_json(text) } else { radl::parser::parse(text, &mut rand::rngs::StdRng::seed_from_u64(1)) }
}

fn run(text: &str, is_json: bool) -> Outcome {
    match parse(text, is_json) {
        Err(error) => Outcome { error: Some(("parse", error)), parsed: None },
        Ok(radl) => Outcome { error: radl.check().err().map(|error| ("check", error)), parsed: Some(radl) },
    }
}

fn error_object((phase, error): &(&str, RadlError)) -> Json {
    json!({"error": error.message(), "phase": phase, "kind": error.kind().as_str(), "line": error.line()})
}

/// Draws of `'random(n)'` stand as n times r in the vectors.
fn normalised(text: &str, expected: &str) -> String {
    assert_eq!(text.len(), expected.len());
    let mut characters = text.chars().zip(expected.chars());
    let drawn = |c: char, wanted: char| if wanted == 'r' && c.is_ascii_alphanumeric() { 'r' } else { c };
    characters.by_ref().map(|(c, wanted)| drawn(c, wanted)).collect()
}

fn check_case(place: &Path, case: &Json) -> Result<(), String> {
    let field = |key: &str| case[key].as_str();
    let text = std::fs::read_to_string(place.join(field("input").unwrap())).unwrap();
    let is_json = field("input_kind") == Some("json");
    let outcome = run(&text, is_json);
    let decided = crate::desired::DECIDED.contains(&&case["id"].as_str().unwrap()[..3]);
    let binding = case["binding"] == true && !decided;
    let parts: Vec<&str> = if binding {
        vec!["json", "out"]
    } else {
        case["binding_parts"].as_array().map(|p| p.iter().filter_map(Json::as_str).collect()).unwrap_or_default()
    };
    let random = case["normalised"].as_array().is_some_and(|n| n.contains(&json!("random")));
    if parts.contains(&"out")
        && let Some(out) = field("out")
    {
        let expected = std::fs::read_to_string(place.join(out)).unwrap();
        let parsed = outcome.parsed.as_ref().ok_or_else(|| format!("does not parse: {:?}", outcome.error))?;
        let mut printed = parsed.to_text();
        if random {
            printed = normalised(&printed, &expected);
        }
        if printed != expected {
            return Err(format!("text form\n--- expected\n{expected}\n--- got\n{printed}"));
        }
    }
    if !parts.contains(&"json") {
        return Ok(());
    }
    let expected = read_json(&place.join(field("expected").unwrap()));
    if case["outcome"] == "ok" {
        if let Some(error) = &outcome.error {
            return Err(format!("refused: {}", error_object(error)));
        }
        let mut printed = outcome.parsed.as_ref().unwrap().to_json();
        if random {
            printed = serde_json::from_str(&normalised(&printed.to_string(), &expected_order(&expected, &printed)))
                .map_err(|error| error.to_string())?;
        }
        return if same(&printed, &expected) { Ok(()) } else { Err(format!("JSON form {printed:#}")) };
    }
    let error = outcome.error.as_ref().ok_or("accepted")?;
    let got = error_object(error);
    let matches = match field("error_match") {
        Some("exact") => got == expected,
        Some("prefix") => {
            got["error"].as_str().unwrap().starts_with(field("error_prefix").unwrap())
                && ["phase", "kind", "line"].iter().all(|key| got[key] == expected[key])
        }
        _ => got["phase"] == case["phase"],
    };
    if matches { Ok(()) } else { Err(format!("error {got}, expected {expected}")) }
}

/// The expected JSON with its keys in the order of ours, as text.
fn expected_order(expected: &Json, ours: &Json) -> String {
    let mut ordered = ours.clone();
    for (object, wanted) in ordered.as_array_mut().unwrap().iter_mut().zip(expected.as_array().unwrap()) {
        for (key, value) in object.as_object_mut().unwrap() {
            *value = wanted[key].clone();
        }
    }
    ordered.to_string()
}

#[test]
fn every_binding_document() {
    for place in places() {
        let index = read_json(&place.join("index.json"));
        let cases = index["cases"].as_array().unwrap();
        assert!(cases.len() >= 228, "only {} cases", cases.len());
        let failed: Vec<String> = cases
            .iter()
            .filter_map(|case| check_case(&place, case).err().map(|reason| format!("{}: {reason}", case["id"])))
            .collect();
        assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n\n"));
    }
}

/// What the text form can carry comes back from it, and from the JSON form.
#[test]
fn documents_survive_printing() {
    let mut carried = 0;
    for place in places() {
        for case in read_json(&place.join("index.json"))["cases"].as_array().unwrap() {
            let text = std::fs::read_to_string(place.join(case["input"].as_str().unwrap())).unwrap();
            let Some(radl) = run(&text, case["input_kind"] == "json").parsed else { continue };
            let stored: Radl = serde_json::from_value(serde_json::to_value(&radl).unwrap()).unwrap();
            assert_eq!(stored, radl, "{} as stored", case["id"]);
            let Ok(printed) = radl.to_parsable_text() else { continue };
            let again = Radl::parse(&printed).unwrap_or_else(|error| panic!("{}: {error}\n{printed}", case["id"]));
            assert_eq!(comparable(&again), comparable(&radl), "{}", case["id"]);
            carried += 1;
        }
    }
    assert!(carried > 100);
}

/// The JSON form without what the text form does not tell: blank lines around recipes, a missing body of a description.
fn comparable(radl: &Radl) -> Json {
    let mut radl = radl.clone();
    if let Some(description) = &mut radl.description {
        description.reference = false;
    }
    for configure in &mut radl.configures {
        configure.recipe = configure.recipe.take().map(|recipe| recipe.trim_matches('\n').to_owned());
    }
    radl.to_json()
}
