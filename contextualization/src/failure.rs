//! Why a machine is not configured: in its log, and over the API (docs/spec/contextualization.md 6.10).

use serde::{Deserialize, Serialize};
use std::{fmt, ops::RangeInclusive};

/// Exit statuses of Ansible that speak of what it was given, where no machine was reached: errors of its own, of parsing, of
/// options, of characters.
const REFUSED: RangeInclusive<i64> = 1..=6;

/// Why a VM is not configured; shown in its log and by the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmError {
    /// The kind of failure.
    pub code: ErrorCode,
    /// Phase it happened in (`access`, `basic`, `main`, `step 1`, ...).
    pub phase: String,
    /// One clear sentence.
    pub message: String,
    /// What a playbook was doing, when one was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
}

/// Where in a playbook a machine failed, and what the module said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The user's step, none for the built-in playbook.
    pub step: Option<i64>,
    /// The configure, as the log calls it (`<configure>_<system>`).
    pub recipe: Option<String>,
    /// The task of Ansible.
    pub task: Option<String>,
    /// What the module said.
    pub module_message: Option<String>,
    /// Exit status of the module's command.
    pub rc: Option<i64>,
    /// Last lines of its standard error, at most twenty.
    pub stderr: Vec<String>,
    /// Which attempt it was.
    pub attempt: Option<Attempt>,
    /// Lines that show the place in the recipe, for the log.
    pub excerpt: Vec<String>,
}

/// An attempt: `number` of at most `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which one, from 1.
    pub number: u32,
    /// How many there may be.
    pub of: u32,
}

impl VmError {
    /// An error outside of a playbook.
    #[must_use]
    pub fn new(code: ErrorCode, phase: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, phase: phase.into(), message: message.into(), details: None }
    }

    /// The line of the log that follows the line which says what failed.
    #[must_use]
    pub fn cause(&self) -> String {
        format!("Cause: [{}] {}\n{}", self.code, self.message, self.excerpt())
    }

    fn excerpt(&self) -> String {
        let lines = self.details.iter().flat_map(|details| &details.excerpt);
        lines.flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// Whether another attempt may end otherwise: not when Ansible refused the recipe, or a secret was the wrong one.
    #[must_use]
    pub fn may_change(&self) -> bool {
        match self.code {
            ErrorCode::Vault | ErrorCode::RoleInstall | ErrorCode::SudoDenied => false,
            ErrorCode::RecipeInvalid => {
                let rc = self.details.as_ref().and_then(|details| details.rc);
                rc.is_some_and(|rc| !REFUSED.contains(&rc))
            }
            _ => true,
        }
    }

    /// The lines about a failure that is final.
    #[must_use]
    pub fn final_cause(&self) -> String {
        format!("Cause: [{}] {}\nHint: {}\n{}", self.code, self.message, self.code.hint(), self.excerpt())
    }

    /// This failure as that of attempt `number` of `of`.
    #[must_use]
    pub fn in_attempt(mut self, number: u32, of: u32) -> Self {
        self.details.get_or_insert_default().attempt = Some(Attempt { number, of });
        self
    }
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum ErrorCode {
    NoIp,
    NotRunning,
    SshTimeout,
    SshAuth,
    HostkeyChanged,
    ProxyFailed,
    SudoDenied,
    NoPython,
    PythonTooOld,
    NoAnsible,
    DiskNotFound,
    TaskFailed,
    Unreachable,
    RecipeInvalid,
    Vault,
    RoleInstall,
    RunnerLost,
    MasterLost,
    OutOfMemory,
    DiskFull,
    Timeout,
    Cancelled,
    Internal,
}

impl fmt::Display for ErrorCode {
    /// The name as logs show it: `TASK_FAILED`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl ErrorCode {
    /// Whether the machinery failed and not the machine or its recipe: worth a second attempt in any case.
    #[must_use]
    pub const fn is_infrastructure(self) -> bool {
        matches!(self, Self::RunnerLost | Self::MasterLost)
    }

    /// What the user can do about it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NoIp => "Look at the machine in its cloud: it got no address. Check the networks of the document.",
            Self::NotRunning => "Start the machine, then reconfigure the infrastructure.",
            Self::SshTimeout => {
                "Check that sshd runs on the machine and that the master may reach its SSH port: security groups, \
                 outports, routes."
            }
            Self::SshAuth => "Check user name, password and private key of the image in the document.",
            Self::HostkeyChanged => {
                "Make sure that the machine is the one you made. If it was installed again, replace it, or let the \
                 operator set CTXT_HOSTKEY = off."
            }
            Self::ProxyFailed => "Check proxy_host and proxy_key of the network: user, address, credentials.",
            Self::SudoDenied => {
                "Let the login user of the image become root with sudo, with its own password or without."
            }
            Self::NoPython => "Use an image with Python 3, or one whose package manager can install it.",
            Self::PythonTooOld => "Use an image with a newer Python, or choose an older ansible_version.",
            Self::NoAnsible => {
                "Use an image or an ansible_version that one of the offline bundles fits, or let the operator provide a \
                 bundle or set CTXT_ALLOW_ONLINE."
            }
            Self::DiskNotFound => {
                "Check that the disk is attached and that its device in the document is the right one."
            }
            Self::TaskFailed => "Correct the recipe or what it needs on the machine, then reconfigure.",
            Self::Unreachable => {
                "The machine stopped answering while it was configured: check that it runs and that sshd answers, then \
                 reconfigure."
            }
            Self::RecipeInvalid => {
                "Correct the recipe: Ansible could not read it, does not know what it asks for, or found nothing to run in it."
            }
            Self::Vault => "Check vault.password of the system and that the recipe was encrypted with it.",
            Self::RoleInstall => {
                "Check name and version of the role or collection, and that the master can download it."
            }
            Self::RunnerLost => {
                "The process that supervises Ansible on the master was killed: check memory and administration of the \
                 master, then reconfigure."
            }
            Self::MasterLost => {
                "The machine that Ansible runs on went away or restarted: check it, take reboots of the master out of \
                 the recipe, then reconfigure."
            }
            Self::OutOfMemory => "Use a machine with more memory, or let the recipe need less of it at once.",
            Self::DiskFull => "Use a bigger disk, or let the recipe write less.",
            Self::Timeout => {
                "Give more time (contextualize (SECONDS ...), or MAX_CONTEXTUALIZATION_TIME of the daemon), or look for \
                 a task that hangs."
            }
            Self::Cancelled => "Reconfigure the infrastructure when the daemon runs again.",
            Self::Internal => "Read the log of the infrastructure; if it does not help, tell the operator.",
        }
    }
}
