//! User recipes: the daemon's header merged into each play (spec/contextualization.md 1.14, 6.4, 6.5).

use crate::yaml::{self, Kind, Node};
use serde::{Deserialize, Serialize};

/// Beginning of a text encrypted with `ansible-vault`.
pub const VAULT: &str = "$ANSIBLE_VAULT";
/// Actions that the free strategy cannot run, and play keywords whose meaning needs lock step.
const LOCK_STEP: [&str; 9] = [
    "add_host",
    "ansible.builtin.add_host",
    "ansible.legacy.add_host",
    "pause",
    "ansible.builtin.pause",
    "serial",
    "any_errors_fatal",
    "max_fail_percentage",
    "throttle",
];

/// How the hosts of a play advance, where the play itself does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Each on its own; a failing one stops nobody.
    #[default]
    Free,
    /// Task by task.
    Linear,
}

impl Strategy {
    /// Its name in Ansible.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Linear => "linear",
        }
    }
}

/// What the header depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// Whether `hosts` of a recipe counts besides the machines of the run.
    pub keep_hosts: bool,
    /// Whether plays that do not say run as root; there is none on Windows.
    pub become_root: bool,
}

/// A playbook ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playbook {
    /// Its text.
    pub text: String,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

/// Why a recipe cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// Not YAML.
    #[error("configure {0}: {1}")]
    Yaml(String, yaml::YamlError),
    /// Not a list of maps.
    #[error("configure {0}: expected a list of plays")]
    NotPlays(String),
    /// Encrypted.
    #[error("configure {0}: recipes encrypted with ansible-vault are not supported yet; give the recipe in clear")]
    Vault(String),
}

/// Whether a recipe must run in lock step. Texts that no parser accepts never run, so they do not matter.
#[must_use]
pub fn needs_lock_step(recipe: &str) -> bool {
    let mut found = false;
    if let Ok(Some(node)) = yaml::parse(recipe) {
        node.each_key(&mut |key| found |= LOCK_STEP.contains(&key));
    }
    found
}

/// The recipe of configure `name` with the header merged into each play; none when there is nothing to run.
///
/// # Errors
/// [`RecipeError`].
pub fn merge(name: &str, recipe: &str, header: Header) -> Result<Option<Playbook>, RecipeError> {
    if recipe.trim_start().starts_with(VAULT) {
        return Err(RecipeError::Vault(name.to_owned()));
    }
    let parsed = yaml::parse(recipe).map_err(|e| RecipeError::Yaml(name.to_owned(), e))?;
    let Some(mut root) = parsed.filter(|node| !node.is_empty()) else { return Ok(None) };
    let mut notes = Vec::new();
    let Kind::Sequence(plays) = &mut root.kind else { return Err(RecipeError::NotPlays(name.to_owned())) };
    for play in plays {
        let passes = play.get("import_playbook").is_some()
            || play.get("ansible.builtin.import_playbook").is_some()
            || play.get("include").is_some();
        let Kind::Mapping(pairs) = &mut play.kind else { return Err(RecipeError::NotPlays(name.to_owned())) };
        if !passes {
            notes.extend(add_header(name, pairs, header));
        }
    }
    let text = yaml::emit(&root).map_err(|e| RecipeError::Yaml(name.to_owned(), e))?;
    Ok(Some(Playbook { text, notes }))
}

fn add_header(name: &str, pairs: &mut Vec<(Node, Node)>, header: Header) -> Option<String> {
    let has = |pairs: &[(Node, Node)], key: &str| pairs.iter().any(|(k, v)| k.scalar() == Some(key) && !v.is_empty());
    let own_hosts = pairs.iter().rposition(|(k, _)| k.scalar() == Some("hosts")).map(|at| pairs.remove(at).1);
    pairs.retain(|(k, _)| k.scalar() != Some("hosts"));
    let run_hosts = Node::text("{{ IM_HOST }}");
    let mut note = None;
    let hosts = match own_hosts.filter(|h| !h.is_empty()) {
        None => run_hosts,
        Some(own) if header.keep_hosts => match own.kind {
            Kind::Sequence(items) => Node::list(std::iter::once(run_hosts).chain(items).collect()),
            _ => Node::list(vec![run_hosts, own]),
        },
        Some(own) => {
            // TOSCA recipes and plays for everybody say nothing that the daemon does not know better.
            if own.scalar() != Some("{{ IM_HOST }}") {
                note = Some(format!(
                    "WARNING: configure {name}: 'hosts' is ignored, the play runs on the machines of its system \
                     (option ctxt_keep_hosts = 'yes' keeps it)."
                ));
            }
            run_hosts
        }
    };
    let mut first = vec![(Node::plain("hosts"), hosts)];
    for (key, value) in [("gather_facts", "no"), ("become", "yes")] {
        if !has(pairs, key) && (header.become_root || key != "become") {
            pairs.retain(|(k, _)| k.scalar() != Some(key));
            first.push((Node::plain(key), Node::plain(value)));
        }
    }
    pairs.splice(0..0, first);
    note
}
