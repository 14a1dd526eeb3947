//! The configuration: `im.cfg` in its usual places, overridden by `IM_*` environment variables (docs/spec/api.md 8).
//!
//! | module | subject |
//! |---|---|
//! | `options` | the table of all options, and the typed [`Config`] made of it |
//! | `value` | the types of options and how each is read |
//! | `ini` | the file format |
//! | `layers` | defaults, files and environment, laid over each other |
//! | `names` | names that are in no row, and what they may have been meant for |
//! | `checks` | values that do not go together |
//!
//! Reading never stops at the first problem: [`load`] gives a [`Report`] with everything that is wrong, which
//! `imd check-config` prints and the daemon logs.

mod checks;
mod ini;
mod layers;
mod names;
mod options;
mod value;

pub use options::{Config, Docker, Dummy, Local, OpenNebula};
pub use value::{
    AdminGroup, AdminUser, BootMode, Collections, DatabaseUrl, ExposeAuth, HostKeys, InventoryTypes, LocalStorage,
    LogFormat, LogLevel, Secret, SshKeyType,
};

pub(crate) use value::cover_password;

use layers::{Layer, Layers};
use options::{OptionRow, Status, rows};
use std::{
    fmt,
    path::{Path, PathBuf},
};
use value::OptionValue;

/// A problem, and where the value that causes it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `file:line`, a variable, or empty when it belongs to no place.
    pub place: String,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.place, self.text) }
    }
}

/// An option that does not have its default value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// `[section] NAME`, without the section when it is `[im]`.
    pub name: String,
    /// Value, secrets replaced by `***`.
    pub shown: String,
    /// Where it was set.
    pub place: String,
}

/// What reading the configuration gave.
#[derive(Debug, Clone)]
pub struct Report {
    /// Files read, in order.
    pub files: Vec<PathBuf>,
    /// Options that differ from their defaults, in the order of the table.
    pub settings: Vec<Setting>,
    /// What the operator should know; the daemon starts.
    pub warnings: Vec<Problem>,
    /// What keeps the daemon from starting.
    pub errors: Vec<Problem>,
    config: Option<Config>,
}

/// Why there is no configuration: all errors, one a line.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl Report {
    /// The configuration, when there is no error.
    ///
    /// # Errors
    /// All of them.
    pub fn into_config(self) -> Result<Config, ConfigErrors> {
        match self.config {
            Some(config) if self.errors.is_empty() => Ok(config),
            _ => Err(ConfigErrors(self.errors)),
        }
    }
}

impl Config {
    /// Every option at its default.
    ///
    /// # Errors
    /// None in practice: a test proves that the table's defaults are valid.
    pub fn defaults() -> Result<Self, ConfigErrors> {
        read(&[], &[]).into_config()
    }
}

/// The files the daemon looks for, those read later win: beside the program (or its parent directory), `etc/` below
/// that, and `/etc/im`.
#[must_use]
pub fn search_path(program: &Path) -> Vec<PathBuf> {
    let directory = program.parent();
    let mut files: Vec<PathBuf> = directory
        .and_then(Path::parent)
        .into_iter()
        .chain(directory)
        .flat_map(|install| [install.join("im.cfg"), install.join("etc/im.cfg")])
        .collect();
    let system = PathBuf::from("/etc/im/im.cfg");
    files.retain(|file| *file != system);
    files.push(system);
    files
}

