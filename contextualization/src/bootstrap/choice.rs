//! Which Ansible is used on a master. Pure.

use super::{
    Runtime,
    probe::{Preinstalled, Probe, Python},
    shelf::Bundle,
    version::{Line, NEWEST, OLDEST, Wish},
};
use crate::contract::ErrorCode;

/// Oldest Python that any bundle is for.
const OLDEST_PYTHON: (u32, u32) = (3, 8);

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Use what is installed.
    Installed(Preinstalled),
    /// Use the bundle; it has to be sent unless it is `there`.
    Bundle {
        /// The bundle.
        bundle: Bundle,
        /// The interpreter it fits.
        python: Python,
        /// Whether the master has it.
        there: bool,
    },
    /// Install a line from a package index, for this interpreter.
    Online(Line, Python),
}

/// Chooses, in this order: the best bundle when the master has it already, an Ansible that somebody else installed there,
/// the best bundle, and with `online` a package index.
///
/// # Errors
/// Why nothing fits, with what there is.
pub fn choose(probe: &Probe, bundles: &[Bundle], wish: Wish, online: bool) -> Result<Choice, (ErrorCode, String)> {
    let fits = |bundle: &&Bundle, python: &Python| {
        (&bundle.python, &bundle.machine, &bundle.libc) == (&python.version, &python.machine, &python.libc)
            && wish.accepts(Line::of(&bundle.core))
    };
    let pairs = probe.pythons.iter().enumerate();
    let pairs = pairs.flat_map(|(at, python)| bundles.iter().filter(move |b| fits(b, python)).map(move |b| (b, at)));
    // The best version; on the first interpreter that runs it.
    let best = pairs.min_by_key(|(bundle, at)| (wish.rank(Line::of(&bundle.core)), *at));
    let there = |bundle: &Bundle| probe.have.contains(&bundle.sha256);
    let choice = |(bundle, at): (&Bundle, usize)| Choice::Bundle {
        there: there(bundle),
        bundle: bundle.clone(),
        python: probe.pythons[at].clone(),
    };
    if let Some(best) = best.filter(|(bundle, _)| there(bundle)) {
        return Ok(choice(best));
    }
    let newest = match (best, wish) {
        (Some((bundle, _)), Wish::Latest) => Line::of(&bundle.core),
        _ => OLDEST,
    };
    let usable = |found: &&Preinstalled| {
        let line = Line::of(&found.version);
        (newest..=NEWEST).contains(&line) && wish.accepts(line)
    };
    if let Some(found) = probe.preinstalled.iter().find(usable) {
        return Ok(Choice::Installed(found.clone()));
    }
    if let Some(best) = best {
        return Ok(choice(best));
    }
    if online && let Some((line, python)) = installable(&probe.pythons, wish) {
        return Ok(Choice::Online(line, python.clone()));
    }
    Err(nothing(probe, bundles, wish, online))
}

/// The best line that an interpreter of the master runs.
fn installable(pythons: &[Python], wish: Wish) -> Option<(Line, &Python)> {
    // Older lines are not on the index as wheels.
    let lines = (13..=NEWEST.1).map(|minor| Line(2, minor)).filter(|line| wish.accepts(*line));
    let pairs = lines.flat_map(|line| pythons.iter().enumerate().map(move |(at, python)| (line, at, python)));
    pairs
        .filter(|(line, _, python)| python.number() >= line.python())
        .min_by_key(|(line, at, _)| (wish.rank(*line), *at))
        .map(|(line, _, python)| (line, python))
}

