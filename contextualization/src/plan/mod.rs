//! Planning: from a document and facts of machines to files, playbooks and steps. Pure functions.
//!
//! | module | subject |
//! |---|---|
//! | [`decide`] | whether, for whom, in which steps |
//! | [`engine`] | whether mitogen carries the tasks |
//! | [`names`] | host names; safe names of files and groups |
//! | [`inventory`] | inventory, variables, host table |
//! | [`recipe`] | header of user recipes |
//! | [`builtin`] | the built-in playbook |
//! | [`config`] | `ansible.cfg`, `known_hosts` |
//! | [`control`] | where Ansible runs for a machine |
//! | [`windows`] | the built-in playbook for Windows |
//! | [`view`] | the document as recipes see it |
//! | [`limits`] | what is not offered, in words |

pub mod builtin;
pub mod config;
pub mod control;
pub mod decide;
pub mod engine;
pub mod inventory;
pub mod limits;
pub mod names;
pub mod recipe;
pub mod view;
pub mod windows;

use crate::{
    contract::{KeyPair, Settings, VmFacts},
    ssh::TarEntry,
    yaml::YamlError,
};
use control::ControlNode;
use decide::{Decision, Lane, is_windows, option};
use engine::Engine;
use inventory::{Common, Host};
use radl::Radl;
use recipe::{Header, Playbook, RecipeError, Strategy};
use std::collections::{BTreeMap, HashMap};

/// Name of the built-in playbook in the conf dir.
pub const BASIC: &str = "basic_task_all.yml";

/// Everything that goes into the conf dir, and what could not be made.
#[derive(Default)]
pub struct Files {
    /// The files.
    pub entries: Vec<TarEntry>,
    /// The recipes by (configure, system): none when one is empty, or what is wrong.
    pub playbooks: HashMap<(String, String), Result<Option<Runnable>, RecipeError>>,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

/// A recipe that can be run for a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runnable {
    /// Its playbook in the conf dir.
    pub playbook: String,
    /// How its hosts advance.
    pub strategy: Strategy,
    /// What may carry its tasks.
    pub engine: Engine,
}

impl Runnable {
    /// A built-in playbook.
    #[must_use]
    pub fn built_in(radl: &Radl, playbook: &str) -> Self {
        let engine = engine::choose(option(radl, "ctxt_strategy"), std::iter::empty());
        Self { playbook: playbook.to_owned(), strategy: Strategy::Free, engine }
    }
}

/// What the files are made from.
pub struct Sources<'a> {
    /// The stored document.
    pub radl: &'a Radl,
    /// The live machines.
    pub vms: &'a [VmFacts],
    /// Those that take part and were reached.
    pub hosts: &'a [Host],
    /// The machine Ansible runs on, which the files are for.
    pub control: &'a ControlNode,
    /// Who does what.
    pub decision: &'a Decision,
    /// Variables of the whole infrastructure.
    pub common: &'a Common,
    /// Host keys by machine.
    pub host_keys: &'a BTreeMap<u32, String>,
    /// The key Ansible logs in with.
    pub key: &'a KeyPair,
    /// Absolute path of the conf dir.
    pub conf_dir: &'a str,
    /// Generation.
    pub generation: u64,
    /// Options.
    pub settings: &'a Settings,
    /// Installed roles with tasks that need lock step.
    pub lock_step_roles: &'a [String],
}

/// Name of the playbook of a recipe for a system.
fn playbook_name(configure: &str, system: &str) -> String {
    format!("{}_{}_task_all.yml", names::safe(configure), names::safe(system))
}

