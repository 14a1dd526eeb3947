//! The INI dialect of `im.cfg` (docs/spec/api.md 8.1): what Python's configparser reads, with the line of every option.
//!
//! `name = value` or `name: value`; names in any letter case; `#` and `;` start comments of a whole line only, so values
//! may hold them; quotes are part of the value; an indented line goes on with the value before it; `%%` means `%`.

/// An option as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Section as written.
    pub section: String,
    /// Name in lower case.
    pub key: String,
    /// Value, trimmed, `%%` resolved.
    pub value: String,
    /// Line of the name, from 1.
    pub line: usize,
}

/// A line that is neither comment, section, option nor continuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to write. Never holds the line's text, which may be a secret.
    pub reason: String,
}

/// Reads a whole file. Bad lines do not hide the good ones.
#[must_use]
pub fn read(text: &str) -> (Vec<Entry>, Vec<BadLine>) {
    let mut section: Option<String> = None;
    let mut entries: Vec<Entry> = Vec::new();
    let mut bad = Vec::new();
    // Whether the line before was part of an option, so that an indented one goes on with it.
    let mut open = false;
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = index + 1;
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if open
            && raw.starts_with([' ', '\t'])
            && let Some(entry) = entries.last_mut()
        {
            entry.value.push('\n');
            entry.value.push_str(trimmed);
            continue;
        }
        open = false;
        if let Some(rest) = trimmed.strip_prefix('[') {
            match rest.strip_suffix(']').map(str::trim).filter(|name| !name.is_empty()) {
                Some(name) => section = Some(name.to_owned()),
                None => bad.push(BadLine { line, reason: "a section is written [name]".into() }),
            }
            continue;
        }
        let Some((name, value)) = trimmed.split_once(['=', ':']).filter(|(name, _)| !name.trim().is_empty()) else {
            bad.push(BadLine { line, reason: "expected NAME = value, [section] or a comment line".into() });
            continue;
        };
        let Some(section) = &section else {
            bad.push(BadLine { line, reason: "an option before the first section; write [im] above it".into() });
            continue;
        };
        entries.push(Entry {
            section: section.clone(),
            key: name.trim().to_lowercase(),
            value: value.trim().to_owned(),
            line,
        });
        open = true;
    }
    for entry in &mut entries {
        entry.value = entry.value.replace("%%", "%");
    }
    (entries, bad)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_configparser_reads() {
        let text = "# c\n; c\n[im]\nRest_Port = 1 # not a comment\nA: \"quoted; = kept\"\nB = 50%% of 7%40\n\
                    J = {\n  \"a\": 1\n\n  }\nE =\nnonsense\n[OpenNebula]\nX = a=b\n";
        let (entries, bad) = read(text);
        let seen: Vec<(&str, &str, &str, usize)> =
            entries.iter().map(|e| (e.section.as_str(), e.key.as_str(), e.value.as_str(), e.line)).collect();
        assert_eq!(
            seen,
            [
                ("im", "rest_port", "1 # not a comment", 4),
                ("im", "a", "\"quoted; = kept\"", 5),
                ("im", "b", "50% of 7%40", 6),
                ("im", "j", "{\n\"a\": 1\n}", 7),
                ("im", "e", "", 11),
                ("OpenNebula", "x", "a=b", 14),
            ]
        );
        assert_eq!(bad.iter().map(|b| b.line).collect::<Vec<_>>(), [12]);
        assert_eq!(read("A = 1").1.len(), 1, "an option outside a section is an error");
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}(\n\\PC{0,20}){0,6}") {
            let _ = read(&text);
        }
    }
}