/// Reads the configuration from the file named, which must be there, or else from the search path, and from the
/// environment.
#[must_use]
pub fn load(file: Option<&Path>, program: &Path, environment: impl Iterator<Item = (String, String)>) -> Report {
    // ANSIBLE_VERSION has a meaning of its own; it comes first, so that IM_ANSIBLE_VERSION wins.
    let (mut own, others): (Vec<_>, Vec<_>) = environment.partition(|(name, _)| name.starts_with(PREFIX));
    let version = others.into_iter().find(|(name, _)| name == "ANSIBLE_VERSION");
    own.splice(0..0, version.map(|(name, text)| (format!("{PREFIX}{name}"), text)));
    let environment = own;
    let required = file.is_some();
    let mut texts = Vec::new();
    let mut unreadable = Vec::new();
    for path in file.map_or_else(|| search_path(program), |file| vec![file.to_owned()]) {
        match std::fs::read(&path).map(String::from_utf8) {
            Ok(Ok(text)) => texts.push((path, text)),
            Ok(Err(_)) => {
                unreadable.push(Problem { place: path.display().to_string(), text: "is not UTF-8 text".into() })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {}
            Err(error) => unreadable.push(Problem {
                place: path.display().to_string(),
                text: format!("cannot be read: {error}; check the path and its rights"),
            }),
        }
    }
    let mut report = read(&texts, &environment);
    report.errors.splice(0..0, unreadable);
    report
}

/// How the variables begin that set options.
const PREFIX: &str = "IM_";

/// Reads texts of files, later ones win, then variables. Pure: the same input gives the same report.
#[must_use]
pub fn read(files: &[(PathBuf, String)], environment: &[(String, String)]) -> Report {
    let mut report = Report {
        files: files.iter().map(|(path, _)| path.clone()).collect(),
        settings: Vec::new(),
        warnings: Vec::new(),
        errors: Vec::new(),
        config: None,
    };
    let mut given = vec![Layer::defaults()];
    given.extend(files.iter().map(|(path, text)| Layer::file(path, text, &mut report)));
    given.push(Layer::environment(environment, &mut report.warnings));
    let layers = match Layers::new(given) {
        Ok(layers) => layers,
        Err(error) => {
            report.errors.push(Problem { place: String::new(), text: error.to_string() });
            return report;
        }
    };

    let mut reader = Reader { layers: &layers, errors: Vec::new() };
    report.config = Config::read(&mut reader);
    report.errors.append(&mut reader.errors);
    for row in rows() {
        let (text, place) = layers.get(row.section, row.key);
        if text != row.default {
            note(row, text, place, &mut report);
        }
    }
    if let Some(config) = &report.config {
        checks::check(config, &layers, &mut report.warnings, &mut report.errors);
    }
    report
}

/// Records an option that differs from its default, with a warning when that changes nothing.
fn note(row: &OptionRow, text: &str, place: &str, report: &mut Report) {
    let name = if row.section == "im" { row.name() } else { format!("[{}] {}", row.section, row.name()) };
    let effect = match row.status {
        Status::Active => None,
        Status::Later(what) => Some(format!("{name} has no effect: not available in this version: {what}")),
        Status::NoEffect(why) => Some(format!("{name} has no effect: {why}")),
    };
    report.warnings.extend(effect.map(|text| Problem { place: place.to_owned(), text }));
    let shown = if row.secret { "***".into() } else { cover_password(text) };
    report.settings.push(Setting { name, shown, place: place.to_owned() });
}

/// Gives the typed values of options and keeps the complaints about their texts.
struct Reader<'a> {
    layers: &'a Layers,
    errors: Vec<Problem>,
}

impl Reader<'_> {
    /// The typed value of an option, none when its text was refused.
    fn value<T: OptionValue>(&mut self, section: &str, key: &str) -> Option<T> {
        let (text, place) = self.layers.get(section, key);
        T::parse(text)
            .map_err(|expected| {
                let got = if T::SECRET { String::new() } else { format!(", not {:?}", cover_password(text)) };
                let text = format!("{}: {expected}{got}", key.to_uppercase());
                self.errors.push(Problem { place: place.to_owned(), text });
            })
            .ok()
    }
}

/// The text of `etc/im.cfg`: every option with its description, commented out at its default.
#[must_use]
pub fn template() -> String {
    let mut text = String::from(
        "# Configuration of the Infrastructure Manager daemon. `imd check-config` says what it makes of this file.\n\
         #\n\
         # NAME = value; comments are whole lines; % is written %%. Every option can also be set by the environment\n\
         # variable IM_<NAME>, those of other sections than [im] by IM_<SECTION>_<NAME>. Values shown are the defaults.\n",
    );
    let (mut section, mut group) = ("", "");
    for row in rows() {
        if row.section != section {
            section = row.section;
            text.push_str(&format!("\n[{section}]\n"));
        }
        if row.group != group {
            group = row.group;
            text.push_str(&format!("\n# ---- {group} ----\n"));
        }
        text.push_str(&format!("\n{row}"));
    }
    text
}

#[cfg(test)]
mod tests;