/// Makes the files.
///
/// # Errors
/// [`YamlError`] when one of the daemon's own files cannot be written; faults of recipes are in [`Files::playbooks`].
pub fn files(s: &Sources<'_>) -> Result<Files, YamlError> {
    let mut files = Files::default();
    let mut put = |path: &str, mode: u32, content: &str| {
        files.entries.push(TarEntry { path: path.to_owned(), mode, content: content.as_bytes().to_vec() });
    };
    let participants: Vec<&VmFacts> = s.vms.iter().filter(|vm| s.decision.participants.contains(&vm.id)).collect();
    put("hosts", 0o600, &inventory::inventory(s)?);
    put("etc_hosts", 0o644, &inventory::etc_hosts(&participants, s.settings));
    put("ansible.cfg", 0o644, &config::ansible_cfg(s.conf_dir, s.generation, s.settings.check_host_keys));
    put("known_hosts", 0o644, &config::known_hosts(s.hosts, s.host_keys));
    put("ansible_key", 0o600, &s.key.private);
    put("ansible_key.pub", 0o644, &s.key.public);
    put(".im/runner.py", 0o700, include_str!("../../assets/runner.py"));
    put(".im/callback/im_journal.py", 0o600, include_str!("../../assets/im_journal.py"));
    for strategy in [Strategy::Free, Strategy::Linear] {
        let path = format!("{}/{}.py", engine::PLUGINS, Engine::Mitogen.plugin(strategy));
        put(&path, 0o600, include_str!("../../assets/mitogen_strategy.py"));
    }

    let with_windows = participants.iter().any(|vm| is_windows(vm));
    if with_windows {
        put(windows::PLAYBOOK, 0o600, &windows::playbook()?);
    }
    let mut systems: Vec<&str> =
        participants.iter().filter(|vm| !is_windows(vm)).map(|vm| decide::system_of(vm)).collect();
    systems.sort_unstable();
    systems.dedup();
    // A system of the machines is the concrete one: its applications and disks are those of the document's system.
    let extras: Vec<_> = systems.iter().filter_map(|name| builtin::extras(s.radl.system(name)?)).collect();
    let lacks_python = |host: &&Host| host.python.is_none() && !host.windows;
    let without_python: Vec<String> = s.hosts.iter().filter(lacks_python).map(|h| h.name.clone()).collect();
    let token = s.common.auth.as_deref().is_some_and(|auth| !auth.contains(':') && !auth.is_empty());
    put(BASIC, 0o600, &builtin::playbook(&extras, &without_python, token)?);

    for configure in &s.radl.configures {
        if let Some(recipe) = configure.recipe.as_deref().filter(|r| !r.trim().is_empty()) {
            put(&format!("{}.yml", names::safe(&configure.name)), 0o600, recipe);
        }
    }
    for (configure, system) in pairs(s.decision) {
        let on_windows = participants.iter().any(|vm| decide::system_of(vm) == system && is_windows(vm));
        let merged = playbook(s.radl, &configure, !on_windows);
        let playbook = merged.map(|merged| {
            merged.map(|Playbook { text, notes }| {
                let runnable = runnable(s.radl, &configure, &system, s.lock_step_roles);
                put(&runnable.playbook, 0o600, &text);
                for note in notes {
                    if !files.notes.contains(&note) {
                        files.notes.push(note);
                    }
                }
                runnable
            })
        });
        files.playbooks.insert((configure, system), playbook);
    }
    Ok(files)
}

fn pairs(decision: &Decision) -> Vec<(String, String)> {
    let of = |lane: &Lane| {
        let system = lane.system.clone();
        lane.recipes.clone().into_iter().map(move |recipe| (recipe, system.clone()))
    };
    let mut pairs: Vec<_> = decision.steps.values().flatten().flat_map(of).collect();
    pairs.sort();
    pairs.dedup();
    pairs
}

fn playbook(radl: &Radl, configure: &str, become_root: bool) -> Result<Option<Playbook>, RecipeError> {
    let Some(recipe) = radl.configure(configure).and_then(|c| c.recipe.as_deref()) else { return Ok(None) };
    recipe::merge(configure, recipe, Header { keep_hosts: option(radl, "ctxt_keep_hosts") == Some("yes"), become_root })
}

fn runnable(radl: &Radl, configure: &str, system: &str, roles: &[String]) -> Runnable {
    let recipe = radl.configure(configure).and_then(|c| c.recipe.as_deref()).unwrap_or_default();
    Runnable {
        playbook: playbook_name(configure, system),
        strategy: strategy(radl, recipe, roles),
        engine: engine::choose(option(radl, "ctxt_strategy"), with_included(radl, recipe)),
    }
}

/// A recipe and those that it may include.
fn with_included<'a>(radl: &'a Radl, recipe: &'a str) -> impl Iterator<Item = &'a str> {
    let includes = recipe.contains("include") || recipe.contains("import_");
    let others = radl.configures.iter().filter(move |_| includes).filter_map(|c| c.recipe.as_deref());
    std::iter::once(recipe).chain(others)
}

/// Strategy of a recipe: as the document wishes, else free unless the recipe, one that it may include, or one of `roles`
/// that it names, needs lock step.
fn strategy(radl: &Radl, recipe: &str, roles: &[String]) -> Strategy {
    match option(radl, "ctxt_strategy") {
        Some("linear") => return Strategy::Linear,
        Some("free") => return Strategy::Free,
        _ => {}
    }
    let names_one = |text: &str| roles.iter().any(|role| text.contains(role));
    let lock_step = with_included(radl, recipe).any(|text| recipe::needs_lock_step(text) || names_one(text));
    if lock_step { Strategy::Linear } else { Strategy::Free }
}

#[cfg(test)]
mod tests;
