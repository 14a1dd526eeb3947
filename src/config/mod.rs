//! The configuration: `im.cfg` in its usual places, overridden by `IM_*` environment variables (docs/spec/api.md 8).
//!
//! | module | subject |
//! |---|---|
//! | [`options`] | the table of all options, and the typed [`Config`] made of it |
//! | [`value`] | the types of options and how each is read |
//! | [`ini`] | the file format |
//!
//! Reading never stops at the first problem: [`load`] gives a [`Report`] with everything that is wrong, which
//! `imd check-config` prints and the daemon logs.

pub mod ini;
pub mod options;
pub mod value;

pub use options::{Config, Dummy, Local, OpenNebula};
pub use value::{
    AdminUser, BootMode, Collections, DatabaseUrl, ExposeAuth, HostKeys, InventoryTypes, LocalStorage, LogFormat,
    LogLevel, Secret, SshKeyType,
};

use options::{OptionRow, Status, rows};
use std::{
    collections::BTreeMap,
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

const PREFIX: &str = "IM_";

/// A value and where it was set.
struct Given {
    text: String,
    place: String,
}

/// The texts given, by section and key of the table.
type GivenOptions = BTreeMap<(&'static str, &'static str), Given>;

/// Reads texts of files, later ones win, then variables. Pure: the same input gives the same report.
#[must_use]
pub fn read(files: &[(PathBuf, String)], environment: &[(String, String)]) -> Report {
    let mut given = GivenOptions::new();
    let mut report = Report {
        files: files.iter().map(|(path, _)| path.clone()).collect(),
        settings: Vec::new(),
        warnings: Vec::new(),
        errors: Vec::new(),
        config: None,
    };
    for (path, text) in files {
        take_file(path, text, &mut given, &mut report);
    }
    take_environment(environment, &mut given, &mut report);

    let mut reader = Reader { given: &given, errors: Vec::new() };
    report.config = Config::read(&mut reader);
    report.errors.append(&mut reader.errors);
    for row in rows() {
        if let Some(option) = given.get(&(row.section, row.key)).filter(|option| option.text != row.default) {
            note(row, option, &mut report);
        }
    }
    if let Some(config) = &report.config {
        check(config, &given, &mut report.warnings, &mut report.errors);
    }
    report
}

fn take_file(path: &Path, text: &str, given: &mut GivenOptions, report: &mut Report) {
    let place = |line: usize| format!("{}:{line}", path.display());
    let (entries, bad) = ini::read(text);
    report.errors.extend(bad.into_iter().map(|bad| Problem { place: place(bad.line), text: bad.reason }));
    let mut seen = BTreeMap::new();
    for entry in entries {
        let Some(row) = rows().find(|row| row.section == entry.section && row.key == entry.key) else {
            report.warnings.push(Problem { place: place(entry.line), text: unknown(&entry.section, &entry.key) });
            continue;
        };
        if let Some(before) = seen.insert((row.section, row.key), entry.line) {
            report.warnings.push(Problem {
                place: place(entry.line),
                text: format!("{} was set in line {before} already; this one counts", row.name()),
            });
        }
        given.insert((row.section, row.key), Given { text: entry.value, place: place(entry.line) });
    }
}

/// `IM_<OPTION>` sets an option of `[im]`, `IM_<SECTION>_<OPTION>` one of another section;
/// `IM_SINGLE_SITE_ONE_HOST` sets several (docs/spec/api.md 8.1).
fn take_environment(environment: &[(String, String)], given: &mut GivenOptions, report: &mut Report) {
    let mut set = |section, key, name: &str, text: String| {
        given.insert((section, key), Given { text, place: format!("environment variable {name}") });
    };
    // The variable for many options first, so that one for a single option wins over it.
    let one_host = |name: &str| name == "IM_SINGLE_SITE_ONE_HOST";
    if let Some((name, host)) = environment.iter().find(|(name, _)| one_host(name)) {
        set("im", "single_site", name, "True".into());
        set("im", "single_site_type", name, "OpenNebula".into());
        set("im", "single_site_auth_host", name, format!("http://{host}:2633"));
        set("im", "single_site_image_url_prefix", name, format!("one://{host}/"));
        set("OpenNebula", "tts_url", name, format!("https://{host}:8443"));
    }
    for (name, text) in environment.iter().filter(|(name, _)| !one_host(name)) {
        let Some(wanted) = name.strip_prefix(PREFIX).map(str::to_lowercase) else { continue };
        match rows().find(|row| variable(row) == wanted) {
            Some(row) => set(row.section, row.key, name, text.trim().to_owned()),
            None => report.warnings.push(Problem {
                place: format!("environment variable {name}"),
                text: match nearest(&wanted, rows().map(variable)) {
                    Some(near) => {
                        format!("names no option and is ignored; did you mean {PREFIX}{}?", near.to_uppercase())
                    }
                    None => "names no option and is ignored".into(),
                },
            }),
        }
    }
}

/// The variable of an option without its prefix, lower case.
fn variable(row: &OptionRow) -> String {
    if row.section == "im" { row.key.to_owned() } else { format!("{}_{}", row.section.to_lowercase(), row.key) }
}

/// The known name nearest to one that is not known, if any is near.
fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, &candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.65)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The warning for an option that is in no row.
fn unknown(section: &str, key: &str) -> String {
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

/// Records an option that differs from its default, with a warning when that changes nothing.
fn note(row: &OptionRow, option: &Given, report: &mut Report) {
    let name = if row.section == "im" { row.name() } else { format!("[{}] {}", row.section, row.name()) };
    let effect = match row.status {
        Status::Active => None,
        Status::Later(what) => Some(format!("{name} has no effect: not available in this version: {what}")),
        Status::NoEffect(why) => Some(format!("{name} has no effect: {why}")),
    };
    report.warnings.extend(effect.map(|text| Problem { place: option.place.clone(), text }));
    let shown = if row.secret { "***".into() } else { value::cover_password(&option.text) };
    report.settings.push(Setting { name, shown, place: option.place.clone() });
}

struct Reader<'a> {
    given: &'a GivenOptions,
    errors: Vec<Problem>,
}