fn nothing(probe: &Probe, bundles: &[Bundle], wish: Wish, online: bool) -> (ErrorCode, String) {
    let remedy = "choose an image with Python 3.10 or newer, or set CTXT_ALLOW_ONLINE so that the distribution's is \
                  installed";
    if probe.pythons.is_empty() {
        return (ErrorCode::NoPython, format!("the master has no Python 3, which Ansible needs: {remedy}"));
    }
    let newest = probe.pythons.iter().map(Python::number).max().unwrap_or_default();
    if newest < OLDEST_PYTHON {
        let (major, minor) = newest;
        let why = format!("the newest Python of the master is {major}.{minor}, Ansible needs 3.8 or newer: {remedy}");
        return (ErrorCode::PythonTooOld, why);
    }
    let pythons = probe.pythons.iter().map(|p| format!("Python {} ({}, {})", p.version, p.machine, p.libc));
    let pythons: Vec<String> = pythons.collect();
    let installed: Vec<String> = probe.preinstalled.iter().map(|p| format!("Ansible core {}", p.version)).collect();
    let installed = if installed.is_empty() { "no Ansible of its own".to_owned() } else { installed.join(", ") };
    let version = match wish {
        Wish::Exactly(line) => format!(" with Ansible core {line}"),
        Wish::UpTo(_) | Wish::Latest => String::new(),
    };
    let remedy = if online { "" } else { " or set CTXT_ALLOW_ONLINE," };
    let why = format!(
        "no Ansible for the master: it has {} and {installed}, and no offline bundle{version} fits (there are: {}); build \
         one with make-bundle,{remedy} or choose another image",
        pythons.join(", "),
        names(bundles)
    );
    (ErrorCode::NoAnsible, why)
}

fn names(bundles: &[Bundle]) -> String {
    let names: Vec<&str> = bundles.iter().map(|b| b.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The sentence for a version that is none, with those that can be had.
#[must_use]
pub fn unknown_version(what: &str, bundles: &[Bundle]) -> String {
    let (oldest, newest) = (OLDEST, NEWEST);
    format!(
        "{what} names no version of Ansible that is known: give a version of the package ({} to {}) or of ansible-core \
         ({oldest} to {newest}), or latest; offline bundles there are: {}",
        oldest.package(),
        newest.package(),
        names(bundles)
    )
}

impl Choice {
    /// Line of ansible-core.
    #[must_use]
    pub fn line(&self) -> Line {
        match self {
            Self::Installed(found) => Line::of(&found.version),
            Self::Bundle { bundle, .. } => Line::of(&bundle.core),
            Self::Online(line, _) => *line,
        }
    }

    /// Name of its tree among the unpacked ones; none when it has no tree.
    #[must_use]
    pub fn tree(&self) -> Option<String> {
        match self {
            Self::Installed(_) => None,
            Self::Bundle { bundle, .. } => Some(bundle.sha256.clone()),
            Self::Online(line, python) => Some(format!("online-{line}-py{}", python.version)),
        }
    }

    /// How Ansible is started; `collections` is the path of further collections.
    #[must_use]
    pub fn runtime(&self, probe: &Probe, collections: Option<String>) -> Runtime {
        let tree = self.tree().map(|tree| format!("{}/{tree}", probe.runtime));
        let place = tree.clone().unwrap_or_default();
        let (python, playbook, description) = match self {
            Self::Installed(Preinstalled { path, version, python, .. }) => {
                (python, vec![path.clone()], format!("Using Ansible core {version} found at {path}."))
            }
            Self::Bundle { bundle: Bundle { core, name, .. }, python, .. } => (
                &python.path,
                module(&python.path),
                format!("Using Ansible core {core} of the offline bundle {name} at {place} with {}.", python.path),
            ),
            Self::Online(line, python) => (
                &python.path,
                module(&python.path),
                format!("Using Ansible core {line} of the Python package index at {place} with {}.", python.path),
            ),
        };
        let paths: Vec<String> = tree.into_iter().chain(collections).collect();
        let python_path = (!paths.is_empty()).then(|| paths.join(":"));
        let mitogen = matches!(self, Self::Bundle { .. });
        Runtime { python: python.clone(), playbook, python_path, mitogen, description }
    }
}

fn module(python: &str) -> Vec<String> {
    [python, "-m", "ansible", "playbook"].map(str::to_owned).to_vec()
}
