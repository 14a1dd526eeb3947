//! Where the reading of a run's journal stands, and what was seen in it so far. It is stored with the reports.

use super::answer::FilePlace;
use crate::contract::ErrorCode;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// State of a run whose journal was too long.
pub(super) const FLOODED: &str = "flooded";

/// Where the reading of a run's journal stands; kept with the reports, so that nothing is shown twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalPosition {
    /// Bytes of the journal that were read.
    pub offset: u64,
    /// Last event that had its effect.
    pub last_seq: u64,
    /// Lines that were no events.
    pub garbage: u64,
    /// Log bytes written per machine.
    pub written: BTreeMap<u32, usize>,
    /// Of machines whose logs are too long: what is kept for the end of the run.
    pub kept: BTreeMap<u32, Kept>,
    /// Bytes that were added to the log of the infrastructure.
    pub warned: usize,
    /// Last failure per machine.
    pub failures: BTreeMap<u32, Failure>,
    /// Machines whose counts were seen, and whether these are fine.
    pub stats: BTreeMap<u32, bool>,
    /// Machines that came to the end of the recipe.
    pub done: BTreeSet<u32>,
    /// How the run ended.
    pub end: Option<End>,
}

/// The end of a long log, which is told when the run is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where its lines begin in the journal: they are read again from there after a restart.
    pub from: u64,
    /// Bytes between the beginning of the log and what is kept.
    pub left_out: usize,
}

/// End of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Exit status of Ansible.
    pub rc: i64,
    /// `finished`, `cancelled`, `timeout`, `failed`, `lost`, `rebooted`; `flooded` when its journal was too long.
    pub state: String,
    /// Last lines of its output.
    pub tail: String,
}

/// A failed task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind.
    pub code: ErrorCode,
    /// The task.
    pub task: String,
    /// A sentence: what the module said, with the end of its standard error.
    pub message: String,
    /// What the module said.
    #[serde(default)]
    pub module_message: String,
    /// Exit status of its command.
    #[serde(default)]
    pub rc: Option<i64>,
    /// Last lines of its standard error.
    #[serde(default)]
    pub stderr: Vec<String>,
    /// The place in a file that Ansible named.
    #[serde(default)]
    pub place: Option<FilePlace>,
    /// Whether not the task failed but what carries it.
    #[serde(default)]
    pub mitogen: bool,
}

impl Failure {
    /// The machine did not answer, which is the reason unless there is a better one.
    pub fn unreachable(&mut self) {
        if self.code == ErrorCode::TaskFailed {
            self.code = ErrorCode::Unreachable;
        }
    }
}
