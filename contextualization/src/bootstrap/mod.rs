//! Bringing Ansible to the master (docs/spec/contextualization.md 6.6): what is there from us, what somebody else installed,
//! an offline bundle, or a package index.
//!
//! | module | subject |
//! |---|---|
//! | `version` | which version is wished for |
//! | `shelf` | bundles and collections on the daemon's host |
//! | `probe` | what the master has |
//! | `choice` | what is used |
//! | `deliver` | bringing it there |

mod choice;
mod deliver;
mod probe;
mod shelf;
mod version;

pub use choice::{Choice, choose};
pub use deliver::{Privilege, packages};
pub use probe::{Preinstalled, Probe, Python};
pub use shelf::{Bundle, Collections, Shelf};
pub use version::{Line, Wish};

use crate::{
    contract::{ErrorCode, Settings},
    ssh::{ExecLimits, SshError, SshSession},
};
use deliver::send;
use radl::{Radl, Value};
use serde::{Deserialize, Serialize};

/// How Ansible is started on the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Python that runs the runner.
    pub python: String,
    /// Argument list that stands for `ansible-playbook`.
    pub playbook: Vec<String>,
    /// Value of PYTHONPATH.
    pub python_path: Option<String>,
    /// Whether mitogen is beside it: bundles bring both.
    #[serde(default)]
    pub mitogen: bool,
    /// What it is, for the log.
    pub description: String,
}

impl Runtime {
    /// Argument list that stands for `ansible-galaxy`.
    #[must_use]
    pub fn galaxy(&self) -> Vec<String> {
        let mut command = self.playbook.clone();
        if let Some(last) = command.last_mut() {
            *last = match last.strip_suffix("ansible-playbook") {
                Some(directory) => format!("{directory}ansible-galaxy"),
                None => "galaxy".to_owned(),
            };
        }
        command
    }
}

/// Why Ansible cannot be had on the master.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The connection.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// Something that the user or the operator can change.
    #[error("[{0}] {1}")]
    Unfit(ErrorCode, String),
}

impl BootstrapError {
    /// The kind of failure.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Ssh(SshError::AuthFailed { .. }) => ErrorCode::SshAuth,
            Self::Ssh(SshError::HostKeyChanged { .. }) => ErrorCode::HostkeyChanged,
            Self::Ssh(SshError::CommandTimeout { .. }) => ErrorCode::Timeout,
            Self::Ssh(_) => ErrorCode::Unreachable,
            Self::Unfit(code, _) => *code,
        }
    }
}

/// The option of a document that says which Ansible it wants.
pub const VERSION: &str = "ansible_version";

/// Refuses a version of Ansible that names none; `settings` tell which ones there are.
///
/// # Errors
/// The sentence for the author of the document.
pub async fn check(radl: &Radl, settings: &Settings) -> Result<(), String> {
    let wanted = radl.contextualize.as_ref().and_then(|section| section.options.get(VERSION));
    let fault = match wanted {
        None => return Ok(()),
        Some(Value::Text { text, .. }) => Wish::new(Some(text), &settings.ansible_version).err(),
        Some(_) => Some(format!("option {VERSION} without quotes")),
    };
    let Some(what) = fault else { return Ok(()) };
    Err(choice::unknown_version(&what, &Shelf::read(&settings.bundle_dir).await.bundles))
}

/// Makes the conf dir on the master and sees to it that Ansible is there; the sentences are for the log. `version` is the
/// one the document asks for.
///
/// # Errors
/// [`BootstrapError`].
pub async fn bootstrap(
    session: &SshSession,
    settings: &Settings,
    conf_dir: &str,
    version: Option<&str>,
    privilege: &Privilege,
) -> Result<(Runtime, Vec<String>), BootstrapError> {
    let limit = settings.ansible_install_timeout;
    let work = prepare(session, settings, conf_dir, version, privilege);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        let why = format!("Ansible could not be made available within {seconds} s (ANSIBLE_INSTALL_TIMEOUT)");
        Err(BootstrapError::Unfit(ErrorCode::Timeout, why))
    })
}

async fn probe(session: &SshSession, settings: &Settings, conf_dir: &str) -> Result<Probe, BootstrapError> {
    let argv = ["sh", "-s", "--", &settings.remote_conf_dir, conf_dir];
    let output = session.exec_with_input(&argv, include_bytes!("../../assets/probe.sh"), ExecLimits::default()).await?;
    Probe::parse(&String::from_utf8_lossy(&output.stdout))
        .map_err(|why| BootstrapError::Unfit(ErrorCode::Internal, why))
}

