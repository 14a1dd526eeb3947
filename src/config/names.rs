//! Names that are in no row of the table, and what they may have been meant for.

use super::options::rows;

/// The known name nearest to one that is not known, if any is near.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, &candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.65)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The warning for an option that is in no row.
pub(super) fn unknown(section: &str, key: &str) -> String {
    let name = key.to_uppercase();
    let sections: Vec<&str> = rows().map(|row| row.section).collect();
    if !sections.contains(&section) {
        return match nearest(&section.to_lowercase(), sections.iter().map(|known| known.to_lowercase()))
            .and_then(|near| sections.iter().find(|known| known.to_lowercase() == near))
        {
            Some(near) => format!("unknown section [{section}], {name} is ignored; did you mean [{near}]?"),
            None => format!("unknown section [{section}], {name} is ignored"),
        };
    }
    if let Some(row) = rows().find(|row| row.key == key) {
        return format!("{name} is an option of [{}], not of [{section}]; it is ignored here", row.section);
    }
    match nearest(key, rows().filter(|row| row.section == section).map(|row| row.key.to_owned())) {
        Some(near) => format!("unknown option {name} is ignored; did you mean {}?", near.to_uppercase()),
        None => format!("unknown option {name} is ignored"),
    }
}