impl options::Texts for Reader<'_> {
    fn value<T: OptionValue>(&mut self, section: &'static str, key: &'static str, default: &'static str) -> Option<T> {
        let option = self.given.get(&(section, key));
        let text = option.map_or(default, |option| option.text.as_str());
        T::parse(text)
            .map_err(|expected| {
                let got = if T::SECRET { String::new() } else { format!(", not {:?}", value::cover_password(text)) };
                self.errors.push(Problem {
                    place: option.map(|option| option.place.clone()).unwrap_or_default(),
                    text: format!("{}: {expected}{got}", key.to_uppercase()),
                });
            })
            .ok()
    }
}

/// What single options cannot know: values that do not go together, and values that are allowed but dangerous.
fn check(config: &Config, given: &GivenOptions, warnings: &mut Vec<Problem>, errors: &mut Vec<Problem>) {
    let problem_in = |section, key, text: String| Problem {
        place: given.get(&(section, key)).map(|option| option.place.clone()).unwrap_or_default(),
        text,
    };
    let problem = |key, text| problem_in("im", key, text);
    if config.vm_info_update_error_grace_period <= config.vm_info_update_frequency {
        errors.push(problem(
            "vm_info_update_error_grace_period",
            "VM_INFO_UPDATE_ERROR_GRACE_PERIOD must be greater than VM_INFO_UPDATE_FREQUENCY".into(),
        ));
    }
    for (key, value) in [
        ("max_simultaneous_launches", config.max_simultaneous_launches),
        ("max_vms_per_request", config.max_vms_per_request as usize),
        ("max_vm_fails", config.max_vm_fails as usize),
        ("playbook_retries", config.playbook_retries as usize),
        ("ctxt_forks", config.ctxt_forks as usize),
        ("ctxt_max_ssh", config.ctxt_max_ssh),
        ("rest_max_connections", config.rest_max_connections),
        ("xmlrcp_max_connections", config.xmlrcp_max_connections),
    ] {
        if value == 0 {
            errors.push(problem(key, format!("{} must be at least 1", key.to_uppercase())));
        }
    }
    // Below this the HTTP library cannot work, and no list of credentials fits.
    for (key, size) in [
        ("rest_max_header_size", config.rest_max_header_size),
        ("xmlrcp_max_header_size", config.xmlrcp_max_header_size),
    ] {
        if size < 8192 {
            errors.push(problem(key, format!("{} must be at least 8192", key.to_uppercase())));
        }
    }
    if let Err(error) = crate::store::check_url(config.data_db.as_str()) {
        errors.push(problem("data_db", format!("DATA_DB: {error}")));
    }
    if !config.activate_rest && !config.activate_xmlrpc {
        let text = "ACTIVATE_REST = False and ACTIVATE_XMLRPC = False leave the daemon without any API";
        errors.push(problem("activate_rest", text.into()));
    }
    if contextualization::bootstrap::Wish::new(None, &config.ansible_version).is_err() {
        let text = "ANSIBLE_VERSION: expected a version of the Ansible package (9), of ansible-core (2.16), or latest";
        errors.push(problem("ansible_version", text.into()));
    }
    if config.ctxt_expose_auth == ExposeAuth::Full {
        let text = "CTXT_EXPOSE_AUTH = full: every recipe can act as the owner of its infrastructure";
        warnings.push(problem("ctxt_expose_auth", text.into()));
    }
    if config.force_oidc_auth {
        let text = "FORCE_OIDC_AUTH: tokens cannot be validated in this version, so every request will be refused";
        warnings.push(problem("force_oidc_auth", text.into()));
    }
    if config.local.enabled {
        let text = "[Local] ENABLED: whoever may call the API can run programs as root in nodes of this host";
        warnings.push(problem_in("Local", "enabled", text.into()));
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
