//! Planning: from a document and facts of machines to files, playbooks and steps. Pure functions.
//!
//! | module | subject |
//! |---|---|
//! | [`decide`] | whether, for whom, in which steps |
//! | [`names`] | host names; safe names of files and groups |
//! | [`inventory`] | inventory, variables, host table |
//! | [`recipe`] | header of user recipes |
//! | [`builtin`] | the built-in playbook |
//! | [`carrier`] | whether mitogen carries the tasks |
//! | [`config`] | `ansible.cfg`, `known_hosts` |
//! | [`control`] | where Ansible runs for a machine |
//! | [`windows`] | the built-in playbook for Windows |
//! | [`view`] | the document as recipes see it |

pub mod builtin;
pub mod carrier;
pub mod config;
pub mod control;
pub mod decide;
pub mod inventory;
pub mod names;
pub mod recipe;
pub mod view;
pub mod windows;

use crate::{
    contract::{KeyPair, Settings, VmFacts},
    ssh::TarEntry,
};
use carrier::Carrier;
use control::ControlNode;
use decide::{Decision, Lane, is_windows, option};
use inventory::{Common, Host};
use radl::{Radl, yaml::YamlError};
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
    pub carrier: Carrier,
    /// Name of the configure.
    pub configure: String,
    /// Its header.
    pub header: Header,
    /// Whether it looks at other machines, or may do so: then all that are to come have to be there.
    pub looks_at_others: bool,
    /// Password of the system for what is encrypted with `ansible-vault`.
    pub vault: Option<Vault>,
}

impl Runnable {
    /// A built-in playbook.
    #[must_use]
    pub fn built_in(radl: &Radl, playbook: &str) -> Self {
        let carrier = carrier::choose(option(radl, decide::STRATEGY), &[]);
        let (playbook, strategy) = (playbook.to_owned(), Strategy::Free);
        let (configure, header) = (String::new(), Header::default());
        Self { playbook, strategy, carrier, configure, header, looks_at_others: false, vault: None }
    }
}

