//! Which Ansible is used on a master. Pure.

use super::Runtime;
use crate::contract::ErrorCode;
use serde::Deserialize;
use std::path::PathBuf;

/// An offline bundle, as `scripts/make-bundle` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Bundle {
    /// Its name.
    pub name: String,
    /// Version of ansible-core.
    pub core: String,
    /// Minor version of Python it is for (`3.11`).
    pub python: String,
    /// Machine it is for (`x86_64`).
    pub machine: String,
    /// C library it is for (`glibc`, `musl`).
    pub libc: String,
    /// Hash of the archive, the name of the tree on the master.
    pub sha256: String,
    /// The archive on the daemon's host.
    #[serde(skip)]
    pub archive: PathBuf,
}

/// An interpreter on the master.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Python {
    pub version: String,
    pub machine: String,
    pub libc: String,
    pub path: String,
}

/// What the master has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// Directory of unpacked bundles.
    pub runtime: String,
    /// Hashes of unpacked bundles.
    pub have: Vec<String>,
    /// Interpreters, the usual one first.
    pub pythons: Vec<Python>,
    /// Path and core version of a preinstalled Ansible.
    pub ansible: Option<(String, String)>,
    /// Whether there is an SSH client.
    pub ssh: bool,
}

impl Probe {
    /// Reads what `probe.sh` printed.
    ///
    /// # Errors
    /// What the script complained about.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut probe = Self { ssh: true, ..Self::default() };
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "error" => return Err(format!("the master cannot be prepared: {rest}")),
                "runtime" => probe.runtime = rest.to_owned(),
                "have" => probe.have.push(rest.to_owned()),
                "python" => {
                    if let [version, machine, libc, path] = rest.splitn(4, ' ').collect::<Vec<_>>()[..] {
                        let [version, machine, libc, path] = [version, machine, libc, path].map(str::to_owned);
                        probe.pythons.push(Python { version, machine, libc, path });
                    }
                }
                "ansible" => {
                    if let Some((path, version)) = rest.rsplit_once(' ').filter(|(_, v)| !v.is_empty()) {
                        probe.ansible = Some((path.to_owned(), version.to_owned()));
                    }
                }
                "without" => probe.ssh = false,
                _ => {}
            }
        }
        if probe.runtime.is_empty() {
            return Err("the master did not answer the first command as expected; is its shell a POSIX one?".to_owned());
        }
        Ok(probe)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Use the unpacked bundle.
    Unpacked(Bundle, Python),
    /// Use what is installed: path, core version.
    Installed(String, String, Python),
    /// Send the bundle.
    Send {
        /// The bundle.
        bundle: Bundle,
        /// The interpreter it fits.
        python: Python,
    },
}

/// Line of ansible-core for a requested version of the community package or of the core, and a sentence when the wish
/// is not met to the letter.
#[must_use]
pub fn wanted_core(version: Option<&str>) -> (Option<String>, Vec<String>) {
    let Some(version) = version.map(str::trim).filter(|v| !v.is_empty() && *v != "latest") else {
        return (None, Vec::new());
    };
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(2)), Some(Ok(minor))) if minor >= 11 => (Some(format!("2.{minor}")), Vec::new()),
        // Package 4 brought core 2.11, and so on.
        (Some(Ok(major)), _) if (4..=13).contains(&major) => (Some(format!("2.{}", major + 7)), Vec::new()),
        _ => {
            let note = format!("WARNING: Ansible {version} is too old or unknown: the default version is used.");
            (None, vec![note])
        }
    }
}

fn line(core: &str) -> (u32, u32) {
    let mut parts = core.split('.').map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Chooses: an unpacked bundle, else a preinstalled Ansible (core 2.11 or newer), else a bundle to send.
///
/// # Errors
/// Why nothing fits, with what there is.
pub fn choose(probe: &Probe, bundles: &[Bundle], core: Option<&str>) -> Result<Choice, (ErrorCode, String)> {
    if probe.pythons.is_empty() {
        let why = "the master has no Python 3; choose an image with python3, Ansible cannot run without it";
        return Err((ErrorCode::NoPython, why.to_owned()));
    }
    let wanted = |version: &str| core.is_none_or(|core| line(core) == line(version));
    let fits = |bundle: &&Bundle, python: &Python| {
        (&bundle.python, &bundle.machine, &bundle.libc) == (&python.version, &python.machine, &python.libc)
            && wanted(&bundle.core)
    };
    let mut candidates: Vec<(&Bundle, &Python)> =
        probe.pythons.iter().flat_map(|p| bundles.iter().filter(move |b| fits(b, p)).map(move |b| (b, p))).collect();
    // The usual interpreter first, as probed; for each the newest core.
    candidates.sort_by_key(|(bundle, python)| {
        (probe.pythons.iter().position(|p| p == *python), std::cmp::Reverse(line(&bundle.core)))
    });
    if let Some((bundle, python)) = candidates.iter().find(|(bundle, _)| probe.have.contains(&bundle.sha256)) {
        return Ok(Choice::Unpacked((*bundle).clone(), (*python).clone()));
    }
    if let Some((path, version)) = probe.ansible.as_ref().filter(|(_, v)| line(v) >= (2, 11) && wanted(v)) {
        return Ok(Choice::Installed(path.clone(), version.clone(), probe.pythons[0].clone()));
    }
    if let Some((bundle, python)) = candidates.first() {
        return Ok(Choice::Send { bundle: (*bundle).clone(), python: (*python).clone() });
    }
    let have = |p: &Python| format!("Python {} ({}, {})", p.version, p.machine, p.libc);
    let pythons: Vec<String> = probe.pythons.iter().map(have).collect();
    let names: Vec<&str> = bundles.iter().map(|b| b.name.as_str()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let version = core.map_or(String::new(), |core| format!(" with ansible-core {core}"));
    let why = format!(
        "no Ansible for the master: it has {} and no Ansible of its own, and no offline bundle{version} fits (there are: \
         {names}); build one with make-bundle, or choose another image",
        pythons.join(", ")
    );
    Err((ErrorCode::NoPython, why))
}

impl Choice {
    /// How Ansible is started.
    #[must_use]
    pub fn runtime(&self, probe: &Probe) -> Runtime {
        match self {
            Self::Installed(path, version, python) => Runtime {
                python: python.path.clone(),
                playbook: vec![path.clone()],
                python_path: None,
                description: format!("Using Ansible core {version} found at {path}."),
            },
            Self::Unpacked(bundle, python) | Self::Send { bundle, python } => Runtime {
                python: python.path.clone(),
                playbook: [&python.path, "-m", "ansible", "playbook"].map(str::to_owned).to_vec(),
                python_path: Some(format!("{}/{}", probe.runtime, bundle.sha256)),
                description: format!("Using Ansible core {} from the offline bundle {}.", bundle.core, bundle.name),
            },
        }
    }
}
