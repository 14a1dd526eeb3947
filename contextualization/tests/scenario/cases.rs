//! Every numbered case of docs/spec/contextualization.md 7 is named by a test, in a line `Cases: X-01, ...` of its
//! documentation.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Letters of the cases and how many there are of each.
const CASES: [(char, u32); 8] = [('D', 16), ('M', 29), ('K', 8), ('I', 17), ('R', 26), ('N', 7), ('B', 9), ('L', 24)];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// The ids in the lines of documentation of a source that name cases.
fn named(source: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut lines = source.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some(text) = line.strip_prefix("/// Case").or_else(|| line.strip_prefix("//! Case")) else { continue };
        let mut text = text.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("/// ")) {
            text += more;
        }
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        ids.extend(words.filter(|word| word.len() == 4 && word.as_bytes()[1] == b'-').map(str::to_owned));
    }
    ids
}

#[test]
fn every_case_has_a_test() {
    let mut files = Vec::new();
    sources(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(), &mut files);
    let named: BTreeSet<String> =
        files.iter().flat_map(|file| named(&std::fs::read_to_string(file).unwrap())).collect();
    let all: Vec<String> =
        CASES.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}-{n:02}"))).collect();
    assert_eq!(all.len(), 136);
    let missing: Vec<&String> = all.iter().filter(|id| !named.contains(*id)).collect();
    assert_eq!(missing, Vec::<&String>::new());
}
