//! Where roles and collections come from, as `ansible-galaxy` is to be told. Pure.

use super::spec::{ContentKind, Requirement, Source};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// The archive of a directory (CTXT_GALAXY_DIR) that satisfies a requirement: roles are `NAMESPACE.NAME-VERSION.tar.gz`,
/// collections `NAMESPACE-NAME-VERSION.tar.gz`, as Galaxy names them. Without a wish the newest version.
#[must_use]
pub fn archive<'a>(requirement: &Requirement, files: &'a [String]) -> Option<&'a str> {
    let Source::Galaxy(name) = &requirement.source else { return None };
    let stem = if requirement.kind == ContentKind::Role { name.clone() } else { name.replacen('.', "-", 1) };
    let version = |file: &'a str| {
        let version = file.strip_suffix(".tar.gz")?.strip_prefix(&stem)?.strip_prefix('-')?;
        version.starts_with(|c: char| c.is_ascii_alphanumeric()).then_some(version)
    };
    let fits = |version: &str| requirement.version.as_deref().is_none_or(|wish| satisfies(version, wish));
    let found = files.iter().filter_map(|file| Some((version(file)?, file.as_str())));
    found.filter(|(v, _)| fits(v)).max_by(|(a, _), (b, _)| compare(a, b)).map(|(_, file)| file)
}

/// Compares versions part by part: numbers by value, others as text; fewer parts come first.
fn compare(a: &str, b: &str) -> Ordering {
    let part = |part: &str| part.parse().map_or_else(|_| (0, part.to_owned()), |number: u64| (number, String::new()));
    let parts = |text: &str| -> Vec<(u64, String)> {
        text.strip_prefix('v').unwrap_or(text).split(['.', '-', '+']).map(part).collect()
    };
    parts(a).cmp(&parts(b))
}

fn satisfies(version: &str, wish: &str) -> bool {
    let operators = [">=", "<=", "==", "!=", ">", "<"];
    let Some(operator) = operators.iter().find(|o| wish.starts_with(**o)) else { return version == wish };
    let order = compare(version, &wish[operator.len()..]);
    match *operator {
        ">=" => order.is_ge(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        "<" => order.is_lt(),
        "!=" => order.is_ne(),
        _ => order.is_eq(),
    }
}

/// An entry of `ansible-galaxy`'s requirements file; `pushed` is the path of an archive on the master.
#[must_use]
pub fn entry(requirement: &Requirement, pushed: Option<&str>) -> Value {
    let mut entry = match (requirement.kind, &requirement.source, pushed) {
        (ContentKind::Role, _, Some(path)) => json!({ "src": path }),
        (ContentKind::Role, Source::Git(url), None) => json!({ "src": url, "scm": "git" }),
        (ContentKind::Role, Source::Galaxy(src) | Source::Archive(src), None) => json!({ "src": src }),
        (ContentKind::Collection, _, Some(path)) => json!({ "name": path, "type": "file" }),
        (ContentKind::Collection, Source::Galaxy(name), None) => json!({ "name": name, "type": "galaxy" }),
        (ContentKind::Collection, Source::Archive(url), None) => json!({ "name": url, "type": "url" }),
        (ContentKind::Collection, Source::Git(url), None) => json!({ "name": url, "type": "git" }),
    };
    if let Some(name) = &requirement.name {
        entry["name"] = json!(name);
    }
    // The name of an archive has the version already.
    if let Some(version) = requirement.version.as_ref().filter(|_| pushed.is_none()) {
        entry["version"] = json!(version);
    }
    entry
}