async fn prepare(
    session: &SshSession,
    settings: &Settings,
    conf_dir: &str,
    version: Option<&str>,
    privilege: &Privilege,
) -> Result<(Runtime, Vec<String>), BootstrapError> {
    let shelf = Shelf::read(&settings.bundle_dir).await;
    let (wish, note) = Wish::new(version, &settings.ansible_version)
        .map_err(|what| BootstrapError::Unfit(ErrorCode::NoAnsible, choice::unknown_version(&what, &shelf.bundles)))?;
    let mut notes: Vec<String> = note.into_iter().collect();
    let mut found = probe(session, settings, conf_dir).await?;
    let mut chosen = choose(&found, &shelf.bundles, wish, settings.allow_online);
    if let Err((ErrorCode::NoPython | ErrorCode::PythonTooOld | ErrorCode::NoAnsible, _)) = &chosen
        && settings.allow_online
    {
        notes.push("Installing Python from the distribution of the master VM.".to_owned());
        if let Err(why) = packages(session, privilege, &["python"], settings.ansible_install_timeout).await? {
            notes.push(format!("WARNING: Python cannot be installed from the distribution: {why}"));
        }
        found = probe(session, settings, conf_dir).await?;
        chosen = choose(&found, &shelf.bundles, wish, true);
    }
    if let (Err((ErrorCode::NoAnsible, why)), Wish::Exactly(line)) = (&chosen, wish) {
        // One rule for every version that cannot be had, be it too old or not on the shelf.
        let (usual, _) = Wish::new(None, &settings.ansible_version).unwrap_or((wish, None));
        let instead = choose(&found, &shelf.bundles, usual, settings.allow_online);
        if instead.is_ok() {
            notes.push(format!("WARNING: Ansible core {line} cannot be had: the default version is used ({why})."));
            chosen = instead;
        }
    }
    let chosen = chosen.map_err(|(code, mut why)| {
        // What was tried in vain belongs to the reason.
        why.extend(notes.iter().filter(|note| note.contains("cannot be installed")).flat_map(|note| ["; ", note]));
        BootstrapError::Unfit(code, why)
    })?;
    let runtime = &found.runtime;
    let fresh = match &chosen {
        Choice::Bundle { there: true, .. } | Choice::Installed(_) => false,
        Choice::Bundle { bundle, .. } => send(session, settings, runtime, &bundle.archive, &bundle.sha256).await?,
        Choice::Online(..) => deliver::online(session, settings, privilege, (runtime, &chosen), &shelf).await?,
    };
    let (collections, note) = collections(session, settings, &shelf, &found, &chosen).await?;
    let ready = chosen.runtime(&found, collections);
    notes.push(format!("{}{}", ready.description, if fresh { " It was installed now." } else { "" }));
    notes.extend(note);
    Ok((ready, notes))
}

/// Sees to it that the collections for the chosen Ansible are there: their path, and a sentence for the log.
async fn collections(
    session: &SshSession,
    settings: &Settings,
    shelf: &Shelf,
    found: &Probe,
    chosen: &Choice,
) -> Result<(Option<String>, Option<String>), BootstrapError> {
    if matches!(chosen, Choice::Installed(installed) if installed.collections) {
        return Ok((None, None));
    }
    let (line, wished) = (chosen.line(), &settings.collections);
    let Some(set) = shelf.collections(line, wished) else {
        let comes_along = matches!(chosen, Choice::Online(..));
        let note = format!("There is no archive of collections for Ansible core {line}.");
        return Ok((None, (!comes_along).then_some(note)));
    };
    if !found.have.contains(&set.sha256) {
        send(session, settings, &found.runtime, &set.archive, &set.sha256).await?;
    }
    let mut note = format!("Using the {} collections of the Ansible package {}.", set.set, set.package);
    if set.set != *wished {
        note += &format!(" WARNING: the {wished} ones (CTXT_COLLECTIONS) are not there for Ansible core {line}.");
    }
    Ok((Some(format!("{}/{}", found.runtime, set.sha256)), Some(note)))
}

#[cfg(test)]
mod tests;
