//! The text of a recipe as the parser takes it: directives that YAML does not know are comments, as YAML has it (YAML 1.1,
//! 4.3.1), while libyaml refuses them.

use std::borrow::Cow;

/// The text without unknown directives; lines and columns stay what they are.
pub(super) fn source(text: &str) -> Cow<'_, str> {
    let (mut unknown, mut begins) = (Vec::new(), false);
    let mut at = text.len() - text.trim_start_matches('\u{feff}').len();
    for line in text[at..].split_inclusive('\n') {
        match line.trim_start().chars().next() {
            Some('%') if line.starts_with('%') => {
                if !is_known(line) {
                    unknown.push(at);
                }
            }
            None | Some('#') => {}
            Some(_) => {
                begins = line.starts_with("---");
                break;
            }
        }
        at += line.len();
    }
    // Directives belong to a document that says where it begins: without that, they are refused as they are.
    if unknown.is_empty() || !begins {
        return Cow::Borrowed(text);
    }
    let mut text = text.to_owned();
    unknown.into_iter().for_each(|at| text.replace_range(at..=at, "#"));
    Cow::Owned(text)
}

/// Whether the parser understands a directive, or rightly refuses it.
fn is_known(line: &str) -> bool {
    let mut words = line[1..].split_whitespace();
    match words.next() {
        Some("TAG") => true,
        // A later minor version is to be read like the one that is known.
        Some("YAML") => !words.next().and_then(|version| version.strip_prefix("1.")).is_some_and(|minor| {
            !minor.is_empty() && !matches!(minor, "1" | "2") && minor.bytes().all(|byte| byte.is_ascii_digit())
        }),
        // It has no name.
        None => true,
        Some(_) => false,
    }
}
