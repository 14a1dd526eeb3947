//! User recipes: the daemon's header merged into each play (docs/spec/contextualization.md 1.14, 6.4, 6.5).

use radl::yaml::{self, Node, NodeKind, VAULT};
use serde::{Deserialize, Serialize};

/// Name of the task at the end of a recipe that says which machines have come that far. It runs nothing: a skipped
/// `meta` task costs no process.
pub const DONE: &str = "im: end of the recipe";
const BECOME_PASSWORD: &str = "ansible_become_password";
const LOCAL_PASSWORD: &str = "{{ hostvars['localhost'].ansible_become_password | default('') }}";
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    #[error("configure {0}: Error parsing YAML: {1}")]
    Yaml(String, yaml::YamlError),
    /// Not a list of maps.
    #[error("configure {0}: expected a list of plays")]
    NotPlays(String),
    /// Encrypted, and nobody told the password.
    #[error("configure {0}: it is encrypted with ansible-vault, and its system has no vault.password")]
    Vault(String),
}

/// Whether a recipe is encrypted as a whole.
#[must_use]
pub fn is_encrypted(recipe: &str) -> bool {
    recipe.trim_start().starts_with(VAULT)
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

/// Words of templates that look at other machines.
const OTHERS: [&str; 7] = ["hostvars", "groups[", "groups.", "groups |", "in groups", "play_hosts", "play_batch"];
/// Keys that bring a role.
const ROLE: [&str; 4] = ["include_role", "import_role", "ansible.builtin.include_role", "ansible.builtin.import_role"];

/// Whether a recipe looks at other machines than its own, or may do so in a role that is none of those that are `alone`.
#[must_use]
pub fn looks_at_others(recipe: &str, alone: &[String]) -> bool {
    OTHERS.iter().any(|word| recipe.contains(word))
        || matches!(yaml::parse(recipe), Ok(Some(root)) if brings_other_role(&root, alone))
}

fn brings_other_role(node: &Node, alone: &[String]) -> bool {
    let is_other = |role: &Node| {
        let name = role.scalar().or_else(|| ["role", "name"].iter().find_map(|key| role.get(key)?.scalar()));
        !name.is_some_and(|name| alone.iter().any(|known| known == name))
    };
    match &node.kind {
        NodeKind::Mapping(pairs) => pairs.iter().any(|(key, value)| {
            let other = match (key.scalar(), &value.kind) {
                (Some("roles"), NodeKind::Sequence(roles)) => roles.iter().any(is_other),
                (Some(key), _) if ROLE.contains(&key) => is_other(value),
                _ => false,
            };
            other || brings_other_role(value, alone)
        }),
        NodeKind::Sequence(items) => items.iter().any(|item| brings_other_role(item, alone)),
        NodeKind::Scalar(..) | NodeKind::Alias(_) => false,
    }
}

/// The recipe of configure `name` with the header merged into each play; none when there is nothing to run. The same is
/// done on the master, by `assets/open_recipe.py`, to recipes that are encrypted.
///
/// # Errors
/// [`RecipeError`].
pub fn merge(name: &str, recipe: &str, header: Header) -> Result<Option<Playbook>, RecipeError> {
    if is_encrypted(recipe) {
        return Err(RecipeError::Vault(name.to_owned()));
    }
    let parsed = yaml::parse(recipe).map_err(|e| RecipeError::Yaml(name.to_owned(), e))?;
    let Some(mut root) = parsed.filter(|node| !node.is_empty()) else { return Ok(None) };
    let mut notes = Vec::new();
    let NodeKind::Sequence(plays) = &mut root.kind else { return Err(RecipeError::NotPlays(name.to_owned())) };
    let last = plays.len().saturating_sub(1);
    for (at, play) in plays.iter_mut().enumerate() {
        let passes = ["import_playbook", "ansible.builtin.import_playbook", "include"];
        let passes = passes.iter().any(|key| play.get(key).is_some());
        // A play that is written once and repeated has its header already.
        if matches!(play.kind, NodeKind::Alias(_)) {
            continue;
        }
        let NodeKind::Mapping(pairs) = &mut play.kind else { return Err(RecipeError::NotPlays(name.to_owned())) };
        if !passes {
            notes.extend(add_header(name, pairs, header));
            if at == last {
                add_end(pairs);
            }
        }
    }
    let text = yaml::emit(&root).map_err(|e| RecipeError::Yaml(name.to_owned(), e))?;
    Ok(Some(Playbook { text, notes }))
}

fn has(pairs: &[(Node, Node)], key: &str) -> bool {
    pairs.iter().any(|(k, v)| k.scalar() == Some(key) && !v.is_empty())
}

fn add_header(name: &str, pairs: &mut Vec<(Node, Node)>, header: Header) -> Option<String> {
    let own_hosts = pairs.iter().rposition(|(k, _)| k.scalar() == Some("hosts")).map(|at| pairs.remove(at).1);
    pairs.retain(|(k, _)| k.scalar() != Some("hosts"));
    let run_hosts = Node::text("{{ IM_HOST }}");
    let mut note = None;
    let hosts = match own_hosts.filter(|h| !h.is_empty()) {
        None => run_hosts,
        Some(own) if header.keep_hosts => match own.kind {
            NodeKind::Sequence(items) => Node::list(std::iter::once(run_hosts).chain(items).collect()),
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
    if pairs.iter().any(|(k, v)| k.scalar() == Some("connection") && v.scalar() == Some("local")) {
        add_local_password(pairs);
    }
    note
}

/// What runs on the master with the variables of a machine needs the master's password where sudo asks for one.
fn add_local_password(pairs: &mut Vec<(Node, Node)>) {
    let password = || (Node::plain(BECOME_PASSWORD), Node::text(LOCAL_PASSWORD));
    if !has(pairs, "vars") {
        pairs.retain(|(k, _)| k.scalar() != Some("vars"));
        pairs.push((Node::plain("vars"), Node { kind: NodeKind::Mapping(vec![password()]), ..Node::plain("") }));
    } else if let Some((_, own)) = pairs.iter_mut().find(|(k, _)| k.scalar() == Some("vars"))
        && own.get(BECOME_PASSWORD).is_none()
        && let (NodeKind::Mapping(vars), None) = (&mut own.kind, &own.anchor)
    {
        vars.push(password());
    }
}

/// Adds the task that says which machines are done.
fn add_end(pairs: &mut Vec<(Node, Node)>) {
    let end = [("name", Node::text(DONE)), ("meta", Node::plain("end_host")), ("when", Node::plain("false"))];
    let end = Node::map(end);
    if !has(pairs, "post_tasks") {
        pairs.retain(|(k, _)| k.scalar() != Some("post_tasks"));
        pairs.push((Node::plain("post_tasks"), Node::list(vec![end])));
    } else if let Some((_, own)) = pairs.iter_mut().find(|(k, _)| k.scalar() == Some("post_tasks"))
        && let (NodeKind::Sequence(tasks), None) = (&mut own.kind, &own.anchor)
    {
        tasks.push(end);
    }
}