/// What opens encrypted recipes and values. Never part of a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Vault {
    /// The password.
    pub password: String,
    /// File of the recipe in the conf dir when it is encrypted as a whole: the master makes the playbook of it, as
    /// encrypted as it was.
    pub recipe: Option<String>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("recipe", &self.recipe).finish_non_exhaustive()
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
    /// Installed roles that look at no other machine.
    pub alone_roles: &'a [String],
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
    // First, so that one with the name of a file of ours does not take its place.
    for configure in &s.radl.configures {
        if let Some(recipe) = configure.recipe.as_deref().filter(|r| !r.trim().is_empty()) {
            put(&recipe_name(&configure.name), 0o600, recipe);
        }
    }
    put("hosts", 0o600, &inventory::inventory(s)?);
    put("etc_hosts", 0o644, &inventory::etc_hosts(&participants, s.settings));
    put("ansible.cfg", 0o644, &config::ansible_cfg(s.conf_dir, s.generation, s.settings.check_host_keys));
    put("known_hosts", 0o644, &config::known_hosts(s.hosts, s.host_keys));
    put("ansible_key", 0o600, &s.key.private);
    put("ansible_key.pub", 0o644, &s.key.public);
    put(".im/runner.py", 0o700, include_str!("../../assets/runner.py"));
    put(".im/open_recipe.py", 0o600, include_str!("../../assets/open_recipe.py"));
    put(".im/callback/im_journal.py", 0o600, include_str!("../../assets/im_journal.py"));
    put(".im/callback/im_quiet.py", 0o600, include_str!("../../assets/im_quiet.py"));
    for strategy in [Strategy::Free, Strategy::Linear] {
        let path = format!("{}/{}.py", carrier::PLUGINS, Carrier::Mitogen.plugin(strategy));
        put(&path, 0o600, include_str!("../../assets/mitogen_strategy.py"));
    }

    let with_windows = participants.iter().any(|vm| is_windows(vm));
    if with_windows {
        put(windows::PLAYBOOK, 0o600, &windows::playbook()?);
    }
    let mut systems: BTreeMap<&str, BTreeMap<String, Vec<builtin::Disk>>> = BTreeMap::new();
    for vm in participants.iter().filter(|vm| !is_windows(vm)) {
        let disks = systems.entry(decide::system_of(vm)).or_default();
        if let (Some(host), Some(machine)) = (s.hosts.iter().find(|host| host.vm == vm.id), vm.info.systems.first()) {
            disks.insert(host.name.clone(), builtin::disks(machine));
        }
    }
    // The system of a machine is the concrete one: its applications are those of the document's system.
    let extras: Vec<_> =
        systems.into_iter().filter_map(|(name, disks)| builtin::extras(s.radl.system(name)?, disks)).collect();
    let lacks_python = |host: &&Host| host.python.is_none() && !host.windows;
    let without_python: Vec<String> = s.hosts.iter().filter(lacks_python).map(|h| h.name.clone()).collect();
    let token = s.common.auth.as_deref().is_some_and(|auth| !auth.contains(':') && !auth.is_empty());
    put(BASIC, 0o600, &builtin::playbook(&extras, &without_python, token)?);

    for (configure, system) in pairs(s.decision) {
        let on_windows = participants.iter().any(|vm| decide::system_of(vm) == system && is_windows(vm));
        let runnable = match runnable(s, &configure, &system, !on_windows) {
            Ok(None) => Ok(None),
            Ok(Some((runnable, merged))) => {
                if let Some(Playbook { text, notes }) = merged {
                    put(&runnable.playbook, 0o600, &text);
                    for note in notes {
                        if !files.notes.contains(&note) {
                            files.notes.push(note);
                        }
                    }
                }
                Ok(Some(runnable))
            }
            Err(fault) => Err(fault),
        };
        files.playbooks.insert((configure, system), runnable);
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

/// A recipe for a system and its playbook, which an encrypted one gets on the master only.
fn runnable(
    s: &Sources<'_>,
    configure: &str,
    system: &str,
    become_root: bool,
) -> Result<Option<(Runnable, Option<Playbook>)>, RecipeError> {
    let radl = s.radl;
    let Some(recipe) = radl.configure(configure).and_then(|c| c.recipe.as_deref()) else { return Ok(None) };
    let keep_hosts = option(radl, "ctxt_keep_hosts").is_some_and(|keep| keep.eq_ignore_ascii_case("yes"));
    let header = Header { keep_hosts, become_root };
    let password = radl.system(system).and_then(|s| s.features.text("vault.password"));
    let mut vault = password.map(|password| Vault { password: password.to_owned(), recipe: None });
    let merged = if let (true, Some(vault)) = (recipe::is_encrypted(recipe), &mut vault) {
        vault.recipe = Some(recipe_name(configure));
        None
    } else {
        let Some(merged) = recipe::merge(configure, recipe, header)? else { return Ok(None) };
        Some(merged)
    };
    let texts = with_named(radl, recipe);
    // What an encrypted recipe does cannot be seen: nothing unusual carries it unless the document says so.
    let hidden = merged.is_none() && option(radl, decide::STRATEGY) != Some("mitogen");
    let runnable = Runnable {
        playbook: playbook_name(configure, system),
        strategy: strategy(radl, &texts, s.lock_step_roles),
        carrier: if hidden { Carrier::Plain } else { carrier::choose(option(radl, decide::STRATEGY), &texts) },
        configure: configure.to_owned(),
        header,
        looks_at_others: merged.is_none()
            || keep_hosts
            || texts.iter().any(|text| recipe::looks_at_others(text, s.alone_roles)),
        vault,
    };
    Ok(Some((runnable, merged)))
}

/// Name of a recipe's own text in the conf dir, by which others include it.
pub(crate) fn recipe_name(configure: &str) -> String {
    format!("{}.yml", names::safe(configure))
}

/// A recipe and those it names, directly or through others.
fn with_named<'a>(radl: &'a Radl, recipe: &'a str) -> Vec<&'a str> {
    let (mut texts, mut others) = (vec![recipe], radl.configures.iter().collect::<Vec<_>>());
    let mut at = 0;
    while let Some(text) = texts.get(at).copied() {
        let (named, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|c| text.contains(&recipe_name(&c.name)));
        texts.extend(named.iter().filter_map(|c| c.recipe.as_deref()));
        others = rest;
        at += 1;
    }
    texts
}

/// Strategy of a recipe, given with those that it names: as the document wishes, else free unless one of them, or one of
/// `roles` that they name, needs lock step.
fn strategy(radl: &Radl, texts: &[&str], roles: &[String]) -> Strategy {
    match option(radl, decide::STRATEGY) {
        Some("linear") => return Strategy::Linear,
        Some("free") => return Strategy::Free,
        _ => {}
    }
    let names_one = |text: &str| roles.iter().any(|role| text.contains(role));
    let lock_step = texts.iter().any(|text| recipe::needs_lock_step(text) || names_one(text));
    if lock_step { Strategy::Linear } else { Strategy::Free }
}

#[cfg(test)]
mod tests;
