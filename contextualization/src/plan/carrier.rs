//! What carries the tasks of a run to the machines: Ansible's own strategies, or those of mitogen, which keep one
//! interpreter per machine alive and halve the time. Pure.
//!
//! Mitogen is used where nothing speaks against it: the bundle brings it, every machine of the run has Python, and the
//! recipe uses nothing that behaves differently there. A run in which mitogen itself fails goes on without it
//! (`driver/rules/next.rs`).

use radl::yaml;
use serde::{Deserialize, Serialize};

/// Directory of the strategy plugins in the conf dir.
pub const PLUGINS: &str = ".im/strategy";

/// Keys of recipes that keep mitogen away, each for a reason that was seen or could not be ruled out:
/// `raw` gets a terminal on the master itself, so that its lines end otherwise; `reboot` and `synchronize` look at the
/// connection they are given; other ways to become root and other connections have plugins of their own.
const PLAIN: [&str; 12] = [
    "raw",
    "ansible.builtin.raw",
    "reboot",
    "ansible.builtin.reboot",
    "synchronize",
    "ansible.posix.synchronize",
    "become_method",
    "become_exe",
    "ansible_become_method",
    "ansible_become_exe",
    "ansible_connection",
    "ansible_python_interpreter",
];

/// What carries the tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// Ansible alone.
    #[default]
    Plain,
    /// Ansible with mitogen's strategies.
    Mitogen,
}

impl Carrier {
    /// Name of the plugin that makes machines advance like `strategy`.
    #[must_use]
    pub fn plugin(self, strategy: super::Strategy) -> String {
        match self {
            Self::Plain => strategy.name().to_owned(),
            Self::Mitogen => format!("mitogen_{}", strategy.name()),
        }
    }
}

/// What may carry a recipe, given with those that it may include: as `option ctxt_strategy` wishes, else mitogen unless
/// something in them keeps it away. Texts that no parser accepts never run, so they do not matter.
#[must_use]
pub fn choose(wish: Option<&str>, recipes: &[&str]) -> Carrier {
    match wish {
        Some("mitogen") => Carrier::Mitogen,
        Some("free" | "linear" | "per_vm") => Carrier::Plain,
        _ if recipes.iter().any(|recipe| keeps_away(recipe)) => Carrier::Plain,
        _ => Carrier::Mitogen,
    }
}

fn keeps_away(recipe: &str) -> bool {
    let mut found = false;
    if let Ok(Some(node)) = yaml::parse(recipe) {
        node.each_key(&mut |key| found |= PLAIN.contains(&key));
    }
    found
}
