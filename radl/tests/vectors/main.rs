//! The conformance vectors: whole documents and functions. They are read from `$IM_SHARED/vectors/radl`, from
//! `../shared/vectors/radl` next to the repository, and from the copy in `tests/vectors/radl`, wherever they exist.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desired;
mod documents;
mod functions;

use std::path::{Path, PathBuf};

/// Every place that holds vectors; the copy in the repository always does.
pub fn places() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the repository");
    let shared = std::env::var_os("IM_SHARED").map(PathBuf::from).unwrap_or_else(|| root.join("../shared"));
    let places = [root.join("tests/vectors/radl"), shared.join("vectors/radl")];
    assert!(places[0].join("index.json").exists(), "the copy of the vectors is missing");
    places.into_iter().filter(|place| place.join("index.json").exists()).collect()
}

/// A file of the vectors.
pub fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("vector")).expect("JSON vector")
}

/// Equal as data: numbers by value, lists in order, keys in any order.
pub fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => a.as_i64().zip(b.as_i64()).map_or_else(|| a.as_f64() == b.as_f64(), |(a, b)| a == b),
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (a, b) => a == b,
    }
}
