//! Defaults, files and environment, laid over each other by the crate `config`. Every value knows the place where it was set.
//!
//! The crate's own `Format` gives the values of a file or an error; here all problems of a file are told at once, beside
//! the values that are good. So each layer is a `Source` of ours.

use super::{
    PREFIX, Problem, Report, ini,
    names::{nearest, unknown},
    options::{OptionRow, rows},
};
use ::config::{Config as Layered, ConfigError, Map, Source, Value, ValueKind};
use std::{collections::HashMap, fmt, path::Path};

/// What one file, or the environment, or the table of options sets: values by `section.key`.
#[derive(Clone)]
pub(super) struct Layer(Map<String, Value>);

impl fmt::Debug for Layer {
    /// Only which options it sets: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layer {
    fn set(&mut self, section: &str, key: &str, text: &str, place: Option<&String>) {
        self.0.insert(format!("{section}.{key}"), Value::new(place, text));
    }

    /// Every option of the table at its default; such values have no place.
    pub(super) fn defaults() -> Self {
        let mut layer = Self(Map::new());
        rows().for_each(|row| layer.set(row.section, row.key, row.default, None));
        layer
    }

    /// What a file sets; the place of a value is `file:line`. What is wrong with the file is told.
    pub(super) fn file(path: &Path, text: &str, report: &mut Report) -> Self {
        let place = |line: usize| format!("{}:{line}", path.display());
        let (entries, bad) = ini::read(text);
        report.errors.extend(bad.into_iter().map(|bad| Problem { place: place(bad.line), text: bad.reason }));
        let (mut layer, mut seen) = (Self(Map::new()), HashMap::new());
        for entry in entries {
            let place = place(entry.line);
            let Some(row) = rows().find(|row| row.section == entry.section && row.key == entry.key) else {
                report.warnings.push(Problem { place, text: unknown(&entry.section, &entry.key) });
                continue;
            };
            layer.set(row.section, row.key, &entry.value, Some(&place));
            if let Some(before) = seen.insert((row.section, row.key), entry.line) {
                let text = format!("{} was set in line {before} already; this one counts", row.name());
                report.warnings.push(Problem { place, text });
            }
        }
        layer
    }

    /// What variables set: `IM_<OPTION>` an option of `[im]`, `IM_<SECTION>_<OPTION>` one of another section,
    /// `IM_SINGLE_SITE_ONE_HOST` several (docs/spec/api.md 8.1).
    pub(super) fn environment(variables: &[(String, String)], warnings: &mut Vec<Problem>) -> Self {
        let mut layer = Self(Map::new());
        let mut set = |section: &str, key: &str, name: &str, text: &str| {
            layer.set(section, key, text, Some(&format!("environment variable {name}")));
        };
        // The variable for many options first, so that one for a single option wins over it.
        let one_host = |name: &str| name == "IM_SINGLE_SITE_ONE_HOST";
        if let Some((name, host)) = variables.iter().find(|(name, _)| one_host(name)) {
            set("im", "single_site", name, "True");
            set("im", "single_site_type", name, "OpenNebula");
            set("im", "single_site_auth_host", name, &format!("http://{host}:2633"));
            set("im", "single_site_image_url_prefix", name, &format!("one://{host}/"));
            set("OpenNebula", "tts_url", name, &format!("https://{host}:8443"));
        }
        for (name, text) in variables.iter().filter(|(name, _)| !one_host(name)) {
            let Some(wanted) = name.strip_prefix(PREFIX).map(str::to_lowercase) else { continue };
            if let Some(row) = rows().find(|row| variable(row) == wanted) {
                set(row.section, row.key, name, text.trim());
                continue;
            }
            let near = nearest(&wanted, rows().map(variable));
            let meant = near.map(|near| format!("; did you mean {PREFIX}{}?", near.to_uppercase())).unwrap_or_default();
            let place = format!("environment variable {name}");
            warnings.push(Problem { place, text: format!("names no option and is ignored{meant}") });
        }
        layer
    }
}

/// The variable of an option without its prefix, lower case.
fn variable(row: &OptionRow) -> String {
    if row.section == "im" { row.key.to_owned() } else { format!("{}_{}", row.section.to_lowercase(), row.key) }
}

/// The texts that count, with the places where they were set.
pub(super) struct Layers(Layered);

impl Layers {
    /// Lays each layer over the ones before it.
    ///
    /// # Errors
    /// None in practice: layers are made of rows of the table.
    pub(super) fn new(layers: Vec<Layer>) -> Result<Self, ConfigError> {
        Layered::builder().add_source(layers).build().map(Self)
    }

    /// The text of an option of the table, and where it was set: `file:line`, a variable, or empty for a default.
    pub(super) fn get(&self, section: &str, key: &str) -> (&str, &str) {
        let value = entry(&self.0.cache, section).and_then(|options| entry(options, key));
        match value.map(|value| (&value.kind, value.origin())) {
            Some((ValueKind::String(text), place)) => (text, place.unwrap_or_default()),
            _ => ("", ""),
        }
    }
}

fn entry<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match &value.kind {
        ValueKind::Table(entries) => entries.get(name),
        _ => None,
    }
}
